"""The required content of outcome files: types and bounds, checked before use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on only

from vsa_checks.figures.store import FiguresError, from_text
from vsa_checks.judging.claim import Claim
from vsa_checks.judging.judge import can_be_judged
from vsa_checks.workbench.outcome import Outcome

_LARGEST = 1e300
"""Far above any measurement; products with a threshold or a few spreads stay finite."""
_Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, le=_LARGEST, allow_inf_nan=False)]
_Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, lt=1 << 63)]
_EXACT = ConfigDict(extra="forbid", strict=True)


class _Interval(TypedDict):
    __pydantic_config__ = _EXACT  # type: ignore[misc]
    low: _Number
    high: _Number
    unit: str
    level: _Probability


class _Reference(TypedDict):
    __pydantic_config__ = _EXACT  # type: ignore[misc]
    name: str
    value: _Number


class _Null(TypedDict):
    __pydantic_config__ = _EXACT  # type: ignore[misc]
    name: str
    value: _Number
    spread: _NotNegative
    n: _Count | None
    p_value: _Probability
    p_opposite: _Probability


class _Measurement(TypedDict):
    __pydantic_config__ = _EXACT  # type: ignore[misc]
    value: _Number
    interval: _Interval
    n_examined: Annotated[int, Field(ge=1, lt=1 << 63)]
    n_excluded: _Count
    reference: _Reference | None
    nulls: list[_Null]
    details: dict[str, Any]


class _Outcome(TypedDict):
    __pydantic_config__ = _EXACT  # type: ignore[misc]
    measurement: _Measurement | None
    reason: str
    text_asked: bool
    tokens_read: _Count | None
    duration_s: _NotNegative
    lasting: bool
    redrawn: list[_Measurement]
    arrays: NotRequired[str]


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(_Outcome)


def stored_outcome(found: object, claim: Claim) -> Outcome | None:
    """A claim's outcome in a file; None if `as_json` cannot have written it, or the judge cannot judge it."""
    try:
        content: Mapping[str, Any] = _adapter().validate_python(found, strict=True)
        json.dumps(content, allow_nan=False)  # details may be of any shape, but not hold what no report may hold
    except (ValidationError, ValueError, RecursionError):
        return None
    outcome = Outcome.from_json(content)
    try:
        from_text(outcome.arrays)
    except FiguresError:
        return None
    measured = [] if outcome.measurement is None else [outcome.measurement]
    return outcome if all(can_be_judged(claim, one) for one in (*measured, *outcome.redrawn)) else None
