"""Intervals and p values: scipy's, put into the form that the results carry."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

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


FLIPS = 9_999
ALL_FLIPS_UNITS = 13
"""Up to so many units all sign flips are gone through instead of drawn."""
ALL_ORDERS_UNITS = 7
RELABELLINGS = 9_999


def bootstrap_groups(
    groups: Sequence[ArrayLike], unit: str, rng: np.random.Generator, statistic: Callable[..., Any]
) -> Interval:
    """Percentile bootstrap of a statistic of all values together, whole groups (texts, windows) resampled.

    groups: arrays of any lengths, equal in all but their first dimension; statistic takes their concatenation and
    returns a number. A single group gives an interval of no width. Raises ValueError for no groups.
    """
    arrays = [np.asarray(group) for group in groups]
    if not arrays:
        raise ValueError("no groups to resample")
    draws = rng.integers(len(arrays), size=(RESAMPLES, len(arrays)))
    found = [float(statistic(np.concatenate([arrays[place] for place in draw]))) for draw in draws]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), unit)


def sign_flips(n_units: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Signs (draws, n_units) for a test of paired differences: each unit's as a whole, all of them or FLIPS drawn.

    The signs that leave everything as measured are not among them when all are gone through: (b + 1)/(n + 1) of
    `tail_p` counts those, and is then exact. Raises ValueError for no units.
    """
    if n_units < 1:
        raise ValueError("no units whose signs could be flipped")
    if n_units <= ALL_FLIPS_UNITS:
        bits = (np.arange(1, 2**n_units)[:, None] >> np.arange(n_units)) & 1
        return (1 - 2 * bits).astype(np.float64)
    return rng.choice([-1.0, 1.0], size=(FLIPS, n_units))


def orders(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Orders of n things (draws, n) for a test of their exchangeability: all but the one they stand in, or FLIPS drawn.

    Up to ALL_ORDERS_UNITS things all are gone through: (b + 1)/(n + 1) of `tail_p` counts the one left out, and is
    exact. Raises ValueError for fewer than two things.
    """
    if n < 2:
        raise ValueError(f"{n} things have one order only")
    if n <= ALL_ORDERS_UNITS:
        return np.array(list(permutations(range(n)))[1:])
    return rng.permuted(np.broadcast_to(np.arange(n), (FLIPS, n)), axis=1)


def relabelled_differences(values: ArrayLike, null_values: ArrayLike, rng: np.random.Generator) -> NDArray[np.float64]:
    """Difference of the two means in RELABELLINGS random relabellings of `values` (n,) and `null_values` (m,)."""
    first, second = np.asarray(values, np.float64), np.asarray(null_values, np.float64)
    pooled, n = np.concatenate([first, second]), len(first)
    found, step = [], max(1, 2**22 // len(pooled))
    for start in range(0, RELABELLINGS, step):
        count = min(step, RELABELLINGS - start)
        shuffled = rng.permuted(np.broadcast_to(pooled, (count, len(pooled))), axis=1)
        found.append(shuffled[:, :n].mean(axis=1) - shuffled[:, n:].mean(axis=1))
    return np.concatenate(found)
