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
