"""The tests of claims/, called with a stand-in for the judge that takes down what they would have measured."""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from vsa_checks.errors import NotChecked
from vsa_checks.judge import NOT_CHECKED, judge, result_record
from vsa_checks.measurement import Measurement
from vsa_checks.records import CLAIMS_FILE, load_claims
from vsa_checks.subjects import Subject
from vsa_checks.workbench import Workbench


@dataclass(frozen=True)
class ClaimTest:
    """One test function of claims/: its name, the claims that it is marked with, and what it measures."""

    name: str
    claims: tuple[str, ...]
    function: Callable[..., None]

    def measure(self, bench: Workbench, subject: Subject) -> Measurement:
        """What the test measures of `subject`, with its own options. Raises what the measure raises."""
        calls: list[tuple[Subject, Callable[..., Measurement], dict[str, Any]]] = []
        self.function(subject=subject, judge=lambda *what, **options: calls.append((what[0], what[1], options)))
        ((judged, measure, options),) = calls
        assert judged is subject
        return measure(bench, judged, **options)


@cache
def claim_tests() -> tuple[ClaimTest, ...]:
    """All test functions of claims/test_*.py that carry a claim mark."""
    found = []
    for file in sorted(CLAIMS_FILE.parent.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"recorded_{file.stem}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "claim"]
            if marks:
                claims = tuple(claim for mark in marks for claim in mark.args)
                found.append(ClaimTest(f"{file.name}::{name}", claims, function))
    return tuple(found)


def claim_test(claim: str) -> ClaimTest:
    """The one test of a claim."""
    (found,) = (test for test in claim_tests() if claim in test.claims)
    return found


def verdict_on(bench: Workbench, subject: Subject) -> tuple[str, str]:
    """Measure and judge a subject as a run does; its verdict and the reason, once all of it is fit to be written."""
    try:
        measurement = claim_test(subject.claim).measure(bench, subject)
    except NotChecked as reason:
        return NOT_CHECKED, str(reason)
    claim = load_claims()[subject.claim]
    judgement = judge(claim, measurement, bench.model(subject.basis).info.d_model)
    record = result_record(claim, subject, bench.flags(subject.basis), measurement, judgement, 0.0)
    json.dumps(record, allow_nan=False)
    return judgement.verdict, judgement.reason
