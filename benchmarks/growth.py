"""How the time of a pursuit grows with each size, and what a memory budget costs."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import clock, row
from benchmarks.sizes import FULL, SMALL, BenchmarkSizes, Rows, Say
from vsa_checks.bundles import Dictionary, greedy_pursuit

PARTS = (0.125, 0.25, 0.5, 1.0)


def curves(sizes: BenchmarkSizes, layers: int, say: Say) -> dict[str, Any]:
    """Seconds of a pursuit, without set-up, as one of neurons, dictionary, dimension and max_tokens grows."""
    shape = sizes.paper
    table, neurons = shape.dictionary(), shape.layer(0)
    base = {"neurons": shape.neurons // 4, "dictionary": shape.tokens // 2, "dimension": shape.d, "max_tokens": 16}
    largest = {"neurons": shape.neurons, "dictionary": shape.tokens, "dimension": shape.d, "max_tokens": sizes.long}
    found: dict[str, list[dict[str, float]]] = {}
    for name, most in largest.items():
        found[name] = []
        for part in PARTS:
            size = base | {name: max(1, round(most * part))}
            words = Dictionary.of(np.ascontiguousarray(table[: size["dictionary"], : size["dimension"]]))
            few = np.ascontiguousarray(neurons[: size["neurons"], : size["dimension"]])
            setup = _set_up(words)
            seconds = _pursued(few, words, size["max_tokens"])
            found[name].append({"size": size[name], "seconds": seconds, "setup_seconds": setup})
            say(f"  {name} {size[name]}: {seconds:.2f} s, Gram matrix {setup:.2f} s")
    return {"rows": [], "agrees": True, "curves": found, "base": base}


def _set_up(words: Dictionary) -> float:
    return clock(lambda: words.gram.prepare(2 * len(words.rows), keep=True))


def _pursued(neurons: Rows, words: Dictionary, tokens: int) -> float:
    return min(clock(lambda: greedy_pursuit(neurons, words, tokens)) for _ in range(2))


def memory(sizes: BenchmarkSizes, layers: int, say: Say) -> dict[str, Any]:
    """The same pursuit under several memory budgets, each in its own process: seconds, memory added, answers."""
    name = "small" if sizes is SMALL else "full"
    results: list[dict[str, Any]] = []
    for budget in sizes.budgets:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.growth", name, str(budget)], capture_output=True, text=True, check=True
        )
        seconds, peak, digest = done.stdout.split()
        results.append({"budget": budget, "seconds": float(seconds), "peak": int(peak), "answers": digest})
        say(f"  {budget / 1e9:g} GB: {float(seconds):.1f} s, peak {int(peak) / 1e9:.2f} GB")
    agrees = len({one["answers"] for one in results}) == 1 and all(0 < one["peak"] <= one["budget"] for one in results)
    last = results[-1]
    lines = [
        row(f"pursuit of {sizes.long} within {one['budget'] / 1e9:g} GB, against {last['budget'] / 1e9:g} GB",
            one["seconds"], last["seconds"], [last["seconds"] / one["seconds"]], "",
            f"a layer with set-up; peak {one['peak'] / 1e9:.2f} GB; the same answers" if agrees else "answers differ")
        for one in results
    ]  # fmt: skip
    return {"rows": lines, "agrees": agrees, "budgets": results}


def under_budget(sizes: BenchmarkSizes, budget: int) -> tuple[float, int, str]:
    """Seconds, most bytes added to the process, and a digest of tokens and cosines, of one layer's pursuit."""
    shape = sizes.paper
    table, neurons = shape.dictionary(), shape.layer(0)
    for few in (None, 2 * 10**8):
        greedy_pursuit(neurons[:4], table[:300], 3, memory=few)  # compiles
    before = _peak()
    kept: list[Any] = []
    seconds = clock(lambda: kept.append(greedy_pursuit(neurons, table, sizes.long, memory=budget)))
    peak = _peak() - before
    (found,) = kept
    digest = hashlib.sha256(found.token_ids.tobytes() + np.round(found.cosines, 6).tobytes()).hexdigest()
    return seconds, peak, digest


def _peak() -> int:
    """The most bytes that this process has held; getrusage would also count those of its parent."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    print(*under_budget(SMALL if sys.argv[1] == "small" else FULL, int(sys.argv[2])))
