"""Null and planted models of the claims on embeddings, neurons and matrices, drawn by seed into memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fixtures import null_models
from fixtures.in_memory import bench_in_memory
from fixtures.planted import plant, tight_frame
from fixtures.small_models import Array, Sizes, Weights, gaussian_weights
from vsa_checks.workbench.access import Workbench

SMALL = Sizes(n_layers=1)
"""d = 64, 300 tokens, 200 neurons."""
LARGE = replace(SMALL, d_mlp=800)
FEW_TOKENS = Sizes(d_model=256, d_vocab=66, n_layers=1, d_head=64, d_mlp=300)
"""A quarter as many tokens as dimensions: sums of tokens do not reach every direction."""
FEW_VECTORS = Sizes(gated=True, n_layers=1, n_kv_heads=1, d_head=4, d_mlp=6)
"""Four value vectors and six neurons: Gaussians of such numbers often lie further apart than is typical."""
NOISES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)


def with_tokens(d_vocab: int) -> Sizes:
    """Small sizes with so many tokens that chance falls about where a threshold lies."""
    return replace(SMALL, d_vocab=d_vocab)


def untaught(sizes: Sizes, seed: int) -> Workbench:
    """Random initialisation: random directions throughout."""
    return bench_in_memory(sizes, gaussian_weights(sizes, np.random.default_rng(seed)), seed)


def matched(sizes: Sizes, tokens: int, background: float, seed: int) -> Workbench:
    """Neurons from one Gaussian that lies along so many tokens: beyond random directions, and yet no bundles."""
    weights = null_models.covariance_matched_neurons.weights(sizes, pool=tokens, background=background, seed=seed)
    return bench_in_memory(sizes, weights, seed)


def matched_of_all_lengths(sizes: Sizes, tokens: int, background: float, seed: int) -> Workbench:
    """`matched` neurons whose lengths differ by a factor of e^.5 either way: only directions may count."""
    weights = null_models.covariance_matched_neurons.weights(sizes, pool=tokens, background=background, seed=seed)
    weights.W_in[0] *= np.random.default_rng([seed, 4]).lognormal(0.0, 0.5, sizes.d_mlp)
    return bench_in_memory(sizes, weights, seed)


def bundled(sizes: Sizes, noise: float, seed: int) -> Workbench:
    """Planted neurons: sums of five tokens, with Gaussian noise of this norm relative to the sum."""
    return bench_in_memory(sizes, plant(sizes, noise=noise, seed=seed)[0], seed)


def part_frame(matrix: str, sizes: Sizes, share: float, seed: int) -> Workbench:
    """One matrix whose vectors are `share` of a tight frame and the rest Gaussian; all else untaught."""
    rng = np.random.default_rng(seed)
    weights = gaussian_weights(sizes, rng)
    vectors = _vectors(weights, matrix)
    vectors[:] = mixture(len(vectors), sizes.d_model, share, rng)
    return bench_in_memory(sizes, weights, seed)


def mixture(n: int, d: int, share: float, rng: np.random.Generator) -> Array:
    """Vectors (n, d) that are `share` times a tight frame's plus 1 - share times Gaussian ones of like norm."""
    return share * tight_frame(n, d, rng) + (1 - share) * rng.standard_normal((n, d)) / np.sqrt(d)


def _vectors(weights: Weights, matrix: str) -> Array:
    """The vectors of layer 0 as a view (n, d): rows of W_out, columns of the single key head's W_V."""
    if matrix == "W_out":
        return weights.W_out[0]
    (head,) = weights.W_V[0]
    return head.T


ONE_VALUE_HEAD = Sizes(gated=True, n_layers=1, n_kv_heads=1, d_head=48)
"""48 value vectors in 64 dimensions."""
