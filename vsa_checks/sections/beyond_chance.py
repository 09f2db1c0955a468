"""Section 3.2: some neurons are sums of five tokens, as nearly as hardly any random direction is.

Tokens are the centered token vectors, what the stream begins with; rows of W_E that are no tokens are not among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks import nulls
from vsa_checks.bundles import Bundles, greedy_pursuit
from vsa_checks.clusters import bootstrap_share
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.nulls_of_signs import ROWS_PER_AXIS, exchange_signs, independent_axes, kept_axes, principal_axes
from vsa_checks.orthogonality import live_rows
from vsa_checks.paired import paired_p
from vsa_checks.sections.neurons import (
    PURSUIT_TOKENS,
    RANDOM,
    Place,
    in_words,
    layer_neurons,
    neuron_clusters,
    place_of,
    token_bundles,
)
from vsa_checks.sections.tokens import excluded, token_dictionary
from vsa_checks.statistics import stream
from vsa_checks.workbench.access import Workbench

COORDINATES = "signs exchanged on coordinates"
OF_TOKENS = "signs exchanged on tokens' axes"
OF_NEURONS = "signs exchanged on neurons' axes"
INDEPENDENT = "signs exchanged on independent axes"
SIGN_NULLS = (COORDINATES, OF_TOKENS, OF_NEURONS, INDEPENDENT)
NULL_NEURONS = 384
"""Neurons of a layer, drawn at random, that each null is made of: together the four take as long as 1,536 neurons."""
RANDOM_NEURONS = 20_000
TAIL = 0.99
EXCESS_UNIT = 0.001
"""Cosines beyond the bar are counted in thousandths where p is computed."""


@dataclass(frozen=True)
class Layer:
    """A layer's neurons at unit norm (n, d), their clusters (n,), cosines after each token (n, k), and bars (k,)."""

    unit: NDArray[np.float32]
    labels: NDArray[np.int64]
    paths: NDArray[np.float64]
    bars: NDArray[np.float64]

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Which neurons lie beyond the bar."""
        beyond: NDArray[np.bool_] = self.paths[:, -1] > self.bars[-1]
        return beyond


def share_beyond_chance(bench: Workbench, subject: Subject) -> Measurement:
    """Share of a layer's neurons whose pursuit cosine at k = 5 exceeds the 99th percentile of random directions.

    Each null is that share for some of the neurons with signs exchanged between them (`exchange_signs`), on one of
    four sets of axes. p is that of an exact paired test of how far each neuron and its stand-in lie beyond the
    percentile, added up by clusters of neurons that are nearly copies.
    """
    place, basis = place_of(subject), subject.basis
    found = token_bundles(bench, basis, *place)
    unit = live_rows(layer_neurons(bench, basis, *place)).unit
    layer = Layer(unit, neuron_clusters(bench, basis, *place), _paths(found), random_bars(bench, basis))
    n = len(unit)
    asked = np.sort(bench.rng("neurons of the nulls", subject.id).choice(n, min(n, NULL_NEURONS), replace=False))
    paths = {name: _null_paths(bench, basis, place, layer, asked, name) for name in SIGN_NULLS}
    sizes = np.bincount(layer.labels)
    return Measurement(
        value=float(layer.hits.mean()),
        interval=bootstrap_share(layer.hits, layer.labels, bench.rng("bootstrap", subject.id)),
        n_examined=n,
        n_excluded=int(found.dead.sum()),
        nulls=tuple(_compare(name, layer, asked, null) for name, null in paths.items()),
        details={
            "cosine_bar": float(layer.bars[-1]),
            "null_neurons": len(asked),
            "clusters": len(sizes),
            "largest_cluster": int(sizes.max()),
        }
        | _by_tokens(layer, paths)
        | excluded(bench, basis),
    )


def _paths(found: Bundles) -> NDArray[np.float64]:
    """Cosine after 1, 2, ... tokens of each live neuron (n, tokens)."""
    length = int(found.size.max())
    return np.stack([found.cosine_at(k)[~found.dead] for k in range(1, length + 1)], axis=1)


def random_bars(bench: Workbench, basis: Basis) -> NDArray[np.float64]:
    """99th percentile of the pursuit cosine of random directions after each token (k,), found once per dictionary."""
    words = token_dictionary(bench, basis)

    def measure() -> NDArray[np.float64]:
        # The same directions whatever the seed: the bar is part of what is asked, and known to .0007 of their share.
        drawn = nulls.random_directions(RANDOM_NEURONS, words.vectors.shape[1], stream(0, "pursuit random"))
        label = f"pursuit of {RANDOM_NEURONS:,} random directions ({basis})"
        found = greedy_pursuit(drawn, words, PURSUIT_TOKENS, device=bench.torch_device, progress=bench.progress(label))
        return np.quantile(_paths(found), TAIL, axis=0)

    return bench.once(("pursuit random", id(words)), measure)


def _null_paths(
    bench: Workbench, basis: Basis, place: Place, layer: Layer, asked: NDArray[np.int64], name: str
) -> NDArray[np.float64]:
    """Cosines after each token of the neurons asked (n, k), with signs exchanged on the axes of this null."""
    changed = exchanged(bench, basis, place, layer.unit, layer.labels, asked, name)
    label = f"pursuit in {in_words(*place)} ({basis}), {name}"
    words = token_dictionary(bench, basis)
    return _paths(
        greedy_pursuit(changed, words, PURSUIT_TOKENS, device=bench.torch_device, progress=bench.progress(label))
    )


def exchanged(
    bench: Workbench,
    basis: Basis,
    place: Place,
    unit: NDArray[np.float32],
    labels: NDArray[np.int64],
    asked: NDArray[np.int64],
    name: str,
) -> NDArray[np.float32]:
    """The neurons asked (n, d), of those at a place (m, d), with signs exchanged on the axes of one of SIGN_NULLS."""
    axes = _axes(bench, basis, place, unit, name)
    kept = kept_axes(unit.shape[1]) if name in (OF_TOKENS, OF_NEURONS) else 0
    return exchange_signs(unit, labels, asked, bench.rng(name, basis, *place), axes, kept)


def _axes(
    bench: Workbench, basis: Basis, place: Place, unit: NDArray[np.float32], name: str
) -> NDArray[np.float32] | None:
    """The axes of a null (d, d), found once per dictionary where they are the tokens' own; None for coordinates.

    Few tokens do not show their independent axes well; there the layer's neurons, at the tokens' length, help. Axes are
    the same for all seeds: only what is exchanged on them is drawn.
    """
    if name == COORDINATES:
        return None
    if name == OF_NEURONS:
        return principal_axes(unit)
    words = token_dictionary(bench, basis)
    if name == OF_TOKENS:
        return bench.once(("principal axes", id(words)), lambda: principal_axes(words.vectors))
    n_words, d = words.vectors.shape
    if n_words >= ROWS_PER_AXIS * d:
        return bench.once(
            ("independent axes", id(words)), lambda: independent_axes(words.vectors, stream(0, "independent axes"))
        )

    def of_both() -> NDArray[np.float32]:
        length = np.float32(np.linalg.norm(words.vectors) / np.sqrt(n_words))
        rows = np.concatenate([words.vectors, length * (unit - unit.mean(axis=0))])
        return independent_axes(rows, stream(0, "independent axes", basis, *place))

    return bench.once(("independent axes", basis, *place), of_both)


def _compare(name: str, layer: Layer, asked: NDArray[np.int64], paths: NDArray[np.float64]) -> NullMeasurement:
    bar = layer.bars[-1]
    ahead = np.maximum(layer.paths[asked, -1] - bar, 0.0) - np.maximum(paths[:, -1] - bar, 0.0)
    return stand_in_null(name, layer.labels[asked], paths[:, -1] > bar, ahead, EXCESS_UNIT)


def stand_in_null(
    name: str, labels: NDArray[np.int64], hits: NDArray[np.bool_], ahead: NDArray[np.floating], unit: float
) -> NullMeasurement:
    """The share of stand-ins that hit, its standard error over clusters, and p of the exact paired test, either way.

    Parameters
    ----------
    name : str
        What the null is called in the report.
    labels : ndarray of int, shape (n,)
        Each neuron's cluster, which keeps or turns its sign as a whole.
    hits : ndarray of bool, shape (n,)
        Whether each neuron's stand-in counts.
    ahead : ndarray, shape (n,)
        How far each neuron is ahead of its stand-in.
    unit : float
        What to count that in.

    Returns
    -------
    NullMeasurement
    """
    clustered = np.unique(labels, return_inverse=True)[1]
    share = float(hits.mean())
    spread = float(np.sqrt(np.sum(np.bincount(clustered, hits - share) ** 2)) / len(hits))
    return NullMeasurement(name, share, spread, len(hits), *paired_p(np.bincount(clustered, ahead), unit))


def _by_tokens(layer: Layer, null_paths: dict[str, NDArray[np.float64]]) -> dict[str, object]:
    """Shares and mean cosines after 1, 2, ... tokens, of the neurons and of the null that comes closest."""
    closest = max(null_paths, key=lambda name: float((null_paths[name][:, -1] > layer.bars[-1]).mean()))
    steps = list(range(1, layer.paths.shape[1] + 1))
    shares = zip(
        steps, (layer.paths > layer.bars).mean(axis=0), (null_paths[closest] > layer.bars).mean(axis=0), strict=True
    )
    return {
        "closest_null": closest,
        "share_by_tokens": [
            {"tokens": k, "share": float(share), "null_share": float(null_share)} for k, share, null_share in shares
        ],
        "curve": {
            "x_label": "tokens in the bundle",
            "y_label": "cosine with the neuron",
            "x": steps,
            "series": [
                {"name": "neurons, mean", "y": layer.paths.mean(axis=0).tolist()},
                {"name": f"{closest}, mean", "y": null_paths[closest].mean(axis=0).tolist()},
                {"name": f"{RANDOM}, 99th percentile", "y": layer.bars.tolist()},
            ],
        },
    }
