"""docs/findings.md and README's finding are of the results kept beside them, and these of the claims as they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from findings.answers import answers, short_answer
from findings.kept import keep, read_kept, slim
from findings.page import in_readme, render, sentence
from findings.standing import CHANCE, FAILS, LESS, NO_TWIN, NOT_CHECKED, SHAPE, STRUCTURE, places, standing
from tests.report.factory import document, null, plain, result, told
from vsa_checks import paths, report
from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.recorded import read_recorded, recorded_path

KEPT = read_kept()
TRAINED, UNTRAINED = {"value": 0.1, "met": False}, {"value": 0.8, "met": True}


def test_page_and_readme_are_current() -> None:
    assert render(KEPT, answers()) == (paths.DOCS / "findings.md").read_text(encoding="utf-8"), "run `make findings`"
    text = paths.README.read_text(encoding="utf-8")
    assert in_readme(text, sentence(KEPT)) == text, "run `make findings`"
    with pytest.raises(UsageError, match="put back"):
        in_readme(text.replace("<!-- finding", "<!--"), "")


def test_the_page_knows_whether_the_papers_model_is_there() -> None:
    paper = {**KEPT[0], "model": {**KEPT[0]["model"], "is_paper_model": True}}
    assert "GPT-2 small, is not among them" in render(KEPT) and "GPT-2 small, is among them" in render([*KEPT, paper])


def test_the_other_questions_are_answered_in_the_words_of_their_pages(tmp_path: Path) -> None:
    (tmp_path / "dynamics.md").write_text("# A\n\nwords\n\n**In short.** It comes\nlate.\n\nmore\n")
    assert answers(tmp_path).strip() == (
        "## How it comes about in training\n\nIt comes\nlate.\n\nMore: [dynamics.md](dynamics.md)."
    )
    lists = "- one\n- two\n\n| a |\n| --- |\n| 1 |"
    (tmp_path / "dynamics.md").write_text(f"**In short.** It comes.\n\n{lists}\n\nmore\n\n- three\n")
    assert short_answer(tmp_path / "dynamics.md") == f"It comes.\n\n{lists}"
    (tmp_path / "other.md").write_text("nothing")
    with pytest.raises(UsageError, match="In short"):
        short_answer(tmp_path / "other.md")


@pytest.mark.parametrize("found", KEPT, ids=[one["model"]["name"] for one in KEPT])
def test_kept_results_are_of_the_claims_as_they_stand(found: dict[str, Any]) -> None:
    report.validate(found)
    assert found["model"]["source"] != "path" or found["model"]["location"] == found["model"]["name"]
    claims = load_claims()
    assert {one["claim"]: one["claim_version"] for one in found["results"]} == {
        name: claim.version for name, claim in claims.items() if name not in found["summary"]["not_run"]
    }
    ids = [one["id"] for one in found["results"]]
    if (path := recorded_path(found["model"]["name"])).exists():
        both = [name.replace("/processed", basis) for name in ids for basis in ("/processed", "/raw")]
        recorded = read_recorded(path, found["model"]["sha256"], both)
        for one in found["results"]:
            assert one["verdict"] in recorded[one["id"]].verdicts, one["id"]


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        (STRUCTURE, result(told(), 0.7, twin=TRAINED)),
        (SHAPE, result(told(), 0.7, twin=UNTRAINED)),
        (NO_TWIN, result(told(), 0.7, twin=None)),
        (CHANCE, result(told(), 0.7, nulls=[null(value=0.69, p_value=0.3)], twin=TRAINED)),
        (CHANCE, result(told(), 0.7, twin=TRAINED, details={"q_value": 0.02})),
        (STRUCTURE, result(told(), 0.7, twin=TRAINED, details={"q_value": 0.01})),
        (LESS, result(told(), 0.4)),
        (FAILS, result(told(), 0.4, nulls=[null(value=0.39)])),
        (FAILS, result(told(), 0.4, nulls=[null(), null(value=0.1, p_value=0.02)])),
        (FAILS, result(told(), 0.4, details={"q_value": 0.02})),
        (FAILS, result(plain(), 0.4)),
        (NOT_CHECKED, result(told(), None)),
    ],
)
def test_a_subject_stands_as_verdict_nulls_and_twin_say(expected: str, given: dict[str, Any]) -> None:
    assert standing(given, alpha=0.01) == expected


def test_places_are_named_by_matrix() -> None:
    every = [result(told(), 0.7, layer=layer, matrix=name) for name in ("W_gate", "W_in") for layer in range(4)]
    assert places([every[0], every[2], every[3], *every[4:]], every) == "W_gate in layers 0, 2, 3; W_in in all 4 layers"
    assert places(every[5:6], every) == "W_in in layer 1"
    whole = [result(told(), 0.7)]
    assert places(whole, whole) == "the whole model"


def test_only_whole_runs_are_kept(tmp_path: Path) -> None:
    twin = {"value": 0.1, "met": False}
    found = document([result(told(), 0.7, layer=2, matrix="W_in", twin=twin, details={"notes": ["long"]})], [told()])
    report.write(found, tmp_path / "whole")
    path = keep(tmp_path / "whole", tmp_path / "kept")
    assert report.read(path) == slim(found) and path.parent.name == found["model"]["name"]
    assert slim(found)["results"][0] == {**found["results"][0], "details": {}, "recorded": None, "duration_s": 0.0}
    report.write(document([result(told(), 0.7)], [told()]), tmp_path / "without")
    report.write(document([result(told(), 0.7, twin=twin)], [told()], selection="--claims x"), tmp_path / "part")
    report.write(document([result(told(), 0.7, basis="raw", twin=twin)], [told()]), tmp_path / "raw")
    for name, words in {"without": "--no-twin", "part": "partial", "raw": "processed basis alone"}.items():
        with pytest.raises(UsageError, match=words):
            keep(tmp_path / name, tmp_path / "kept")
