"""A run that is interrupted keeps its trials, and the next one goes on with them if it asks for the same."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import tiny
from vsa_checks.cli.main import main
from vsa_checks.interventions import document, figure, page, trying
from vsa_checks.interventions.trying import Trying


def tried(monkeypatch: pytest.MonkeyPatch, stop_after: int | None = None) -> list[str]:
    """The ids of the trials that are made from now on; after so many the run is interrupted."""
    made: list[str] = []
    own = Trying.record

    def record(self: Trying, trial: Any, away: Any) -> dict[str, Any]:
        if len(made) == stop_after:
            raise KeyboardInterrupt
        made.append(trial.id)
        return own(self, trial, away)

    monkeypatch.setattr(Trying, "record", record)
    return made


def intervene(model: Path, out: Path, *more: str) -> None:
    with suppress(KeyboardInterrupt):
        main(["intervene", str(model), "--windows", "2", "--interventions", "heads", "--out", str(out), *more])


def parts(kept: Path) -> list[str]:
    """The part of each trial that an unfinished run has kept."""
    return [one["part"] for one in json.loads(kept.read_text())["document"]["results"]]


def points(line: Any) -> Any:
    return line.get_xydata().tolist()


def results(out: Path) -> Any:
    """What was found, without the time that it took."""
    found = json.loads((out / document.FILE_NAME).read_text(encoding="utf-8"))["results"]
    return [{name: value for name, value in one.items() if name != "duration_s"} for one in found]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny.write_hf(tmp_path / "tiny", "llama")
    with pytest.MonkeyPatch.context() as patch:
        every = tried(patch)
        intervene(model, tmp_path / "whole")
    for name in ("same", "other seed", "other code"):
        with pytest.MonkeyPatch.context() as patch:
            assert tried(patch, stop_after=1) == []
            intervene(model, tmp_path / name)
        assert (tmp_path / name / document.UNFINISHED).exists() and not (tmp_path / name / document.FILE_NAME).exists()
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        made = tried(patch)
        intervene(model, tmp_path / "same")
    assert made == every[1:] and f"{every[0]}: taken from the unfinished run" in capsys.readouterr().err
    assert results(tmp_path / "same") == results(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "same").iterdir()) == [document.FILE_NAME, figure.FILE_NAME]
    with pytest.MonkeyPatch.context() as patch:
        made = tried(patch)
        intervene(model, tmp_path / "other seed", "--seed", "1")
    assert made == every
    assert results(tmp_path / "other seed") != results(tmp_path / "whole")
    kept = tmp_path / "other code" / document.UNFINISHED
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"code": "of another version"}))
    with pytest.MonkeyPatch.context() as patch:
        made = tried(patch)
        intervene(model, tmp_path / "other code")
    assert made == every


@pytest.mark.slow
def test_a_run_that_asks_for_more_keeps_what_it_has_not_come_to_yet(tmp_path: Path) -> None:
    model, kept = tiny.write_hf(tmp_path / "tiny", "llama"), tmp_path / document.UNFINISHED
    for asked in ("embeddings", "heads,embeddings"):
        with pytest.MonkeyPatch.context() as patch:
            tried(patch, stop_after=1)
            intervene(model, tmp_path, "--interventions", asked)
    assert parts(kept) == ["heads/W_V W_O", "embeddings"]
    with pytest.MonkeyPatch.context() as patch:
        made = tried(patch)
        intervene(model, tmp_path, "--interventions", "heads")
    assert len(made) == 3 and len(results(tmp_path)) == 4
    assert "embeddings" in parts(kept), "what the finished run was not asked for is still there"
    with pytest.MonkeyPatch.context() as patch:
        made = tried(patch)
        intervene(model, tmp_path, "--interventions", "heads,embeddings")
    assert len(made) == 3 and len(results(tmp_path)) == 8
    assert not kept.exists()


@pytest.mark.slow
def test_a_change_whose_losses_are_not_finite_is_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, calls = trying.window_losses, iter(range(1000))

    def fourth_is_infinite(*given: Any) -> Any:
        return own(*given) + (np.inf if next(calls) == 3 else 0.0)

    monkeypatch.setattr(trying, "window_losses", fourth_is_infinite)
    intervene(tiny.write_hf(tmp_path / "tiny", "llama"), tmp_path)
    found = document.read(tmp_path / document.FILE_NAME)
    assert found["not_checked"] == {"heads/W_V W_O/degree=0.5": "its loss is not a finite number"}
    assert len(found["results"]) == 3


def test_a_run_without_results_leaves_no_older_figure(tmp_path: Path) -> None:
    (committed,) = [one for name, one in page.committed().items() if "grammar" in name]
    document.write(committed, tmp_path)
    assert (tmp_path / figure.FILE_NAME).exists()
    document.write(committed | {"results": []}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [document.FILE_NAME]


def test_the_figure_shows_the_results() -> None:
    def cost(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.25, "high": value + 0.5}

    def result(kind: str, dose: dict[str, float], value: float, null: float, share: float | None) -> dict[str, Any]:
        beside = {} if share is None else {"beyond_chance": {"W_in": share}}
        (size,) = dose.values()
        return {
            "id": f"{kind}/{size:g}",
            "dose": dose,
            "cost": cost(value),
            "nulls": [{"name": "random direction", "cost": cost(null)}],
            "without": {"cost": cost(5.0)},
            "beside": beside,
        }

    drawn = figure.picture(
        [
            result("neurons/W_in", {"tokens": 1.0}, 2.0, 3.0, None),
            result("neurons/W_in", {"tokens": 20.0}, 1.0, 1.5, None),
            result("embeddings/low rank", {"dose": 0.5}, 0.25, 0.125, 0.75),
            result("embeddings/low rank", {"dose": 0.25}, 4.0, 0.5, 0.625),
        ]
    )
    neurons, rank, shares = drawn.axes
    assert [axis.get_title(loc="left") for axis in (neurons, rank)] == ["neurons/W_in", "embeddings/low rank"]
    assert points(shares.lines[0]) == [[0.5, 0.75], [0.25, 0.625]]
    assert rank.xaxis_inverted() and not neurons.xaxis_inverted()
    null, without, change = neurons.lines
    assert points(null) == [[1.0, 3.0], [20.0, 1.5]]
    assert [height for _, height in points(without)] == [5.0, 5.0]
    assert points(change) == [[1.0, 2.0], [20.0, 1.0]]
    bars: Any = neurons.collections[0]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[1.75, 2.5], [0.75, 1.5]]
