"""What is timed. Each piece returns lines of the table, points for the figure, and whether the answers agreed."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import growth, other_ways
from benchmarks.answers import CLOSE, against_every_token, on_real_weights
from benchmarks.clock import clock, in_turns, row
from benchmarks.cost import cost
from benchmarks.sizes import BenchmarkSizes, Geometry, Say
from benchmarks.whole_run import where_time_goes
from vsa_checks.bundles import Dictionary, greedy_pursuit, ranked_scan, ranked_scans
from vsa_checks.orthogonality import pairwise_cosines

Piece = Callable[[BenchmarkSizes, int, Say], dict[str, Any]]
COUNTS = (1, 3, 5, 10)


def pursuit_long(sizes: BenchmarkSizes, layers: int, say: Say) -> dict[str, Any]:
    """The pursuit of many tokens over all layers of GPT-2 small, against the obvious way."""
    return _pursuit(sizes, sizes.paper, sizes.long, layers, "at least 30", say)


def pursuit_short(sizes: BenchmarkSizes, layers: int, say: Say) -> dict[str, Any]:
    """The pursuit of five tokens over all layers of the embedded model, against the obvious way."""
    return _pursuit(sizes, sizes.embedded, sizes.short, layers, "", say)


def _pursuit(sizes: BenchmarkSizes, shape: Geometry, tokens: int, layers: int, target: str, say: Say) -> dict[str, Any]:
    """Ours layer by layer, with set-up in the first; before each a sample of the obvious way, scaled to the whole."""
    table, first = shape.dictionary(), shape.layer(0)
    greedy_pursuit(first[:4], table[:300], 3)  # compiles
    run = min(layers or shape.layers, shape.layers)
    part, steps = min(sizes.obvious_neurons, shape.neurons), min(sizes.obvious_steps, tokens)
    ours, obvious = [], []
    words: Dictionary | None = None
    for number in range(run):
        neurons = shape.layer(number)
        seconds = other_ways.obvious_pursuit(neurons[:part], table, steps)[2]
        obvious.append(float(np.mean(seconds)) * tokens * shape.neurons / part)
        begin = time.perf_counter()
        # The first layer makes the dictionary.
        words = words or Dictionary.of(table)
        greedy_pursuit(neurons, words, tokens)
        ours.append(time.perf_counter() - begin)
        say(f"  layer {number}: ours {ours[-1]:.1f} s, the obvious way {obvious[-1]:.0f} s")
    later = float(np.mean(ours[1:])) if run > 1 else ours[0]
    whole = sum(ours) + (shape.layers - run) * later
    other = float(np.mean(obvious)) * shape.layers
    some = first[: sizes.checked_neurons]
    missed, worst = against_every_token(greedy_pursuit(some, table, tokens), some, table)
    note = (
        f"obvious way timed on {part} neurons and {steps} steps of {'each layer' if run == shape.layers else 'a layer'}"
        f" and scaled; ours with set-up, {'all' if run == shape.layers else run} of {shape.layers} layers run"
    )
    lines = [row(f"pursuit of {tokens}, {shape.name}, {shape.layers} layers of {shape.neurons:,}", whole, other,
                 [other / whole], target, note)]  # fmt: skip
    if run > 1:
        ratios = [one / ours_one for one, ours_one in zip(obvious[1:], ours[1:], strict=True)]
        lines.append(row(f"the same, a layer after the first, {shape.name}", later, other / shape.layers, ratios))
    return {"rows": lines, "agrees": missed == 0 and worst <= CLOSE, "largest_difference": worst}


def scan(sizes: BenchmarkSizes, layers: int, say: Say) -> dict[str, Any]:
    """The scan with K = all against FAISS's search alone and with a Python loop; several K against one."""
    shape = sizes.paper
    table, neurons = shape.dictionary(), shape.layer(0)
    ranked_scans(neurons[:40], table[:300], (1, None))  # compiles
    neighbours = min(sizes.flat_neighbours, shape.tokens)
    seconds = in_turns(
        {
            "flat": lambda: other_ways.flat_search(neurons, table, neighbours),
            "ours": lambda: ranked_scan(neurons, table),
            "one": lambda: ranked_scan(neurons, table, COUNTS[-1]),
            "several": lambda: ranked_scans(neurons, table, COUNTS),
        },
        sizes.rounds,
    )
    part = neurons[: sizes.scanned_plainly]
    plain = clock(lambda: other_ways.plain_scan(part, table)) * len(neurons) / len(part)
    bundles, cosines = other_ways.plain_scan(part, table)
    found = ranked_scan(neurons, table)
    same = [found.tokens(i).tolist() == tokens for i, tokens in enumerate(bundles)]
    close = np.abs(found.cosine[: len(part)] - cosines) < 1e-4
    ours = float(np.median(seconds["ours"]))
    flat, one, several = (float(np.median(seconds[name])) for name in ("flat", "one", "several"))
    lines = [
        row("scan, K = all, against FAISS's flat search alone", ours, flat,
            [a / b for a, b in zip(seconds["flat"], seconds["ours"], strict=True)], "at least 0.5",
            f"{len(neurons):,} queries, k = {neighbours}"),
        row("scan, K = all, against FAISS and a Python scan", ours, flat + plain,
            [(a + plain) / b for a, b in zip(seconds["flat"], seconds["ours"], strict=True)],
            "at least 20", f"the Python scan timed on {len(part)} neurons and scaled"),
        row(f"scan, K = {', '.join(map(str, COUNTS))} together, against K = {COUNTS[-1]} alone", several, one,
            [a / b for a, b in zip(seconds["one"], seconds["several"], strict=True)], "little under 1"),
    ]  # fmt: skip
    # float32 products round differently, so that close decisions may differ.
    return {"rows": lines, "agrees": bool(np.mean(same) > 0.9 and np.mean(close) > 0.9)}


def pairs(sizes: BenchmarkSizes, layers: int, say: Say) -> dict[str, Any]:
    """All pairs with tails, histogram and maximum, against one blocked product of half of the Gram matrix."""
    table = sizes.paper.dictionary()
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    levels = (6 / np.sqrt(sizes.paper.d),)
    pairwise_cosines(unit[:300], levels)  # compiles
    seconds = in_turns(
        {"half": lambda: other_ways.half_gram(unit), "ours": lambda: pairwise_cosines(table, levels)}, sizes.rounds
    )
    ratios = [a / b for a, b in zip(seconds["half"], seconds["ours"], strict=True)]
    sample = pairwise_cosines(table[:700], levels)
    gram = unit[:700].astype(np.float64) @ unit[:700].T
    cosines = np.abs(gram[np.triu_indices(700, 1)])
    agrees = abs(sample.max_abs - cosines.max()) < 1e-6
    agrees &= abs(sample.rms - np.sqrt((cosines**2).mean())) < 1e-6
    agrees &= abs(sample.fraction_above[levels[0]] - (cosines > levels[0]).mean()) < 1e-5
    ours, half = (float(np.median(seconds[name])) for name in ("ours", "half"))
    count = sizes.paper.tokens * (sizes.paper.tokens - 1) // 2
    lines = [row(f"pairwise_cosines, {count:,} pairs, against the half product alone", ours, half, ratios,
                 "at least 0.77", "a ratio of 0.77 means 1.3 times the product")]  # fmt: skip
    return {"rows": lines, "agrees": bool(agrees)}


def context(sizes: BenchmarkSizes, layers: int, say: Say) -> dict[str, Any]:
    """Weighted orthogonal matching pursuit by other libraries: another problem of the same size, for context only."""
    from sklearn.linear_model import orthogonal_mp_gram

    shape = sizes.embedded
    table, neurons = shape.dictionary()[: sizes.context_tokens], shape.layer(0)[: sizes.context_neurons]
    unit = (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float64)
    targets = (neurons / np.linalg.norm(neurons, axis=1, keepdims=True)).astype(np.float64)
    tokens = sizes.short
    greedy_pursuit(neurons[:4], table[:300], 3)  # compiles
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: greedy_pursuit(neurons, table, tokens),
        "scikit-learn orthogonal_mp_gram": lambda: orthogonal_mp_gram(
            unit @ unit.T, unit @ targets.T, n_nonzero_coefs=tokens
        ),
    }
    missing = importlib.util.find_spec("orthogonal_matching_pursuit_gpu") is None
    if not missing:
        import torch
        from orthogonal_matching_pursuit_gpu import run_omp

        atoms, signals = torch.from_numpy(np.ascontiguousarray(unit.T)), torch.from_numpy(targets)
        ways["orthogonal-matching-pursuit-gpu on the CPU"] = lambda: run_omp(
            atoms, signals, n_nonzero_coefs=tokens, normalize=False, fit_intercept=False
        )
    seconds = in_turns(ways, sizes.rounds)
    ours = float(np.median(seconds["ours"]))
    size = f"{len(neurons)} neurons, {len(table):,} tokens, {tokens} of them, set-up included"
    lines = [
        row(f"context: {name}", ours, float(np.median(took)),
            [a / b for a, b in zip(took, seconds["ours"], strict=True)], "", f"{size}; weighted, another problem")
        for name, took in seconds.items() if name != "ours"
    ]  # fmt: skip
    return {"rows": lines, "agrees": True, "not_installed": ["orthogonal-matching-pursuit-gpu"] * missing}


PIECES: dict[str, Piece] = {
    "pursuit": pursuit_long,
    "few-tokens": pursuit_short,
    "scan": scan,
    "pairs": pairs,
    "context": context,
    "memory": growth.memory,
    "growth": growth.curves,
    "real-weights": on_real_weights,
    "whole-run": where_time_goes,
    "cost": cost,
}
NOT_SMALL = ("real-weights", "whole-run")
"""Pieces without a small size, because they take a real model as it is."""
