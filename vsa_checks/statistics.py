"""Confidence intervals, p values, and the random draws that they need."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import scipy  # its parts are imported where they are first used: scipy.stats takes most of a second
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""Confidence level of all intervals."""
RESAMPLES = 999
"""Bootstrap resamples of an interval."""


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval; `unit` names what was resampled (tokens, neurons, heads, ...)."""

    low: float
    high: float
    unit: str
    level: float = LEVEL


def stream(seed: int, *names: object) -> np.random.Generator:
    """Make a random generator that depends only on the run's seed and on what it is for, not on the order of tests."""
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


def bootstrap(
    values: ArrayLike,
    unit: str,
    rng: np.random.Generator,
    statistic: Callable[..., NDArray[np.float64]] = np.mean,
) -> Interval:
    """Compute the percentile bootstrap interval of a statistic of independent values.

    Equal values, or a single one, give an interval of no width.

    Parameters
    ----------
    values : array (n,), one value per unit
    unit : what the values belong to, in words
    statistic : np.mean or np.median

    Raises
    ------
    ValueError : no values
    """
    data = np.asarray(values, np.float64)
    if not len(data):
        raise ValueError("no values to resample")
    if np.ptp(data) == 0:
        point = float(statistic(data))
        return Interval(point, point, unit)
    result = scipy.stats.bootstrap(
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
    """Compute the bootstrap interval of a mean over all pairs of vectors.

    Pairs that share a vector are dependent, so vectors are resampled, never pairs. To first order (Hajek projection) a
    vector adds to the mean over pairs twice the distance of its own mean from it.

    Parameters
    ----------
    by_unit : array (n,), mean of each vector's pairs
    unit : what is resampled, in words
    groups : array (n,) of labels, optional; whole groups are resampled instead of vectors
    """
    own = np.asarray(by_unit, np.float64)
    center = own.mean()
    pseudo = center + 2.0 * (own - center)
    if groups is not None:
        labels = np.asarray(groups)
        pseudo = np.array([pseudo[labels == label].mean() for label in np.unique(labels)])
    return bootstrap(pseudo, unit, rng)


def tail_p(value: float, null: ArrayLike, direction: str) -> float:
    """Compute the p value (b + 1)/(n + 1), where b of n null draws are at least as extreme as the value.

    Parameters
    ----------
    value : what was measured
    null : array (n,), draws of the null
    direction : ">=" where large values are extreme, "<=" where small ones are
    """
    draws = np.asarray(null, np.float64)
    beyond = draws >= value if direction == ">=" else draws <= value
    return float((np.count_nonzero(beyond) + 1) / (len(draws) + 1))


def share_p(hits: int, n: int, null_hits: int, null_n: int, direction: str = ">=") -> float:
    """Compute the one-sided p value of Fisher's exact test: does a share differ from the null's share.

    It is the limit of `tail_p` over all ways to exchange neurons between the layer and the null.

    Parameters
    ----------
    hits, n : neurons of the layer that count, and all of them
    null_hits, null_n : the same for the null
    direction : ">=" to test for a larger share than the null's, "<=" for a smaller one
    """
    law = scipy.stats.hypergeom(n + null_n, hits + null_hits, n)
    return float(law.sf(hits - 1) if direction == ">=" else law.cdf(hits))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Compute p values corrected for the number of tests, whatever their dependence.

    Where all tests whose corrected p is at most alpha are called significant, the chance that any of them is so by
    luck is at most alpha.

    Parameters
    ----------
    p_values : array (n,)

    Returns
    -------
    array (n,), in the same order, at most 1

    References
    ----------
    Holm 1979, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.
    """
    given = np.asarray(p_values, np.float64)
    order = np.argsort(given, kind="stable")
    corrected = np.empty(len(given))
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)), 1.0)
    return corrected


FLIPS = 9_999
"""Random draws of signs or orders, where there are too many to try all."""
ALL_FLIPS_UNITS = 13
"""Up to this many units all sign flips are tried instead of drawn."""
ALL_ORDERS_UNITS = 7
"""Up to this many things all orders are tried instead of drawn."""
RELABELLINGS = 9_999


def bootstrap_groups(
    groups: Sequence[ArrayLike], unit: str, rng: np.random.Generator, statistic: Callable[..., Any]
) -> Interval:
    """Compute the percentile bootstrap interval of a statistic of all values, resampling whole groups (texts, windows).

    Parameters
    ----------
    groups : arrays of any lengths, equal in all but their first dimension; a single one gives no width
    unit : what a group is, in words
    statistic : takes concatenated groups, returns a number

    Raises
    ------
    ValueError : no groups
    """
    arrays = [np.asarray(group) for group in groups]
    if not arrays:
        raise ValueError("no groups to resample")
    draws = rng.integers(len(arrays), size=(RESAMPLES, len(arrays)))
    found = [float(statistic(np.concatenate([arrays[place] for place in draw]))) for draw in draws]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), unit)


def sign_flips(n_units: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Make the signs for a sign-flip test of paired differences.

    For few units these are all combinations but the one without a flip, which `tail_p` adds: its p value is exact.

    Parameters
    ----------
    n_units : units whose difference keeps or changes its sign as a whole

    Returns
    -------
    array (draws, n_units) of 1 and -1

    Raises
    ------
    ValueError : no units
    """
    if n_units < 1:
        raise ValueError("no units whose signs could be flipped")
    if n_units <= ALL_FLIPS_UNITS:
        bits = (np.arange(1, 2**n_units)[:, None] >> np.arange(n_units)) & 1
        return (1 - 2 * bits).astype(np.float64)
    return rng.choice([-1.0, 1.0], size=(FLIPS, n_units))


def orders(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Make the orders for a permutation test of n things.

    For few things these are all orders but the present one, which `tail_p` adds: its p value is exact.

    Parameters
    ----------
    n : number of things

    Returns
    -------
    int array (draws, n), each row an order of range(n)

    Raises
    ------
    ValueError : fewer than two things
    """
    if n < 2:
        raise ValueError(f"{n} things have one order only")
    if n <= ALL_ORDERS_UNITS:
        return np.array(list(permutations(range(n)))[1:])
    return rng.permuted(np.broadcast_to(np.arange(n), (FLIPS, n)), axis=1)


def relabelled_differences(values: ArrayLike, null_values: ArrayLike, rng: np.random.Generator) -> NDArray[np.float64]:
    """Compute the difference of two means after exchanging values between the two sets at random.

    Parameters
    ----------
    values, null_values : arrays (n,) and (m,)

    Returns
    -------
    array (RELABELLINGS,), mean of n values minus mean of m values
    """
    first, second = np.asarray(values, np.float64), np.asarray(null_values, np.float64)
    pooled, n = np.concatenate([first, second]), len(first)
    found, step = [], max(1, 2**22 // len(pooled))
    for start in range(0, RELABELLINGS, step):
        count = min(step, RELABELLINGS - start)
        shuffled = rng.permuted(np.broadcast_to(pooled, (count, len(pooled))), axis=1)
        found.append(shuffled[:, :n].mean(axis=1) - shuffled[:, n:].mean(axis=1))
    return np.concatenate(found)


def relabelled_groups(
    values: ArrayLike, labels: ArrayLike, null_values: ArrayLike, null_labels: ArrayLike, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Compute the difference of two means after exchanging whole groups of values between the two sets at random.

    Parameters
    ----------
    values, null_values : arrays (n,) and (m,)
    labels, null_labels : int arrays (n,) and (m,), the group of each value; groups of the two sets are never the same

    Returns
    -------
    array (RELABELLINGS,), a mean over as many groups as `labels` names, minus the mean over the others
    """
    sets = []
    for some, of in ((values, labels), (null_values, null_labels)):
        places = np.unique(np.asarray(of), return_inverse=True)[1]
        sets.append(np.stack([np.bincount(places, np.asarray(some, np.float64)), np.bincount(places)]))
    sums, counts = np.concatenate(sets, axis=1)
    n, step, found = sets[0].shape[1], max(1, 2**22 // len(sums)), []
    for start in range(0, RELABELLINGS, step):
        shape = (min(step, RELABELLINGS - start), len(sums))
        chosen = rng.permuted(np.broadcast_to(np.arange(len(sums)), shape), axis=1)[:, :n]
        top, bottom = sums[chosen].sum(axis=1), counts[chosen].sum(axis=1)
        found.append(top / bottom - (sums.sum() - top) / (counts.sum() - bottom))
    return np.concatenate(found)
