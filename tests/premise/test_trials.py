"""Trials of VSA operations, replayed with plain loops from the same draws; claims/ holds the laws against them all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests import oracles
from tests.oracles import Rows
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.nulls import random_directions
from vsa_checks.premise import trials
from vsa_checks.premise.constructions import draw_bundles, frame
from vsa_checks.premise.trials import Simulated

UNITS = 6


def source() -> np.random.Generator:
    return np.random.default_rng(17)


def directions(n: int, d: int, rng: np.random.Generator) -> Rows:
    return random_directions(n, d, rng).astype(np.float64)


def assert_mean_of(found: Simulated, units: list[float]) -> None:
    """Mean over units and its standard error."""
    assert len(units) == UNITS and np.std(units) > 0
    assert found.value == pytest.approx(np.mean(units), rel=1e-5)
    assert found.error == pytest.approx(np.std(units, ddof=1) / np.sqrt(UNITS), rel=1e-3)


def by_sets(unit: Callable[[np.random.Generator], float]) -> list[float]:
    rng = source()
    return [unit(rng) for _ in range(UNITS)]


def pair_cosines(n: int, d: int, rng: np.random.Generator) -> Rows:
    return np.array(list(oracles.pair_cosines(directions(n, d, rng)).values()))


def test_largest_cosines() -> None:
    largest = by_sets(lambda rng: float(np.abs(pair_cosines(9, 5, rng)).max()))
    for quantile in (0.05, 0.25, 0.5, 0.95):
        found = trials.largest_cosine_trials(9, 5, quantile, UNITS, source())
        assert found.value == pytest.approx(np.quantile(largest, quantile), rel=1e-5)
        reach = 2 * np.sqrt(quantile * (1 - quantile) / UNITS)
        ends = np.quantile(largest, [max(quantile - reach, 0), min(quantile + reach, 1)])
        assert found.error == pytest.approx((ends[1] - ends[0]) / 4, rel=1e-4)


def test_recall_of_members() -> None:
    """Of n candidates for a member, n - 1 are outside its bundle of k: n + k - 1 vectors in all."""

    def share(rng: np.random.Generator) -> float:
        words, bundles = directions(12, 8, rng), draw_bundles(12, 3, 20, rng)
        named = []
        for bundle in bundles:
            total = words[bundle].sum(axis=0)
            outside = max(total @ words[i] for i in range(12) if i not in bundle)
            named += [total @ words[i] > outside for i in bundle]
        return float(np.mean(named))

    assert_mean_of(trials.recall_trials(8, 3, 10, UNITS, source()), by_sets(share))


def test_recall_of_bound_members() -> None:
    """Each sum holds k fillers, each bound by the key of its place; the keys are the same in all sets."""
    rng = source()
    keys = [frame(8, 8, rng) for _ in range(3)]
    shares = []
    for _ in range(UNITS):
        words, fillers = directions(10, 8, rng), rng.integers(10, size=(40, 3))
        named = []
        for row in fillers:
            total = sum(words[filler] @ key for filler, key in zip(row, keys, strict=True))
            named += [np.argmax(words @ (key @ total)) == filler for filler, key in zip(row, keys, strict=True)]
        shares.append(float(np.mean(named)))
    assert 0.3 < np.mean(shares) < 0.95
    assert_mean_of(trials.bound_recall_trials(8, 3, 10, UNITS, source()), shares)


@pytest.mark.parametrize("pursue", [False, True])
def test_bundles_that_noise_gives(pursue: bool) -> None:
    def reached(rng: np.random.Generator) -> float:
        words, targets = random_directions(60, 6, rng), random_directions(20, 6, rng)
        if pursue:
            return float(np.mean(greedy_pursuit(targets, words, 3).cosine))
        found = []
        for target in targets.astype(np.float64):
            nearest = sorted(words.astype(np.float64), key=lambda word: -float(word @ target))[:3]
            found.append(oracles.cosine(sum(nearest), target))
        return float(np.mean(found))

    assert_mean_of(trials.chance_bundle_trials(3, 60, 6, pursue, UNITS, source()), by_sets(reached))
