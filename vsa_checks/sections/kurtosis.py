"""Section 3.2, a rival explanation: neurons whose products with a few tokens are far larger than with the others.

ROTATE (arXiv:2604.06005) explains neurons by the kurtosis of their products with the vocabulary. Here it is compared
with the nulls of `neurons-beyond-chance`, and with the bundles that pursuit finds: are they the same neurons?
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from vsa_checks.clusters import bootstrap_share
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.sections.neurons import neuron_clusters, place_of
from vsa_checks.sections.pursued import pursued_neurons, random_bars
from vsa_checks.sections.stand_ins import stand_in_null, stand_ins
from vsa_checks.sections.tokens import excluded
from vsa_checks.workbench.access import Workbench

EXCESS_UNIT = 0.01
"""To compute p, logarithms of kurtosis are rounded to hundredths."""
FIRST = (0.0, 0.01, 0.02, 0.05, *(round(0.1 * step, 1) for step in range(1, 11)))
"""Shares of a layer's neurons, those of the highest kurtosis, at which the curve is drawn."""
CLOSEST = 0.1
"""The tenth of the neurons that are closest to their bundles: every layer has these."""


def share_of_high_kurtosis(bench: Workbench, subject: Subject) -> Measurement:
    """Share of a layer's neurons whose kurtosis over the tokens exceeds the 99th percentile of random directions.

    Each null is that share for some of the neurons with signs exchanged between them (`exchange_signs`), on one of
    four sets of axes. p comes from an exact paired test of how far the logarithm of each neuron's kurtosis, and of its
    stand-in's, is beyond the percentile, summed over clusters of near-copies.
    """
    place, basis = place_of(subject), subject.basis
    found, bars = pursued_neurons(bench, basis, *place), random_bars(bench, basis)
    labels, others = neuron_clusters(bench, basis, *place), stand_ins(bench, basis, place)
    own, asked, bar, sizes = found.kurtosis, others.asked, bars.kurtosis, np.bincount(labels)
    return Measurement(
        value=float((own > bar).mean()),
        interval=bootstrap_share(own > bar, labels, bench.rng("bootstrap", subject.id)),
        n_examined=len(own),
        n_excluded=int(found.bundles.dead.sum()),
        nulls=tuple(
            _compare(name, labels[asked], own[asked], one.kurtosis, bar) for name, one in others.pursued.items()
        ),
        details={
            "kurtosis_bar": bar,
            "median_kurtosis": float(np.median(own)),
            "null_neurons": len(asked),
            "clusters": len(sizes),
            "largest_cluster": int(sizes.max()),
        }
        | _beside_bundles(own, found.paths()[:, -1], float(bars.cosines[-1]))
        | excluded(bench, basis),
    )


def _compare(
    name: str, labels: NDArray[np.int64], own: NDArray[np.float64], other: NDArray[np.float64], bar: float
) -> NullMeasurement:
    # In logarithms, because kurtosis is so heavy-tailed that a few neurons would dominate a sum of differences.
    ahead = _beyond(own, bar) - _beyond(other, bar)
    return stand_in_null(name, labels, other > bar, ahead, EXCESS_UNIT)


def _beyond(excess: NDArray[np.float64], bar: float) -> NDArray[np.float64]:
    """How far the logarithm of kurtosis (n,) is above that of the bar, 0 if below. Kurtosis is at least 1."""
    beyond: NDArray[np.float64] = np.log((np.maximum(excess, bar) + 3.0) / (bar + 3.0))
    return beyond


def _beside_bundles(kurtosis: NDArray[np.float64], cosine: NDArray[np.float64], bar: float) -> dict[str, Any]:
    """Whether the neurons (n,) with high kurtosis are those close to their bundles, with a curve.

    found_by_kurtosis: the share of the neurons beyond chance by their bundles that is also among the same number of
    neurons with the highest kurtosis; found_by_luck: among as many random ones. None if no neuron is beyond chance.
    """
    n = len(kurtosis)
    beyond, order = cosine > bar, np.argsort(-kurtosis, kind="stable")
    closest = np.zeros(n, np.bool_)
    closest[np.argsort(-cosine, kind="stable")[: max(1, round(CLOSEST * n))]] = True
    count = int(beyond.sum())
    varied = np.ptp(kurtosis) > 0 and np.ptp(cosine) > 0
    curves = {"the tenth closest to their bundles": closest} | ({"beyond chance by bundles": beyond} if count else {})
    return {
        "rank_correlation_with_bundles": float(scipy.stats.spearmanr(kurtosis, cosine).statistic) if varied else None,
        "beyond_chance_by_bundles": count,
        "found_by_kurtosis": float(beyond[order[:count]].mean()) if count else None,
        "found_by_luck": count / n if count else None,
        "curve": {
            "x_label": "share of neurons, the highest kurtosis first",
            "y_label": "share found",
            "x": list(FIRST),
            "series": [
                *({"name": name, "y": _found(of, order)} for name, of in curves.items()),
                {"name": "by luck", "y": list(FIRST)},
            ],
        },
    }


def _found(wanted: NDArray[np.bool_], order: NDArray[np.int64]) -> list[float]:
    """The share of the wanted neurons (n,) among the first ones in order, for each of FIRST."""
    found = np.concatenate([[0], np.cumsum(wanted[order])]) / wanted.sum()
    return [float(found[round(first * len(order))]) for first in FIRST]
