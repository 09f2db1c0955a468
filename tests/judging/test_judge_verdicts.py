"""The judge: each verdict, each reason for it, and the edges between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from vsa_checks.judging.claim import Claim
from vsa_checks.judging.judge import ExaminedNothing, judge
from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.report.result_record import not_checked_record, result_record
from vsa_checks.statistics import Interval

MakeClaim = Callable[..., Claim]


def null(value: float = 0.25, p: float = 0.001, opposite: float = 1.0, name: str = "random") -> NullMeasurement:
    return NullMeasurement(name, value, 0.01, 999, p, opposite)


def measured(value: float, *nulls: NullMeasurement, **fields: Any) -> Measurement:
    return Measurement(
        value, **{"interval": Interval(value, value, "neurons"), "n_examined": 10, **fields}, nulls=nulls
    )


@pytest.fixture
def claim(make_claim: MakeClaim) -> Claim:
    """A share of at least .5, to be told from random at p <= .05 by at least .25."""
    return make_claim(alpha=0.05, delta=0.25, decisive=("random",))


@pytest.fixture
def falling(make_claim: MakeClaim) -> Claim:
    """A figure of at most .5, to be told from random at p <= .05 by at least .25."""
    return make_claim(direction="<=", alpha=0.05, delta=0.25, decisive=("random",))


def test_a_threshold_met_and_chance_beaten_holds(claim: Claim, falling: Claim) -> None:
    assert judge(claim, measured(0.8, null(0.2)), 64).verdict == "holds"
    assert judge(falling, measured(0.2, null(0.8)), 64).verdict == "holds"


@pytest.mark.parametrize(
    ("p", "random", "why"),
    [
        (0.051, 0.2, "not told from random"),
        (0.001, 0.6, "only 0.2 beyond random"),
        (0.001, 0.9, "random"),
        (0.9, 0.9, "random"),
    ],
)
def test_a_threshold_met_without_beating_chance_is_chance(claim: Claim, p: float, random: float, why: str) -> None:
    judged = judge(claim, measured(0.8, null(random, p)), 64)
    assert judged.verdict == "chance"
    assert judged.reason.startswith("0.8 meets >= 0.5") and why in judged.reason


@pytest.mark.parametrize(("p", "random"), [(0.051, 0.8), (0.001, 0.4), (0.001, 0.1)])
def test_chance_in_the_falling_direction(falling: Claim, p: float, random: float) -> None:
    judged = judge(falling, measured(0.2, null(random, p)), 64)
    assert judged.verdict == "chance" and judged.reason.startswith("0.2 meets <= 0.5")


def test_every_decisive_null_must_be_beaten(make_claim: MakeClaim) -> None:
    both = make_claim(decisive=("random", "matched"))
    easy, hard = null(0.1), null(0.1, 0.5, name="matched")
    assert judge(both, measured(0.8, easy, null(0.1, name="matched")), 64).verdict == "holds"
    for order in ((easy, hard), (hard, easy)):
        judged = judge(both, measured(0.8, *order), 64)
        assert judged.verdict == "chance"
        assert "matched" in judged.reason and "random" not in judged.reason


def test_a_null_that_is_not_decisive_decides_nothing(claim: Claim) -> None:
    beside = null(0.8, 1.0, name="shuffled")
    assert judge(claim, measured(0.8, null(0.2), beside), 64).verdict == "holds"


def test_a_reference_decides_nothing_where_the_threshold_is_a_number(make_claim: MakeClaim) -> None:
    """Random vectors are VSA's own: to match them is the claim."""
    near = make_claim(direction="<=", threshold=2.0, threshold_unit="1/sqrt(d_model)")
    judged = judge(near, measured(0.125, reference=Reference("random directions", 0.125)), 64)
    assert judged.verdict == "holds" and "random directions: 0.125" in judged.reason


@pytest.mark.parametrize(
    ("p", "opposite", "side"),
    [(0.001, 1.0, "above chance"), (0.3, 0.7, "at chance"), (1.0, 0.001, "below chance")],
)
def test_refuted_says_on_which_side_of_chance_the_value_lies(
    claim: Claim, falling: Claim, p: float, opposite: float, side: str
) -> None:
    judged = judge(claim, measured(0.4, null(0.3, p, opposite)), 64)
    assert judged.verdict == "refuted"
    assert judged.reason.startswith("0.4 does not meet >= 0.5") and side in judged.reason
    mirrored = {"above chance": "below chance", "below chance": "above chance"}.get(side, side)
    other = judge(falling, measured(0.6, null(0.7, p, opposite)), 64)
    assert other.verdict == "refuted"
    assert other.reason.startswith("0.6 does not meet <= 0.5") and mirrored in other.reason


def test_refuted_is_set_against_the_hardest_of_several_nulls(make_claim: MakeClaim) -> None:
    """Far above random directions and no further than the covariance-matched ones is at chance."""
    both = make_claim(decisive=("random", "matched"))
    easy, hard = null(0.1, 0.001, 1.0), null(0.4, 0.5, 0.5, name="matched")
    for order in ((easy, hard), (hard, easy)):
        assert "at chance" in judge(both, measured(0.4, *order), 64).reason


@pytest.mark.parametrize(
    ("low", "high", "side"),
    [(0.55, 0.65, "above chance"), (0.35, 0.65, "at chance"), (0.05, 0.15, "below chance")],
)
def test_refuted_beside_a_reference_only(make_claim: MakeClaim, low: float, high: float, side: str) -> None:
    value = (low + high) / 2
    one = make_claim(threshold=0.9)
    judged = judge(
        one, measured(value, interval=Interval(low, high, "heads"), reference=Reference("Gaussian", 0.4)), 64
    )
    assert judged.verdict == "refuted" and side in judged.reason


def test_refuted_with_nothing_beside_it_says_so(make_claim: MakeClaim) -> None:
    assert "nothing to set it against" in judge(make_claim(), measured(0.1), 64).reason


def test_reasons_word_for_word(make_claim: MakeClaim) -> None:
    """A reason is what a person reads of a verdict: the comparison that was made, and what stands beside it."""
    both = make_claim(decisive=("random", "matched"), alpha=0.05, delta=0.25)
    far, near = null(0.1), null(0.7, name="matched")
    level, other = null(0.6, 0.3), null(0.7, 0.4, name="matched")
    reference = Reference("law", 0.1)
    beside = "random: 0.1, p = 0.001; matched: 0.1, p = 0.001"
    away = null(0.1, name="matched")
    assert [
        judge(both, measurement, 64).reason
        for measurement in (
            measured(0.8, far, away),
            measured(0.8, far, away, reference=reference),
            measured(0.8, far, near),
            measured(0.8, level, near),
            measured(0.8, level, other),
            measured(0.4, far, away),
        )
    ] == [
        f"0.8 meets >= 0.5 ({beside})",
        f"0.8 meets >= 0.5 ({beside}; law: 0.1)",
        "0.8 meets >= 0.5, but lies only 0.1 beyond matched (0.7, p = 0.001), less than 0.25",
        "0.8 meets >= 0.5, but is not told from random (0.6, p = 0.3), and lies only 0.1 beyond matched"
        " (0.7, p = 0.001), less than 0.25",
        "0.8 meets >= 0.5, but is not told from random (0.6, p = 0.3) and matched (0.7, p = 0.4)",
        f"0.4 does not meet >= 0.5: above chance ({beside})",
    ]
    assert judge(make_claim(), measured(0.8), 64).reason == "0.8 meets >= 0.5"
    assert judge(make_claim(), measured(0.1), 64).reason == "0.1 does not meet >= 0.5: nothing to set it against"
    even = make_claim(threshold=0.9, threshold_unit="reference")
    around = Interval(0.05, 0.15, "heads")
    assert judge(even, measured(0.08, interval=around, reference=reference), 64).reason == (
        "0.08 does not meet >= 0.09: at chance (law: 0.1 x 0.9)"
    )
    falling = make_claim(direction="<=", decisive=("random",), alpha=0.05, delta=0.25)
    assert judge(falling, measured(0.3, null(0.4)), 64).reason == (
        "0.3 meets <= 0.5, but lies only 0.1 beyond random (0.4, p = 0.001), less than 0.25"
    )
    assert judge(falling, measured(0.6, null(0.7, 0.3, 0.7)), 64).reason == (
        "0.6 does not meet <= 0.5: at chance (random: 0.7, p = 0.3)"
    )


def test_reasons_on_the_edge_of_chance(make_claim: MakeClaim) -> None:
    """A p of alpha is told from chance and a lead of delta is enough, whatever else stands in the way."""
    both = make_claim(decisive=("random", "matched"), alpha=0.05, delta=0.25)
    on_both, level = null(0.5, 0.05), null(0.1, 0.3, name="matched")
    assert judge(both, measured(0.75, on_both, level), 64).reason == (
        "0.75 meets >= 0.5, but is not told from matched (0.1, p = 0.3)"
    )
    one = make_claim(decisive=("random",), alpha=0.05)
    assert "above chance" in judge(one, measured(0.4, null(0.1, 0.05)), 64).reason
    assert "below chance" in judge(one, measured(0.4, null(0.6, 0.9, 0.05)), 64).reason
    for low, high in ((0.1, 0.3), (0.05, 0.1)):
        touching = measured(0.2, interval=Interval(low, high, "heads"), reference=Reference("law", 0.1))
        assert "at chance" in judge(make_claim(), touching, 64).reason


# --- edges ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("direction", "below", "above"), [(">=", "refuted", "holds"), ("<=", "holds", "refuted")])
def test_a_value_on_the_threshold_meets_it(make_claim: MakeClaim, direction: str, below: str, above: str) -> None:
    one = make_claim(direction=direction, threshold=0.5)
    assert judge(one, measured(0.5), 64).verdict == "holds"
    assert judge(one, measured(math.nextafter(0.5, 0)), 64).verdict == below
    assert judge(one, measured(math.nextafter(0.5, 1)), 64).verdict == above


def test_p_on_alpha_and_a_lead_of_delta_are_enough(claim: Claim, falling: Claim) -> None:
    assert judge(claim, measured(0.75, null(0.5, 0.05)), 64).verdict == "holds"
    assert judge(claim, measured(0.75, null(0.5, math.nextafter(0.05, 1))), 64).verdict == "chance"
    assert judge(claim, measured(0.75, null(math.nextafter(0.5, 1), 0.05)), 64).verdict == "chance"
    assert judge(falling, measured(0.5, null(0.75, 0.05)), 64).verdict == "holds"
    assert judge(falling, measured(0.5, null(math.nextafter(0.75, 0), 0.05)), 64).verdict == "chance"


@pytest.mark.parametrize(
    ("direction", "value", "fragile"),
    [
        (">=", 0.79, False),
        (">=", 0.81, True),  # refuted; 20% lower it would hold
        (">=", 0.99, True),
        (">=", 1.01, True),
        (">=", 1.19, True),  # holds; 20% higher it would not
        (">=", 1.21, False),
        ("<=", 1.21, False),
        ("<=", 1.19, True),
        ("<=", 0.81, True),
        ("<=", 0.79, False),
    ],
)
def test_a_verdict_that_a_fifth_of_the_threshold_turns_is_fragile(
    make_claim: MakeClaim, direction: str, value: float, fragile: bool
) -> None:
    one = make_claim(direction=direction, threshold=1.0)
    assert judge(one, measured(value), 64).fragile is fragile


def test_what_chance_turns_may_be_fragile_too(claim: Claim) -> None:
    at_chance = null(0.45, 0.4)
    assert judge(claim, measured(0.52, at_chance), 64).verdict == "chance"
    assert judge(claim, measured(0.52, at_chance), 64).fragile
    assert judge(claim, measured(0.48, at_chance), 64).fragile
    assert not judge(claim, measured(0.9, at_chance), 64).fragile


# --- thresholds -----------------------------------------------------------------------------------------------


def test_a_threshold_may_be_in_units_of_random_vectors_of_the_models_width(make_claim: MakeClaim) -> None:
    near = make_claim(direction="<=", threshold=2.0, threshold_unit="1/sqrt(d_model)")
    assert judge(near, measured(0.1), 64).threshold == 0.25
    assert judge(near, measured(0.25), 64).verdict == "holds"
    assert judge(near, measured(0.25), 100).verdict == "refuted"


def test_a_threshold_may_be_a_share_of_the_reference(make_claim: MakeClaim) -> None:
    even = make_claim(threshold=0.75, threshold_unit="reference")
    judged = judge(even, measured(0.6, reference=Reference("Gaussian", 0.5)), 64)
    assert (judged.threshold, judged.verdict) == (0.375, "holds")
    assert judge(even, measured(0.374, reference=Reference("Gaussian", 0.5)), 64).verdict == "refuted"
    assert "0.5 x 0.75" in judged.reason


# --- nothing to judge -----------------------------------------------------------------------------------------


def test_one_examined_is_enough(claim: Claim) -> None:
    assert judge(claim, measured(0.9, null(), n_examined=1), 64).verdict == "holds"


@pytest.mark.parametrize(
    "measurement",
    [
        measured(0.9, null(), n_examined=0),
        measured(0.9, null(), n_examined=-1),
        measured(math.nan, null()),
        measured(math.inf, null()),
        measured(0.9, null(math.nan)),
        measured(0.9, null(-math.inf)),
    ],
)
def test_nothing_examined_or_no_number_is_an_error(claim: Claim, measurement: Measurement) -> None:
    with pytest.raises(ExaminedNothing, match="a-claim"):
        judge(claim, measurement, 64)


def test_a_decisive_null_or_reference_that_is_missing_is_an_error(claim: Claim, make_claim: MakeClaim) -> None:
    for value in (0.9, 0.1):
        with pytest.raises(ValueError, match="without its decisive null: random"):
            judge(claim, measured(value, null(name="another")), 64)
    with pytest.raises(ValueError, match="reference, which was not measured"):
        judge(make_claim(threshold_unit="reference"), measured(0.9), 64)


# --- records for results.json ---------------------------------------------------------------------------------


def test_the_record_carries_every_figure(claim: Claim) -> None:
    measurement = measured(
        0.8,
        null(0.2),
        null(0.3, 0.2, name="shuffled"),
        interval=Interval(0.7, 0.9, "neurons"),
        n_excluded=3,
        reference=Reference("law", 0.1),
        details={"by_head": [1, 2]},
    )
    subject = Subject("a-claim", "raw", 15, "W_in", primary=False)
    judged = judge(claim, measurement, 64)
    found = result_record(claim, subject, {"fold_ln": False}, measurement, judged, 1.5)
    same = {"spread": 0.01, "n": 999, "delta": 0.25}
    assert found == {
        "id": "a-claim/raw/L15/W_in",
        "claim": "a-claim",
        "claim_version": 1,
        "section": "3.2",
        "subject": {"basis": "raw", "layer": 15, "matrix": "W_in"},
        "primary": False,
        "basis": "raw",
        "effective_flags": {"fold_ln": False},
        "metric": "share",
        "value": 0.8,
        "ci": {"low": 0.7, "high": 0.9, "level": 0.95, "unit": "neurons"},
        "direction": ">=",
        "threshold": 0.5,
        "threshold_origin": "ours",
        "reference": {"name": "law", "value": 0.1},
        "nulls": [
            {"name": "random", "decisive": True, "value": 0.2, "p_value": 0.001} | same,
            {"name": "shuffled", "decisive": False, "value": 0.3, "p_value": 0.2} | same,
        ],
        "n_examined": 10,
        "n_excluded": 3,
        "verdict": "holds",
        "fragile": False,
        "reason": judged.reason,
        "recorded": None,
        "details": {"by_head": [1, 2]},
        "duration_s": 1.5,
    }


def test_the_record_of_what_was_not_checked_has_no_figures(claim: Claim) -> None:
    found = not_checked_record(claim, Subject("a-claim", "raw"), {"fold_ln": True}, "there is none", 0.1)
    assert (found["effective_flags"], found["n_excluded"], found["duration_s"]) == ({"fold_ln": True}, 0, 0.1)
    assert (found["verdict"], found["reason"], found["id"]) == ("not-checked", "there is none", "a-claim/raw")
    assert found["value"] is found["ci"] is found["n_examined"] is found["reference"] is None
    assert found["nulls"] == [] and not found["fragile"]
    measured_keys = result_record(
        claim, Subject("a-claim", "raw"), {}, measured(0.8, null()), judge(claim, measured(0.8, null()), 4), 0.1
    ).keys()
    assert found.keys() == measured_keys
