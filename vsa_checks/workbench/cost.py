"""Estimate a run's multiplications, claim by claim, from the model's shape, and its time on this machine.

The factors were fitted to measured runs of models of several shapes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import ModelInfo

MOST_GRAM = 5 * 2**29
"""Most bytes for rows of the Gram matrix of a dictionary."""
SAME_WORK = {
    "neurons-kurtosis": "neurons-beyond-chance",
    "neurons-cos30": "neurons-cos50",
    "neuron-and": "neuron-or",
    "unbinding-recovers": "binding-preserves-similarity",
    "residual-components": "residual-keeps-token",
}
"""Claims that need little more than the work of another claim at the same place."""
PRODUCTS = 3.8
"""How much longer a run takes than matrix products with as many multiplications; measured."""
TOKENS_READ = 4_096
"""Approximate number of tokens of the shipped text; a longer text takes longer."""


def products_by_claim(info: ModelInfo, subjects: Iterable[Subject]) -> dict[str, float]:
    """Multiply-adds needed to measure the subjects, for each claim that does its own work.

    Parameters
    ----------
    info : ModelInfo
        The model's shape; without a tokenizer, claims that need text are not checked and cost nothing.
    subjects : iterable of Subject

    Returns
    -------
    dict of str to float
        In multiplications, largest first; work that claims share counts under the one in SAME_WORK.
    """
    claims = load_claims()
    chosen = [one for one in subjects if info.text or "text" not in claims[one.claim].needs]
    each = {(SAME_WORK.get(one.claim, one.claim), one.basis, one.layer, one.expert, one.matrix) for one in chosen}
    products: defaultdict[str, float] = defaultdict(float)
    for claim, *_ in each:
        products[claim] += _work(info, claim)
    for claim, _ in {(claim, basis) for claim, basis, *_ in each}:
        products[claim] += _once(info, claim)
    return {claim: products[claim] for claim in sorted(products, key=lambda one: -products[one]) if products[claim]}


def expected_seconds(info: ModelInfo, subjects: Iterable[Subject], speed: float) -> float:
    """Approximate time to measure the subjects on a machine of this speed, as returned by `measured_speed`."""
    return PRODUCTS * sum(products_by_claim(info, subjects).values()) / speed


def measured_speed(seconds: float = 0.2) -> float:
    """Multiply-adds per second of float32 matrix products on this machine, now."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((1024, 1024), dtype=np.float32) for _ in range(2))
    out = np.empty_like(left)
    np.matmul(left, right, out=out)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        np.matmul(left, right, out=out)
        count += 1
    return count * 1024**3 / (time.perf_counter() - start)


def _work(info: ModelInfo, claim: str) -> float:
    """Multiplications for each subject of a claim, with factors fitted to measured runs."""
    V, d, m, h, r = info.d_vocab, info.d_model, info.d_mlp, max(info.n_heads, 1), info.d_head
    match claim:
        case "neurons-beyond-chance":
            # Each of the first four tokens of a bundle needs its row of the Gram matrix, which large vocabularies' is
            # not held for all of them.
            not_held = max(0.0, 1.0 - MOST_GRAM / V**2)
            return (0.6 + 4.0 * not_held) * (m + 4 * min(m, 384)) * V * d
        case "neurons-cos50-few":
            return 3.0 * (m + 1_536) * V * d
        case "neurons-cos50":
            return 3.0 * m * V * d + 450.0 * m**2 * d
        case "neurons-cos50-bound":
            return 1_500.0 * V * (d + h * r) + 300.0 * m**2 * d
        case "neurons-cos50-bound-few":
            return 3_500.0 * V * (d + h * r) + 2e10
        case "circuits-bound-tokens":
            # And the search for independent axes, of at most 100 steps with a singular value decomposition each.
            return 8.0 * (m + 940) * V * (d + h * r) + 240.0 * (16 * d) * d**2
        case "neuron-or":
            return 8.0 * (m + 4 * min(m, 384)) * V * d + 3e10
        case "attention-rebinds":
            return 6e4 * h * r * d
        case "attention-next-token":
            return 3e9
        case "circuits-mlp-to-mlp":
            return 0.4 * info.n_layers**2 * d * (m**2 + 3 * m * min(m, 512)) + 2e10
        case "binding-preserves-similarity":
            return (0.6 * V + 6e4) * d * h * r
        case "attention-near-orthogonal" | "attention-artifacts":
            return 2.0 * (h * r) ** 2 * d + 4e8 * h
        case "mlp-out-near-orthogonal":
            return 1.5 * m**2 * d
        case _:
            return 0.0


def _once(info: ModelInfo, claim: str) -> float:
    """Multiplications that a claim needs once in each basis, for all its subjects."""
    V, d, m, L = info.d_vocab, info.d_model, info.d_mlp, info.n_layers
    layer = d * (2 * (info.n_heads + info.n_kv_heads) * info.d_head + 3 * m)
    match claim:
        case "embedding-near-orthogonal":
            return 0.3 * V**2 * d
        case "neurons-beyond-chance":
            return V * d * (20_000 + V / 2) + 110.0 * min(V, 16 * d) * d**2
        case "bundle-recall":
            return 5_000.0 * V * d
        case "residual-keeps-token":
            return TOKENS_READ * (1.6 * L * layer + V * d) + 6e3 * V * d
        case "attention-rebinds":
            return TOKENS_READ * (1.5 * L * layer + V * d) + 2e11
        case "mlp-out-beyond-random":
            return 100.0 * m**2 * d
        case _:
            return 0.0
