"""Section 3.2: some neurons are closer to a sum of five tokens than almost any random direction is.

Tokens are the centered token vectors with which the stream starts, without rows of W_E that are not tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks.clusters import bootstrap_share
from vsa_checks.figures import grams, kept
from vsa_checks.figures.bundle_arrays import best_neurons, spread, spreads
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.sections.neurons import RANDOM, layer_neurons, neuron_clusters, place_of
from vsa_checks.sections.pursued import PURSUIT_TOKENS, Pursued, pursued_neurons, random_bars
from vsa_checks.sections.stand_ins import stand_in_null, stand_ins
from vsa_checks.sections.tokens import excluded
from vsa_checks.workbench.access import Workbench

EXCESS_UNIT = 0.001
"""To compute p, distances of cosines beyond the bar are rounded to thousandths."""


@dataclass(frozen=True)
class Layer:
    """The clusters of a layer's live neurons (n,), their cosines after each token (n, k), and the bars (k,)."""

    labels: NDArray[np.int64]
    paths: NDArray[np.float64]
    bars: NDArray[np.float64]

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Which neurons are beyond the bar."""
        beyond: NDArray[np.bool_] = self.paths[:, -1] > self.bars[-1]
        return beyond


def share_beyond_chance(bench: Workbench, subject: Subject) -> Measurement:
    """Share of a layer's neurons whose pursuit cosine at k = 5 exceeds the 99th percentile of random directions.

    Each null is that share for some of the neurons with signs exchanged between them (`exchange_signs`), on one of
    four sets of axes. p comes from an exact paired test of how far each neuron and its stand-in are beyond the
    percentile, summed over clusters of near-copies.
    """
    place, basis = place_of(subject), subject.basis
    found, bars = pursued_neurons(bench, basis, *place), random_bars(bench, basis)
    layer = Layer(neuron_clusters(bench, basis, *place), found.paths(), bars.cosines)
    others = stand_ins(bench, basis, place)
    paths = {name: one.paths() for name, one in others.pursued.items()}
    sizes = np.bincount(layer.labels)
    _picture(bench, subject, found, {"neurons": layer.paths, **paths}, bars.spread)
    return Measurement(
        value=float(layer.hits.mean()),
        interval=bootstrap_share(layer.hits, layer.labels, bench.rng("bootstrap", subject.id)),
        n_examined=len(layer.labels),
        n_excluded=int(found.bundles.dead.sum()),
        nulls=tuple(_compare(name, layer, others.asked, null) for name, null in paths.items()),
        details={
            "cosine_bar": float(layer.bars[-1]),
            "null_neurons": len(others.asked),
            "clusters": len(sizes),
            "largest_cluster": int(sizes.max()),
        }
        | _by_tokens(layer, paths)
        | excluded(bench, basis),
    )


def _picture(
    bench: Workbench,
    subject: Subject,
    found: Pursued,
    paths: dict[str, NDArray[np.float64]],
    random: NDArray[np.float32],
) -> None:
    """Hand over the spread of the cosines, the best-explained neurons, and M^T M of the matrix, for pictures."""
    place, model = place_of(subject), bench.model(subject.basis)

    def prefix(kind: str) -> str:
        return kept.of(kind, subject.basis, subject.layer, subject.matrix, subject.expert)

    bench.picture(
        prefix(kept.BUNDLES), lambda: spreads({**{name: spread(one) for name, one in paths.items()}, RANDOM: random})
    )
    bench.picture(prefix(kept.BEST), lambda: best_neurons(found.bundles, model.token_name, PURSUIT_TOKENS))
    limit = grams.room(model.info.n_layers)
    bench.picture(prefix(kept.GRAM), lambda: grams.matrix_blocks(layer_neurons(bench, subject.basis, *place), limit))


def _compare(name: str, layer: Layer, asked: NDArray[np.int64], paths: NDArray[np.float64]) -> NullMeasurement:
    bar = layer.bars[-1]
    ahead = np.maximum(layer.paths[asked, -1] - bar, 0.0) - np.maximum(paths[:, -1] - bar, 0.0)
    return stand_in_null(name, layer.labels[asked], paths[:, -1] > bar, ahead, EXCESS_UNIT)


def _by_tokens(layer: Layer, null_paths: dict[str, NDArray[np.float64]]) -> dict[str, object]:
    """Shares and mean cosines after 1, 2, ... tokens, of the neurons and of the closest null."""
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
