"""Power: what is still found as the planted signal falls, by the verdicts and by the tokens that are recovered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.cases import CASES
from calibration.draws import NOISES, SMALL
from calibration.rates import PLANTED, Job, Mapper, model_seed, verdict_rates
from fixtures.planted import plant
from fixtures.small_models import Sizes
from vsa_checks.bundles import Bundles, Dictionary, greedy_pursuit, ranked_scans
from vsa_checks.orthogonality import centered

BUNDLE = 5
NEURONS_PER_TOKEN = 5
MANY_TOKENS = Sizes(d_model=256, d_vocab=4096, n_layers=1, d_head=64, d_mlp=200)
"""Sixteen times as many tokens as dimensions."""
SUPPORT_SIZES = (SMALL, MANY_TOKENS)


def power(claim_id: str, n: int, seed: int, map_jobs: Mapper) -> dict[str, Any]:
    """How often a claim holds at each level of each of its signals."""
    signals = []
    for place, signal in enumerate(CASES[claim_id].signals):
        rows = []
        for level in signal.levels:
            seeds = [model_seed(seed, claim_id, signal.name, level, number) for number in range(n)]
            found = map_jobs([Job(claim_id, PLANTED, place, level, one) for one in seeds])
            rows.append({"level": level, **verdict_rates(found), "fragile": sum(one.fragile for one in found)})
        signals.append({"model": signal.name, "level": signal.level, "rows": rows})
    return {"claim": claim_id, "signals": signals}


@dataclass(frozen=True)
class Search:
    """One planted model whose tokens are to be recovered."""

    sizes: Sizes
    noise: float
    seed: int


def support(n: int, seed: int, map_jobs: Mapper) -> list[dict[str, Any]]:
    """Precision and recall of the planted tokens, by search and noise: mean and standard error over n models."""
    results = []
    for sizes in SUPPORT_SIZES:
        rows = []
        for noise in NOISES:
            seeds = [model_seed(seed, "support", sizes.d_vocab, noise, number) for number in range(n)]
            found = map_jobs([Search(sizes, noise, one) for one in seeds], recovered)
            rows.append({"noise": noise} | {key: _over_models([one[key] for one in found]) for key in found[0]})
        results.append({"d_model": sizes.d_model, "d_vocab": sizes.d_vocab, "models": n, "rows": rows})
    return results


def recovered(search: Search) -> dict[str, float]:
    """Mean precision and recall over the neurons of one planted model, for each way of looking for the tokens."""
    weights, truth = plant(search.sizes, noise=search.noise, bundle=BUNDLE, seed=search.seed)
    words = Dictionary.of(centered(weights.W_E.astype(np.float32)))
    neurons = np.ascontiguousarray(weights.W_in[0].T, np.float32)
    logic = {one.neuron for one in (truth.or_neuron, truth.and_neuron) if one is not None}
    members = {neuron: set(tokens) for neuron, tokens in enumerate(truth.members["W_in"]) if neuron not in logic}
    scan_all, scan_few = ranked_scans(neurons, words, (None, NEURONS_PER_TOKEN))
    found = {"pursuit": greedy_pursuit(neurons, words, BUNDLE), "scan_all": scan_all, "scan_few": scan_few}
    figures: dict[str, float] = {}
    for name, bundles in found.items():
        precision, recall = precision_and_recall(bundles, members)
        figures |= {f"{name}_precision": precision, f"{name}_recall": recall}
    return figures


def precision_and_recall(found: Bundles, members: dict[int, set[int]]) -> tuple[float, float]:
    """Share of the found tokens that were planted, over neurons with any, and share of the planted that were found."""
    precision, recall = [], []
    for neuron, planted in members.items():
        tokens = _set(found.tokens(neuron))
        hits = len(tokens & planted)
        recall.append(hits / len(planted))
        if tokens:
            precision.append(hits / len(tokens))
    return (float(np.mean(precision)) if precision else 0.0), float(np.mean(recall))


def _set(tokens: NDArray[np.int64]) -> set[int]:
    return {int(token) for token in tokens}


def _over_models(figures: list[float]) -> dict[str, float]:
    error = float(np.std(figures, ddof=1) / np.sqrt(len(figures))) if len(figures) > 1 else 0.0
    return {"mean": float(np.mean(figures)), "error": error}


def holds_limit(rows: list[dict[str, Any]], share: float = 0.5) -> list[float]:
    """Levels at which the claim holds on at least this share of the models."""
    return [row["level"] for row in rows if row["holds"]["rate"] >= share]
