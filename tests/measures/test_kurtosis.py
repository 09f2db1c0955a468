"""Kurtosis of products with all tokens: as SciPy gives it in float64, and what must not change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.oracles import Rows
from vsa_checks import kurtosis
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.kurtosis import SeenKurtosis, excess_kurtosis


def drawn(n: int, d: int, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def obvious(neurons: Rows, tokens: Rows) -> Any:
    """All products at once, in float64; tokens of zero are no tokens."""
    products = neurons.astype(np.float64) @ tokens[tokens.any(axis=1)].astype(np.float64).T
    return stats.kurtosis(products, axis=1)


TOKENS: dict[str, Callable[[], Rows]] = {
    "Gaussian": lambda: drawn(700, 24, 1),
    "heavy tails": lambda: np.random.default_rng(1).standard_t(3, (700, 24)).astype(np.float32),
    "far from the origin": lambda: drawn(700, 24, 1) + np.float32(20) * drawn(1, 24, 2),
    "of many lengths": lambda: drawn(700, 24, 1) * np.float32(10) ** np.linspace(-3, 3, 700, dtype=np.float32)[:, None],
    "some of zero": lambda: drawn(700, 24, 1) * (np.arange(700) % 5 > 0)[:, None].astype(np.float32),
    "a few": lambda: drawn(3, 24, 1),
}


@pytest.mark.parametrize("name", TOKENS)
def test_as_scipy_in_float64(name: str) -> None:
    tokens, neurons = TOKENS[name](), drawn(50, 24)
    assert excess_kurtosis(neurons, tokens) == pytest.approx(obvious(neurons, tokens), rel=1e-4, abs=1e-5)
    assert np.array_equal(excess_kurtosis(neurons, Dictionary.of(tokens)), excess_kurtosis(neurons, tokens))


@pytest.mark.parametrize("options", [{}, {"block": 7}, {"rows": 0}, {"device": torch.device("cpu")}])
@pytest.mark.parametrize("name", TOKENS)
def test_by_the_way_of_a_pursuit(name: str, options: dict[str, Any]) -> None:
    """Seen by all three ways of pursuing: one neuron after the other, all in step, and on a device."""
    tokens, neurons = TOKENS[name](), drawn(50, 24)
    neurons[[3, 49]] = 0
    words, live = Dictionary.of(tokens), neurons.any(axis=1)
    own = SeenKurtosis(words, int(live.sum()))
    if "rows" in options:
        words.limit_gram(options["rows"])
    found = greedy_pursuit(neurons, words, 5, seen=own.see, **{k: v for k, v in options.items() if k != "rows"})
    assert own.kurtosis() == pytest.approx(obvious(neurons[live], tokens), rel=1e-4, abs=1e-5)
    assert np.array_equal(found.tokens(0), greedy_pursuit(neurons, tokens, 5).tokens(0)), "and it changes no bundle"


def test_neurons_that_were_not_seen_have_the_least_kurtosis() -> None:
    own = SeenKurtosis(Dictionary.of(drawn(20, 6)), 3)
    own.see(1, drawn(1, 20))
    assert own.kurtosis()[[0, 2]].tolist() == [-2.0, -2.0] and own.kurtosis()[1] > -2.0


@pytest.mark.parametrize("n", [1, 4, 5, 9])
def test_the_size_of_blocks_changes_nothing(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, neurons = drawn(15, 6, 1), drawn(9, 6)
    monkeypatch.setattr(kurtosis, "NEURONS", n)
    done: list[tuple[int, int]] = []
    found = excess_kurtosis(neurons, tokens, progress=lambda made, total: done.append((made, total)))
    assert found == pytest.approx(obvious(neurons, tokens), abs=1e-5)
    assert done == [(made, -(-9 // n)) for made in range(1, -(-9 // n) + 1)]


def test_nothing_of_neurons_times_vocabulary_is_held() -> None:
    import tracemalloc

    tokens, neurons = Dictionary.of(drawn(20_000, 8, 1)), drawn(2_000, 8)
    excess_kurtosis(neurons[:1], tokens)
    tracemalloc.start()
    excess_kurtosis(neurons, tokens)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000 * 20_000 * 4 / 3


def test_a_gaussian_vocabulary_has_none() -> None:
    """Over V tokens the kurtosis of a Gaussian law strays by sqrt(24/V)."""
    found = excess_kurtosis(drawn(40, 16), drawn(50_000, 16, 1))
    assert np.abs(found).max() < 5 * np.sqrt(24 / 50_000)


def test_a_neuron_along_few_of_many_orthogonal_tokens() -> None:
    """By hand: k of V products are 1, the others 0. The law of a coin that seldom falls on heads."""
    V, k = 200, 5
    share = k / V
    neuron = np.zeros((1, V), np.float32)
    neuron[0, :k] = 3.0
    expected = (1 - 6 * share * (1 - share)) / (share * (1 - share))
    assert excess_kurtosis(neuron, np.eye(V, dtype=np.float32)) == pytest.approx([expected], rel=1e-6)


def test_sums_of_five_tokens_stand_out_among_many() -> None:
    tokens = drawn(5_000, 128, 1)
    sums = np.stack([tokens[first : first + 5].sum(axis=0) for first in range(0, 100, 5)])
    random = excess_kurtosis(drawn(1_000, 128), tokens)
    assert excess_kurtosis(sums, tokens).min() > np.quantile(random, 0.99)


def test_products_that_are_all_the_same_have_the_least() -> None:
    tokens = drawn(30, 6, 1)
    tokens[:, 4:] = [1.0, 0.0]
    neurons = np.zeros((4, 6), np.float32)
    neurons[1, 4], neurons[2, 5], neurons[3, 0] = 2.0, 1.0, 1.0
    found = excess_kurtosis(neurons, tokens)
    assert found[:3].tolist() == [-2.0, -2.0, -2.0] and found[3] > -2
    assert excess_kurtosis(np.zeros((2, 6)), tokens).tolist() == [-2.0, -2.0]
    # Two values, each half of the time, have no less.
    coin = np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)
    assert excess_kurtosis(np.array([[1.0, 1.0]]), coin) == pytest.approx([-2.0])


def test_rounding_is_no_kurtosis() -> None:
    """Tokens in a plane, rotated so that a neuron at right angles to it has products of about 1e-8 instead of zero."""
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0]
    tokens = (drawn(400, 2, 1) @ turn[:2]).astype(np.float32)
    assert (tokens @ turn[5].astype(np.float32)).any()
    assert excess_kurtosis(turn[5:6].astype(np.float32), tokens).tolist() == [-2.0]


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**32 - 1), st.integers(-25, 25), st.floats(-30, 30), st.booleans())
def test_length_sign_and_a_common_vector_change_nothing(seed: int, size: int, shift: float, turned: bool) -> None:
    rng = np.random.default_rng(seed)
    tokens, neurons = rng.standard_normal((40, 5)).astype(np.float32), rng.standard_normal((3, 5)).astype(np.float32)
    plain = excess_kurtosis(neurons, tokens)
    assert (plain >= -2).all()
    sign = np.float32(-1 if turned else 1)
    # A power of two keeps every digit.
    assert np.array_equal(excess_kurtosis(neurons * sign * np.float32(2.0**size), tokens), plain)
    assert excess_kurtosis(neurons * np.float32(10.0**size), tokens) == pytest.approx(plain, rel=1e-4, abs=1e-4)
    moved = tokens + np.float32(shift) * rng.standard_normal(5).astype(np.float32)
    assert excess_kurtosis(neurons, moved) == pytest.approx(plain, rel=1e-3, abs=1e-3)


def test_each_neuron_stands_alone_and_the_order_of_tokens_does_not_matter() -> None:
    tokens, neurons = drawn(300, 12, 1), drawn(20, 12)
    found = excess_kurtosis(neurons, tokens)
    order = np.random.default_rng(2).permutation(300)
    assert excess_kurtosis(neurons, tokens[order]) == pytest.approx(found, abs=1e-5)
    assert excess_kurtosis(neurons[7:8], tokens) == pytest.approx(found[7:8], abs=1e-5)


@pytest.mark.parametrize(
    ("neurons", "tokens", "message"),
    [
        (np.ones((2, 3)), np.ones((4, 5)), "neurons have 3 dimensions, and tokens 5"),
        (np.ones((2, 3)), np.zeros((4, 3)), "no row of the dictionary has a direction"),
        (np.full((2, 3), np.nan), np.eye(3), "NaN or infinite"),
        (np.ones(3), np.eye(3), "expected vectors of shape"),
        (np.ones((2, 3)), np.full((4, 3), np.inf), "is not finite"),
    ],
)
def test_what_has_no_kurtosis_is_refused(neurons: Rows, tokens: Rows, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        excess_kurtosis(neurons, tokens)
