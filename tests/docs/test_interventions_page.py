"""docs/interventions.md: its numbers are those of the committed results, each of one run under the present rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsa_checks.errors import UsageError
from vsa_checks.interventions import judging, page


def test_the_numbers_are_those_of_the_results() -> None:
    for path, content in page.pages().items():
        assert path.read_bytes() == content, f"{path.name}: run python -m vsa_checks.interventions"


def test_committed_results_are_whole_and_judged_by_the_present_rule() -> None:
    rule = {
        "kept": judging.KEPT,
        "beside": judging.BESIDE,
        "margin": judging.MARGIN,
        "least": judging.LEAST,
        "least_units": judging.LEAST_UNITS,
        "draws": judging.DRAWS,
    }
    for found in page.committed().values():
        assert {name: found["rule"][name] for name in rule} == rule
        assert found["failed"] == {} and found["text"]["windows"] >= judging.LEAST_UNITS
        drawn = [null["above_change"]["draws"] for one in found["results"] for null in one["nulls"]]
        assert drawn and {len(one) for one in drawn} == {judging.DRAWS}


def test_without_results_or_marks_the_page_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no interventions"):
        page.committed(tmp_path)
    with pytest.raises(UsageError, match="put back"):
        page.written("# No marks", page.committed())
