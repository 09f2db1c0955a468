"""Measure one subject. The outcome is a measurement, or the reason why there is none."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vsa_checks.errors import NotChecked, VsaChecksError, first_line
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.loading import raised_for_the_model, unreadable

Measure = Callable[..., Measurement]


@dataclass(frozen=True)
class Outcome:
    """A measurement, or None and the reason; whether it needed the text, how many tokens it read, and its duration.

    lasting: False if a library failed, so that the next run tries again. redrawn: the same measured with the seeds
    that follow the run's, without details. arrays: data for pictures, as written by `figures.store.as_text`.
    """

    measurement: Measurement | None
    reason: str
    text_asked: bool
    tokens_read: int | None
    duration_s: float
    lasting: bool = True
    redrawn: tuple[Measurement, ...] = ()
    arrays: str = ""

    def as_json(self) -> dict[str, Any]:
        """The outcome in plain JSON types; floats keep every bit."""
        return {
            **{name: value for name, value in vars(self).items() if name != "arrays" or value},
            "measurement": None if self.measurement is None else self.measurement.as_json(),
            "redrawn": [one.as_json() for one in self.redrawn],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Outcome:
        """The outcome that `as_json` wrote. Raises TypeError or KeyError for anything else."""
        measured = stored["measurement"]
        read = {
            "measurement": None if measured is None else Measurement.from_json(measured),
            "redrawn": tuple(Measurement.from_json(one) for one in stored["redrawn"]),
        }
        return cls(**{**stored, **read})


ON_A_LINE = "its vectors have one dimension, where every cosine is 1 or -1"


def measure_subject(bench: Workbench, subject: Subject, measure: Measure, options: Mapping[str, Any]) -> Outcome:
    """Measure one subject.

    The result goes through JSON, so that a new measurement is judged exactly like one kept from an earlier run.

    Parameters
    ----------
    bench : Workbench
        The model under measurement.
    subject : Subject
    measure : callable
        Called as measure(bench, subject, **options); a function of `vsa_checks.sections`.
    options : mapping of str to object
        Keyword arguments of the measure.

    Returns
    -------
    Outcome
        Without a measurement if the measure raised NotChecked, or if a library failed to run the model.

    Raises
    ------
    ModelError
        If the model cannot be loaded, or one of its files can no longer be read.
    TypeError
        If the details of the measurement contain something that JSON does not have.
    Exception
        Whatever else the measure raises.
    """
    __tracebackhide__ = True  # pytest shows the traceback of a crash from the measure on
    measurement, reason, lasting, start = None, "", True, time.perf_counter()
    with bench.use() as use:
        try:
            measurement = measure(bench, subject, **options)
        except NotChecked as unchecked:
            reason, lasting = str(unchecked), unchecked.__cause__ is None
        except VsaChecksError:
            raise
        except Exception as error:
            if not raised_for_the_model(error):
                raise
            if isinstance(error, OSError):
                raise unreadable(bench.name, subject.basis, error) from error
            reason, lasting = f"a library could not run the model: {first_line(error)}", False
    found = Outcome(measurement, reason, use.asked, use.tokens_read, time.perf_counter() - start, lasting)
    return Outcome.from_json(json.loads(json.dumps(found.as_json())))


def measure_with_other_seeds(
    bench: Workbench, subject: Subject, measure: Measure, options: Mapping[str, Any], found: Outcome, n_seeds: int
) -> Outcome:
    """Measure a subject with other random numbers as well, unless that is done already.

    Parameters
    ----------
    bench, subject, measure, options
        As in `measure_subject`.
    found : Outcome
        Its result.
    n_seeds : int
        Required number of measurements with seeds after the run's own.

    Returns
    -------
    Outcome
        `found` with that many measurements of other seeds, or more if there were more.

    Raises
    ------
    Exception
        As `measure_subject` does.
    """
    __tracebackhide__ = True
    redrawn, seconds = list(found.redrawn), found.duration_s
    while found.measurement is not None and len(redrawn) < n_seeds:
        with bench.other_seed(bench.seed + 1 + len(redrawn)):
            other = measure_subject(bench, subject, measure, options)
        if other.measurement is None:
            break  # a library failed now
        redrawn.append(replace(other.measurement, details={}))
        seconds += other.duration_s
    return replace(found, redrawn=tuple(redrawn), duration_s=seconds)
