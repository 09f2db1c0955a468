"""Section 3.2: neurons as unweighted sums of token embeddings, by the paper's scan and by a pursuit of few tokens."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks import nulls
from vsa_checks.bundles import Bundles, Dictionary, greedy_pursuit, ranked_scans
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject, mlp_inputs
from vsa_checks.models import Basis
from vsa_checks.orthogonality import second_moment
from vsa_checks.sections.tokens import token_dictionary
from vsa_checks.statistics import bootstrap, share_p
from vsa_checks.workbench.access import Workbench

RANDOM, MATCHED = "random directions", "covariance-matched neurons"

NEURONS_PER_TOKEN: tuple[int | None, ...] = (1, 2, 3, 5, 10, None)
"""How many neurons a token lists, which the paper does not say. None lists all, and gives the claim's value."""
PURSUIT_TOKENS = 5
RANDOM_NEURONS = 20_000
TAIL = 0.99
LEAST_REACH = 0.5
"""With fewer tokens than d/4 no sum comes near a cosine of .5 with a random direction, and the claim means nothing."""


@dataclass(frozen=True)
class Scans:
    """Cosines (n,) and mean sizes of the bundles that the paper's scan finds, for each of NEURONS_PER_TOKEN.

    Dead neurons, which have no direction, are only counted.
    """

    cosines: tuple[NDArray[np.float64], ...]
    mean_tokens: tuple[float, ...]
    n_dead: int


def share_at(bench: Workbench, subject: Subject, level: float) -> Measurement:
    """Share of neurons whose bundle by the paper's scan (K = all) has a cosine of at least `level`.

    Each null is that share for other vectors, explained in the same way: random directions, and covariance-matched
    neurons. Raises NotChecked if the vocabulary is too small for the dimension.
    """
    layer, matrix = _place(subject)
    neurons, words = layer_neurons(bench, subject.basis, layer, matrix), token_dictionary(bench, subject.basis)
    n_words, d = words.vectors.shape
    reach = float(np.sqrt(n_words / d))
    if reach < LEAST_REACH:
        raise NotChecked(
            f"{n_words} tokens span at most a small part of {d} dimensions (sqrt(V/d) = {reach:.2f} < {LEAST_REACH}):"
            f" no sum of them could reach the published cosines"
        )
    real = bench.once(
        ("scan", subject.basis, layer, matrix),
        lambda: _scan(bench, neurons, words, f"scan of layer {layer} {matrix} ({subject.basis})"),
    )
    matched = bench.once(
        ("scan matched", subject.basis, layer, matrix),
        lambda: _scan(
            bench,
            matched_neurons(bench, subject.basis, layer, matrix).draw(
                len(neurons), bench.rng("scan matched", subject.basis, layer, matrix)
            ),
            words,
            f"scan of its covariance-matched neurons ({subject.basis})",
        ),
    )
    random = bench.once(
        ("scan random", id(words), len(neurons)),
        lambda: _scan(
            bench,
            nulls.random_directions(len(neurons), d, bench.rng("scan random")),
            words,
            f"scan of random directions ({subject.basis})",
        ),
    )
    hits = real.cosines[-1] >= level
    return Measurement(
        value=float(hits.mean()),
        interval=bootstrap(hits, "neurons", bench.rng("bootstrap", subject.id)),
        n_examined=len(hits),
        n_excluded=real.n_dead,
        nulls=(
            share_null(RANDOM, hits, random.cosines[-1] >= level),
            share_null(MATCHED, hits, matched.cosines[-1] >= level),
        ),
        details=_scan_details(real, random, matched) | _ceiling(bench, subject, neurons, real.cosines[-1]),
    )


def beyond_chance(bench: Workbench, subject: Subject) -> Measurement:
    """Share of a layer's neurons whose pursuit cosine at k = 5 exceeds the 99th percentile of random directions.

    The null is that share for Gaussian neurons with the layer's own mean and covariance.
    """
    layer, matrix = _place(subject)
    neurons, words = layer_neurons(bench, subject.basis, layer, matrix), token_dictionary(bench, subject.basis)
    bars = _random_bars(bench, subject.basis)
    real = token_bundles(bench, subject.basis, layer, matrix)
    law = matched_neurons(bench, subject.basis, layer, matrix)
    drawn = law.draw(len(neurons), bench.rng("pursuit matched", subject.basis, layer, matrix))
    label = f"pursuit in layer {layer} {matrix} ({subject.basis}), null"
    matched = greedy_pursuit(drawn, words, PURSUIT_TOKENS, device=bench.torch_device, progress=bench.progress(label))
    alive = ~real.dead
    paths = _paths(real, alive)
    matched_paths = _paths(matched, ~matched.dead)
    hits, null_hits = paths[:, -1] > bars[-1], matched_paths[:, -1] > bars[-1]
    steps = list(range(1, paths.shape[1] + 1))
    return Measurement(
        value=float(hits.mean()),
        interval=bootstrap(hits, "neurons", bench.rng("bootstrap", subject.id)),
        n_examined=len(hits),
        n_excluded=int(real.dead.sum()),
        nulls=(share_null(MATCHED, hits, null_hits),),
        details={
            "cosine_bar": float(bars[-1]),
            "share_by_tokens": [
                {"tokens": k, "share": float(real_share), "null_share": float(null_share)}
                for k, real_share, null_share in zip(
                    steps, (paths > bars).mean(axis=0), (matched_paths > bars).mean(axis=0), strict=True
                )
            ],
            "curve": {
                "x_label": "tokens in the bundle",
                "y_label": "cosine with the neuron",
                "x": steps,
                "series": [
                    {"name": "neurons, mean", "y": _plain(paths.mean(axis=0))},
                    {"name": f"{MATCHED}, mean", "y": _plain(matched_paths.mean(axis=0))},
                    {"name": f"{RANDOM}, 99th percentile", "y": _plain(bars)},
                ],
            },
        },
    )


def _place(subject: Subject) -> tuple[int, str]:
    if subject.layer is None or subject.matrix is None:
        raise ValueError(f"{subject.id} names no layer and matrix")
    return subject.layer, subject.matrix


def layer_neurons(bench: Workbench, basis: Basis, layer: int, matrix: str) -> NDArray[np.float32]:
    """One row per neuron of a layer (d_mlp, d_model). Raises NotChecked if fewer than two have a direction."""
    neurons = np.ascontiguousarray(bench.weight(basis, layer, matrix).T)
    if np.count_nonzero(neurons.any(axis=1)) < 2:
        raise NotChecked(f"fewer than two neurons of {matrix} have a direction")
    return neurons


def token_bundles(bench: Workbench, basis: Basis, layer: int, matrix: str) -> Bundles:
    """The bundles of five tokens that pursuit finds for a layer's neurons, found once."""

    def pursue() -> Bundles:
        label = f"pursuit in layer {layer} {matrix} ({basis})"
        neurons = layer_neurons(bench, basis, layer, matrix)
        return greedy_pursuit(
            neurons,
            token_dictionary(bench, basis),
            PURSUIT_TOKENS,
            device=bench.torch_device,
            progress=bench.progress(label),
        )

    return bench.once(("pursuit", basis, layer, matrix), pursue)


def _scan(bench: Workbench, neurons: NDArray[np.float32], words: Dictionary, label: str) -> Scans:
    found = ranked_scans(neurons, words, NEURONS_PER_TOKEN, device=bench.torch_device, progress=bench.progress(label))
    alive = ~found[0].dead
    return Scans(
        tuple(bundles.cosine[alive] for bundles in found),
        tuple(float(bundles.size[alive].mean()) for bundles in found),
        int((~alive).sum()),
    )


def _paths(found: Bundles, alive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Cosine after 1, 2, ... tokens of each live neuron (n, tokens)."""
    length = int(found.size.max())
    return np.stack([found.cosine_at(k)[alive] for k in range(1, length + 1)], axis=1)


def matched_neurons(bench: Workbench, basis: Basis, layer: int, matrix: str) -> nulls.Matched:
    """The Gaussian with the mean and covariance of a layer's neurons: of rows of W_out, or columns of an input matrix.

    Both input matrices of a layer are fitted in one go, and so is W_out of all layers, to use all threads.
    """
    info, outputs = bench.model(basis).info, matrix == "W_out"
    read = mlp_inputs(info)
    together = [(layer, one) for one in (read if matrix in read else (matrix,))]
    places = [(one, matrix) for one in range(info.n_layers)] if outputs else together

    def fit() -> dict[tuple[int, str], nulls.Matched]:
        rows = {}
        for place in places:
            with suppress(NotChecked):  # another place than this one may lack the matrix
                weight = bench.weight(basis, *place)
                rows[place] = weight if outputs else np.ascontiguousarray(weight.T)
        alive = [place for place in rows if np.count_nonzero(rows[place].any(axis=1)) > 1]
        return dict(zip(alive, nulls.covariance_matched_each([rows[place] for place in alive]), strict=True))

    return bench.once(("matched neurons", basis, *places), fit)[layer, matrix]


def _random_bars(bench: Workbench, basis: Basis) -> NDArray[np.float64]:
    """99th percentile of the pursuit cosine of random directions after each token (k,), found once per dictionary."""

    words = token_dictionary(bench, basis)

    def measure() -> NDArray[np.float64]:
        drawn = nulls.random_directions(RANDOM_NEURONS, words.vectors.shape[1], bench.rng("pursuit random"))
        label = f"pursuit of {RANDOM_NEURONS:,} random directions ({basis})"
        found = greedy_pursuit(drawn, words, PURSUIT_TOKENS, device=bench.torch_device, progress=bench.progress(label))
        return np.quantile(_paths(found, ~found.dead), TAIL, axis=0)

    return bench.once(("pursuit random", id(words)), measure)


def share_null(name: str, hits: NDArray[np.bool_], null_hits: NDArray[np.bool_]) -> NullMeasurement:
    """Compare the share of a layer's neurons that hit with that of null neurons.

    Parameters
    ----------
    name : str
        What the null is called in the report.
    hits : ndarray of bool, shape (n,)
        The layer's neurons.
    null_hits : ndarray of bool, shape (m,)
        The null neurons.

    Returns
    -------
    NullMeasurement
        The null's share, its standard deviation over layers of n neurons, and p of the exact permutation test.
    """
    share = float(null_hits.mean())
    counts = (int(hits.sum()), len(hits), int(null_hits.sum()), len(null_hits))
    return NullMeasurement(
        name,
        share,
        float(np.sqrt(share * (1 - share) / len(hits))),
        len(null_hits),
        share_p(*counts),
        share_p(*counts, direction="<="),
    )


def _scan_details(real: Scans, random: Scans, matched: Scans) -> dict[str, Any]:
    """Shares for every number of neurons per token, and the share explained as the threshold moves (K = all)."""
    sweep = []
    for place, count in enumerate(NEURONS_PER_TOKEN):
        row: dict[str, Any] = {"neurons_per_token": count, "mean_tokens": real.mean_tokens[place]}
        for prefix, scans in (("", real), ("random_", random), ("matched_", matched)):
            row[f"{prefix}share_50"] = float((scans.cosines[place] >= 0.5).mean())
            row[f"{prefix}share_30"] = float((scans.cosines[place] >= 0.3).mean())
        sweep.append(row)
    levels = [round(level, 2) for level in np.arange(0.0, 1.01, 0.05).tolist()]
    return {
        "sweep": sweep,
        "curve": {
            "x_label": "cosine at least",
            "y_label": "share of neurons (K = all)",
            "x": levels,
            "series": [
                {"name": name, "y": [float((scans.cosines[-1] >= level).mean()) for level in levels]}
                for name, scans in (("neurons", real), (RANDOM, random), (MATCHED, matched))
            ],
        },
    }


def _ceiling(
    bench: Workbench, subject: Subject, neurons: NDArray[np.float32], cosines: NDArray[np.float64]
) -> dict[str, float]:
    """The largest cosine that any weighted sum of tokens could reach, and the mean share of it that bundles reach."""
    words = token_dictionary(bench, subject.basis)
    values, axes = bench.once(("span", id(words)), lambda: np.linalg.eigh(second_moment(words.vectors)))
    spanned = axes[:, values > values.max() * 1e-10]
    live = neurons[neurons.any(axis=1)].astype(np.float64)
    ceilings = np.linalg.norm(live @ spanned, axis=1) / np.linalg.norm(live, axis=1)
    return {
        "mean_ceiling_of_span": float(ceilings.mean()),
        "mean_share_of_ceiling": float((cosines / np.maximum(ceilings, 1e-12)).mean()),
        "mean_cosine": float(cosines.mean()),
    }


def _plain(values: NDArray[np.float64]) -> list[float]:
    return [float(value) for value in values]
