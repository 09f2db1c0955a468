"""The exact paired test against all sign flips tried one by one, and against McNemar's."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from vsa_checks.paired import paired_p


@pytest.mark.parametrize("seed", range(20))
def test_p_counts_all_ways_to_turn_signs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    differences = rng.integers(-4, 6, size=rng.integers(1, 11))
    sums = [np.dot(signs, differences) for signs in product([1, -1], repeat=len(differences))]
    found = paired_p(differences)
    assert found[0] == pytest.approx(np.mean(np.array(sums) >= differences.sum()))
    assert found[1] == pytest.approx(np.mean(np.array(sums) <= differences.sum()))


@pytest.mark.parametrize(("gained", "lost"), [(15, 5), (3, 3), (0, 7), (40, 1)])
def test_ones_are_mcnemars_test(gained: int, lost: int) -> None:
    differences = np.array([1.0] * gained + [-1.0] * lost + [0.0] * 30)
    assert paired_p(differences)[0] == pytest.approx(
        stats.binomtest(gained, gained + lost, alternative="greater").pvalue
    )


def test_p_reaches_far_below_any_alpha() -> None:
    assert paired_p(np.ones(300))[0] == pytest.approx(2.0**-300)


def test_nothing_differs() -> None:
    assert paired_p([]) == paired_p([0.0, 0.0]) == (1.0, 1.0)
    assert paired_p([0.0004, -0.0003], 0.001) == (1.0, 1.0), "less than half a unit"


def test_the_unit_is_what_differences_are_counted_in() -> None:
    assert paired_p([0.3, -0.1, 0.25], 0.05) == paired_p([6, -2, 5])


def test_p_is_uniform_where_signs_are_random() -> None:
    rng = np.random.default_rng(0)
    p = np.array([paired_p(rng.standard_t(2, 60), 0.001)[0] for _ in range(300)])
    for level in (0.05, 0.2, 0.5, 0.8):
        assert np.mean(p <= level) == pytest.approx(level, abs=3.5 * np.sqrt(level * (1 - level) / 300))
