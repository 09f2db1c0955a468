"""The interval of a mean over units of text and random draws, both of which are samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks.statistics import LEVEL, Interval

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """A mean over units and draws, its interval, and the means of the draws alone (draws,)."""

    value: float
    interval: Interval
    by_draw: Table

    @property
    def above(self) -> bool:
        """Whether the interval and every draw's own mean lie above zero."""
        return self.interval.low > 0 and bool((self.by_draw > 0).all())

    @property
    def below(self) -> bool:
        """Whether the interval and every draw's own mean lie below zero."""
        return self.interval.high < 0 and bool((self.by_draw < 0).all())


def crossed_mean(table: Table, weights: Table, unit: str) -> Mean:
    """Compute a mean over units and random draws, and its t interval with both as random effects.

    The variance of the mean is that of the units' means over the number of units, plus that of the draws' means over
    the number of draws; Satterthwaite's degrees of freedom keep it honest for a handful of either. Both terms hold what
    is left of the other, so that the interval is a little too wide rather than too narrow. A percentile bootstrap of
    five draws would be a third too narrow. Unequal weights enter as in the linearised ratio of two means.

    Parameters
    ----------
    table : array (draws, units); one draw where nothing is random
    weights : array (units,), what each unit counts: tokens
    unit : what the columns are, in words

    Returns
    -------
    Mean; its interval has no width if the table is constant

    Raises
    ------
    ValueError : fewer than two units, which give no interval

    References
    ----------
    .. [1] F. E. Satterthwaite, An approximate distribution of estimates of variance components, Biometrics 2 (1946).
    """
    from scipy.special import stdtrit

    draws, units = table.shape
    if units < 2:
        raise ValueError(f"an interval over {units} {unit} cannot be given: two are needed")
    shares = weights / weights.mean()
    by_draw = (shares * table).mean(axis=1)
    value = float(by_draw.mean())
    # Of a weighted mean, each unit's weighted distance from it; their mean is zero.
    by_unit = shares * (table.mean(axis=0) - value)
    spreads = [float(by_unit.var(ddof=1)) / units]
    degrees = [units - 1]
    if draws > 1:
        spreads.append(float(by_draw.var(ddof=1)) / draws)
        degrees.append(draws - 1)
    variance = sum(spreads)
    half = 0.0
    if variance > 0:
        # Scaled by the variance, so that squares of tiny ones do not vanish.
        freedom = 1.0 / sum((one / variance) ** 2 / df for one, df in zip(spreads, degrees, strict=True))
        half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * float(np.sqrt(variance))
    return Mean(value, Interval(value - half, value + half, unit), by_draw)
