"""docs/interventions.md: its numbers are those of the committed results, and its verdicts those of the rule."""

from __future__ import annotations

from vsa_checks.interventions import document, page


def test_the_numbers_are_those_of_the_results() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.written(text, document.read(page.RESULTS)) == text, "run python -m vsa_checks.interventions"


def test_every_group_was_tried_and_all_tasks() -> None:
    found = document.read(page.RESULTS)
    assert found["not_checked"] == {} and found["model"]["name"] == "smollm2-135m"
    assert {task["task"] for task in found["unchanged"]["tasks"]} == {"copying", "induction", "agreement", "cloze"}
    parts = {one["part"] for one in found["results"]}
    assert parts == {
        "neurons/W_gate",
        "neurons/W_in",
        "neurons/W_gate+W_in",
        "heads/W_V W_O",
        "heads/W_Q W_K^T",
        "embeddings",
    }
