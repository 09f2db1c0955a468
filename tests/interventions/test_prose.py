"""The sentences about the results are those of the results."""

from __future__ import annotations

from typing import Any

from vsa_checks.interventions import prose


def _null(name: str, low: float, high: float, draws: list[float]) -> dict[str, Any]:
    return {"name": name, "above_change": {"value": (low + high) / 2, "low": low, "high": high, "draws": draws}}


def _result(dose: str, cost: float, nulls: list[dict[str, Any]], verdict: str | None, **more: Any) -> dict[str, Any]:
    return {
        "id": f"heads/{dose}",
        "part": "heads",
        "aim": "idealise",
        "cost": {"value": cost},
        "without": {"cost": {"value": 2.0}},
        "nulls": nulls,
        "verdict": verdict,
        "tasks": [],
        **more,
    }


def test_sentences_say_what_was_found_and_no_more() -> None:
    nulls = [
        _null("cheap", -0.3, -0.1, [-0.2, -0.2]),
        _null("dear", 0.1, 0.3, [0.2, 0.2]),
        _null("unlike", 0.1, 0.3, [0.5, -0.1]),
    ]
    first = _result("half", 0.5, nulls, "does not carry", tasks=[{"task": "copying", "verdict": "carries"}])
    found = prose.paragraphs({"results": [first, _result("whole", 1.0, nulls[:1], None)]})
    assert found[0] == "Verdicts on text, 1 in total: carries 0, does not carry 1, cannot tell 0."
    assert "Without this part the loss rises by +2.00 nats per token." in found[1]
    assert (
        "`half` costs +0.50, 25% of that, less than dear; more than cheap; not clearly different from unlike: "
        "*does not carry*." in found[1]
    )
    assert "`whole` costs +1.00, 50% of that, more than cheap." in found[1]
    assert found[1].endswith("- **Task copying**: carries 1, does not carry 0, cannot tell 0. Carries: `heads/half`.")


def test_the_short_answer_has_the_strongest_dose_of_each_kind_and_bundles_of_five() -> None:
    def result(name: str, part: str, cost: float, nulls: list[float], verdict: str | None) -> dict[str, Any]:
        others = [
            {"cost": {"value": value}, **_null("", value - cost - 0.1, value - cost + 0.1, [])} for value in nulls
        ]
        whole = {"id": name, "part": part, "aim": "idealise", "verdict": verdict, "nulls": others}
        return whole | {"cost": {"value": cost}, "without": {"cost": {"value": 5.0}}}

    results = [
        result("neurons/W_in/k=1", "neurons/W_in", 4.0, [3.0], None),
        result("neurons/W_in/k=5", "neurons/W_in", 2.0, [3.0, 1.0], "carries"),
        result("neurons/W_in/k=20", "neurons/W_in", 1.0, [3.0], "cannot tell"),
        result("embeddings/low rank/0.5", "embeddings", 0.5, [0.25], "carries"),
        result("embeddings/low rank/0.25", "embeddings", 0.75, [0.25], None),
    ]
    found = prose.in_short([{"model": {"name": "folder/a_b"}, "results": results}])
    assert found.split("\n\n")[1] == (
        "- a\\_b. Idealised: 3 judged, carries 2, does not carry 0, cannot tell 1. Of 3 changes with idealised neurons "
        "(1 of them not judged), 1 clearly cost less than every null and 1 more than every null. Of 2 changes with "
        "idealised embeddings (1 of them not judged), 0 clearly cost less than every null and 2 more than every null."
    )
    assert found.split("\n\n")[2].splitlines()[2:] == [
        "| a\\_b | neurons/W\\_in/k=5 | idealise | +2.00 | +1.00 to +3.00 | +5.00 | carries |",
        "| a\\_b | embeddings/low rank/0.25 | idealise | +0.75 | +0.25 | +5.00 | – |",
    ]
    empty = prose.in_short([{"model": {"name": "a"}, "results": []}])
    assert empty.endswith("\n\n- a."), "no table without rows"
