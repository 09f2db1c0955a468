"""What a measure of a claim hands to the judge: figures, and no opinion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vsa_checks.statistics import Interval


@dataclass(frozen=True)
class Reference:
    """What ideal random vectors or matrices of the same shape give."""

    name: str
    value: float


@dataclass(frozen=True)
class NullMeasurement:
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
    nulls: tuple[NullMeasurement, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON has it, floats to their last bit; details as they are."""
        interval, nulls = vars(self.interval), [vars(null) for null in self.nulls]
        return {
            "value": float(self.value),
            "interval": _plain(interval, "low", "high", "level"),
            "n_examined": int(self.n_examined),
            "n_excluded": int(self.n_excluded),
            "reference": None if self.reference is None else _plain(vars(self.reference), "value"),
            "nulls": [
                _plain(null, "value", "spread", "p_value", "p_opposite") | {"n": int(null["n"])} for null in nulls
            ],
            "details": self.details,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Measurement:
        """The measurement that `as_json` gave. Raises TypeError or KeyError for what it did not give."""
        reference = stored["reference"]
        read = {
            "interval": Interval(**stored["interval"]),
            "reference": None if reference is None else Reference(**reference),
            "nulls": tuple(NullMeasurement(**null) for null in stored["nulls"]),
        }
        return cls(**{**stored, **read})


def _plain(fields: Mapping[str, Any], *numbers: str) -> dict[str, Any]:
    return {**fields, **{name: float(fields[name]) for name in numbers}}
