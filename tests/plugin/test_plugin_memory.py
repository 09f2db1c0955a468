"""--memory-limit: what is announced and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.plugin.runs import Server
from tests.plugin.test_plugin_bad_input import assert_refused
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.recorded import Known, Recorded
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models import BASES, describe
from vsa_checks.plugin.run import ClaimsRun

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("value", ["none", "0", "-1", "nan"])
def test_what_is_no_amount_of_memory_is_refused(plain: Path, light: Server, tmp_path: Path, value: str) -> None:
    run = light.claims(plain, tmp_path / "report", f"--memory-limit={value}")
    assert run.code == 4
    assert "not a number of gigabytes between 0 and a million" in run.output
    assert not (tmp_path / "report").exists()


def test_too_little_memory_is_refused_with_the_figure(plain: Path, light: Server, tmp_path: Path) -> None:
    run = light.claims(plain, tmp_path / "report", "--memory-limit=0.2")
    assert_refused(run, "expected to take at least", "the limit is 0.2 GB", "--memory-limit")


def test_a_run_says_beforehand_what_it_will_take(plain: Path, warm: Server, tmp_path: Path) -> None:
    run = warm.claims(plain, tmp_path / "report", "--memory-limit=2", "--claims=mlp-out-artifacts")
    line = next(line for line in run.output.splitlines() if "GB of memory (" in line)
    assert "(2.0 GB are allowed)" in line
    assert "about one or two minutes" in line
    assert (tmp_path / "report" / "results.json").exists()
    assert "Peak memory: " in run.output


def test_the_twin_counts_only_where_a_value_is_expected(plain: Path) -> None:
    """What is recorded as not checked has no value that the twin's would stand beside."""
    info = describe(str(plain))
    checked, not_checked, new = list(enumerate_subjects(load_claims()["mlp-out-artifacts"], info, BASES))[:3]
    known = Recorded({checked.id: Known("holds", "so"), not_checked.id: Known("not-checked", "no such part")})
    asked: list[Subject] = []

    def to_measure(claims: object, subjects: list[Subject]) -> list[Subject]:
        asked.extend(subjects)
        return []

    twins = SimpleNamespace(to_measure=to_measure)
    run: Any = SimpleNamespace(memory_limit=4.0, twins=twins, known=known, info=info)
    ClaimsRun.make_plan(run, [checked, not_checked, new], 1)
    assert asked == [checked, new] and run.plan.peak <= 4e9
