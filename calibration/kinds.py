"""What a calibration case is made of: null models, planted models, and the subject that is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vsa_checks.workbench.access import Workbench

NullDraw = Callable[[int], Workbench]
"""A null model of this seed."""
PlantedDraw = Callable[[float, int], Workbench]
"""A planted model at this signal level and seed."""


@dataclass(frozen=True)
class Null:
    """Models in which the claimed structure is absent, and the decisive nulls whose law they obey exactly."""

    name: str
    draw: NullDraw
    obeys: tuple[str, ...]


@dataclass(frozen=True)
class Signal:
    """Planted models from the strongest signal to the weakest."""

    name: str
    level: str
    levels: tuple[float, ...]
    draw: PlantedDraw


@dataclass(frozen=True)
class CalibrationCase:
    """Null and planted models of one claim, and which subject of each is judged: one a model, so that trials are
    independent."""

    layer: int | None
    matrix: str | None
    nulls: tuple[Null, ...]
    signals: tuple[Signal, ...]


@dataclass(frozen=True)
class Trial:
    """What a claim should say of these models: `sound` ones have the structure, the others lack it or are damaged."""

    name: str
    draw: NullDraw
    sound: bool = False


@dataclass(frozen=True)
class ThresholdCase:
    """The subject of a claim, and models from sound to damaged beyond doubt."""

    layer: int | None
    matrix: str | None
    trials: tuple[Trial, ...]
