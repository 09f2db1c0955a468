"""Clusters of neurons that are nearly copies of each other, and so share their luck."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine.threads import threads
from vsa_checks.statistics import LEVEL, RESAMPLES, Interval

ALIKE = 0.5
"""Two neurons are alike if their |cos| exceeds this: nearly half of what they read is shared."""
BLOCK = 1024
"""Rows whose cosines with all others are computed at a time."""


def clusters(unit: NDArray[np.float32], *, few_large: bool = False) -> NDArray[np.int64]:
    """Put neurons that are alike into one cluster.

    Before taking cosines, the mean is subtracted and every principal axis of the layer is divided by sqrt(its variance
    + the mean variance of all axes). Then a direction that all neurons share makes no two of them alike, but copies
    stay alike. The neuron that is alike to the most others forms a cluster with them, then the next remaining one, and
    so on. Connected components would join unrelated neurons if there are few axes.

    Parameters
    ----------
    unit : float32 array (m, d), rows of unit norm
    few_large : also count neurons as alike by their cosine as it is
        The centers of a few large clusters are strong axes themselves. But then a strong direction that all neurons
        share joins them all.

    Returns
    -------
    int array (m,), the number of each neuron's cluster, from 0
    """
    m, links = len(unit), []
    with threads():
        sets = [_evened(unit), unit] if few_large else [_evened(unit)]
        for start in range(0, m, BLOCK):
            alike = [np.abs(rows[start : start + BLOCK] @ rows.T) > ALIKE for rows in sets]
            first, second = np.nonzero(np.logical_or.reduce(alike))
            links.append(np.stack([first + start, second]))
    first, second = np.concatenate(links, axis=1)
    ends = np.searchsorted(first, np.arange(m + 1))
    labels = np.full(m, -1, np.int64)
    n_found = 0
    for leader in np.argsort(-np.diff(ends), kind="stable"):
        if labels[leader] < 0:
            like_it = second[ends[leader] : ends[leader + 1]]
            labels[like_it[labels[like_it] < 0]] = n_found
            labels[leader] = n_found
            n_found += 1
    return labels


def _evened(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centered rows with strong axes weakened, at unit norm; a row at the mean stays zero and is alike to none."""
    rows = unit - unit.mean(axis=0, dtype=np.float64).astype(np.float32)
    moment = rows.T.astype(np.float64) @ rows / len(rows)
    variances, axes = np.linalg.eigh(moment)
    variances = np.maximum(variances, 0.0)
    weights = 1.0 / np.sqrt(variances + max(variances.mean(), np.finfo(np.float32).tiny))
    rows = rows @ (axes * weights).astype(np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    even: NDArray[np.float32] = rows / np.where(norms > 0, norms, 1.0)
    return even


def bootstrap_share(shares: ArrayLike, labels: NDArray[np.int64], rng: np.random.Generator) -> Interval:
    """Compute the percentile bootstrap interval of a mean over neurons, resampling whole clusters.

    Parameters
    ----------
    shares : array (n,), the values to average; for a share of neurons, whether each counts
    labels : int array (n,), each neuron's cluster
    """
    sizes, counts = np.bincount(labels), np.bincount(labels, np.asarray(shares, np.float64))
    means = np.empty(RESAMPLES)
    for draw in range(RESAMPLES):
        chosen = rng.integers(len(sizes), size=len(sizes))
        means[draw] = counts[chosen].sum() / sizes[chosen].sum()
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), "clusters of neurons")
