"""Models of a law in common have it, have no neuron that is a sum of tokens, and yet beat a Gaussian null."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fixtures import null_neurons
from fixtures.cases.draws import SMALL
from fixtures.small_models import GATED, Sizes
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.orthogonality import centered

LAWS = [
    null_neurons.heavy_tails,
    null_neurons.one_sided_tails,
    null_neurons.sparse,
    null_neurons.blocks,
    null_neurons.top_axes,
    null_neurons.some_in_top_axes,
    null_neurons.graded,
    null_neurons.low_rank,
    null_neurons.shared_direction,
    null_neurons.mixture,
    null_neurons.near_duplicates,
    null_neurons.lengths,
    null_neurons.clusters_of_ten,
    null_neurons.loose_clusters,
]
BEYOND_RANDOM = LAWS[:10]
"""In the others tokens and neurons have nothing in common."""


def share(words: np.ndarray, neurons: np.ndarray) -> float:
    """Share of neurons beyond the 99th percentile of random directions, after five tokens."""
    middle = centered(words)
    drawn = np.random.default_rng(0).standard_normal((4000, words.shape[1]))
    bar = np.quantile(greedy_pursuit(drawn, middle, 5).cosine, 0.99)
    return float(np.mean(greedy_pursuit(neurons, middle, 5).cosine > bar))


@pytest.mark.parametrize("law", LAWS)
def test_laws_in_common_bring_neurons_beyond_random_directions_without_sums(law: null_neurons.Law) -> None:
    weights = null_neurons.weights_of(SMALL, law=law, seed=1)
    turned = null_neurons.weights_of(SMALL, law=law, rotated=True, seed=1)
    found = share(weights.W_E, weights.W_in[0].T)
    assert (found > 0.03) == (law in BEYOND_RANDOM)
    products, after = (one.W_in[0].T @ one.W_E.T for one in (weights, turned))
    assert after == pytest.approx(products, abs=1e-9 * np.abs(products).max())
    assert not np.allclose(turned.W_E, weights.W_E)


@pytest.mark.parametrize("law", BEYOND_RANDOM)
def test_what_brings_them_there_is_no_token_of_theirs(law: null_neurons.Law) -> None:
    """Other tokens of the same law and axes would do as well: half of the tokens explain what the other half do."""
    sizes = Sizes(n_layers=1, d_vocab=600, d_mlp=400)
    weights = null_neurons.weights_of(sizes, law=law, seed=2)
    halves = [share(weights.W_E[half::2], weights.W_in[0].T) for half in (0, 1)]
    assert halves[0] == pytest.approx(halves[1], abs=max(0.05, 0.35 * max(halves)))


@pytest.mark.parametrize("build", [null_neurons.weights_of, null_neurons.few_sums])
def test_the_seed_decides_everything(build: Callable[..., object]) -> None:
    options = {"law": null_neurons.blocks} if build is null_neurons.weights_of else {"share": 0.1}
    first, again, other = (vars(build(GATED, **options, seed=seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in ("W_E", "W_in", "W_gate"))


def test_few_sums_are_few_and_copies_are_copies() -> None:
    weights = null_neurons.few_sums(SMALL, share=0.05, copies=0.1, seed=5)
    found = greedy_pursuit(weights.W_in[0].T, centered(weights.W_E), 5).cosine
    assert np.count_nonzero(found > 0.999) == 10
    unit = weights.W_in[0].T / np.linalg.norm(weights.W_in[0].T, axis=1, keepdims=True)
    copies = unit[10:30] @ unit[10:30].T
    assert copies.min() > 0.9 and np.abs(unit[30:] @ unit[:30].T).max() < 0.8
