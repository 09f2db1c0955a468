"""The README's table of claims: current, complete, and in step with the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.recorded import Known
from vsa_checks.paths import ROOT
from vsa_checks.report import claims_table
from vsa_checks.statistics import Interval
from vsa_checks.workbench.outcome import Outcome

README = ROOT / "README.md"


def test_the_readme_is_current() -> None:
    text = README.read_text(encoding="utf-8")
    assert claims_table.in_readme(text) == text, "run `python -m vsa_checks readme`"


def test_every_claim_has_its_row() -> None:
    rows = claims_table.claims_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(load_claims())
    for row, claim in zip(rows, load_claims().values(), strict=True):
        assert f"| {claim.section} |" in row
        assert f"{claim.threshold:g}" in row and f"({claim.threshold_origin})" in row
        assert all(null in row for null in claim.decisive)
        assert row.replace("\\|", "").count("|") == 6


def test_verdicts_are_those_recorded_of_primary_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    def recorded(path: Path, sha256: str | None, ids: list[str]) -> dict[str, Known]:
        known = {one: Known("refuted", "") for one in ids}
        known["neurons-beyond-chance/processed/L0/W_gate"] = Known("holds", "")
        known["neurons-beyond-chance/processed/L0/W_in"] = Known("chance", "")
        known["embedding-mean-zero/processed"] = Known("not-checked", "")
        return {name: one for name, one in known.items() if not name.startswith("neurons-table1")}

    monkeypatch.setattr(claims_table, "read_recorded", recorded)
    rows = {row.split("`")[1]: row for row in claims_table.claims_table().splitlines()[2:]}
    assert rows["neurons-beyond-chance"].endswith("| holds 1, chance 1 |")
    assert rows["embedding-mean-zero"].endswith("| not checked |")
    assert rows["attention-ov-isometry"].endswith("| refuted 30 |")
    assert rows["mlp-out-beyond-random"].endswith("| refuted 30 |"), "no primary subjects: all of them"
    assert rows["neurons-table1"].endswith("| not recorded |")


def test_what_the_untrained_twin_meets_too_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    met = {f"attention-near-orthogonal/processed/L0/{matrix}": 0.01 for matrix in ("W_Q", "W_K", "W_V")}
    met |= {"attention-near-orthogonal/processed/L0/W_O": 0.5, "embedding-near-orthogonal/processed": 0.01}
    met |= {"bundle-recall/processed": 0.0}

    def shipped(path: Path, shape: str, seed: int) -> dict[str, Any]:
        return {
            name: {"version": load_claims()[name.split("/")[0]].version, "text": None, "outcome": measured(value)}
            for name, value in met.items()
        }

    def measured(value: float) -> dict[str, Any]:
        reference = Reference("law", 1.0)
        return Outcome(
            Measurement(value, Interval(value, value, "rows"), 9, 0, reference), "", False, None, 1.0
        ).as_json()

    monkeypatch.setattr(claims_table, "read_values", shipped)
    monkeypatch.setattr(claims_table, "read_recorded", lambda path, sha, ids: {one: Known("holds", "") for one in ids})
    rows = {row.split("`")[1]: row for row in claims_table.claims_table().splitlines()[2:]}
    assert rows["attention-near-orthogonal"].endswith("| holds 120 (90 given by the shape) |")
    assert rows["embedding-near-orthogonal"].endswith("| holds (given by the shape) |")
    assert rows["bundle-recall"].endswith("| holds |"), "the twin does not meet it"
    assert rows["mlp-out-near-orthogonal"].endswith("| holds 30 |"), "nothing is known of the twin"


def test_only_what_stands_between_the_marks_is_written(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{claims_table.START}\nstale words\n{claims_table.END}\nafter\n")
    assert claims_table.write_readme(file)
    text = file.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "stale words" not in text
    assert not claims_table.write_readme(file)
    file.write_text("no marks")
    with pytest.raises(UsageError, match="put back"):
        claims_table.write_readme(file)
