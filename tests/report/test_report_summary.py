"""Counts, the worst subject, and Benjamini-Hochberg."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from tests.report import factory
from tests.report.factory import Json, null, plain, result, told
from vsa_checks.judging.claim import Claim
from vsa_checks.judging.judge import VERDICTS
from vsa_checks.report.document import ReportError, validate
from vsa_checks.report.summary import hardest_null, worst_first


def test_counts_equal_a_recount(large_document: Json) -> None:
    results, summary = large_document["results"], large_document["summary"]
    summaries = {None: summary, **summary["by_claim"]}
    for claim, entry in summaries.items():
        for kind in ("primary", "exploratory"):
            chosen = [r for r in results if r["primary"] is (kind == "primary") and claim in (None, r["claim"])]
            counter = Counter(r["verdict"] for r in chosen)
            assert {v: entry[kind][v] for v in VERDICTS} == {v: counter[v] for v in VERDICTS}
    assert sum(summary[kind][v] for kind in ("primary", "exploratory") for v in VERDICTS) == len(results)
    assert factory.everything()["summary"]["not_run"] == ["claim-never-run"]


# --- Benjamini-Hochberg ---------------------------------------------------------------------------------------


def beyond(*p_values: float) -> Json:
    """A document of one claim at alpha .05 whose layers carry these p-values; layer 0 is primary."""
    claim = told(primary="layer-0", alpha=0.05)
    results = [result(claim, 0.9, layer=layer, nulls=[null(p_value=p)]) for layer, p in enumerate(p_values)]
    return factory.document(results, [claim])


@pytest.mark.parametrize(
    ("p_values", "q_values"),
    [
        # of four, sorted .01 .02 .03 .04, p * 4 / rank is .04 each
        ((0.04, 0.01, 0.03, 0.02), (0.04, 0.04, 0.04, 0.04)),
        # .001 * 4 / 1 = .004; .008 * 4 / 2 = .016; .039 * 4 / 3 = .052 but .041 * 4 / 4 = .041 counts for both
        ((0.041, 0.001, 0.039, 0.008), (0.041, 0.004, 0.041, 0.016)),
    ],
)
def test_benjamini_hochberg_equals_the_sum_by_hand(p_values: Iterable[float], q_values: Iterable[float]) -> None:
    results = beyond(0.9, *p_values)["results"]
    assert [one["details"].get("q_value") for one in results] == [None, *map(pytest.approx, q_values)]


def test_q_values_count_what_still_holds_and_change_no_verdict() -> None:
    # times 4 / rank: .12 for .03, .08 for .04, .06 for .045: none is left
    document = beyond(0.9, 0.04, 0.045, 0.03, 0.8)
    assert [one["verdict"] for one in document["results"]] == ["chance", "holds", "holds", "holds", "chance"]
    for entry in (document["summary"], document["summary"]["by_claim"]["claim-a"]):
        assert (entry["exploratory"]["holds"], entry["exploratory"]["holds_after_bh"]) == (3, 0)
    assert beyond(0.9, 0.001, 0.002, 0.003, 0.8)["summary"]["exploratory"]["holds_after_bh"] == 3


def test_each_claim_is_corrected_apart_by_the_largest_p_of_its_decisive_nulls() -> None:
    claims = [
        told("claim-a", primary="none", decisive=("easy", "hard")),
        told("claim-b", primary="none"),
        plain("claim-c", primary="none"),
    ]
    nulls = [null("easy", p_value=0.001), null("hard", p_value=0.02), null("shown", p_value=0.7)]
    results = [result(claims[0], nulls=nulls), result(claims[1], nulls=[null(p_value=0.03)]), result(claims[2])]
    document = factory.document(results, claims)
    found = [one["details"].get("q_value") for one in document["results"]]
    assert found == [pytest.approx(0.02), pytest.approx(0.03), None]
    by_claim = document["summary"]["by_claim"]
    assert by_claim["claim-c"]["exploratory"]["holds_after_bh"] == 1, "without p there is no q, and it stays counted"


def test_primary_subjects_are_corrected_for_their_number_too() -> None:
    """Of four at alpha .05 the least p must be within .0125, the next within .0167, and so on."""

    def counted(*p_values: float, **changes: Any) -> Json | None:
        claim = told(primary="all", alpha=0.05, **changes)
        results = [result(claim, 0.9, layer=layer, nulls=[null(p_value=p)]) for layer, p in enumerate(p_values)]
        found: Json | None = factory.document(results, [claim])["summary"]["by_claim"]["claim-a"].get(
            "corrected_for_number"
        )
        return found

    assert counted(0.04, 0.002, 0.02, 0.9) == {
        "n": 4, "told_apart": 3, "told_apart_after_holm": 1, "holds": 3, "holds_after_holm": 1,
    }  # fmt: skip
    assert counted(0.001, 0.002, 0.003) == {
        "n": 3, "told_apart": 3, "told_apart_after_holm": 3, "holds": 3, "holds_after_holm": 3,
    }  # fmt: skip
    # A value that misses its threshold may be told from chance.
    missed = counted(0.001, 0.002, threshold=0.95)
    assert missed is not None and (missed["told_apart_after_holm"], missed["holds_after_holm"]) == (2, 0)
    assert counted(0.001) is None


def test_a_run_from_before_the_correction_is_read() -> None:
    document = factory.document(
        [result(told(primary="all"), layer=at, nulls=[null(p_value=0.001)]) for at in range(3)], [told(primary="all")]
    )
    entry = document["summary"]["by_claim"]["claim-a"]
    entry["corrected_for_number"]["told_apart"] = 1
    with pytest.raises(ReportError, match="told_apart: 1 is stated, but the results give 3"):
        validate(document)
    del entry["corrected_for_number"]
    validate(document)


# --- the worst ------------------------------------------------------------------------------------------------


def worst(claim: Claim, results: list[Json]) -> Json:
    found: Json = factory.document(results, [claim])["summary"]["by_claim"]["claim-a"]["worst"]
    return found


def test_the_worst_subject_goes_by_verdict_first() -> None:
    claim = told()
    results = [
        result(claim, 0.5, layer=0),  # holds by nothing
        result(claim, 0.7, layer=1, nulls=[null(value=0.69, p_value=0.4)]),  # chance
        result(claim, None, layer=2),
    ]
    assert worst(claim, results)["id"] == "claim-a/processed/L1"
    results.append(result(claim, 0.49, layer=3))
    assert worst(claim, results)["id"] == "claim-a/processed/L3"


@pytest.mark.parametrize(("direction", "expected"), [(">=", "L1"), ("<=", "L2")])
def test_then_by_margin_in_the_direction_of_the_claim(direction: str, expected: str) -> None:
    claim = plain(direction=direction)
    results = [result(claim, value, layer=layer) for layer, value in enumerate((0.5, 0.2, 0.8))]
    assert worst(claim, results)["id"] == f"claim-a/processed/{expected}"


def test_primary_subjects_go_before_exploratory_ones() -> None:
    for primary, layer in (("layer-0", 0), ("none", 1)):
        claim = told(primary=primary)
        found = worst(claim, [result(claim, 0.9, layer=0), result(claim, 0.1, layer=1)])
        assert (found["primary"], found["id"]) == (layer == 0, f"claim-a/processed/L{layer}")


def test_the_hardest_null_is_the_decisive_one_nearest_to_the_value() -> None:
    claim = told(direction="<=", decisive=("far", "near"))
    nulls = [null("far", 0.9), null("near", 0.4), null("nearer", 0.31)]
    decisive = hardest_null(result(claim, 0.3, nulls=nulls), 0.01)
    shown = hardest_null(result(plain(direction="<="), 0.3, nulls=nulls), None)
    assert decisive is not None and decisive["name"] == "near"
    assert shown is not None and shown["name"] == "nearer"
    assert hardest_null(result(plain(), 0.3), None) is None


def test_the_hardest_null_is_the_one_that_decides() -> None:
    claim = told(decisive=("a", "b", "c"), delta=0.05)

    def name(*nulls: tuple[str, float, float]) -> str:
        found = hardest_null(result(claim, 0.9, nulls=[null(name, value, p) for name, value, p in nulls]), 0.01)
        assert found is not None
        return str(found["name"])

    assert name(("a", 0.8, 0.001), ("b", 0.5, 0.3), ("c", 0.2, 0.02)) == "b", "nearer, yet beaten: a"
    assert name(("a", 0.88, 0.001), ("b", 0.5, 0.009), ("c", 0.2, 0.005)) == "a", "by less than delta"
    assert name(("a", 0.8, 0.001), ("b", 0.5, 0.009), ("c", 0.2, 0.005)) == "b", "all beaten: the largest p"
    assert name(("a", 0.2, 0.001), ("b", 0.5, 0.001), ("c", 0.3, 0.001)) == "b", "then the smallest lead"


def test_a_run_that_shows_another_null_of_its_worst_subject_is_read() -> None:
    claim = told(decisive=("a", "b"))
    document = factory.document([result(claim, 0.9, nulls=[null("a", 0.8, 0.001), null("b", 0.5, 0.3)])], [claim])
    shown = document["summary"]["by_claim"]["claim-a"]["worst"]["null"]
    assert shown["name"] == "b"
    shown.update(name="a", value=0.8, p_value=0.001)
    validate(document)
    shown["value"] = 0.7
    with pytest.raises(ReportError, match=r"worst\.null\.name"):
        validate(document)


def test_claims_go_worst_first() -> None:
    names = {"a-holds": 0.9, "b-refuted": 0.1, "c-unchecked": None, "d-chance": 0.7, "e-exploring": 0.1}
    claims = [told(name, primary="none" if name == "e-exploring" else "all") for name in names]
    level = [null(value=0.69, p_value=0.4)]
    results = [result(claim, names[claim.id], nulls=level if claim.id == "d-chance" else None) for claim in claims]
    by_claim = factory.document(results, claims)["summary"]["by_claim"]
    assert worst_first(by_claim) == ["b-refuted", "e-exploring", "d-chance", "a-holds", "c-unchecked"]
