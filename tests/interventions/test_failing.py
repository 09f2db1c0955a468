"""What cannot be tried loses nothing else: it is named, and the rest is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import tiny
from vsa_checks.cli.main import main
from vsa_checks.errors import NotChecked
from vsa_checks.interventions import document, on_heads, page
from vsa_checks.models.forward import CannotRun


@pytest.mark.slow
def test_a_trial_that_fails_and_one_that_does_not_apply_are_named_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = on_heads.compared
    made = {
        (0.5, None): CannotRun("The model cannot be run: it is <b>ill</b>."),
        (1.0, 3): NotChecked("no such degree"),
    }

    def compared(heads: on_heads.Heads, degree: float, draw: int | None) -> object:
        if (degree, draw) in made:
            raise made[degree, draw]
        return own(heads, degree, draw)

    monkeypatch.setattr(on_heads, "compared", compared)
    folder = tiny.write_hf(tmp_path / "tiny", "llama")
    words = ["--windows", "2", "--interventions", "heads", "--out", str(tmp_path / "out")]
    assert main(["intervene", str(folder), *words]) == 1
    found = document.read(tmp_path / "out" / document.FILE_NAME)
    assert [one["id"] for one in found["results"]] == [
        f"{on_heads.OV}/degree={degree:g}" for degree in on_heads.DEGREES
    ]
    assert found["failed"] == {f"{on_heads.QK}/degree=0.5": "The model cannot be run: it is <b>ill</b>."}
    assert found["not_checked"] == {f"{on_heads.QK}/degree=1": "no such degree"}
    told = capsys.readouterr()
    assert "degree=0.5 could not be tried: The model cannot be run" in told.err
    assert "degree=1 not checked: no such degree" in told.out
    assert r"degree=0.5 failed: The model cannot be run: it is \<b\>ill\</b\>." in page.block(found)


def test_a_model_that_cannot_be_run_at_all_fails_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("16 GiB")

    monkeypatch.setattr("vsa_checks.interventions.trying.window_losses", broken)
    folder = tiny.write_hf(tmp_path / "tiny", "gpt2")
    assert main(["intervene", str(folder), "--out", str(tmp_path / "out")]) == 1
    found = document.read(tmp_path / "out" / document.FILE_NAME)
    assert found["results"] == [] and set(found["failed"]) == {"neurons", "heads", "embeddings", "spoil"}
    assert "not enough memory for it (MemoryError: 16 GiB)" in capsys.readouterr().err
