"""Cosines that the paper's scan reaches by itself: random directions and planted neurons, by vocabulary size."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from calibration.rates import Mapper, judged, model_seed
from fixtures.in_memory import bench_in_memory
from fixtures.planted import bundled_neurons, planted_embeddings, planted_weights
from fixtures.small_models import Sizes
from vsa_checks import nulls
from vsa_checks.bundles import Dictionary, ranked_scan, ranked_scans
from vsa_checks.judging.claim import load_claims
from vsa_checks.orthogonality import centered

COS = ("neurons-cos50", "neurons-cos30")
NOISE = 1.0
VOCABULARIES = (64, 96, 128, 192, 250, 512, 1024)
"""Tokens beside 256 dimensions, for planted models of every claim's nulls."""
VOCABULARY_MODELS = 5
PER_DIMENSION = (0.25, 0.5, 0.75, 1.1, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 16.0, 32.0)
DIMENSIONS = (64, 256, 768)
DIRECTIONS = 1000
LEVELS = (0.5, 0.3)
GPT2_SIZES = Sizes(d_model=768, d_vocab=50257, n_layers=1, n_heads=12, n_kv_heads=12, d_head=64, d_mlp=512)
"""GPT-2 small's dimension and vocabulary; a sixth of its neurons."""
GPT2_NEURONS, BUNDLE, FEW = 3072, 5, (1, 2, 3)


def random_reach(seed: int, map_jobs: Mapper) -> list[dict[str, Any]]:
    """Share of random directions that the scan (K = all) brings to .5 and .3, by dimension and tokens per dimension."""
    return map_jobs(
        [
            partial(_reached, d, round(ratio * d), model_seed(seed, "reach", d, ratio))
            for d in DIMENSIONS
            for ratio in PER_DIMENSION
        ]
    )


def _reached(d: int, n_words: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    words = nulls.random_directions(n_words, d, rng)
    cosine = ranked_scan(nulls.random_directions(DIRECTIONS, d, rng), centered(words)).cosine
    return {"d_model": d, "d_vocab": n_words} | {str(level): float((cosine >= level).mean()) for level in LEVELS}


def vocabularies(seed: int, map_jobs: Mapper) -> list[dict[str, Any]]:
    """Shares that planted neurons and both nulls reach at .5 and .3, K = all, by tokens beside 256 dimensions."""
    rows = []
    for n_words in VOCABULARIES:
        sizes = Sizes(d_model=256, d_vocab=n_words, n_layers=1, d_head=64, d_mlp=200)
        seeds = [model_seed(seed, "vocabulary", n_words, number) for number in range(VOCABULARY_MODELS)]
        found = map_jobs([partial(_scanned, sizes, one) for one in seeds])
        rows.append({"d_model": 256, "d_vocab": n_words} | {claim: _shares(claim, found) for claim in COS})
    return rows


def real_vocabulary(seed: int, map_jobs: Mapper) -> dict[str, Any]:
    """The same at GPT-2's size; and the shares at .5 of all its neurons where each token lists only a few of them."""
    own = model_seed(seed, "real vocabulary")
    found, few = map_jobs([partial(_scanned, GPT2_SIZES, own), partial(_listed, GPT2_SIZES, own)])
    return {
        "d_model": GPT2_SIZES.d_model,
        "d_vocab": GPT2_SIZES.d_vocab,
        "n_neurons": GPT2_SIZES.d_mlp,
        "n_neurons_listed": GPT2_NEURONS,
        "listed": few,
    } | {claim: _shares(claim, [found]) for claim in COS}


def _listed(sizes: Sizes, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    vectors = planted_embeddings(sizes.d_vocab, sizes.d_model, rng)
    chosen = rng.integers(len(vectors), size=(GPT2_NEURONS, BUNDLE))
    neurons = bundled_neurons(vectors, chosen, NOISE, rng)
    words = Dictionary.of(vectors.astype(np.float32))
    random = nulls.random_directions(GPT2_NEURONS, sizes.d_model, rng)
    shares = {
        name: [float((found.cosine >= 0.5).mean()) for found in ranked_scans(these, words, FEW)]
        for name, these in (("planted", neurons.astype(np.float32)), ("random", random))
    }
    return [
        {"neurons_per_token": k, "planted": shares["planted"][place], "random": shares["random"][place]}
        for place, k in enumerate(FEW)
    ]


def _scanned(sizes: Sizes, seed: int) -> dict[str, Any]:
    bench = bench_in_memory(sizes, planted_weights(sizes, noise=NOISE, seed=seed), seed)
    return {claim: judged(claim, bench) for claim in COS}


def _shares(claim: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean shares over models; the claim can hold only where every null leaves room for delta below a share of 1."""
    outcomes = [one[claim] for one in found]
    null = {name: float(np.mean([one.null_values[name] for one in outcomes])) for name in load_claims()[claim].decisive}
    return {
        "planted": float(np.mean([one.value for one in outcomes])),
        "nulls": null,
        "can_hold": max(null.values()) + load_claims()[claim].delta <= 1.0,
        "holds": sum(one.verdict == "holds" for one in outcomes),
        "models": len(outcomes),
    }
