"""Counts, the worst subject, and Benjamini-Hochberg."""

from collections import Counter
from typing import Any

import pytest

from tests.report import factory
from tests.report.factory import FakeClaim, Json
from vsa_checks.report.summary import hardest_null, worst_first

VERDICTS = ("holds", "chance", "refuted", "not-checked")


def _recount(results: list[Json], primary: bool, claim: str | None = None) -> dict[str, int]:
    chosen = [r for r in results if r["primary"] is primary and claim in (None, r["claim"])]
    counter = Counter(r["verdict"] for r in chosen)
    return {verdict: counter[verdict] for verdict in VERDICTS}


def test_counts_equal_a_recount(large_document: Json) -> None:
    results, summary = large_document["results"], large_document["summary"]
    assert summary["primary"] == _recount(results, True)
    exploratory = dict(summary["exploratory"])
    exploratory.pop("holds_after_bh")
    assert exploratory == _recount(results, False)
    for claim, entry in summary["by_claim"].items():
        assert entry["primary"] == _recount(results, True, claim)
        assert {v: entry["exploratory"][v] for v in VERDICTS} == _recount(results, False, claim)
    total = sum(summary["primary"].values()) + sum(exploratory.values())
    assert total == len(results)


def _beyond(p_values: list[float], value: float = 0.9, **changes: Any) -> Json:
    """A document of one claim at alpha .05 whose exploratory layers carry the p-values given."""
    claim = FakeClaim("claim-a", primary="layer-0", alpha=0.05)
    results = [
        factory.result(claim, value, layer=layer, nulls=[factory.null(p_value=p)], **changes)
        for layer, p in enumerate(p_values)
    ]
    return factory.document(results, [claim])


def _q_values(document: Json) -> dict[int, float]:
    return {
        result["subject"]["layer"]: result["details"]["q_value"]
        for result in document["results"]
        if "q_value" in result["details"]
    }


def test_benjamini_hochberg_equals_the_sum_by_hand() -> None:
    # Layer 0 is primary and stays out; of the other four, sorted .01 .02 .03 .04, p * 4 / rank is .04 each.
    level = _beyond([0.9, 0.04, 0.01, 0.03, 0.02])
    assert _q_values(level) == pytest.approx({1: 0.04, 2: 0.04, 3: 0.04, 4: 0.04})
    # .001 * 4 / 1 = .004; .008 * 4 / 2 = .016; .039 * 4 / 3 = .052 but .041 * 4 / 4 = .041 counts for both.
    document = _beyond([0.9, 0.041, 0.001, 0.039, 0.008])
    assert _q_values(document) == pytest.approx({1: 0.041, 2: 0.004, 3: 0.041, 4: 0.016})


def test_q_values_count_what_still_holds_and_change_no_verdict() -> None:
    p_values = [
        0.9,
        0.04,
        0.045,
        0.03,
        0.8,
    ]  # times 4 / rank: .12 for .03, .08 for .04, .06 for .045: none is left
    document = _beyond(p_values)
    assert [result["verdict"] for result in document["results"]] == [
        "chance",
        "holds",
        "holds",
        "holds",
        "chance",
    ]
    assert document["summary"]["exploratory"]["holds"] == 3
    assert document["summary"]["exploratory"]["holds_after_bh"] == 0
    assert document["summary"]["by_claim"]["claim-a"]["exploratory"]["holds_after_bh"] == 0
    clear = _beyond([0.9, 0.001, 0.002, 0.003, 0.8])
    assert clear["summary"]["exploratory"]["holds_after_bh"] == 3


def test_the_largest_p_of_the_decisive_nulls_counts() -> None:
    claim = FakeClaim("claim-a", primary="none")
    nulls = [
        factory.null("easy", p_value=0.001),
        factory.null("hard", p_value=0.02),
        factory.null("shown", p_value=0.7, decisive=False),
    ]
    document = factory.document([factory.result(claim, 0.9, nulls=nulls)], [claim])
    assert document["results"][0]["details"]["q_value"] == pytest.approx(0.02)


def test_subjects_without_p_have_no_q_and_stay_counted() -> None:
    claim = FakeClaim("claim-a", primary="none", decisive=())
    document = factory.document([factory.result(claim, 0.9, nulls=[])], [claim])
    assert "q_value" not in document["results"][0]["details"]
    assert document["summary"]["exploratory"]["holds_after_bh"] == 1


def test_claims_are_corrected_apart() -> None:
    claims = [FakeClaim("claim-a", primary="none"), FakeClaim("claim-b", primary="none")]
    results = [factory.result(claim, 0.9, nulls=[factory.null(p_value=0.03)]) for claim in claims]
    document = factory.document(results, claims)
    assert [result["details"]["q_value"] for result in document["results"]] == pytest.approx([0.03, 0.03])


def _worst(claim: FakeClaim, results: list[Json]) -> Json:
    found: Json = factory.document(results, [claim])["summary"]["by_claim"]["claim-a"]["worst"]
    return found


def test_the_worst_subject_goes_by_verdict_first() -> None:
    claim = FakeClaim("claim-a")
    close = [factory.null(value=0.69, p_value=0.4)]
    results = [
        factory.result(claim, 0.5, layer=0),  # holds by nothing
        factory.result(claim, 0.7, layer=1, nulls=close),  # chance
        factory.result(claim, None, layer=2),
    ]
    assert _worst(claim, results)["id"] == "claim-a/processed/L1"
    results.append(factory.result(claim, 0.49, layer=3))
    assert _worst(claim, results)["id"] == "claim-a/processed/L3"


@pytest.mark.parametrize(("direction", "expected"), [(">=", "L1"), ("<=", "L2")])
def test_then_by_margin_in_the_direction_of_the_claim(direction: str, expected: str) -> None:
    claim = FakeClaim("claim-a", direction=direction, decisive=())
    results = [factory.result(claim, value, layer=layer) for layer, value in enumerate((0.5, 0.2, 0.8))]
    assert _worst(claim, results)["id"] == f"claim-a/processed/{expected}"


def test_primary_subjects_go_before_exploratory_ones() -> None:
    claim = FakeClaim("claim-a", primary="layer-0")
    results = [factory.result(claim, 0.9, layer=0), factory.result(claim, 0.1, layer=1)]
    assert _worst(claim, results) | {"verdict": "holds"} == _worst(claim, results)
    only = FakeClaim("claim-a", primary="none")
    worst = _worst(only, [factory.result(only, 0.9, layer=0), factory.result(only, 0.1, layer=1)])
    assert (worst["primary"], worst["id"]) == (False, "claim-a/processed/L1")


def test_the_hardest_null_is_the_decisive_one_nearest_to_the_value() -> None:
    claim = FakeClaim("claim-a", direction="<=")
    nulls = [
        factory.null("far", 0.9),
        factory.null("near", 0.4),
        factory.null("nearer", 0.31, decisive=False),
    ]
    result = factory.result(claim, 0.3, nulls=nulls)
    found = hardest_null(result)
    assert found is not None
    assert found["name"] == "near"
    assert hardest_null(factory.result(claim, 0.3, nulls=[])) is None
    shown = hardest_null(factory.result(claim, 0.3, nulls=nulls[2:]))
    assert shown is not None
    assert shown["name"] == "nearer"


def test_claims_go_worst_first() -> None:
    names = {"a-holds": 0.9, "b-refuted": 0.1, "c-unchecked": None, "d-chance": 0.7, "e-exploring": 0.1}
    claims = [FakeClaim(name, primary="none" if name == "e-exploring" else "all") for name in names]
    level = [factory.null(value=0.69, p_value=0.4)]
    results = [
        factory.result(claim, names[claim.id], nulls=level if claim.id == "d-chance" else None) for claim in claims
    ]
    by_claim = factory.document(results, claims)["summary"]["by_claim"]
    assert worst_first(by_claim) == ["b-refuted", "e-exploring", "d-chance", "a-holds", "c-unchecked"]


def test_claims_that_were_not_run_are_named() -> None:
    assert factory.everything()["summary"]["not_run"] == ["claim-never-run"]
