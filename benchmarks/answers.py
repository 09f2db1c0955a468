"""Check the answers of the timed code; pursuits are compared with float64 scores of every token at every step."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.other_ways import plain_scan
from benchmarks.sizes import BenchmarkSizes, Rows, Say
from vsa_checks.bundles import Bundles, Dictionary, greedy_pursuit, ranked_scan
from vsa_checks.judging.subjects import mlp_inputs
from vsa_checks.models import Basis, Model, load
from vsa_checks.orthogonality import centered, live_rows, pairwise_cosines

BASIS: Basis = "raw"
TIE, CLOSE = 1e-6, 1e-4
"""Scores that differ by less than TIE count as equal; a cosine may be wrong by CLOSE."""


def against_every_token(found: Bundles, neurons: Rows, table: Rows) -> tuple[int, float]:
    """Check pursuits against the scores of all tokens in float64.

    Each step is checked by itself: after a token that is not the best, the check goes on with that token.

    Parameters
    ----------
    found : Bundles
        The pursuits of all neurons, each of the same number of tokens.
    neurons : ndarray, shape (n, d)
        None of them zero.
    table : ndarray, shape (m, d)
        The tokens.

    Returns
    -------
    int
        Tokens that score below the best that was left.
    float
        The largest error of a cosine.
    """
    exact = table.astype(np.float64)
    unit = neurons / np.linalg.norm(neurons.astype(np.float64), axis=1, keepdims=True)
    projections, squares = unit @ exact.T, (exact**2).sum(axis=1)
    tokens, cosines = found.token_ids.reshape(len(unit), -1), found.cosines.reshape(len(unit), -1)
    totals, rows, used = np.zeros_like(unit), np.arange(len(unit)), np.zeros(projections.shape, bool)
    missed, worst = 0, 0.0
    for chosen, cosine in zip(tokens.T, cosines.T, strict=True):
        along, size = (totals * unit).sum(axis=1, keepdims=True), (totals**2).sum(axis=1, keepdims=True)
        square = size + 2 * (totals @ exact.T) + squares
        safe = np.where(square > 0, square, np.inf)
        scores = (along + projections) / np.sqrt(safe)
        scores[used] = -np.inf
        missed += int((scores[rows, chosen] < scores.max(axis=1) - TIE).sum())
        worst = max(worst, float(np.abs(scores[rows, chosen] - cosine).max()))
        used[rows, chosen] = True
        totals += exact[chosen]
    return missed, worst


def on_real_weights(sizes: BenchmarkSizes, layers: int, say: Say) -> dict[str, Any]:
    """Check pursuit, scan and pairs on a model's own weights: tokens as they are and centered, three layers."""
    model = load(sizes.model, basis=BASIS)
    rng = np.random.default_rng(0)
    checks: list[dict[str, Any]] = []
    embedding = model["embed.W_E"].numpy()
    tables = {"tokens": embedding, "tokens, centered": centered(embedding)}
    # Dictionaries leave tokens of norm zero out.
    tables = {name: table[table.any(axis=1)] for name, table in tables.items()}
    for name, table in tables.items():
        checks += _on_table(sizes, layers, say, model, name, table, rng)
        checks.append(_pairs(name, table[rng.permutation(len(table))[: sizes.real_rows]]))
    return {"rows": [], "agrees": agree(checks), "model": model.info.name, "basis": BASIS, "checks": checks}


def agree(checks: list[dict[str, Any]]) -> bool:
    """Whether no kind of check differs more than rounding allows: pursuits never do, scans and pairs seldom."""
    allowed = {"scan, K = all": 0.1, "pairs": 1e-5}  # share of close decisions that float32 may turn round
    for what in {one["what"] for one in checks}:
        alike = [one for one in checks if one["what"] == what]
        different, compared = (sum(one[key] for one in alike) for key in ("different", "compared"))
        if different > allowed.get(what, 0.0) * compared:
            return False
    return all(one["largest_difference"] <= CLOSE for one in checks if one["what"] != "scan, K = all")


def _on_table(
    sizes: BenchmarkSizes, layers: int, say: Say, model: Model, name: str, table: Rows, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Scans with one dictionary, and pursuits with rows of the Gram matrix on demand and with all rows made before."""
    complete, checks, last = Dictionary.of(table), [], model.info.n_layers - 1
    complete.gram.prepare(len(table), keep=True)
    for layer in sorted({0, (last + 1) // 2, last})[: layers or None]:
        for matrix in mlp_inputs(model.info):
            at, weight = f"layer {layer} {matrix}, {name}", model[f"blocks.{layer}.mlp.{matrix}"].numpy().T
            live = rng.permutation(weight[weight.any(axis=1)])
            for count, length in ((sizes.real_neurons, sizes.long), (4 * sizes.real_neurons, sizes.short)):
                neurons = live[:count]
                for way, words in (("", Dictionary.of(table)), (", all rows of the Gram matrix", complete)):
                    found = greedy_pursuit(neurons, words, length)
                    steps = len(neurons) * min(length, len(table))
                    checks.append(
                        _line(at, f"pursuit of {length}{way}", steps, *against_every_token(found, neurons, table))
                    )
            checks.append(_scans(at, live[: 2 * sizes.real_neurons], table))
            say(f"  {at}")
    return checks


def _scans(at: str, neurons: Rows, table: Rows) -> dict[str, Any]:
    found, (bundles, cosines) = ranked_scan(neurons, table), plain_scan(neurons, table)
    different = sum(found.tokens(i).tolist() != tokens for i, tokens in enumerate(bundles))
    return _line(at, "scan, K = all", len(neurons), different, float(np.abs(found.cosine - cosines).max()))


def _pairs(name: str, rows: Rows) -> dict[str, Any]:
    """Check root mean square, largest cosine and tail of all pairs of some rows against their float64 Gram matrix."""
    level = 6 / np.sqrt(rows.shape[1])
    found, unit = pairwise_cosines(rows, (level,)), live_rows(rows).unit.astype(np.float64)
    cosines = np.abs((unit @ unit.T)[np.triu_indices(len(unit), 1)])
    errors = (found.rms - np.sqrt((cosines**2).mean()), found.max_abs - cosines.max())
    above = round(found.fraction_above[level] * found.n_pairs)
    return _line(name, "pairs", found.n_pairs, abs(above - int((cosines > level).sum())), float(np.abs(errors).max()))


def _line(at: str, what: str, compared: int, different: int, worst: float) -> dict[str, Any]:
    return {"at": at, "what": what, "compared": compared, "different": different, "largest_difference": worst}
