"""What must stay the same, or change in a known way, when the input does: by Hypothesis, on small examples."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.measures import oracles
from tests.measures.oracles import CLOSE, Rows
from vsa_checks.bundles import Bundles, greedy_pursuit, ranked_scan
from vsa_checks.isometry import isometry
from vsa_checks.orthogonality import pairwise_cosines

CAREFUL = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)

seeds = st.integers(0, 2**32 - 1)
neuron_counts = st.sampled_from([1, 2, 3, 7, None])


@st.composite
def problems(draw: st.DrawFn) -> tuple[Rows, Rows]:
    """Neurons and dictionary in general position: no ties but by accident."""
    rng = np.random.default_rng(draw(seeds))
    n, v, d = draw(st.integers(1, 6)), draw(st.integers(2, 30)), draw(st.integers(2, 12))
    neurons, words = rng.standard_normal((n, d)), rng.standard_normal((v, d))
    words *= 10 ** rng.uniform(-1, 1, (v, 1)) if draw(st.booleans()) else 1
    return neurons.astype(np.float32), words.astype(np.float32)


def rough(n: tuple[int, int], d: tuple[int, int]) -> st.SearchStrategy[Rows]:
    """Rows of few different numbers: duplicates, zero rows, antiparallel rows and ties are common."""
    shapes = st.tuples(st.integers(*n), st.integers(*d))
    values = st.sampled_from([0.0, 1.0, -1.0, 2.0, -0.5, 3.0])
    return shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=values))


def clear(neurons: Rows, words: Rows, count: int | None) -> list[int]:
    """Neurons whose scan has no decision so close that rounding may turn it."""
    return [i for i, one in enumerate(oracles.scan(neurons, words, count)) if one.closest_call > CLOSE]


def same(found: Bundles, other: Bundles, neurons: list[int], to: Rows | None = None) -> None:
    """The bundles of these neurons are the same, tokens renamed by `to`."""
    for i in neurons:
        tokens = found.tokens(i) if to is None else to[found.tokens(i)]
        assert tokens.tolist() == other.tokens(i).tolist(), f"neuron {i}"
        np.testing.assert_allclose(found.path(i), other.path(i), rtol=0, atol=CLOSE)


# --- against the oracles --------------------------------------------------------------------------------------


@CAREFUL
@given(rough((2, 12), (1, 6)), st.integers(1, 13))
def test_pairs_of_any_small_rows(vectors: Rows, block: int) -> None:
    pairs = list(oracles.pair_cosines(vectors).values())
    assume(pairs)
    found = pairwise_cosines(vectors, (0.4,), block=block)
    np.testing.assert_allclose(
        [found.mean, found.rms, found.max_abs],
        [np.mean(pairs), np.sqrt(np.mean(np.square(pairs))), np.abs(pairs).max()],
        rtol=0,
        atol=CLOSE,
    )
    assert found.n_pairs == len(pairs) == found.histogram.sum()
    sizes = np.abs(pairs)
    assert (sizes > 0.4 + CLOSE).mean() <= found.fraction_above[0.4] + 1e-12
    assert found.fraction_above[0.4] <= (sizes > 0.4 - CLOSE).mean() + 1e-12


@CAREFUL
@given(problems(), neuron_counts, st.integers(1, 8))
def test_scan_of_any_small_problem(problem: tuple[Rows, Rows], count: int | None, block: int) -> None:
    neurons, words = problem
    expected = oracles.scan(neurons, words, count)
    oracles.assert_scanned(ranked_scan(neurons, words, count, block=block), neurons, expected)


@CAREFUL
@given(problems(), st.integers(1, 40), st.integers(1, 8))
def test_pursuit_of_any_small_problem(problem: tuple[Rows, Rows], max_tokens: int, block: int) -> None:
    neurons, words = problem
    oracles.assert_pursued(greedy_pursuit(neurons, words, max_tokens, block=block), neurons, words, max_tokens)


@CAREFUL
@given(rough((1, 4), (3, 3)), rough((1, 12), (3, 3)), st.integers(1, 6))
def test_pursuit_of_rows_with_duplicates_zeros_and_opposites(neurons: Rows, words: Rows, max_tokens: int) -> None:
    assume(words.any())
    oracles.assert_pursued(greedy_pursuit(neurons, words, max_tokens), neurons, words, max_tokens)


# --- what must not matter -------------------------------------------------------------------------------------


@CAREFUL
@given(problems(), seeds, neuron_counts)
def test_a_rotation_of_everything_changes_nothing(problem: tuple[Rows, Rows], seed: int, count: int | None) -> None:
    neurons, words = problem
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((words.shape[1],) * 2))
    turned_neurons, turned = neurons @ rotation, words @ rotation
    same(ranked_scan(neurons, words, count), ranked_scan(turned_neurons, turned, count), clear(neurons, words, count))
    oracles.assert_pursued(greedy_pursuit(turned_neurons, turned, 4), turned_neurons, turned, 4)
    straight, after = greedy_pursuit(neurons, words, 1), greedy_pursuit(turned_neurons, turned, 1)
    np.testing.assert_allclose(after.cosine, straight.cosine, rtol=0, atol=CLOSE)
    before = pairwise_cosines(words, (0.5,))
    turned_pairs = pairwise_cosines(turned, (0.5,))
    for name in ("mean", "rms", "max_abs"):
        np.testing.assert_allclose(getattr(turned_pairs, name), getattr(before, name), rtol=0, atol=CLOSE)


@CAREFUL
@given(problems(), seeds, neuron_counts)
def test_the_lengths_of_neurons_and_the_scale_of_the_dictionary_change_nothing(
    problem: tuple[Rows, Rows], seed: int, count: int | None
) -> None:
    neurons, words = problem
    rng = np.random.default_rng(seed)
    longer = neurons * 10.0 ** rng.uniform(-6, 6, (len(neurons), 1))
    scaled = words * np.float32(10.0 ** rng.uniform(-6, 6))
    decided = clear(neurons, words, count)
    for targets, dictionary in ((longer, words), (neurons, scaled)):
        same(ranked_scan(neurons, words, count), ranked_scan(targets, dictionary, count), decided)
        first, straight = greedy_pursuit(targets, dictionary, 1), greedy_pursuit(neurons, words, 1)
        np.testing.assert_allclose(first.cosine, straight.cosine, rtol=0, atol=CLOSE)
        oracles.assert_pursued(greedy_pursuit(targets, dictionary, 5), targets, dictionary, 5)


@CAREFUL
@given(problems(), seeds)
def test_cosines_of_pairs_do_not_depend_on_lengths(problem: tuple[Rows, Rows], seed: int) -> None:
    words = problem[1]
    lengths = 10.0 ** np.random.default_rng(seed).uniform(-6, 6, (len(words), 1))
    before, after = pairwise_cosines(words), pairwise_cosines(words * lengths)
    np.testing.assert_allclose(
        [after.mean, after.rms, after.max_abs], [before.mean, before.rms, before.max_abs], rtol=0, atol=CLOSE
    )


# --- what must follow -----------------------------------------------------------------------------------------


@CAREFUL
@given(problems(), seeds, neuron_counts)
def test_tokens_in_another_order_are_the_same_tokens(problem: tuple[Rows, Rows], seed: int, count: int | None) -> None:
    neurons, words = problem
    order = np.random.default_rng(seed).permutation(len(words))
    same(
        ranked_scan(neurons, words[order], count),
        ranked_scan(neurons, words, count),
        clear(neurons, words, count),
        to=order,
    )
    turned, straight = greedy_pursuit(neurons, words[order], 3), greedy_pursuit(neurons, words, 3)
    np.testing.assert_allclose(turned.cosine_at(1), straight.cosine_at(1), rtol=0, atol=CLOSE)
    oracles.assert_pursued(turned, neurons, words[order], 3)


@CAREFUL
@given(problems(), seeds, neuron_counts)
def test_neurons_in_another_order_keep_their_bundles(problem: tuple[Rows, Rows], seed: int, count: int | None) -> None:
    neurons, words = problem
    order = np.random.default_rng(seed).permutation(len(neurons))
    shuffled, straight = ranked_scan(neurons[order], words, count), ranked_scan(neurons, words, count)
    for place, i in enumerate(order):
        if i in clear(neurons, words, count):
            assert shuffled.tokens(place).tolist() == straight.tokens(i).tolist()
    pursued, plain = greedy_pursuit(neurons[order], words, 5), greedy_pursuit(neurons, words, 5)
    for place, i in enumerate(order):
        np.testing.assert_array_equal(pursued.tokens(place), plain.tokens(i))


@CAREFUL
@given(problems(), st.integers(0, 100))
def test_a_duplicated_token_is_only_ever_taken_after_its_original(problem: tuple[Rows, Rows], which: int) -> None:
    neurons, words = problem
    original = which % len(words)
    doubled = np.concatenate([words, words[original][None]])
    copy = len(words)
    found = greedy_pursuit(neurons, doubled, copy + 1)
    oracles.assert_pursued(found, neurons, doubled, copy + 1)
    for i in range(len(neurons)):
        tokens = found.tokens(i).tolist()
        assert tokens.index(original) < tokens.index(copy)
    np.testing.assert_array_equal(found.cosine_at(1), greedy_pursuit(neurons, words, 1).cosine)


@CAREFUL
@given(problems(), st.integers(0, 100))
def test_a_duplicated_row_adds_one_pair_of_cosine_one(problem: tuple[Rows, Rows], which: int) -> None:
    words = problem[1]
    row = which % len(words)
    before, after = pairwise_cosines(words), pairwise_cosines(np.concatenate([words, words[row][None]]))
    own = [cosine for pair, cosine in oracles.pair_cosines(words).items() if row in pair]
    total = before.mean * before.n_pairs + sum(own) + 1
    assert after.n_pairs == before.n_pairs + len(words)
    np.testing.assert_allclose(after.mean, total / after.n_pairs, rtol=0, atol=CLOSE)
    assert after.max_abs > 1 - CLOSE


@CAREFUL
@given(problems(), st.integers(2, 30))
def test_more_tokens_never_change_the_ones_before_them(problem: tuple[Rows, Rows], max_tokens: int) -> None:
    neurons, words = problem
    longer, shorter = greedy_pursuit(neurons, words, max_tokens), greedy_pursuit(neurons, words, max_tokens - 1)
    for i in range(len(neurons)):
        np.testing.assert_array_equal(longer.tokens(i)[: shorter.size[i]], shorter.tokens(i))


# --- noise and bugs told apart --------------------------------------------------------------------------------


def test_float32_products_lose_to_float64_by_rounding_only() -> None:
    """The cosines found differ from exact ones by a few 1e-8; exact input of few bits leaves next to nothing."""
    rng = np.random.default_rng(0)
    neurons, words = (rng.standard_normal(shape).astype(np.float32) for shape in ((20, 48), (150, 48)))
    for found in (greedy_pursuit(neurons, words, 5), ranked_scan(neurons, words)):
        noise = []
        for i in range(20):
            totals = np.cumsum(words[found.tokens(i)].astype(np.float64), axis=0)
            exact = [oracles.cosine(neurons[i].astype(np.float64), total) for total in totals]
            noise.append(np.abs(np.subtract(found.path(i), exact)).max())
        assert 0 < max(noise) < 3e-7
    signs = rng.choice([-1.0, 1.0], (20, 64)), rng.choice([-1.0, 1.0], (150, 64))
    exactly = greedy_pursuit(*signs, 5)
    for i in range(20):
        totals = np.cumsum(signs[1][exactly.tokens(i)], axis=0)
        exact = [oracles.cosine(signs[0][i], total) for total in totals]
        np.testing.assert_allclose(exactly.path(i), exact, rtol=0, atol=1e-15)


@CAREFUL
@given(seeds, st.integers(1, 5), st.integers(2, 10))
def test_isometry_lies_between_one_over_rank_and_one(seed: int, rank: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    value = isometry(rng.standard_normal((1, d, rank)), rng.standard_normal((1, rank, d)))[0]
    least = 1 / rank
    assert least - 1e-12 <= value <= 1 + 1e-12
