"""Trials of VSA operations: each replayed from the same draws with plain loops; claims/ holds the laws against them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.measures import oracles
from tests.measures.oracles import Rows
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.nulls import random_directions
from vsa_checks.premise import trials
from vsa_checks.premise.constructions import draw_bundles, frame, gaussian_matrix
from vsa_checks.premise.trials import Simulated

UNITS = 6


def source() -> np.random.Generator:
    return np.random.default_rng(17)


def directions(n: int, d: int, rng: np.random.Generator) -> Rows:
    return random_directions(n, d, rng).astype(np.float64)


def assert_mean_of(found: Simulated, units: list[float], root: bool = False) -> None:
    """Mean over units and its standard error; of a root, by the slope of the root there."""
    assert len(units) == UNITS
    value, error = np.mean(units), np.std(units, ddof=1) / np.sqrt(UNITS)
    if root:
        value, error = np.sqrt(value), error / (2 * np.sqrt(value))
    assert found.value == pytest.approx(value, rel=1e-5)
    assert found.error == pytest.approx(error, rel=1e-3)
    assert error > 0


def by_sets(unit: Callable[[np.random.Generator], float]) -> list[float]:
    rng = source()
    return [unit(rng) for _ in range(UNITS)]


def pair_cosines(n: int, d: int, rng: np.random.Generator) -> Rows:
    return np.array(list(oracles.pair_cosines(directions(n, d, rng)).values()))


def test_cosines_and_their_tails() -> None:
    squares = by_sets(lambda rng: float(np.mean(pair_cosines(9, 5, rng) ** 2)))
    assert_mean_of(trials.cosine_trials(9, 5, UNITS, source()), squares, root=True)
    shares = by_sets(lambda rng: float(np.mean(np.abs(pair_cosines(9, 5, rng)) > 0.6)))
    assert_mean_of(trials.tail_trials(9, 5, 0.6, UNITS, source()), shares)


def test_largest_cosines() -> None:
    largest = by_sets(lambda rng: float(np.abs(pair_cosines(9, 5, rng)).max()))
    for quantile in (0.05, 0.25, 0.5, 0.95):
        found = trials.largest_cosine_trials(9, 5, quantile, UNITS, source())
        assert found.value == pytest.approx(np.quantile(largest, quantile), rel=1e-5)
        reach = 2 * np.sqrt(quantile * (1 - quantile) / UNITS)
        ends = np.quantile(largest, [max(quantile - reach, 0), min(quantile + reach, 1)])
        assert found.error == pytest.approx((ends[1] - ends[0]) / 4, rel=1e-4)


def test_members_of_a_bundle() -> None:
    members = directions(UNITS * 4, 7, source()).reshape(UNITS, 4, 7)
    means = [np.mean([oracles.cosine(one, group.sum(axis=0)) for one in group]) for group in members]
    assert_mean_of(trials.member_trials(7, 4, UNITS, source()), [float(mean**2) for mean in means], root=True)


def test_crosstalk_with_vectors_outside() -> None:
    rng = source()
    totals = directions(UNITS * 4, 7, rng).reshape(UNITS, 4, 7).sum(axis=1)
    outside = directions(200, 7, rng)
    squares = [float(np.mean([(total @ other) ** 2 for other in outside])) for total in totals]
    assert_mean_of(trials.crosstalk_trials(7, 4, UNITS, source()), squares, root=True)


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


def test_vectors_bound_by_orthogonal_matrices() -> None:
    def square(rng: np.random.Generator) -> float:
        vector = directions(1, 6, rng)[0]
        return float((vector @ frame(6, 6, rng) @ vector) ** 2)

    assert_mean_of(trials.binding_trials(6, UNITS, source()), by_sets(square), root=True)


def test_similarity_and_unbinding_under_gaussian_matrices() -> None:
    def change(rng: np.random.Generator) -> float:
        vectors, matrix = directions(9, 6, rng), gaussian_matrix(6, 4, rng)
        before, after = (list(oracles.pair_cosines(rows).values()) for rows in (vectors, vectors @ matrix))
        return float(np.mean(np.subtract(before, after) ** 2))

    assert_mean_of(trials.similarity_trials(6, 4, 9, UNITS, source()), by_sets(change), root=True)

    def error(rng: np.random.Generator) -> float:
        vectors, matrix = directions(10, 6, rng), gaussian_matrix(6, 4, rng)
        return float(np.mean(((vectors @ matrix @ matrix.T - vectors) ** 2).sum(axis=1)))

    assert_mean_of(trials.unbinding_trials(6, 4, UNITS, source()), by_sets(error), root=True)
