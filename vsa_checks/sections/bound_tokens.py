"""Section 3.3: sums of five tokens come closer to first-layer neurons with tokens bound by layer-0 heads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bound_heads import Heads
from vsa_checks.bound_tokens import Part, Pursued, pursue
from vsa_checks.engine.scale import near_one
from vsa_checks.engine.threads import threads
from vsa_checks.errors import NotChecked
from vsa_checks.independent_axes import ROWS_PER_AXIS, independent_axes, refined_axes
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.orthogonality import live_rows, second_moment
from vsa_checks.reflected import pursue_reflected
from vsa_checks.sections.neurons import layer_neurons
from vsa_checks.sections.pursued import PURSUIT_TOKENS, token_bundles
from vsa_checks.sections.tokens import excluded, token_dictionary
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

Rows = NDArray[np.float32]

REFLECTED = "bound tokens reflected in their principal axes"
ON_COORDINATES, ON_INDEPENDENT = "bound tokens reflected on coordinates", "bound tokens reflected on independent axes"
REFLECTIONS = 99
LEAST_NEURONS, MOST_NEURONS = 48, 128
"""Number of the layer's neurons, drawn at random, for each reflection: fewer for larger models."""
ROUNDING = 1e-12
"""A head maps all tokens to zero if their mean square is below this share of what its two factors could give."""
PRODUCTS = 2**30
"""Up to this many products, for all neurons with one reflection, more than the minimum of neurons are used."""


def gain_of_bound_tokens(bench: Workbench, subject: Subject) -> Measurement:
    """Mean rise of the pursuit cosine at k = 5 when tokens bound by layer 0's W_V W_O join the tokens.

    Tokens are the centered token vectors with which the stream starts; W_O is taken as it writes to the stream, with
    the gain of a norm that follows it. All bound tokens of a head are scaled by one factor, to the tokens' rms norm.
    The nulls are the rise with the bound tokens of each head reflected in their principal axes, on the coordinates and
    on independent axes: what neurons and bound tokens have in common without reading each other, such as heavy tails
    on the same axes, is kept in one of them. Raises NotChecked if attention and MLP read the same stream, if no head
    binds tokens to anything, or if there are fewer tokens than a bundle holds.
    """
    assert subject.matrix is not None
    basis, matrix = subject.basis, subject.matrix
    bound = heads_that_bind(bench, basis)
    neurons = live_rows(layer_neurons(bench, basis, 0, matrix))
    words = Part(token_dictionary(bench, basis).vectors)
    if len(words.left) < PURSUIT_TOKENS:
        raise NotChecked(f"{len(words.left)} tokens are too few for bundles of {PURSUIT_TOKENS}")
    label = f"pursuit of layer 0 {matrix} with bound tokens ({basis})"

    def pursued() -> Pursued:
        return pursue(neurons.unit, [words, *bound.parts], PURSUIT_TOKENS, progress=bench.progress(label))

    real = bench.once(("pursuit with bound tokens", basis, matrix), pursued)
    without = token_bundles(bench, basis, 0, matrix)
    alone = without.cosine_at(PURSUIT_TOKENS)[~without.dead]
    gain = real.cosines[:, -1] - alone
    n, wanted = len(gain), min(MOST_NEURONS, max(LEAST_NEURONS, PRODUCTS // bound.left.size))
    asked = np.sort(bench.rng("neurons of the null", subject.id).choice(n, min(n, wanted), replace=False))
    independent = bench.once(
        ("independent axes of bound tokens", basis, matrix), lambda: _independent_axes(bench, basis, neurons.unit)
    )

    def null(name: str, drawn: Rows, axes: Rows | None) -> NullMeasurement:
        # The first reflection changes nothing.
        signs = np.concatenate([np.ones_like(drawn[:1]), drawn])
        progress = bench.progress(f"{label}, {name}")
        means = pursue_reflected(
            neurons.unit[asked], words, bound, signs, PURSUIT_TOKENS, axes=axes, progress=progress
        ).mean(axis=1)
        return _among_reflections(name, float(gain.mean()), means[0], means[1:])

    def all_axes(name: str) -> Rows:
        shape = REFLECTIONS, len(bound.left), neurons.unit.shape[1]
        return bench.rng("reflections", name).choice(np.array([-1.0, 1.0], np.float32), shape)

    # All matrices of the layer are compared with the same reflections.
    nulls = (
        null(REFLECTED, bound.reflections(REFLECTIONS, bench.rng("reflections")), None),
        null(ON_COORDINATES, all_axes(ON_COORDINATES), np.eye(neurons.unit.shape[1], dtype=np.float32)),
        null(ON_INDEPENDENT, all_axes(ON_INDEPENDENT), independent),
    )
    by_part = np.bincount(real.parts.ravel(), minlength=len(bound.left) + 1) / real.parts.size
    return Measurement(
        value=float(gain.mean()),
        interval=bootstrap(gain, "neurons", bench.rng("bootstrap", subject.id)),
        n_examined=n,
        n_excluded=neurons.n_excluded,
        nulls=nulls,
        details={
            "neurons_of_the_null": len(asked),
            "mean_cosine_of_tokens_alone": float(alone.mean()),
            "mean_cosine_with_bound_tokens": float(real.cosines[:, -1].mean()),
            "share_of_bundles_that_is_plain_tokens": float(by_part[0]),
            "by_head": [{"head": head, "share_of_bundles": float(share)} for head, share in enumerate(by_part[1:])],
        }
        | excluded(bench, basis),
    )


def heads_that_bind(bench: Workbench, basis: Basis) -> Heads:
    """The tokens bound by layer 0's heads, computed once. Raises NotChecked if its neurons never see any."""
    if bench.model(basis).info.parallel:
        raise NotChecked(
            "attention and MLP of a layer read the same stream: layer 0's neurons never see what its heads write"
        )
    found = bench.once(("bound tokens", basis), lambda: bound_tokens(bench, basis))
    if found is None:
        raise NotChecked("no head of layer 0 binds tokens to anything")
    return found


def bound_tokens(bench: Workbench, basis: Basis) -> Heads | None:
    """The centered tokens times each head's W_V W_O in layer 0, without heads that map all tokens to zero.

    None if all heads do.
    """
    words = token_dictionary(bench, basis).vectors
    parts = [Part(words @ read.astype(np.float32), write.astype(np.float32)) for read, write in _maps(bench, basis)]
    return Heads.of(parts) if parts else None


def _maps(bench: Workbench, basis: Basis) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Factors (d, r) and (r, d) of each head's W_V W_O in layer 0, without heads that map all tokens to zero.

    Their scale gives the bound tokens the tokens' rms norm.
    """
    reads, writes = (
        near_one(one, (1, 2)).astype(np.float64)
        for one in (bench.weight(basis, 0, "W_V"), bench.written(basis, 0, "W_O"))
    )
    moment = second_moment(token_dictionary(bench, basis).vectors)
    found = []
    for head, write in enumerate(writes):
        read = reads[head * len(reads) // len(writes)]
        within = read.T @ moment @ read
        square = float(np.sum(within * (write @ write.T)))
        if square > ROUNDING * np.trace(moment) * np.square(read).sum() * np.square(write).sum():
            found.append((read * np.sqrt(np.trace(moment) / square), write))
    return found


def _independent_axes(bench: Workbench, basis: Basis, unit: Rows) -> Rows:
    """Axes (d, d) along which neurons (n, d), tokens and bound tokens have the heaviest tails together.

    At most 16 d / 3 of each: heads with few large entries bind tokens to vectors whose entries are not independent on
    any axes, and too many of these would decide. Products are float64, because the search multiplies rounding errors.
    """
    words, maps = token_dictionary(bench, basis).vectors, _maps(bench, basis)
    d, rng = unit.shape[1], bench.rng("independent axes of bound tokens")
    most = -(-ROWS_PER_AXIS * d // 3)
    length = np.sqrt(np.trace(second_moment(words)) / len(words))

    def some(n: int) -> NDArray[np.int64]:
        return rng.permutation(n)[:most]

    head, place = np.divmod(some(len(maps) * len(words)), len(words))
    sets = [length * unit[some(len(unit))], words[some(len(words))]]
    with threads():
        sets += [words[place[head == one]] @ read @ write for one, (read, write) in enumerate(maps)]
    rows = np.concatenate([(one - one.mean(axis=0, dtype=np.float64)).astype(np.float32) for one in sets if len(one)])
    return refined_axes(rows, independent_axes(rows, rng))


def _among_reflections(name: str, value: float, real: float, drawn: NDArray[np.float64]) -> NullMeasurement:
    """Rank the mean cosine of the compared neurons among those with reflected bound tokens.

    The cosines with tokens alone are the same in all, so the rise differs by as much as the cosine. The null's rise
    over all neurons is the layer's own minus the mean difference on the compared neurons.
    """
    return NullMeasurement.of_draws(name, real, drawn, ">=", center=value - float(real - drawn.mean()))
