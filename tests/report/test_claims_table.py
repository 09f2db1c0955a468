"""The README's table of claims: current, complete, and in step with the records."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.recorded import Known
from vsa_checks.paths import ROOT
from vsa_checks.report import claims_table

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
