"""Power as the planted signal falls: by verdicts, and by the recovered tokens."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from calibration.rates import Mapper, judged_drawn, model_seed, verdict_rates
from fixtures.cases import CASES
from fixtures.cases.draws import NOISES, SMALL
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
            found = map_jobs([partial(judged_drawn, claim_id, "signals", place, level, one) for one in seeds])
            rows.append({"level": level, **verdict_rates(found), "fragile": sum(one.fragile for one in found)})
        signals.append({"model": signal.name, "level": signal.level, "rows": rows})
    return {"claim": claim_id, "signals": signals}


def support(n: int, seed: int, map_jobs: Mapper) -> list[dict[str, Any]]:
    """Precision and recall of the planted tokens, by search and noise: mean and standard error over n models."""
    results = []
    for sizes in SUPPORT_SIZES:
        rows = []
        for noise in NOISES:
            seeds = [model_seed(seed, "support", sizes.d_vocab, noise, number) for number in range(n)]
            found = map_jobs([partial(recovered, sizes, noise, one) for one in seeds])
            rows.append({"noise": noise} | {key: _over_models([one[key] for one in found]) for key in found[0]})
        results.append({"d_model": sizes.d_model, "d_vocab": sizes.d_vocab, "models": n, "rows": rows})
    return results


def recovered(sizes: Sizes, noise: float, seed: int) -> dict[str, float]:
    """Mean precision and recall over the neurons of one planted model, for each way of looking for the tokens."""
    weights, truth = plant(sizes, noise=noise, bundle=BUNDLE, seed=seed)
    words = Dictionary.of(centered(weights.W_E.astype(np.float32)))
    neurons = np.ascontiguousarray(weights.W_in[0].T, np.float32)
    logic = {one.neuron for one in (truth.or_neuron, truth.and_neuron) if one is not None}
    members = {neuron: set(tokens) for neuron, tokens in enumerate(truth.members["W_in"]) if neuron not in logic}
    scan_all, scan_few = ranked_scans(neurons, words, (None, NEURONS_PER_TOKEN))
    found = {"pursuit": greedy_pursuit(neurons, words, BUNDLE), "scan_all": scan_all, "scan_few": scan_few}
    shares: dict[str, float] = {}
    for name, bundles in found.items():
        precision, recall = precision_and_recall(bundles, members)
        shares |= {f"{name}_precision": precision, f"{name}_recall": recall}
    return shares


def precision_and_recall(found: Bundles, members: dict[int, set[int]]) -> tuple[float, float]:
    """Share of the found tokens that were planted, over neurons with any, and share of the planted that were found."""
    precision, recall = [], []
    for neuron, planted in members.items():
        tokens = set(found.tokens(neuron).tolist())
        hits = len(tokens & planted)
        recall.append(hits / len(planted))
        if tokens:
            precision.append(hits / len(tokens))
    return (float(np.mean(precision)) if precision else 0.0), float(np.mean(recall))


def _over_models(values: list[float]) -> dict[str, float]:
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "error": error}
