"""Intervals and p values: scipy's, put into the form that the results carry."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95
RESAMPLES = 999


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval over `unit` (tokens, neurons, heads, ...)."""

    low: float
    high: float
    unit: str
    level: float = LEVEL


def stream(seed: int, *names: object) -> np.random.Generator:
    """Random numbers that depend on the run's seed and on what they are for, not on the order of the tests."""
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


def bootstrap(
    values: ArrayLike,
    unit: str,
    rng: np.random.Generator,
    statistic: Callable[..., NDArray[np.float64]] = np.mean,
) -> Interval:
    """Percentile bootstrap of a statistic (np.mean, np.median) of `values` (n,), resampled over units.

    A single value gives an interval of no width. Raises ValueError for no values.
    """
    data = np.asarray(values, np.float64)
    if not len(data):
        raise ValueError("no values to resample")
    if np.ptp(data) == 0:
        point = float(statistic(data))
        return Interval(point, point, unit)
    result = stats.bootstrap(
        (data,),
        statistic,
        n_resamples=RESAMPLES,
        batch=max(1, 2**22 // len(data)),
        method="percentile",
        confidence_level=LEVEL,
        rng=rng,
    )
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high), unit)


def bootstrap_pairs(
    by_unit: ArrayLike, unit: str, rng: np.random.Generator, groups: ArrayLike | None = None
) -> Interval:
    """Bootstrap of a mean over all pairs, from each vector's own mean over its pairs (n,).

    First-order (Hajek): a vector that is drawn twice moves the mean over pairs by twice its own mean's distance.
    Pairs of one vector are dependent, so vectors are resampled, never pairs; `groups` (n,) resamples whole groups.
    """
    own = np.asarray(by_unit, np.float64)
    center = own.mean()
    pseudo = center + 2.0 * (own - center)
    if groups is not None:
        labels = np.asarray(groups)
        pseudo = np.array([pseudo[labels == label].mean() for label in np.unique(labels)])
    return bootstrap(pseudo, unit, rng)


def tail_p(value: float, null: ArrayLike, direction: str) -> float:
    """(b + 1)/(n + 1), b of the null draws (n,) being at least as far as `value` in the direction (">=" or "<=")."""
    draws = np.asarray(null, np.float64)
    beyond = draws >= value if direction == ">=" else draws <= value
    return float((np.count_nonzero(beyond) + 1) / (len(draws) + 1))


def share_p(hits: int, n: int, null_hits: int, null_n: int, direction: str = ">=") -> float:
    """Exact permutation p of a share: neurons relabelled at random between the layer and the null.

    The limit of (b + 1)/(n + 1) over all relabellings: the hypergeometric tail (Fisher's exact test, one-sided).
    """
    law = stats.hypergeom(n + null_n, hits + null_hits, n)
    return float(law.sf(hits - 1) if direction == ">=" else law.cdf(hits))
