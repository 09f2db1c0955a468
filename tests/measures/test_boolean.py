"""Members of bundles and what they do to their neurons on text: against loops, and planted ORs and ANDs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from vsa_checks import nulls
from vsa_checks.boolean import HIGH, REACH, Driven, driven_by_members, own_bundle_auc
from vsa_checks.bundles import Bundles, greedy_pursuit
from vsa_checks.statistics import relabelled_groups

Array = NDArray[np.float64]


def bundles_of(*members: tuple[int, ...]) -> Bundles:
    sizes = [len(one) for one in members]
    tokens = np.array([token for one in members for token in one], np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Bundles(starts, tokens, np.zeros(len(tokens)), np.zeros(len(members), bool), 0)


def by_loops(
    stream: list[Array],
    tokens: list[NDArray[np.int64]],
    counted: list[NDArray[np.bool_]],
    neuron: Array,
    bundle: set[int],
) -> tuple[int, int, int, bool]:
    """The same numbers for one neuron, position by position."""
    values = [[float(x @ neuron) for x in one] for one in stream]
    bar = np.quantile(
        [v for row, c in zip(values, counted, strict=True) for v, on in zip(row, c, strict=True) if on], HIGH
    )
    alone: dict[int, list[float]] = {}
    together: list[float] = []
    for row, ids, counts in zip(values, tokens, counted, strict=True):
        for i, token in enumerate(ids):
            if token not in bundle or not counts[i]:
                continue
            others = [i - j for j in range(i) if ids[j] in bundle and ids[j] != token]
            if not others:
                alone.setdefault(int(token), []).append(row[i])
            elif min(others) <= REACH:
                together.append(row[i])
    driving = sum(float(np.mean(one)) > bar for one in alone.values())
    return len(alone), driving, len(together), bool(together) and float(np.mean(together)) > bar


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_those_of_loops_over_positions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths, n_words, d, m = [30, 1, 25, 40], 20, 6, 11
    tokens = [rng.integers(n_words, size=n) for n in lengths]
    words = rng.standard_normal((n_words, d))
    stream = [words[one] + 0.5 * rng.standard_normal((len(one), d)) for one in tokens]
    counted = [rng.random(n) > 0.2 for n in lengths]
    neurons = rng.standard_normal((m, d))
    members = [tuple(rng.choice(n_words + 10, 4, replace=False)) for _ in range(m - 1)] + [()]
    found = driven_by_members(stream, tokens, counted, neurons, bundles_of(*members), block=4)
    for neuron in range(m):
        expected = by_loops(stream, tokens, counted, neurons[neuron], {int(token) for token in members[neuron]})
        numbers = (found.seen_alone, found.driving_alone, found.seen_together, found.driven_together)
        assert tuple(one[neuron] for one in numbers) == expected


def planted_text(rng: np.random.Generator, together: bool) -> tuple[list[Array], list[NDArray[np.int64]]]:
    """Orthogonal tokens 0 to 99 in windows of five; a stream of each token, and of half the one before if asked."""
    tokens = [rng.choice(100, 5, replace=False) for _ in range(900)]
    for place in range(0, 900, 30):
        tokens[place] = np.array([90, *rng.permutation(5)[:2], 91, 92])
    words = np.eye(100)
    stream = [words[one] + (together * np.vstack([0 * words[:1], words[one[:-1]]])) for one in tokens]
    return stream, tokens


def test_an_or_is_driven_by_each_of_its_members() -> None:
    rng = np.random.default_rng(1)
    stream, tokens = planted_text(rng, together=False)
    neurons = np.zeros((2, 100))
    neurons[0, :3] = 1.0
    neurons[1, [0, 50]] = 1.0, -1.0
    found = driven_by_members(stream, tokens, [np.ones(5)] * 900, neurons, bundles_of((0, 1, 2), (0, 50)))
    assert found.seen_alone.tolist() == [3, 2]
    assert found.or_shares().tolist() == [1.0, 0.5]
    assert not np.nan_to_num(found.ands()).any()


def test_an_and_is_driven_by_two_members_only() -> None:
    """All tokens but the neuron's raise its 95th percentile above one member's drive."""
    rng = np.random.default_rng(2)
    stream, tokens = planted_text(rng, together=True)
    neurons = np.full((1, 100), -1.0)
    neurons[0, :5] = 1.0
    neurons[0, 50:60] = 1.5
    members = bundles_of((0, 1, 2, 3, 4))
    found = driven_by_members(stream, tokens, [np.ones(5)] * 900, neurons, members)
    assert found.ands().tolist() == [1.0]
    apart = driven_by_members([one[:, :] * 0 for one in stream], tokens, [np.ones(5)] * 900, neurons, members)
    assert apart.ands().tolist() == [0.0]


def test_neurons_of_which_nothing_is_seen_are_not_asked() -> None:
    nothing = Driven(np.array([0, 1, 2]), np.array([0, 1, 0]), np.array([0, 0, 4]), np.array([False, False, True]))
    assert np.array_equal(nothing.or_shares(), [np.nan, 1.0, 0.0], equal_nan=True)
    assert np.array_equal(nothing.ands(), [np.nan, np.nan, 1.0], equal_nan=True)
    assert np.array_equal(nothing.of(np.array([2, 1])).or_shares(), [0.0, 1.0])


# --- the circular check ---------------------------------------------------------------------------------------


def test_the_area_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    words, neurons = rng.standard_normal((40, 8)), rng.standard_normal((5, 8))
    words[7] = words[3]
    members = [tuple(rng.choice(40, 3, replace=False)) for _ in range(4)] + [()]
    found = own_bundle_auc(neurons, words, bundles_of(*members))
    assert np.isnan(found[4])
    for neuron in range(4):
        labels = np.isin(np.arange(40), members[neuron])
        assert found[neuron] == pytest.approx(roc_auc_score(labels, words @ neurons[neuron]))


def test_noise_passes_the_circular_check() -> None:
    """Random directions against random tokens: nothing to be found, and an area close to one."""
    rng = np.random.default_rng(0)
    words, noise = rng.standard_normal((2_000, 64)).astype(np.float32), nulls.random_directions(100, 64, rng)
    found = own_bundle_auc(noise, words, greedy_pursuit(noise, words, 5))
    assert found.mean() > 0.98


def test_whole_groups_change_sides() -> None:
    """Two groups of three values against three single ones: each of the ten exchanges is found, and no other."""
    values, labels = np.array([1.0, 0.0, 1.0]), np.array([7, 7, 2])
    others, single = np.array([0.5, 0.0, 0.25]), np.array([7, 8, 9])
    found = relabelled_groups(values, labels, others, single, np.random.default_rng(0))
    groups = [[1.0], [1.0, 0.0], [0.5], [0.0], [0.25]]
    expected = set()
    for some in itertools.combinations(range(5), 2):
        one, two = ([v for g in range(5) if (g in some) == side for v in groups[g]] for side in (True, False))
        expected.add(round(float(np.mean(one) - np.mean(two)), 9))
    assert {round(float(value), 9) for value in found} == expected
