"""Intervals, p values and random streams: by hand, by another of scipy's routes, and by simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.oracles import Rows
from vsa_checks.statistics import (
    bootstrap,
    bootstrap_groups,
    bootstrap_pairs,
    holm,
    relabelled_differences,
    share_p,
    sign_flips,
    stream,
    tail_p,
)


def test_the_interval_of_a_mean_has_the_width_of_its_law() -> None:
    """For 400 Gaussian values it is the mean +- 1.96 s / sqrt(n), to a few percent (90% would be 16% narrower)."""
    values = np.random.default_rng(0).standard_normal(400) + 3
    found = bootstrap(values, "tokens", np.random.default_rng(1))
    error = values.std(ddof=1) / np.sqrt(400)
    assert (found.level, found.unit) == (0.95, "tokens")
    assert (found.high - found.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.08)
    assert (found.low + found.high) / 2 == pytest.approx(values.mean(), abs=0.3 * error)


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(statistic: np.ufunc) -> None:
    """Of 200 intervals over 40 values, between 89% and 98.5% cover (four standard errors below .95)."""
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        found = bootstrap(rng.standard_normal(40), "neurons", rng, statistic)
        covered += found.low <= 0 <= found.high
    assert 0.89 <= covered / 200 <= 0.985


def test_values_without_spread_give_no_width_and_no_values_an_error() -> None:
    for values in ([2.5], [2.5, 2.5, 2.5]):
        found = bootstrap(values, "heads", np.random.default_rng(0))
        assert (found.low, found.high, found.unit) == (2.5, 2.5, "heads")
    with pytest.raises(ValueError, match="no values"):
        bootstrap([], "heads", np.random.default_rng(0))


def test_the_bootstrap_is_scipys_percentile_with_999_resamples() -> None:
    """Hits and misses count as ones and zeros."""
    values = np.random.default_rng(3).random(50)
    for data in (values, values > 0.4, [1, 0, 0, 1, 1], [0.0, 0.25]):
        found = bootstrap(data, "neurons", np.random.default_rng(4))
        expected = stats.bootstrap(
            (np.array(data, float),), np.mean, n_resamples=999, method="percentile", rng=np.random.default_rng(4)
        ).confidence_interval
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert found.low < found.high


def squared_cosines(n: int = 40, d: int = 4, seed: int = 4) -> Rows:
    """Squared cosines of vectors of which some are far from typical."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d)) + [2.0, 0, 0, 0] * (rng.random((n, 1)) < 0.3)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows @ rows.T) ** 2


def test_the_interval_over_pairs_is_that_of_resampling_vectors_in_full() -> None:
    """The first-order interval is within 15% of the width of the expensive one, and not half or twice it."""
    squares = squared_cosines()
    n = len(squares)
    own = (squares.sum(axis=1) - 1) / (n - 1)
    rng = np.random.default_rng(5)
    means = []
    for _ in range(3000):
        drawn = rng.integers(0, n, n)
        table, other = squares[np.ix_(drawn, drawn)], drawn[:, None] != drawn[None]
        means.append(table[other].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    found = bootstrap_pairs(own, "tokens", np.random.default_rng(6))
    assert (found.high - found.low) / (high - low) == pytest.approx(1, abs=0.15)
    assert (found.low + found.high) / 2 == pytest.approx(own.mean(), rel=0.05)


def test_a_vector_far_from_the_others_pulls_the_interval_to_its_side() -> None:
    """One of 20 vectors has large cosines: the mean may well be larger, and hardly smaller."""
    own = np.array([0.1] * 19 + [0.9])
    found = bootstrap_pairs(own, "tokens", np.random.default_rng(0))
    assert found.high - own.mean() > 1.5 * (own.mean() - found.low)
    pulled = own.mean() + 2 * (own - own.mean())
    assert found == bootstrap(pulled, "tokens", np.random.default_rng(0))
    assert bootstrap_pairs([0, 1, 1], "tokens", np.random.default_rng(0)).high == pytest.approx(4 / 3)


def test_whole_groups_are_resampled_where_there_are_groups() -> None:
    rng = np.random.default_rng(7)
    by_group = rng.standard_normal(6)
    own = np.repeat(by_group, 50) + 0.01 * rng.standard_normal(300)
    groups = np.repeat([3, 1, 4, 0, 5, 9], 50)
    alone = bootstrap_pairs(own, "dimensions", np.random.default_rng(8))
    together = bootstrap_pairs(own, "heads", np.random.default_rng(8), groups=groups)
    assert together.unit == "heads"
    ratio = (together.high - together.low) / (alone.high - alone.low)
    assert 5 < ratio < 9, "vectors of one group move together: sqrt(50) times as wide"
    single = bootstrap_pairs(own, "dimensions", np.random.default_rng(8), groups=np.arange(300))
    assert single == alone


@pytest.mark.parametrize(
    ("value", "direction", "p"),
    [(3, ">=", 3 / 5), (3, "<=", 4 / 5), (5, ">=", 1 / 5), (5, "<=", 1.0), (0, "<=", 1 / 5), (0, ">=", 1.0)],
)
def test_tail_p_by_hand(value: float, direction: str, p: float) -> None:
    """Nulls 1, 2, 3, 4: (b + 1)/(n + 1), an equal draw counting as far enough."""
    assert tail_p(value, [2, 4, 1, 3], direction) == pytest.approx(p)


@pytest.mark.parametrize(
    ("hits", "n", "null_hits", "null_n"),
    [(9, 40, 2, 40), (5, 30, 5, 30), (0, 20, 0, 20), (20, 20, 0, 20), (3, 10, 40, 200)],
)
def test_share_p_is_fishers_exact_test(hits: int, n: int, null_hits: int, null_n: int) -> None:
    table = [[hits, n - hits], [null_hits, null_n - null_hits]]
    for direction, alternative in ((">=", "greater"), ("<=", "less")):
        expected = stats.fisher_exact(table, alternative=alternative).pvalue
        assert share_p(hits, n, null_hits, null_n, direction) == pytest.approx(expected, rel=1e-9)
    assert share_p(hits, n, null_hits, null_n) == share_p(hits, n, null_hits, null_n, ">=")


def test_random_streams_depend_on_their_purpose_and_not_on_their_order() -> None:
    first = stream(0, "null", "L3").random(4)
    stream(0, "something else").random(1000)
    np.testing.assert_array_equal(stream(0, "null", "L3").random(4), first)
    others = [stream(1, "null", "L3"), stream(0, "null", "L4"), stream(0, "null"), stream(0, "L3", "null"), stream(0)]
    drawn = [tuple(first), *(tuple(other.random(4)) for other in others)]
    assert len(set(drawn)) == 6


# --- windows of text as units ---------------------------------------------------------------------------------


def test_groups_are_resampled_whole() -> None:
    """Values that are alike within their group: the interval is that of the group means, not of so many values."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal(30)
    groups = [np.full(50, mean) for mean in means]
    found = bootstrap_groups(groups, "windows", np.random.default_rng(1), np.mean)
    plain = bootstrap(means, "windows", np.random.default_rng(2))
    assert found.high - found.low == pytest.approx(plain.high - plain.low, rel=0.1)
    assert found.unit == "windows"


def test_groups_of_any_length_go_into_one_statistic() -> None:
    groups = [np.array([1.0, 1.0, 1.0]), np.array([5.0])]
    found = bootstrap_groups(groups, "windows", np.random.default_rng(0), np.median)
    assert (found.low, found.high) == (1.0, 5.0)
    alone = bootstrap_groups([np.array([2.0, 4.0])], "windows", np.random.default_rng(0), np.mean)
    assert (alone.low, alone.high) == (3.0, 3.0)


@pytest.mark.parametrize("n", [1, 3, 7])
def test_few_units_have_all_their_sign_flips_and_an_exact_p(n: int) -> None:
    signs = sign_flips(n, np.random.default_rng(0))
    assert len(signs) == 2**n - 1 == len(np.unique(signs, axis=0))
    assert set(np.unique(signs)) <= {-1.0, 1.0} and not (signs == 1).all(axis=1).any()
    differences = np.arange(1.0, n + 1)
    assert tail_p(differences.mean(), signs @ differences / n, ">=") == pytest.approx(2.0**-n)


def test_many_units_have_sign_flips_drawn() -> None:
    """The p of paired differences is that of scipy's permutation test of the same kind."""
    rng = np.random.default_rng(0)
    differences = rng.standard_normal(20) + 0.4
    signs = sign_flips(20, rng)
    assert signs.shape == (9_999, 20) and signs.mean() == pytest.approx(0, abs=0.01)
    other = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", alternative="greater", n_resamples=9_999, rng=rng
    )
    assert tail_p(differences.mean(), signs @ differences / 20, ">=") == pytest.approx(other.pvalue, abs=0.015)


def test_relabelling_gives_the_p_of_another_permutation_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(60) + 0.1, rng.random(40)
    drawn = relabelled_differences(first, second, rng)
    gap = first.mean() - second.mean()
    other = stats.permutation_test(
        (first, second), lambda a, b: a.mean() - b.mean(), alternative="greater", n_resamples=9_999, rng=rng
    )
    assert len(drawn) == 9_999 and drawn.mean() == pytest.approx(0, abs=0.01)
    assert tail_p(gap, drawn, ">=") == pytest.approx(other.pvalue, abs=0.015)


def test_nothing_to_resample_is_refused() -> None:
    with pytest.raises(ValueError, match="no groups"):
        bootstrap_groups([], "windows", np.random.default_rng(0), np.mean)
    with pytest.raises(ValueError, match="no units"):
        sign_flips(0, np.random.default_rng(0))


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.3])
def test_holm_finds_what_testing_one_after_the_other_finds(alpha: float) -> None:
    """The smallest p against alpha/n, the next against alpha/(n - 1), and so on until one is larger."""
    rng = np.random.default_rng(4)
    for n in (1, 2, 7, 30):
        p_values = np.round(rng.beta(0.2, 2.0, n), 3)  # some are equal
        left, found = sorted(range(n), key=lambda i: p_values[i]), set()
        while left and p_values[left[0]] <= alpha / len(left):
            found.add(left.pop(0))
        assert set(np.flatnonzero(holm(p_values) <= alpha)) == found
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).max() == 1 and len(holm([])) == 0


def test_holm_is_right_about_all_tests_at_once() -> None:
    """Thirty tests of nothing, dependent or not: at most one run in twenty finds anything."""
    rng = np.random.default_rng(5)
    for shared in (0.0, 0.8):
        wrong = 0
        for _ in range(600):
            scores = np.sqrt(shared) * rng.standard_normal() + np.sqrt(1 - shared) * rng.standard_normal(30)
            wrong += holm(stats.norm.sf(scores)).min() <= 0.05
        assert wrong <= 48, "30 are expected of independent ones; 48 is 3.4 deviations more"
