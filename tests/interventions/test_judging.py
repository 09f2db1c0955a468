"""The rule that judges losses: windows and draws both count, and a verdict that hangs on the draw is none."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from vsa_checks.interventions.crossed import crossed_mean
from vsa_checks.interventions.judging import CARRIES, DRAWS, NOT, UNKNOWN, Sides, judge_idealised, judge_spoiled

N = 16
WINDOWS = Sides("windows", np.ones(N))
ABLATED = 1.0
IDEALISED = {
    "free, and nulls are dear": (0.01, 0.6, ABLATED, 1.0, CARRIES),
    "no better than a null": (0.3, 0.3, ABLATED, 1.0, NOT),
    "better than a null, but not by far": (0.2, 0.5, ABLATED, 1.0, NOT),
    "worse than half of ablation": (0.7, 2.0, ABLATED, 1.0, NOT),
    "nulls are cheap as well": (0.0, 0.005, ABLATED, 1.0, UNKNOWN),
    "dearer than a cheap null, but by little": (0.1, 0.005, ABLATED, 1.0, UNKNOWN),
    "worse than half of ablation, whatever nulls cost": (0.7, 0.0, ABLATED, 1.0, NOT),
    "ablation is free": (0.01, 0.6, 0.0, 1.0, UNKNOWN),
    "the model knows nothing": (0.01, 0.6, ABLATED, -0.1, UNKNOWN),
}
SPOILED = {
    "dearer than a null": (0.6, 0.2, ABLATED, 1.0, CARRIES),
    "no dearer than a null": (0.3, 0.3, ABLATED, 1.0, NOT),
    "hardly a change": (0.005, 0.0, ABLATED, 1.0, UNKNOWN),
}


def _table(mean: float, draws: int, seed: int, by_draw: float = 0.01) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    own = by_draw * rng.standard_normal((draws, 1)) if draws > 1 else 0.0
    return mean + 0.01 * rng.standard_normal(N) + own + 0.01 * rng.standard_normal((draws, N))


@pytest.mark.parametrize("case", [*IDEALISED, *SPOILED])
def test_verdicts(case: str) -> None:
    cost, null, ablated, skill, verdict = (IDEALISED | SPOILED)[case]
    nulls = _table(null, DRAWS, 1)
    # One null decides: the other is the easier to beat.
    both = {"this": nulls, "easier": nulls + (1.0 if case in IDEALISED else -0.1)}
    judge = judge_idealised if case in IDEALISED else judge_spoiled
    for draws in (1, DRAWS):  # a change may be random itself
        gone, known = _table(ablated, 1, 3), _table(skill, 1, 4)
        ruling = judge(_table(cost, draws, 2), both, gone, known, WINDOWS)
        assert ruling.verdict == verdict, ruling.reason


def test_ten_seeds_never_say_carries_and_does_not_carry() -> None:
    """Nulls whose draws differ far more than windows do, about the very bar: one draw alone says either."""
    gone, skill = np.full((1, N), 10.0), np.ones((1, N))
    found, alone = set(), set()
    for seed in range(10):
        null = _table(1.0, DRAWS, seed, by_draw=0.5)
        cost = np.full((1, N), 0.25)
        found.add(judge_idealised(cost, {"a null": null}, gone, skill, WINDOWS).verdict)
        alone.add(judge_idealised(cost, {"a null": np.tile(null[:1], (DRAWS, 1))}, gone, skill, WINDOWS).verdict)
    assert alone >= {CARRIES, NOT}
    assert not found >= {CARRIES, NOT} and UNKNOWN in found


def test_draws_that_disagree_and_few_windows_cannot_tell() -> None:
    gone, skill = np.full((1, N), 3.0), np.ones((1, N))
    table = np.tile(np.array([[1.0], [1.0], [1.0], [1.01], [-0.001]]), (1, N))
    mean = WINDOWS.mean(table + 1.0)
    assert mean.above and not mean.below  # all draws beyond zero
    assert not WINDOWS.mean(table).above and not WINDOWS.mean(-table).below
    few = Sides("windows", np.ones(5))
    ruling = judge_idealised(np.zeros((1, 5)), {"a null": np.ones((DRAWS, 5))}, gone[:, :5], skill[:, :5], few)
    assert ruling.verdict == UNKNOWN and "only 5 windows" in ruling.reason
    for nulls in ({}, {"a null": np.ones((DRAWS - 1, N))}):
        with pytest.raises(ValueError, match="without a null, or with fewer than 5 draws"):
            judge_spoiled(np.ones((1, N)), nulls, gone, skill, WINDOWS)


def test_of_one_draw_the_interval_is_students() -> None:
    values = np.random.default_rng(0).standard_normal(9)
    found = crossed_mean(values[None], np.ones(9), "windows")
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
    # Constant values are known exactly; one window is not.
    assert crossed_mean(np.ones((5, 3)), np.ones(3), "windows").interval.low == 1.0
    with pytest.raises(ValueError, match="two are needed"):
        crossed_mean(np.ones((5, 1)), np.ones(1), "windows")


def test_each_token_counts_alike() -> None:
    """A window of 30 tokens at a loss of 1 and one of 10 at 5 are 80 nats in 40 tokens."""
    found = crossed_mean(np.array([[1.0, 5.0]]), np.array([30.0, 10.0]), "windows")
    assert found.value == pytest.approx(2.0)
    # The linearised variance of a ratio: sum of (weight * (loss - 2))^2 over n (n - 1), of weights about one.
    half = np.sqrt(((1.5 * -1) ** 2 + (0.5 * 3) ** 2) / 2) * scipy.stats.t.ppf(0.975, 1)
    assert found.interval.high - 2.0 == pytest.approx(half)


@pytest.mark.parametrize(("by_window", "by_draw", "rest"), [(1.0, 1.0, 1.0), (0.1, 1.0, 0.3), (1.0, 0.1, 0.3)])
def test_intervals_of_eight_windows_and_five_draws_cover(by_window: float, by_draw: float, rest: float) -> None:
    rng, hits, n = np.random.default_rng(7), 0, 600
    for _ in range(n):
        table = by_window * rng.standard_normal(8) + by_draw * rng.standard_normal((5, 1))
        found = crossed_mean(table + rest * rng.standard_normal((5, 8)), np.ones(8), "windows").interval
        hits += found.low < 0 < found.high
    assert 0.93 < hits / n < 0.99
