"""ranked_scan against the paper's steps taken one by one, and its rules each by a case that only it decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import oracles
from tests.oracles import Rows
from vsa_checks.bundles import Dictionary, ranked_scan, ranked_scans

COUNTS = (1, 2, 3, 10, None)


def example(kind: str, seed: int = 0) -> tuple[Rows, Rows]:
    """Neurons and dictionary of one kind."""
    rng = np.random.default_rng(seed)
    neurons, words = rng.standard_normal((12, 16)), rng.standard_normal((90, 16))
    match kind:
        case "varied norms":
            words *= 10 ** rng.uniform(-1, 1, (90, 1))
            neurons *= 10 ** rng.uniform(-6, 6, (12, 1))
        case "dead rows":
            words[[0, 41, 89]] = 0
            neurons[[0, 5, 11]] = 0
        case "fewer tokens than dimensions":
            words = words[:7]
        case "centered":
            words -= words.mean(axis=0)
        case "planted":
            neurons[:6] = words[:60].reshape(6, 10, 16).sum(axis=1)
    return neurons.astype(np.float32), words.astype(np.float32)


KINDS = ("gaussian", "varied norms", "dead rows", "fewer tokens than dimensions", "centered", "planted")


@pytest.mark.parametrize("neurons_per_token", COUNTS)
@pytest.mark.parametrize("kind", KINDS)
def test_bundles_are_those_of_the_steps_taken_one_by_one(
    kind: str, neurons_per_token: int | None, device: torch.device | None
) -> None:
    neurons, words = example(kind)
    expected = oracles.scan(neurons, words, neurons_per_token)
    clear = [one for one in expected if one.closest_call > oracles.CLOSE]
    assert len(clear) >= 10, "the example is too close to call to be one"
    for block in (None, 1, 5):
        found = ranked_scan(neurons, words, neurons_per_token, block=block, device=device)
        oracles.assert_scanned(found, neurons, expected)


@pytest.mark.parametrize("neurons_per_token", COUNTS)
def test_exact_arithmetic_with_many_ties(neurons_per_token: int | None, device: torch.device | None) -> None:
    """Vectors of 16 signs: every cosine is a multiple of 1/16, and float32 holds all products exactly."""
    rng = np.random.default_rng(4)
    neurons = rng.choice([-1.0, 1.0], (10, 16)).astype(np.float32)
    words = rng.choice([-1.0, 1.0], (70, 16)).astype(np.float32) * 2.0 ** rng.integers(-2, 3, (70, 1))
    words = words.astype(np.float32)
    neurons[7] = neurons[2]
    found = ranked_scan(neurons, words, neurons_per_token, block=4, device=device)
    expected = oracles.scan(neurons, words, neurons_per_token, exact=True)
    for i, one in enumerate(expected):
        assert found.tokens(i).tolist() == one.tokens, f"neuron {i}"
        np.testing.assert_allclose(found.path(i), one.path, rtol=0, atol=1e-12)


def test_several_numbers_of_neurons_per_token_share_products_and_nothing_else(device: torch.device | None) -> None:
    neurons, words = example("dead rows", 3)
    together = ranked_scans(neurons, words, [10, None, 1, 3, 500], device=device)
    for count, found in zip([10, None, 1, 3, None], together, strict=True):  # more neurons than there are: all
        alone = ranked_scan(neurons, words, count, device=device)
        np.testing.assert_array_equal(found.starts, alone.starts)
        np.testing.assert_array_equal(found.token_ids, alone.token_ids)
        np.testing.assert_array_equal(found.cosines, alone.cosines)


def test_a_neuron_to_which_every_token_points_away_gets_nothing() -> None:
    words = np.abs(example("gaussian")[1])
    neurons = np.stack([-words.mean(axis=0), words.mean(axis=0)])
    found = ranked_scan(neurons, words)
    assert found.tokens(0).size == 0
    assert found.cosine[0] == 0
    assert found.cosine_at(3)[0] == 0
    assert found.cosine[1] > 0.9


def test_dead_neurons_are_told_from_neurons_that_nothing_explains(device: torch.device | None) -> None:
    neurons, words = example("dead rows")
    found = ranked_scan(neurons, words, device=device)
    assert np.flatnonzero(np.isnan(found.cosine)).tolist() == [0, 5, 11]
    assert found.dead.tolist() == np.isnan(found.cosine).tolist()
    assert found.size[[0, 5, 11]].tolist() == [0, 0, 0]
    assert found.n_dictionary_excluded == 3
    assert not {0, 41, 89} & set(found.token_ids.tolist())
    dead = ranked_scan(np.zeros((3, 16)), words, device=device)
    assert dead.dead.all() and len(dead) == 3 and len(dead.token_ids) == len(dead.cosines) == 0


def test_a_dead_neuron_is_listed_by_no_token() -> None:
    """With K = 1 a token of which every live neuron has a negative cosine must not list the dead one (cosine 0)."""
    neurons = np.array([[0, 0], [1, 0]], np.float32)
    found = ranked_scan(neurons, np.array([[-1, 0.2], [0.5, 0.1]], np.float32), 1)
    assert found.tokens(1).tolist() == [1]


# One rule at a time, on neurons along the first axis. A token: its cosine with the neuron, and a direction for
# the rest of it.
AXES = np.eye(6)


def token(cosine: float, across: Rows, norm: float = 1.0) -> Rows:
    return norm * (cosine * AXES[0] + np.sqrt(1 - cosine**2) * across)


def tokens_of(*words: Rows, neurons: Rows = AXES[:1], neurons_per_token: int | None = None) -> list[int]:
    found = ranked_scan(neurons.astype(np.float32), np.stack(words).astype(np.float32), neurons_per_token)
    return [int(one) for one in found.tokens(0)]


def test_a_token_below_one_twentieth_is_never_a_candidate() -> None:
    # Against the first token's rest, so that it would lift the cosine from .5 by far more than .04.
    first = token(0.5, AXES[1])
    assert tokens_of(first, token(0.05002, -AXES[1])) == [0, 1]
    assert tokens_of(first, token(0.04998, -AXES[1])) == [0]
    assert tokens_of(token(0.04998, AXES[1])) == []
    assert tokens_of(token(0.05002, AXES[1])) == [0]
    # Whole numbers of norm 20: the cosine is 1/20 as exactly as float32 has it.
    twentieth, less = np.array([1.0, 19, 6, 1, 1, 0]), np.array([0.9999, 19, 6, 1, 1, 0])
    for neurons_per_token in (None, 1):
        several = np.concatenate([AXES[:1], -AXES[:1]])
        assert tokens_of(twentieth, neurons=several, neurons_per_token=neurons_per_token) == [0]
        assert tokens_of(less, neurons=several, neurons_per_token=neurons_per_token) == []


@pytest.mark.parametrize("lean", [1.0, 0.8], ids=["straight against the bundle's rest", "aslant"])
def test_below_a_tenth_the_cosine_must_rise_by_more_than_four_hundredths(lean: float) -> None:
    first = token(0.5, AXES[1])
    across = -lean * AXES[1] + np.sqrt(1 - lean**2) * AXES[2]
    for rise, enough in ((0.0403, True), (0.0397, False)):
        for own, kept in ((0.09998, enough), (0.10002, True)):
            low, high = 0.0, 0.3  # lengths of the second token between which the cosine rises
            for _ in range(50):
                length = (low + high) / 2
                risen = oracles.cosine(AXES[0], first + token(own, across, length)) - 0.5
                low, high = (length, high) if risen < rise else (low, length)
            assert risen == pytest.approx(rise, abs=1e-9), "the example is what it is meant to be"
            assert tokens_of(first, token(own, across, length)) == ([0, 1] if kept else [0]), (rise, own)


def test_a_tenth_is_not_below_a_tenth() -> None:
    """Whole numbers of norm 10: the cosine is 1/10 as exactly as float32 has it. Short, it lifts by less than .04."""
    first, tenth = token(0.5, AXES[1]), np.array([1.0, -9, 3, 3, 0, 0]) / 128
    assert 0 < oracles.cosine(AXES[0], first + tenth) - 0.5 < 0.04
    assert tokens_of(first, tenth) == [0, 1]
    assert tokens_of(first, tenth * [0.9999, 1, 1, 1, 1, 1]) == [0]


@pytest.mark.parametrize("norm", [0.3, 1.0, 6.0])
def test_a_weak_token_left_out_does_not_hide_the_next(norm: float) -> None:
    """The second token cannot lift the cosine by .04, however it points; the third, weaker still, does."""
    first = token(0.3, AXES[1], norm=norm)
    hopeless = token(0.09, AXES[2], norm=norm / 1000)
    against = token(0.08, -AXES[1], norm=0.9 * norm)
    assert oracles.cosine(AXES[0], first + against) > 0.4
    assert tokens_of(first, hopeless, against) == [0, 2]


def test_a_long_weak_token_may_turn_the_bundle() -> None:
    """Longer than the bundle, and against it: it leaves as much across the neuron as there was, on the other side."""
    first, long = token(0.1, AXES[1], norm=4.0), token(0.09, -AXES[1], norm=6.0)
    assert oracles.cosine(AXES[0], first + long) > 0.4
    assert tokens_of(first, long) == [0, 1]


def test_a_strong_token_needs_only_rise_at_all_and_a_first_one_rises_from_zero() -> None:
    first = token(0.5, AXES[1])
    assert oracles.cosine(AXES[0], first + token(0.3, AXES[2])) > 0.5
    assert tokens_of(first, token(0.3, AXES[2])) == [0, 1]
    assert oracles.cosine(AXES[0], first + token(0.2, AXES[2])) < 0.5
    assert tokens_of(first, token(0.2, AXES[2])) == [0]
    # an equal cosine is no rise
    assert tokens_of(token(1.0, AXES[1]), token(1.0, AXES[2], norm=3.0)) == [0]
    # the first rises from zero; the next, of the same cosine, lifts it by less than .04
    assert tokens_of(token(0.07, AXES[1]), token(0.06, AXES[2])) == [0]


def test_candidates_come_in_order_of_cosine_not_of_dot_product() -> None:
    long, short = token(0.3, AXES[1], norm=9.0), token(0.8, AXES[2])
    assert oracles.cosine(AXES[0], long + short) > 0.3, "the other order would take both"
    assert tokens_of(long, short) == [1]


def test_tokens_of_equal_cosine_come_by_id() -> None:
    """The first of two tokens that spoil each other is the one that stays."""
    left, right = token(0.25, AXES[1], norm=2.0), token(0.25, AXES[1], norm=4.0)
    assert tokens_of(left, right) == [0]
    assert tokens_of(right, left) == [0]


def test_a_token_lists_the_neurons_of_largest_cosine_ties_to_the_lowest_id() -> None:
    words = np.eye(4, dtype=np.float32)[:1]
    two, one = np.array([0.5, 0.5, 0.5, 0.5]), np.array([1.0, 0, 0, 0])
    found = ranked_scan(np.stack([two, one, 2 * two, one]), words, 1)
    assert found.size.tolist() == [0, 1, 0, 0]
    assert ranked_scan(np.stack([two, one, 2 * two, one]), words, 2).size.tolist() == [0, 1, 0, 1]
    assert ranked_scan(np.stack([two, one, 2 * two, one]), words, 3).size.tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("neurons_per_token", [None, 2])
def test_identical_tokens_come_by_id(neurons_per_token: int | None) -> None:
    """Copies stand at all places of a block of products, where float32 sums may differ in their last bit."""
    rng = np.random.default_rng(6)
    words = np.concatenate([rng.standard_normal((33, 24))] * 3).astype(np.float32)
    neurons = rng.standard_normal((17, 24)).astype(np.float32)
    found = ranked_scan(neurons, words, neurons_per_token)
    assert found.size.sum() > 50
    assert found.token_ids.max() >= 33, "a copy may raise the cosine again"
    for i in range(17):
        for first in range(33):
            copies = [int(one) for one in found.tokens(i) if one % 33 == first]
            assert copies == [first, first + 33, first + 66][: len(copies)], f"neuron {i}"


def test_a_dictionary_made_before_gives_the_same() -> None:
    neurons, words = example("dead rows")
    ready = Dictionary.of(words)
    np.testing.assert_array_equal(ranked_scan(neurons, ready).token_ids, ranked_scan(neurons, words).token_ids)
    assert ready.rows.tolist() == [i for i in range(90) if i not in (0, 41, 89)]


def test_bundles_answer_by_neuron() -> None:
    neurons, words = example("planted")
    found = ranked_scan(neurons, words)
    assert len(found) == 12
    for i in range(12):
        tokens, path = found.tokens(i), found.path(i)
        assert len(tokens) == len(path) == found.size[i]
        assert (np.diff(path) > 0).all()
        for k in (1, 2, len(path), len(path) + 4):
            total = words[tokens[: max(min(k, len(path)), 1)]].astype(np.float64).sum(axis=0)
            assert found.cosine_at(k)[i] == pytest.approx(oracles.cosine(neurons[i].astype(float), total), abs=1e-6)
        assert found.cosine[i] == path[-1]
    with pytest.raises(ValueError, match="0 tokens"):
        found.cosine_at(0)


def test_progress_runs_to_its_end(device: torch.device | None) -> None:
    heard: list[tuple[int, int]] = []
    neurons, words = example("gaussian")
    ranked_scan(neurons, words, block=5, device=device, progress=lambda *told: heard.append(told))
    assert heard == [(5, 12), (10, 12), (12, 12)]


@pytest.mark.parametrize(
    ("neurons", "words", "message"),
    [
        (np.ones((2, 3)), np.ones((4, 5)), "3 dimensions, dictionary vectors 5"),
        (np.ones(3), np.ones((4, 3)), r"shape \(n, d\)"),
        (np.ones((2, 3)), np.ones(3), r"shape \(V, d\)"),
        (np.ones((2, 3)), np.zeros((4, 3)), "no row of the dictionary has a direction"),
        (np.ones((2, 3)), np.array([[1, 2, 3], [np.nan, 0, 1]]), "dictionary row 1 is not finite"),
        (np.array([[1, np.inf]]), np.ones((4, 2)), "row 0 holds NaN or infinite"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(neurons: Rows, words: Rows, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranked_scan(neurons, words)


@pytest.mark.parametrize("count", [0, -3])
def test_a_token_must_list_at_least_one_neuron(count: int) -> None:
    with pytest.raises(ValueError, match=f"cannot list {count} neurons"):
        ranked_scan(np.ones((2, 3)), np.ones((4, 3)), count)


def test_a_part_of_the_bundles_is_that_of_the_same_neurons() -> None:
    neurons, words = example("dead rows")
    whole = ranked_scan(neurons, words)
    assert len(set(whole.size)) > 2, "bundles of different sizes, and empty ones"
    part = whole.part(3, 9)
    assert len(part) == 6 and part.dead.tolist() == whole.dead[3:9].tolist()
    for neuron in range(6):
        assert part.tokens(neuron).tolist() == whole.tokens(neuron + 3).tolist()
        assert part.path(neuron).tolist() == whole.path(neuron + 3).tolist()
    assert len(whole.part(12, 12)) == 0
