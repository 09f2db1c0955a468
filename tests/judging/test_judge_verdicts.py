"""The judge: each verdict, each reason for it, and the edges between them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from tests.claims_at_hand import a_claim
from vsa_checks.judging.judge import ExaminedNothing, judge, near_margin
from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.report.result_record import not_checked_record, result_record
from vsa_checks.statistics import Interval


def null(
    value: float = 0.25, p: float = 0.001, opposite: float = 1.0, name: str = "random", n: int | None = 999
) -> NullMeasurement:
    return NullMeasurement(name, value, 0.01, n, p, opposite)


def measured(value: float, *nulls: NullMeasurement, **fields: Any) -> Measurement:
    return Measurement(
        value, **{"interval": Interval(value, value, "neurons"), "n_examined": 10, **fields}, nulls=nulls
    )


RISING = a_claim(alpha=0.05, delta=0.25, decisive=("random",))
"""A share of at least .5, to be told from random at p <= .05 by at least .25."""
FALLING = replace(RISING, direction="<=")
BOTH = replace(RISING, decisive=("random", "matched"))


def test_a_threshold_met_and_chance_beaten_holds() -> None:
    assert judge(RISING, measured(0.8, null(0.2)), 64).verdict == "holds"
    assert judge(FALLING, measured(0.2, null(0.8)), 64).verdict == "holds"


@pytest.mark.parametrize(("p", "random"), [(0.051, 0.2), (0.001, 0.6), (0.001, 0.9), (0.9, 0.9)])
def test_a_threshold_met_without_beating_chance_is_chance(p: float, random: float) -> None:
    assert judge(RISING, measured(0.8, null(random, p)), 64).verdict == "chance"
    assert judge(FALLING, measured(0.2, null(1 - random, p)), 64).verdict == "chance"


def test_every_decisive_null_must_be_beaten_and_no_other() -> None:
    easy, hard = null(0.1), null(0.1, 0.5, name="matched")
    assert judge(BOTH, measured(0.8, easy, null(0.1, name="matched")), 64).verdict == "holds"
    for order in ((easy, hard), (hard, easy)):
        assert judge(BOTH, measured(0.8, *order), 64).verdict == "chance"
        assert judge(RISING, measured(0.8, *order), 64).verdict == "holds"


def test_a_reference_decides_nothing_where_the_threshold_is_a_number() -> None:
    """Random vectors are VSA's own: to match them is the claim."""
    near = a_claim(direction="<=", threshold=2.0, threshold_unit="1/sqrt(d_model)")
    judged = judge(near, measured(0.125, reference=Reference("random directions", 0.125)), 64)
    assert judged.verdict == "holds" and "random directions: 0.125" in judged.reason


@pytest.mark.parametrize(
    ("p", "opposite", "side"), [(0.001, 1.0, "above chance"), (0.3, 0.7, "at chance"), (1.0, 0.001, "below chance")]
)
def test_refuted_says_on_which_side_of_chance_the_value_lies(p: float, opposite: float, side: str) -> None:
    judged = judge(RISING, measured(0.4, null(0.3, p, opposite)), 64)
    assert judged.verdict == "refuted"
    assert judged.reason.startswith("0.4 does not meet >= 0.5") and side in judged.reason
    mirrored = {"above chance": "below chance", "below chance": "above chance"}.get(side, side)
    other = judge(FALLING, measured(0.6, null(0.7, p, opposite)), 64)
    assert other.verdict == "refuted"
    assert other.reason.startswith("0.6 does not meet <= 0.5") and mirrored in other.reason


def test_refuted_is_set_against_the_hardest_of_several_nulls() -> None:
    """Far above random directions and no further than the covariance-matched ones is at chance."""
    easy, hard = null(0.1, 0.001, 1.0), null(0.4, 0.5, 0.5, name="matched")
    for order in ((easy, hard), (hard, easy)):
        assert "at chance" in judge(BOTH, measured(0.4, *order), 64).reason


@pytest.mark.parametrize(
    ("low", "high", "side"), [(0.55, 0.65, "above chance"), (0.35, 0.65, "at chance"), (0.05, 0.15, "below chance")]
)
def test_refuted_beside_a_reference_only(low: float, high: float, side: str) -> None:
    beside = Reference("Gaussian", 0.4)
    measurement = measured((low + high) / 2, interval=Interval(low, high, "heads"), reference=beside)
    judged = judge(a_claim(threshold=0.9), measurement, 64)
    assert judged.verdict == "refuted" and side in judged.reason


def test_a_null_that_is_only_shown_says_on_which_side_of_chance_a_value_lies() -> None:
    """Better than the interval, which tells how heads differ and not how chance does."""
    wide = {"interval": Interval(0.1, 0.9, "heads"), "reference": Reference("Gaussian", 0.6)}
    for p, opposite, side in ((1.0, 0.001, "below"), (0.001, 1.0, "above"), (0.4, 0.6, "at")):
        reason = judge(a_claim(alpha=0.05), measured(0.2, null(0.6, p, opposite), **wide), 64).reason
        assert reason == f"0.2 does not meet >= 0.5: {side} chance (Gaussian: 0.6)"


def test_reasons_word_for_word() -> None:
    """A reason is what a person reads of a verdict: the comparison that was made, and what stands beside it."""
    far, near = null(0.1), null(0.7, name="matched")
    level, other = null(0.6, 0.3), null(0.7, 0.4, name="matched")
    reference = Reference("law", 0.1)
    beside = "random: 0.1, p = 0.001; matched: 0.1, p = 0.001"
    away = null(0.1, name="matched")
    assert [
        judge(BOTH, measurement, 64).reason
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
    assert judge(a_claim(), measured(0.8), 64).reason == "0.8 meets >= 0.5"
    assert judge(a_claim(), measured(0.1), 64).reason == "0.1 does not meet >= 0.5: nothing to set it against"
    even = a_claim(threshold=0.9, threshold_unit="reference")
    around = Interval(0.05, 0.15, "heads")
    assert judge(even, measured(0.08, interval=around, reference=reference), 64).reason == (
        "0.08 does not meet >= 0.09: at chance (law: 0.1 x 0.9)"
    )
    assert judge(FALLING, measured(0.3, null(0.4)), 64).reason == (
        "0.3 meets <= 0.5, but lies only 0.1 beyond random (0.4, p = 0.001), less than 0.25"
    )
    assert judge(FALLING, measured(0.6, null(0.7, 0.3, 0.7)), 64).reason == (
        "0.6 does not meet <= 0.5: at chance (random: 0.7, p = 0.3)"
    )


def test_reasons_on_the_edge_of_chance() -> None:
    """A p of alpha is told from chance and a lead of delta is enough, whatever else stands in the way."""
    on_both, level = null(0.5, 0.05), null(0.1, 0.3, name="matched")
    assert judge(BOTH, measured(0.75, on_both, level), 64).reason == (
        "0.75 meets >= 0.5, but is not told from matched (0.1, p = 0.3)"
    )
    one = a_claim(decisive=("random",), alpha=0.05)
    assert "above chance" in judge(one, measured(0.4, null(0.1, 0.05)), 64).reason
    assert "below chance" in judge(one, measured(0.4, null(0.6, 0.9, 0.05)), 64).reason
    for low, high in ((0.1, 0.3), (0.05, 0.1)):
        touching = measured(0.2, interval=Interval(low, high, "heads"), reference=Reference("law", 0.1))
        assert "at chance" in judge(a_claim(), touching, 64).reason


# --- edges ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("direction", "below", "above"), [(">=", "refuted", "holds"), ("<=", "holds", "refuted")])
def test_a_value_on_the_threshold_meets_it(direction: str, below: str, above: str) -> None:
    one = a_claim(direction=direction, threshold=0.5)
    assert judge(one, measured(0.5), 64).verdict == "holds"
    assert judge(one, measured(math.nextafter(0.5, 0)), 64).verdict == below
    assert judge(one, measured(math.nextafter(0.5, 1)), 64).verdict == above


def test_p_on_alpha_and_a_lead_of_delta_are_enough() -> None:
    assert judge(RISING, measured(0.75, null(0.5, 0.05)), 64).verdict == "holds"
    assert judge(RISING, measured(0.75, null(0.5, math.nextafter(0.05, 1))), 64).verdict == "chance"
    assert judge(RISING, measured(0.75, null(math.nextafter(0.5, 1), 0.05)), 64).verdict == "chance"
    assert judge(FALLING, measured(0.5, null(0.75, 0.05)), 64).verdict == "holds"
    assert judge(FALLING, measured(0.5, null(math.nextafter(0.75, 0), 0.05)), 64).verdict == "chance"


@pytest.mark.parametrize("direction", ["<=", ">="])
def test_a_verdict_that_a_fifth_of_the_threshold_turns_is_fragile(direction: str) -> None:
    one = a_claim(direction=direction, threshold=1.0)
    found = {value: judge(one, measured(value), 64).fragile for value in (0.79, 0.81, 0.99, 1.01, 1.19, 1.21)}
    assert found == {0.79: False, 0.81: True, 0.99: True, 1.01: True, 1.19: True, 1.21: False}


def test_what_chance_turns_may_be_fragile_too() -> None:
    for value, fragile in ((0.52, True), (0.48, True), (0.9, False)):
        assert judge(RISING, measured(value, null(0.45, 0.4)), 64).fragile is fragile


def test_a_verdict_that_a_fifth_of_delta_turns_is_fragile() -> None:
    """RISING asks for a lead of .25, which moves between .2 and .3; the threshold of .5 is far."""
    found = {lead: judge(RISING, measured(0.9, null(0.9 - lead)), 64) for lead in (0.19, 0.21, 0.26, 0.29, 0.31)}
    assert {lead: one.fragile for lead, one in found.items()} == {
        0.19: False,
        0.21: True,
        0.26: True,
        0.29: True,
        0.31: False,
    }
    assert judge(FALLING, measured(0.1, null(0.36)), 64).fragile


# --- other random numbers -------------------------------------------------------------------------------------


def test_other_draws_change_no_verdict_and_tell_whether_it_is_settled() -> None:
    won, lost, missed = measured(0.8, null(0.2)), measured(0.8, null(0.7)), measured(0.4, null(0.2))
    judged = judge(RISING, won, 64, [won, lost, lost, missed])
    assert (judged.verdict, judged.unsettled) == ("holds", True)
    assert judged.by_verdict == {"holds": 2, "chance": 2, "refuted": 1}
    assert judge(RISING, won, 64) == judge(RISING, won, 64, [])
    alone = judge(RISING, won, 64, [won, won])
    assert (alone.unsettled, alone.by_verdict) == (False, {"holds": 3})


def test_each_draw_has_its_own_reference() -> None:
    even = a_claim(threshold=0.75, threshold_unit="reference")
    draws = [measured(0.6, reference=Reference("Gaussian", value)) for value in (0.5, 0.79, 0.81)]
    assert judge(even, draws[0], 64, draws[1:]).by_verdict == {"holds": 2, "refuted": 1}


def test_a_draw_that_examined_nothing_is_an_error() -> None:
    with pytest.raises(ExaminedNothing):
        judge(RISING, measured(0.8, null(0.2)), 64, [measured(0.8, null(0.2), n_examined=0)])


NEAR = {
    # the threshold is .5, alpha .05, delta .25; a null's spread is .01
    "value near the threshold": (measured(0.51, null(0.1)), True),
    "the same on the other side": (measured(0.49, null(0.1)), True),
    "far below the threshold": (measured(0.3, null(0.1)), False),
    "far above all": (measured(0.9, null(0.1, 0.0001)), False),
    "p a little below alpha": (measured(0.9, null(0.1, 0.03)), True),
    "p a little above alpha": (measured(0.9, null(0.1, 0.09)), True),
    "p far above alpha": (measured(0.9, null(0.1, 0.4)), True),
    "p of a null that is rather ahead": (measured(0.9, null(0.1, 0.6)), False),
    "p far below alpha": (measured(0.9, null(0.1, 0.002)), True),
    "p beyond what other draws give": (measured(0.9, null(0.1, 0.0009)), False),
    "p of a law, not of draws": (measured(0.9, null(0.1, 0.03, n=None)), False),
    "p as small as 39 draws allow": (measured(0.9, null(0.1, 1 / 40, n=39)), False),
    "p as small as 19 draws allow, which is alpha": (measured(0.9, null(0.1, 1 / 20, n=19)), True),
    "lead just below delta": (measured(0.9, null(0.66)), True),
    "lead just above delta": (measured(0.9, null(0.64)), True),
    "lead far below delta, p near alpha": (measured(0.9, null(0.8, 0.04)), False),
}


@pytest.mark.parametrize("case", NEAR)
def test_a_measurement_is_near_a_margin_where_another_draw_may_turn_it(case: str) -> None:
    measurement, near = NEAR[case]
    assert near_margin(RISING, measurement, 64) is near


@pytest.mark.parametrize(("moves", "near"), [((0.001,), False), ((0.001, -0.003), True), ((0.0, 0.0), False)])
def test_other_draws_that_hardly_move_the_value_settle_a_verdict_near_the_threshold(
    moves: tuple[float, ...], near: bool
) -> None:
    redrawn = [measured(0.51 + move, null(0.1)) for move in moves]
    assert near_margin(RISING, measured(0.51, null(0.1)), 64, redrawn) is near


def test_other_draws_that_move_threshold_and_value_alike_change_nothing() -> None:
    even = a_claim(threshold=0.5, threshold_unit="reference")
    first, second = (measured(v, reference=Reference("Gaussian", 2 * v - 0.02)) for v in (0.51, 0.55))
    assert near_margin(even, first, 64) and not near_margin(even, first, 64, [second])


def test_a_narrow_null_is_not_settled_by_draws_of_the_value() -> None:
    assert near_margin(RISING, measured(0.9, null(0.66)), 64, [measured(0.9, null(0.66))] * 2)


def test_a_null_that_is_clearly_not_beaten_settles_the_verdict() -> None:
    narrow, beaten, lost = null(0.1, 0.04), null(0.1, 0.0001, name="matched"), null(0.85, 0.5, name="matched")
    assert near_margin(BOTH, measured(0.9, narrow, beaten), 64)
    assert not near_margin(BOTH, measured(0.9, narrow, lost), 64)


# --- thresholds -----------------------------------------------------------------------------------------------


def test_a_threshold_may_be_in_units_of_random_vectors_of_the_models_width() -> None:
    near = a_claim(direction="<=", threshold=2.0, threshold_unit="1/sqrt(d_model)")
    assert judge(near, measured(0.1), 64).threshold == 0.25
    assert judge(near, measured(0.25), 64).verdict == "holds"
    assert judge(near, measured(0.25), 100).verdict == "refuted"


def test_a_threshold_may_be_a_share_of_the_reference() -> None:
    even = a_claim(threshold=0.75, threshold_unit="reference")
    judged = judge(even, measured(0.6, reference=Reference("Gaussian", 0.5)), 64)
    assert (judged.threshold, judged.verdict) == (0.375, "holds")
    assert judge(even, measured(0.374, reference=Reference("Gaussian", 0.5)), 64).verdict == "refuted"
    assert "0.5 x 0.75" in judged.reason


# --- nothing to judge -----------------------------------------------------------------------------------------


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
def test_nothing_examined_or_no_number_is_an_error(measurement: Measurement) -> None:
    with pytest.raises(ExaminedNothing, match="a-claim"):
        judge(RISING, measurement, 64)
    assert judge(RISING, measured(0.9, null(), n_examined=1), 64).verdict == "holds"


def test_a_decisive_null_or_reference_that_is_missing_is_an_error() -> None:
    for value in (0.9, 0.1):
        with pytest.raises(ValueError, match="without its decisive null: random"):
            judge(RISING, measured(value, null(name="another")), 64)
    with pytest.raises(ValueError, match="reference, which was not measured"):
        judge(a_claim(threshold_unit="reference"), measured(0.9), 64)


# --- records for results.json ---------------------------------------------------------------------------------


def test_the_record_carries_every_number() -> None:
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
    judged = judge(RISING, measurement, 64)
    found = result_record(RISING, subject, {"fold_ln": False}, measurement, judged, 1.5)
    same = {"spread": 0.01, "n": 999, "delta": 0.25}
    assert found == {
        "id": "a-claim/raw/L15/W_in",
        "claim": "a-claim",
        "claim_version": 1,
        "section": "3.2",
        "subject": {"basis": "raw", "layer": 15, "expert": None, "matrix": "W_in"},
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
        "unsettled": False,
        "twin": None,
        "reason": judged.reason,
        "recorded": None,
        "details": {"by_head": [1, 2]},
        "duration_s": 1.5,
    }


def test_the_record_of_what_was_not_checked_has_no_numbers() -> None:
    found = not_checked_record(RISING, Subject("a-claim", "raw"), {"fold_ln": True}, "there is none", 0.1)
    assert (found["effective_flags"], found["n_excluded"], found["duration_s"]) == ({"fold_ln": True}, 0, 0.1)
    assert (found["verdict"], found["reason"], found["id"]) == ("not-checked", "there is none", "a-claim/raw")
    assert found["value"] is found["ci"] is found["n_examined"] is found["reference"] is None
    assert found["nulls"] == [] and not found["fragile"]
    measured_keys = result_record(
        RISING, Subject("a-claim", "raw"), {}, measured(0.8, null()), judge(RISING, measured(0.8, null()), 4), 0.1
    ).keys()
    assert found.keys() == measured_keys
