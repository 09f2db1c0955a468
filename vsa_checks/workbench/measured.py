"""What came of measuring one subject: figures, or the reason why there are none."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.workbench.access import Workbench

Measure = Callable[..., Measurement]


@dataclass(frozen=True)
class Measured:
    """Figures, or None and the reason; whether the text was asked for, tokens read of it, and the seconds it took."""

    measurement: Measurement | None
    reason: str
    text_asked: bool
    tokens_read: int | None
    duration_s: float

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON has it, floats to their last bit."""
        return {**vars(self), "measurement": None if self.measurement is None else self.measurement.as_json()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Measured:
        """What `as_json` gave. Raises TypeError or KeyError for what it did not give."""
        figures = stored["measurement"]
        return cls(**{**stored, "measurement": None if figures is None else Measurement.from_json(figures)})


def measure_subject(bench: Workbench, subject: Subject, measure: Measure, options: Mapping[str, Any]) -> Measured:
    """Measure one subject. Raises what the measure raises, but for NotChecked, and TypeError for details not JSON's.

    Figures come as they would be read from JSON: judged, a new one and a kept one cannot differ.
    """
    measurement, reason, start = None, "", time.perf_counter()
    with bench.text_use() as use:
        try:
            measurement = measure(bench, subject, **options)
        except NotChecked as unchecked:
            reason = str(unchecked)
    found = Measured(measurement, reason, use.asked, use.tokens_read, time.perf_counter() - start)
    return Measured.from_json(json.loads(json.dumps(found.as_json())))
