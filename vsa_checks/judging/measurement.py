"""The result of measuring one subject, which goes to the judge: numbers, and no verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.statistics import Interval, tail_p

ROUNDING = 1e-9
"""Bound of the rounding in a mean of values up to 1."""


@dataclass(frozen=True)
class Reference:
    """The value for ideal random vectors or matrices of the same shape."""

    name: str
    value: float


@dataclass(frozen=True)
class NullMeasurement:
    """The same value after only the claimed structure was destroyed, over n draws (None: from a formula).

    p_value: how often chance gives a value at least as far in the claimed direction. p_opposite: in the opposite one.
    """

    name: str
    value: float
    spread: float
    n: int | None
    p_value: float
    p_opposite: float

    @classmethod
    def of_draws(
        cls, name: str, value: float, drawn: NDArray[np.float64], direction: str, center: float | None = None
    ) -> NullMeasurement:
        """Compare a subject's value with draws of a null (n,), in the claimed direction ("<=" or ">=").

        The null's own value in the report is `center`, by default the mean of the draws.
        """
        middle = float(drawn.mean()) if center is None else center
        opposite = ">=" if direction == "<=" else "<="
        p_value, p_opposite = (tail_p(value, drawn, side) for side in (direction, opposite))
        return cls(name, middle, float(drawn.std(ddof=1)), len(drawn), p_value, p_opposite)

    @classmethod
    def of_exchanges(
        cls, name: str, value: float, spread: float, n: int, gap: float, drawn: NDArray[np.float64]
    ) -> NullMeasurement:
        """Compare the gap between two means with its draws (r,) after groups were exchanged; more is claimed.

        The null's value, spread and n are those of the second mean.
        """
        # Rounding of the sums must not turn a tie into a win.
        p_value, p_opposite = tail_p(gap - ROUNDING, drawn, ">="), tail_p(gap + ROUNDING, drawn, "<=")
        return cls(name, value, spread, n, p_value, p_opposite)


@dataclass(frozen=True)
class Measurement:
    """One subject's value with its interval, nulls and reference, and the numbers of units examined and left out."""

    value: float
    interval: Interval
    n_examined: int
    n_excluded: int = 0
    reference: Reference | None = None
    nulls: tuple[NullMeasurement, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The measurement in plain JSON types; floats keep every bit, and details are unchanged."""
        interval, nulls = vars(self.interval), [vars(null) for null in self.nulls]
        return {
            "value": float(self.value),
            "interval": _plain(interval, "low", "high", "level"),
            "n_examined": int(self.n_examined),
            "n_excluded": int(self.n_excluded),
            "reference": None if self.reference is None else _plain(vars(self.reference), "value"),
            "nulls": [
                _plain(null, "value", "spread", "p_value", "p_opposite")
                | {"n": None if null["n"] is None else int(null["n"])}
                for null in nulls
            ],
            "details": self.details,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Measurement:
        """The measurement that `as_json` wrote. Raises TypeError or KeyError for anything else."""
        reference = stored["reference"]
        read = {
            "interval": Interval(**stored["interval"]),
            "reference": None if reference is None else Reference(**reference),
            "nulls": tuple(NullMeasurement(**null) for null in stored["nulls"]),
        }
        return cls(**{**stored, **read})


def _plain(fields: Mapping[str, Any], *numbers: str) -> dict[str, Any]:
    return {**fields, **{name: float(fields[name]) for name in numbers}}
