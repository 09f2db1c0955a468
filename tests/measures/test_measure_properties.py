"""Measures against their oracles, and what must follow when the input changes: by Hypothesis, on small examples."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests import oracles
from tests.oracles import CLOSE, Rows
from vsa_checks.bundles import greedy_pursuit, ranked_scan
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


# --- against the oracles --------------------------------------------------------------------------------------


@CAREFUL
@given(rough((2, 12), (1, 6)), st.integers(1, 13))
def test_pairs_of_any_small_rows(device: torch.device | None, vectors: Rows, block: int) -> None:
    pairs = list(oracles.pair_cosines(vectors).values())
    assume(pairs)
    found = pairwise_cosines(vectors, (0.4,), block=block, device=device)
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
def test_scan_of_any_small_problem(
    device: torch.device | None, problem: tuple[Rows, Rows], count: int | None, block: int
) -> None:
    neurons, words = problem
    expected = oracles.scan(neurons, words, count)
    oracles.assert_scanned(ranked_scan(neurons, words, count, block=block, device=device), neurons, expected)


@CAREFUL
@given(problems(), st.integers(1, 40), st.integers(1, 8))
def test_pursuit_of_any_small_problem(
    device: torch.device | None, problem: tuple[Rows, Rows], max_tokens: int, block: int
) -> None:
    neurons, words = problem
    found = greedy_pursuit(neurons, words, max_tokens, block=block, device=device)
    oracles.assert_pursued(found, neurons, words, max_tokens)


@CAREFUL
@given(rough((1, 4), (3, 3)), rough((1, 12), (3, 3)), st.integers(1, 6))
def test_pursuit_of_rows_with_duplicates_zeros_and_opposites(
    device: torch.device | None, neurons: Rows, words: Rows, max_tokens: int
) -> None:
    assume(words.any())
    found = greedy_pursuit(neurons, words, max_tokens, device=device)
    oracles.assert_pursued(found, neurons, words, max_tokens)


# --- what must follow -----------------------------------------------------------------------------------------


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
