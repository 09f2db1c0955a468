"""What a measure of a claim hands to the judge: figures, and no opinion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vsa_checks.statistics import Interval


@dataclass(frozen=True)
class Reference:
    """What ideal random vectors or matrices of the same shape give."""

    name: str
    value: float


@dataclass(frozen=True)
class NullFigure:
    """The same figure where just the claimed structure was destroyed, over n draws.

    p_value is the chance of a value at least as far in the claimed direction, p_opposite in the other.
    """

    name: str
    value: float
    spread: float
    n: int
    p_value: float
    p_opposite: float


@dataclass(frozen=True)
class Measurement:
    """One subject's figures: the value with its interval, what stands beside it, and how much was looked at."""

    value: float
    interval: Interval
    n_examined: int
    n_excluded: int = 0
    reference: Reference | None = None
    nulls: tuple[NullFigure, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
