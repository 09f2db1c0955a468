"""Counts in the controlling process: every collected test must be reported, and every result kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from vsa_checks.plugin.properties import (
    ARRAYS_PROPERTY,
    CACHE_PROPERTY,
    CLAIM_PROPERTY,
    LOAD_PROPERTY,
    NOTE_PROPERTY,
    RESULT_PROPERTY,
    TEXT_PROPERTY,
    TWIN_PROPERTY,
)


def result_of(report: pytest.TestReport | pytest.CollectReport) -> dict[str, Any] | None:
    """The result in a report, if any; the report of a module that could not be collected has none."""
    found: dict[str, Any] | None = _carried(report, RESULT_PROPERTY)
    return found


def _carried(report: pytest.TestReport | pytest.CollectReport, property_name: str) -> Any:
    for name, value in getattr(report, "user_properties", ()):
        if name == property_name:
            return json.loads(str(value))
    return None


class Tally:
    """What was collected, reported and measured, in the process that receives every report."""

    def __init__(self) -> None:
        self.collected: set[str] = set()
        self.reported: set[str] = set()
        self.done: set[str] = set()
        self.results: dict[str, dict[str, Any]] = {}
        self.failed: set[str] = set()
        self.crashed: dict[str, str] = {}
        self.arrays: dict[str, str] = {}
        """What pictures need of each subject, as text."""
        self.claims_tried = False
        self.notes: dict[str, None] = {}
        """Notes on the stored weights from loading the model: each sentence once."""
        self.text: dict[str, Any] | None = None
        self.from_cache: set[str] = set()
        self.load_failures: dict[str, None] = {}
        """Why the model could not be loaded or read while the claims ran: each reason once, in order."""
        self.twin_values: dict[str, Any] = {}
        """Measurements of the untrained twin, if they are to be recorded."""
        self.twin_file: Path | None = None
        self.why_no_twin = ""
        self.ended_early = self.refused = self.recorded = False

    def expect(self, node_ids: Iterable[str]) -> None:
        """Note the tests that are to run."""
        self.collected.update(node_ids)

    def hear(self, report: pytest.TestReport) -> None:
        """Note one report: its result if it carries one, a crash if it failed without one."""
        self.reported.add(report.nodeid)
        if report.when == "teardown":
            self.done.add(report.nodeid)
        self.claims_tried |= any(name == CLAIM_PROPERTY for name, _ in report.user_properties)
        self.text = self.text or _carried(report, TEXT_PROPERTY)
        note = _carried(report, NOTE_PROPERTY)
        if note is not None:
            self.notes[note] = None
        twin = _carried(report, TWIN_PROPERTY) if report.when == "call" else None
        if twin is not None:
            self.twin_values |= twin["values"]
            self.why_no_twin = self.why_no_twin or twin["why_not"]
        result = result_of(report)
        if result is not None and report.when == "call":
            self.results[result["id"]] = result
            for name, value in report.user_properties:
                if name == ARRAYS_PROPERTY:
                    self.arrays[result["id"]] = str(value)
            if _carried(report, CACHE_PROPERTY):
                self.from_cache.add(result["id"])
        if report.failed:
            self.failed.add(report.nodeid)
            if result is None or report.when != "call":
                text = report.longreprtext.strip().splitlines()
                self.crashed[report.nodeid] = text[-1] if text else "failed"
            reason = _carried(report, LOAD_PROPERTY)
            if reason is not None and report.when == "call":
                if reason not in self.load_failures:
                    self.crashed[report.nodeid] = reason
                self.load_failures[reason] = None

    @property
    def missing(self) -> list[str]:
        """Tests that were collected and never reported."""
        return sorted(self.collected - self.reported)
