"""Section 3.3: with tokens that layer-0 heads have bound, sums of five come closer to first-layer neurons."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vsa_checks.bound_tokens import Part, Pursued, pursue
from vsa_checks.engine.scale import near_one
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.orthogonality import live_rows
from vsa_checks.sections.neurons import PURSUIT_TOKENS, layer_neurons, token_bundles
from vsa_checks.sections.tokens import excluded, token_dictionary
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

TURNED, FAKE = "heads turned at random", "covariance-matched bound tokens"
NULL_NEURONS = 512
"""How many of the layer's neurons, drawn at random, are compared with the nulls, neuron by neuron."""


def gain_of_bound_tokens(bench: Workbench, subject: Subject) -> Measurement:
    """Mean rise of the pursuit cosine at k = 5 when tokens bound by layer 0's W_V W_O join the tokens.

    Tokens are the centered token vectors, what the stream begins with; W_O is taken as it is written there, with the
    gain of a norm that follows it. All bound tokens of a head are scaled by one factor, to the tokens' rms norm. The
    nulls are the rise with W_V R W_O, R random orthogonal, and with Gaussian vectors of the bound tokens' mean and
    covariance. Raises NotChecked where attention and MLP read the same stream, if no head binds tokens to anything, or
    if there are fewer tokens than a bundle holds.
    """
    assert subject.matrix is not None
    if bench.model(subject.basis).info.parallel:
        raise NotChecked(
            "attention and MLP of a layer read the same stream: layer 0's neurons never see what its heads write"
        )
    neurons = live_rows(layer_neurons(bench, subject.basis, 0, subject.matrix))
    words = Part(token_dictionary(bench, subject.basis).vectors)
    if len(words.left) < PURSUIT_TOKENS:
        raise NotChecked(f"{len(words.left)} tokens are too few for bundles of {PURSUIT_TOKENS}")
    bound = bench.once(("bound tokens", subject.basis), lambda: bound_tokens(bench, subject.basis))
    if not bound:
        raise NotChecked("no head of layer 0 binds tokens to anything")
    label = f"pursuit of layer 0 {subject.matrix} with bound tokens ({subject.basis})"

    def pursued(unit: NDArray[np.float32], parts: Sequence[Part], kind: str = "") -> Pursued:
        return pursue(unit, [words, *parts], PURSUIT_TOKENS, progress=bench.progress(f"{label}{kind}"))

    n = len(neurons.unit)
    asked = np.sort(bench.rng("neurons of the nulls", subject.id).choice(n, min(n, NULL_NEURONS), replace=False))
    without = token_bundles(bench, subject.basis, 0, subject.matrix)
    alone = without.cosine_at(PURSUIT_TOKENS)[~without.dead]
    real = pursued(neurons.unit, bound)
    gain = real.cosines[:, -1] - alone
    # By head: each null is drawn once, and all matrices of the layer are compared with the same draw.
    turned = [turn(part, bench.rng("turned", head)) for head, part in enumerate(bound)]
    fake = [matched(part, bench.rng("fake tokens", head)) for head, part in enumerate(bound)]
    null_gains = {
        name: pursued(neurons.unit[asked], parts, f", {name}").cosines[:, -1] - alone[asked]
        for name, parts in ((TURNED, turned), (FAKE, fake))
    }
    by_part = np.bincount(real.parts.ravel(), minlength=len(bound) + 1) / real.parts.size
    return Measurement(
        value=float(gain.mean()),
        interval=bootstrap(gain, "neurons", bench.rng("bootstrap", subject.id)),
        n_examined=len(gain),
        n_excluded=neurons.n_excluded,
        nulls=tuple(_paired(name, gain, asked, null) for name, null in null_gains.items()),
        details={
            "mean_cosine_of_tokens_alone": float(alone.mean()),
            "mean_cosine_with_bound_tokens": float(real.cosines[:, -1].mean()),
            "share_of_bundles_that_is_plain_tokens": float(by_part[0]),
            "by_head": [{"head": head, "share_of_bundles": float(share)} for head, share in enumerate(by_part[1:])],
        }
        | excluded(bench, subject.basis),
    )


def bound_tokens(bench: Workbench, basis: Basis) -> list[Part]:
    """The centered tokens times each head's W_V W_O in layer 0, as factors; heads that map all to zero are left out."""
    words = token_dictionary(bench, basis).vectors
    # Each head's factor is free: the bound tokens are brought to the tokens' length below.
    reads, writes = near_one(bench.weight(basis, 0, "W_V"), (1, 2)), near_one(bench.written(basis, 0, "W_O"), (1, 2))
    length = np.sqrt(np.mean(Part(words).squares, dtype=np.float64))
    found = []
    for head, write in enumerate(writes):
        part = Part(words @ reads[head * len(reads) // len(writes)], write)
        own = np.sqrt(np.mean(part.squares, dtype=np.float64))
        if own > 0:
            found.append(Part(part.left * np.float32(length / own), np.ascontiguousarray(write)))
    return found


def turn(part: Part, rng: np.random.Generator) -> Part:
    """left @ R @ right with a random orthogonal matrix R, at the same rms norm."""
    assert part.right is not None
    rank = part.left.shape[1]
    return _at_length(Part(part.left @ _rotation(rank, rng), part.right), part)


def matched(part: Part, rng: np.random.Generator) -> Part:
    """Gaussian vectors with exactly the part's mean and covariance, at the same rms norm.

    The draws themselves are given that covariance. If only the law had it, the covariance of a few draws would be less
    even than the part's, and they would explain less.
    """
    left = part.left.astype(np.float64)
    drawn = rng.standard_normal(left.shape)
    drawn -= drawn.mean(axis=0)
    even = drawn @ _root(drawn, -0.5)
    fake = left.mean(axis=0) + even @ _root(left, 0.5)
    return _at_length(Part(fake.astype(np.float32), part.right), part)


def _root(rows: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """A power of the covariance (r, r) of rows (n, r), within the space that they span."""
    values, axes = np.linalg.eigh(np.cov(rows.T, bias=True).reshape(rows.shape[1], -1))
    spanned = values > values.max() * 1e-10
    root: NDArray[np.float64] = (axes[:, spanned] * values[spanned] ** power) @ axes[:, spanned].T
    return root


def _rotation(n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    return np.asarray(stats.ortho_group.rvs(n, random_state=rng) if n > 1 else np.ones((1, 1)), np.float32)


def _at_length(part: Part, other: Part) -> Part:
    own, wanted = (np.sqrt(np.mean(one.squares, dtype=np.float64)) for one in (part, other))
    return Part(part.left * np.float32(wanted / own), part.right)


def _paired(
    name: str, gain: NDArray[np.float64], asked: NDArray[np.int64], null: NDArray[np.float64]
) -> NullMeasurement:
    """The null's mean rise, and p of a paired t test over the neurons that were compared, either way.

    The mean rise over all neurons is the layer's own less the mean difference on the neurons compared.
    """
    rise = gain[asked] - null
    test: Callable[[str], float] = (
        (lambda side: float(stats.ttest_1samp(rise, 0.0, alternative=side).pvalue))
        if np.ptp(rise) > 0
        else (lambda side: 1.0)
    )
    return NullMeasurement(
        name,
        float(gain.mean() - rise.mean()),
        float(null.std(ddof=1) / np.sqrt(len(null))),
        len(null),
        test("greater"),
        test("less"),
    )
