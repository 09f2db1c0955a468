"""greedy_pursuit against trying every token at every step; for one token, against FAISS."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
import torch

from tests import oracles
from tests.oracles import Rows
from vsa_checks.bundles import Dictionary, greedy_pursuit, ranked_scan
from vsa_checks.engine import dictionary, gram_loops, pursuit_steps


def example(kind: str, seed: int = 0) -> tuple[Rows, Rows]:
    """Neurons and dictionary of one kind."""
    rng = np.random.default_rng(seed)
    neurons, words = rng.standard_normal((6, 12)), rng.standard_normal((40, 12))
    match kind:
        case "varied norms":
            words *= 10 ** rng.uniform(-3, 3, (40, 1))
            neurons *= 10 ** rng.uniform(-9, 9, (6, 1))
        case "duplicates":
            words = np.concatenate([words[:14], words[:14], words[:12]])
        case "scaled duplicates":
            words = np.concatenate([words[:20], words[:20] * 2.0 ** rng.integers(-3, 4, (20, 1))])
        case "dead rows":
            words[[0, 17, 39]] = 0
            neurons[[0, 3]] = 0
        case "every token points away":
            words = -np.abs(words)
            neurons = np.abs(neurons)
        case "one token":
            words = words[:1]
        case "two dimensions":
            neurons, words = neurons[:, :2], words[:, :2]
        case "one dimension":
            neurons, words = neurons[:, :1], words[:, :1]
        case "cancelling":
            words = np.concatenate([words[:20], -words[:20]])
        case "tenfold":
            words = np.concatenate([words[:4]] * 10)
        case "far from zero":
            words += 4
        case "planted":
            neurons[:3] = words[:15].reshape(3, 5, 12).sum(axis=1)
    return neurons.astype(np.float32), words.astype(np.float32)


KINDS = (
    "gaussian",
    "varied norms",
    "duplicates",
    "scaled duplicates",
    "dead rows",
    "every token points away",
    "one token",
    "two dimensions",
    "one dimension",
    "cancelling",
    "tenfold",
    "far from zero",
    "planted",
)


@pytest.mark.parametrize("max_tokens", [1, 2, 5, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_each_step_takes_the_token_that_gives_the_highest_cosine(
    kind: str, max_tokens: int, device: torch.device | None
) -> None:
    neurons, words = example(kind)
    found = greedy_pursuit(neurons, words, max_tokens, device=device)
    oracles.assert_pursued(found, neurons, words, max_tokens)
    for block in (1, 5):
        parts = greedy_pursuit(neurons, words, max_tokens, block=block, device=device)
        np.testing.assert_array_equal(parts.token_ids, found.token_ids)
        np.testing.assert_allclose(parts.cosines, found.cosines, rtol=0, atol=1e-12)


def test_a_centered_dictionary_of_few_tokens_in_many_dimensions() -> None:
    """33 tokens in 100 dimensions: centered they sum to zero, so that the whole bundle is next to nothing."""
    rng = np.random.default_rng(2)
    words = rng.standard_normal((33, 100)).astype(np.float32)
    words -= words.mean(axis=0)
    neurons = rng.standard_normal((3, 100)).astype(np.float32)
    oracles.assert_pursued(greedy_pursuit(neurons, words, 32), neurons, words, 32)
    whole = greedy_pursuit(neurons, words, 100)
    assert whole.size.tolist() == [33] * 3
    for i in range(3):
        assert sorted(whole.tokens(i)) == list(range(33))
        assert whole.tokens(i)[:32].tolist() == greedy_pursuit(neurons, words, 32).tokens(i).tolist()
        assert np.abs(whole.path(i)).max() <= 1


@pytest.mark.parametrize("kind", ["gaussian", "varied norms", "points away", "far from zero", "second half repeats"])
def test_a_vocabulary_of_several_chunks(kind: str, device: torch.device | None) -> None:
    """The compiled loop looks at 256 tokens at a time and skips chunks that cannot win."""
    rng = np.random.default_rng(15)
    neurons, words = rng.standard_normal((3, 10)), rng.standard_normal((540, 10))
    match kind:
        case "varied norms":
            words *= 10 ** rng.uniform(-4, 4, (540, 1))
        case "points away":
            neurons, words = np.abs(neurons), -np.abs(words)
        case "far from zero":
            words += 4
        case "second half repeats":
            words[270:] = words[:270]
    neurons, words = neurons.astype(np.float32), words.astype(np.float32)
    oracles.assert_pursued(greedy_pursuit(neurons, words, 12, device=device), neurons, words, 12)
    best_last = np.concatenate([words[words @ neurons[0] < 0], words[words @ neurons[0] >= 0]])
    oracles.assert_pursued(greedy_pursuit(neurons, best_last, 3, device=device), neurons, best_last, 3)


def test_ties_go_to_the_lowest_id(device: torch.device | None) -> None:
    """Vectors of 16 signs and powers of two: all arithmetic is exact, and equal cosines are common."""
    rng = np.random.default_rng(5)
    neurons = rng.choice([-1.0, 1.0], (8, 16)).astype(np.float32)
    words = (rng.choice([-1.0, 1.0], (50, 16)) * 2.0 ** rng.integers(0, 3, (50, 1))).astype(np.float32)
    ties = 0
    for i, found in enumerate(np.split(greedy_pursuit(neurons, words, 6, device=device).token_ids, 8)):
        total = np.zeros(16)
        left = list(range(50))
        for token in found.tolist():
            # Squares of cosines as fractions: (a / |b|)^2 compared without any rounding.
            keys = {}
            for t in left:
                whole = total + words[t]
                along, square = int(whole @ neurons[i]), int(whole @ whole)
                keys[t] = (along * abs(along), square)
            best = left[0]
            for t in left:
                (a, b), (c, d) = keys[t], keys[best]
                best = t if a * d > c * b else best
            ties += sum(keys[t][0] * keys[best][1] == keys[best][0] * keys[t][1] for t in left) > 1
            assert token == best
            total = total + words[token]
            left.remove(token)
    assert ties > 5, "the example has too few ties to be one"


@pytest.mark.parametrize(("rows", "batch"), [(2, 1), (3, 64 * 2**20), (7, 320)])
def test_rows_of_the_gram_matrix_may_displace_each_other(
    rows: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for a few rows only, each is made again when it is wanted again."""
    monkeypatch.setattr(dictionary, "BATCH_BYTES", batch)
    neurons, words = example("varied norms", 4)
    ready = Dictionary.of(words)
    ready.__dict__["gram"] = dictionary.GramRows(ready, budget=rows * len(words))
    found = greedy_pursuit(neurons, ready, 12, block=2)
    assert len(ready.gram.rows) == rows
    oracles.assert_pursued(found, neurons, words, 12)
    np.testing.assert_array_equal(found.token_ids, greedy_pursuit(neurons, words, 12).token_ids)
    # the rows are still sound for the next caller
    oracles.assert_pursued(greedy_pursuit(neurons[::-1], ready, 9, block=1), neurons[::-1], words, 9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 39, 40])
def test_overlaps_by_products_and_by_gram_rows_give_the_same(kind: str, rows: int) -> None:
    """Where the rows of all tokens that may be picked do not fit, sums are multiplied with the dictionary again."""
    neurons, words = example(kind, 6)
    ready = Dictionary.of(words)
    ready.__dict__["gram"] = dictionary.GramRows(ready, budget=rows * len(ready.rows))
    for max_tokens in (3, 30):
        found, expected = greedy_pursuit(neurons, ready, max_tokens), greedy_pursuit(neurons, words, max_tokens)
        np.testing.assert_array_equal(found.token_ids, expected.token_ids)
        np.testing.assert_array_equal(found.cosines, expected.cosines)


@pytest.mark.parametrize("kind", KINDS)
def test_bundles_made_one_by_one_are_those_made_together(kind: str) -> None:
    """With all rows of the Gram matrix at hand neurons are done apart; otherwise rows are made when asked for."""
    neurons, words = example(kind, 9)
    ready, fresh = Dictionary.of(words), Dictionary.of(words)
    ready.gram.prepare(10**6, keep=True)
    found, other = greedy_pursuit(neurons, ready, 3), greedy_pursuit(neurons, fresh, 3)
    assert ready.gram.complete and fresh.gram.complete == (kind == "one token")
    np.testing.assert_array_equal(found.token_ids, other.token_ids)
    np.testing.assert_array_equal(found.cosines, other.cosines)


@pytest.mark.parametrize(
    "row", [[], [0.0, -0.0], [-3.0, -0.5], [0.25, 7.0], [1e-42, -1e-42, 3e38, -3e38], [-2.0, 0.0, 5.0]]
)
def test_extremes_of_a_row(row: list[float]) -> None:
    least, most = gram_loops.find_extremes(np.array(row, np.float32))
    assert (least, most) == (np.float32(min([*row, 0.0])), np.float32(max([*row, 0.0])))


@pytest.mark.slow
def test_few_of_many_tokens_are_listed() -> None:
    """Beyond a few thousand tokens lists hold a small part; what they leave out must not have won."""
    rng = np.random.default_rng(21)
    neurons, words = rng.standard_normal((6, 24)), rng.standard_normal((6000, 24))
    words *= 10 ** rng.uniform(-0.3, 0.3, (6000, 1))
    neurons, words = neurons.astype(np.float32), words.astype(np.float32)
    for budget in (6000**2, 1):
        ready = Dictionary.of(words)
        ready.__dict__["gram"] = dictionary.GramRows(ready, budget=budget)
        oracles.assert_pursued(greedy_pursuit(neurons, ready, 24), neurons, words, 24)


@pytest.mark.parametrize("n", [70, 2130])
def test_half_of_the_products_give_all_rows_of_the_gram_matrix(n: int) -> None:
    words = Dictionary.of(np.random.default_rng(3).standard_normal((n, 20)))
    exact = (words.vectors / words.norms[:, None]) @ (words.vectors / words.norms[:, None]).T
    np.fill_diagonal(exact, 0)
    gram = dictionary.GramRows(words)
    gram.prepare(2 * n, keep=True)
    assert gram.slot.tolist() == list(range(n))
    units = np.repeat(gram.steps, gram_loops.TILE, axis=1)[:, :n]
    assert (np.abs(gram.rows * units - exact) <= units / 2 + 1e-6).all()
    np.testing.assert_allclose(gram.lowest, exact.min(axis=1), rtol=0, atol=1e-6)


def test_a_memory_budget_changes_no_answer_and_one_too_small_is_refused() -> None:
    rng = np.random.default_rng(8)
    neurons, words = (rng.standard_normal(shape).astype(np.float32) for shape in ((40, 16), (500, 16)))
    free = greedy_pursuit(neurons, words, 20)
    for memory in (2 * 10**9, 135 * 10**6, 2 * 10**9):
        within = greedy_pursuit(neurons, words, 20, memory=memory)
        np.testing.assert_array_equal(within.token_ids, free.token_ids)
        np.testing.assert_array_equal(within.cosines, free.cosines)
    with pytest.raises(ValueError, match=r"needs a budget of 0\.13 GB at least, not 0\.10 GB"):
        greedy_pursuit(neurons, words, 20, memory=10**8)


def test_bundles_of_few_tokens_need_no_bound_from_rows_that_are_not_kept() -> None:
    rng = np.random.default_rng(9)
    neurons, words = (rng.standard_normal(shape).astype(np.float32) for shape in ((10, 16), (500, 16)))
    ready = Dictionary.of(words)
    ready.limit_gram(0)
    for length, needed in ((5, False), (pursuit_steps.FEW + 1, True)):
        free, found = greedy_pursuit(neurons, words, length), greedy_pursuit(neurons, ready, length)
        np.testing.assert_array_equal(found.token_ids, free.token_ids)
        np.testing.assert_array_equal(found.cosines, free.cosines)
        assert (~np.isnan(ready.gram.lowest)).any() == needed


def test_a_block_is_no_larger_than_the_gram_rows_that_fit() -> None:
    """All neurons of a block may have picked different tokens, and each token's row is wanted at the same time."""
    neurons, words = example("gaussian")
    ready = Dictionary.of(words)
    ready.__dict__["gram"] = dictionary.GramRows(ready, budget=2 * len(words))
    assert len(set(greedy_pursuit(neurons, words, 1).token_ids)) > 2
    found = greedy_pursuit(neurons, ready, 5, block=6)
    np.testing.assert_array_equal(found.token_ids, greedy_pursuit(neurons, words, 5).token_ids)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1e-16, 1e16, 1e30])
def test_lengths_whose_squares_float32_cannot_hold(scale: float, device: torch.device | None) -> None:
    neurons, words = example("planted", 3)
    words *= np.float32(scale)
    oracles.assert_pursued(greedy_pursuit(neurons, words, 5, device=device), neurons, words, 5)
    expected = oracles.scan(neurons, words, None)
    oracles.assert_scanned(ranked_scan(neurons, words, device=device), neurons, expected)


def test_short_tokens_beside_long_ones(device: torch.device | None) -> None:
    """A token 10^-17 times as long as another is scored by its direction all the same."""
    neurons, words = example("gaussian", 3)
    words[::2] *= np.float32(1e-17)
    oracles.assert_pursued(greedy_pursuit(neurons, words, 30, device=device), neurons, words, 30)
    nearest = [max(range(40), key=lambda t: oracles.cosine(neuron, words[t].astype(float))) for neuron in neurons]
    assert any(t % 2 == 0 for t in nearest), "the example has no short token to be found"


def test_rows_of_the_gram_matrix_are_cosines_to_within_half_a_step() -> None:
    words = Dictionary.of(example("varied norms")[1])
    wanted = np.array([3, 9, 3, 30])
    slots = words.gram.slots(wanted)
    assert slots[0] == slots[2] and len(set(slots.tolist())) == 3
    for token, slot in zip(wanted, slots, strict=True):
        (step,) = words.gram.steps[slot].tolist()
        others = [t for t in range(40) if t != token]
        largest = max(abs(oracles.cosine(*words.vectors[[token, t]].astype(float))) for t in others)
        assert step == pytest.approx(largest / 127, rel=1e-5), "a byte has 127 steps to the largest cosine"
        for other in range(40):
            if other != token:
                exact = oracles.cosine(words.vectors[token].astype(float), words.vectors[other].astype(float))
                assert abs(step * float(words.gram.rows[slot, other]) - exact) <= 0.5 * step + 1e-6
    with pytest.raises(ValueError, match="3 rows of the Gram matrix do not fit into 2"):
        dictionary.GramRows(words, budget=2 * 40).slots(np.array([1, 2, 3]))


def test_tokens_across_each_other_have_a_step_all_the_same() -> None:
    words = Dictionary.of(np.eye(5))
    slots = words.gram.slots(np.arange(5))
    assert (words.gram.rows[slots] == 0).all()
    assert (words.gram.steps[slots] > 0).all() and (words.gram.steps[slots] < 1e-6).all()


def test_repeated_rows_are_told_with_the_first_of_their_kind() -> None:
    rows = np.array([[1, 2], [3, 4], [1, 2], [0, 0], [3, 4], [1, 2], [-0.0, 0], [2, 1]], np.float32)
    copies, originals = dictionary.repeated_rows(rows)
    # -0 is not 0 byte by byte; a row of either is left out of dictionaries and of neurons.
    assert (copies.tolist(), originals.tolist()) == ([2, 4, 5], [0, 1, 0])


def test_the_first_token_is_the_nearest_neighbour_that_faiss_finds() -> None:
    rng = np.random.default_rng(11)
    neurons, words = (rng.standard_normal(shape).astype(np.float32) for shape in ((30, 24), (200, 24)))
    words *= 10 ** rng.uniform(-2, 2, (200, 1)).astype(np.float32)
    unit, targets = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (words, neurons))
    index = faiss.IndexFlatIP(24)
    index.add(unit)
    cosines, nearest = index.search(targets, 1)
    found = greedy_pursuit(neurons, words, 1)
    assert found.token_ids.tolist() == nearest[:, 0].tolist()
    np.testing.assert_allclose(found.cosine, cosines[:, 0], rtol=0, atol=1e-6)


def test_neurons_that_are_all_dead_give_empty_bundles(device: torch.device | None) -> None:
    found = greedy_pursuit(np.zeros((3, 12)), example("gaussian")[1], 4, device=device)
    assert len(found) == 3 and len(found.token_ids) == 0 and np.isnan(found.cosine).all()


def test_progress_runs_to_its_end(device: torch.device | None) -> None:
    heard: list[tuple[int, int]] = []
    neurons, words = example("dead rows")
    greedy_pursuit(neurons, words, 2, block=3, device=device, progress=lambda *told: heard.append(told))
    assert heard == [(3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("neurons", "words", "max_tokens", "message"),
    [
        (np.ones((2, 3)), np.ones((4, 5)), 1, "3 dimensions, dictionary vectors 5"),
        (np.ones((2, 3)), np.ones((4, 3)), 0, "at most 0 tokens"),
        (np.ones((2, 3)), np.ones((4, 3)), -1, "at most -1 tokens"),
        (np.ones((2, 3, 1)), np.ones((4, 3)), 1, r"shape \(n, d\)"),
        (np.ones((2, 3)), np.zeros((4, 3)), 1, "no row of the dictionary has a direction"),
        (np.array([[1, np.nan]]), np.ones((4, 2)), 1, "row 0 holds NaN"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(neurons: Rows, words: Rows, max_tokens: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        greedy_pursuit(neurons, words, max_tokens)
