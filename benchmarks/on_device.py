"""Pursuit, scan and pairs on a torch device, beside the obvious way there: a float32 product for each step or block."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.answers import CLOSE, against_every_token
from benchmarks.clock import in_turns, row
from benchmarks.sizes import BenchmarkSizes, Rows, Say
from vsa_checks.bundles import Dictionary, greedy_pursuit, ranked_scan
from vsa_checks.orthogonality import pairwise_cosines

DevicePiece = Callable[[BenchmarkSizes, torch.device, Say], dict[str, Any]]
BLOCK = 2048
"""Rows of one product, where all of them might not fit."""


def device_name(device: torch.device) -> str:
    """What the card calls itself; the device's own name where there is no card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def pursuits(sizes: BenchmarkSizes, device: torch.device, say: Say) -> dict[str, Any]:
    """Pursuits of many tokens and of few: with set-up, and with a dictionary that has served before."""
    shape = sizes.paper
    table, neurons = shape.dictionary(), shape.layer(0)
    greedy_pursuit(neurons[:4], table, 3, device=device)  # loads libraries, compiles
    obvious_pursuit(neurons[:4], table, 3, device)
    lines, missed, worst = [], 0, 0.0
    for tokens in (sizes.long, sizes.short):
        kept = Dictionary.of(table)
        greedy_pursuit(neurons, kept, tokens, device=device)
        ways: dict[str, Callable[[], Any]] = {
            "obvious": partial(obvious_pursuit, neurons, table, tokens, device),
            "with set-up": partial(greedy_pursuit, neurons, table, tokens, device=device),
            "after the first": partial(greedy_pursuit, neurons, kept, tokens, device=device),
        }
        seconds = in_turns(ways, sizes.rounds)
        for way in ("with set-up", "after the first"):
            ratios = [one / ours for one, ours in zip(seconds["obvious"], seconds[way], strict=True)]
            lines.append(
                row(f"pursuit of {tokens}, a layer of {len(neurons):,}, {way}, {shape.name}, {device_name(device)}",
                    float(np.median(seconds[way])), float(np.median(seconds["obvious"])), ratios,
                    "at least 5" if tokens == sizes.long else "", "obvious way in float32 on the same device")
            )  # fmt: skip
        some = neurons[: sizes.checked_neurons]
        found = against_every_token(greedy_pursuit(some, kept, tokens, device=device), some, table)
        missed, worst = missed + found[0], max(worst, found[1])
        say(f"  pursuit of {tokens}: {lines[-1]['ratio']:.1f} times the speed of the obvious way")
    return {"rows": lines, "agrees": missed == 0 and worst <= CLOSE, "largest_difference": worst}


def scan_and_pairs(sizes: BenchmarkSizes, device: torch.device, say: Say) -> dict[str, Any]:
    """The scan with K = all and all pairs of tokens, each against the float32 products that it cannot do without."""
    shape = sizes.paper
    table, neurons = shape.dictionary(), shape.layer(0)
    levels = (6 / np.sqrt(shape.d),)
    ranked_scan(neurons[:4], table, device=device)  # loads libraries
    seconds = in_turns(
        {
            "products": lambda: multiply(neurons, table, device),
            "scan": lambda: ranked_scan(neurons, table, device=device),
            "half": lambda: multiply(table, table, device),
            "pairs": lambda: pairwise_cosines(table, levels, device=device),
        },
        sizes.rounds,
    )
    lines = [
        row(f"{name}, {shape.name}, {device_name(device)}", float(np.median(seconds[ours])),
            float(np.median(seconds[other])), [a / b for a, b in zip(seconds[other], seconds[ours], strict=True)], "",
            "against one float32 product of all rows on the same device")
        for name, ours, other in (("scan, K = all", "scan", "products"), ("all pairs", "pairs", "half"))
    ]  # fmt: skip
    here, there = (pairwise_cosines(table[:700], levels, device=one) for one in (None, device))
    same = [
        ranked_scan(neurons[:8], table, device=one).token_ids.tolist() for one in (None, device)
    ]  # close decisions may differ
    agrees = abs(here.max_abs - there.max_abs) < 1e-6 and abs(len(same[0]) - len(same[1])) <= 0.1 * len(same[0])
    return {"rows": lines, "agrees": bool(agrees)}


def obvious_pursuit(neurons: Rows, dictionary: Rows, steps: int, device: torch.device) -> tuple[Any, float]:
    """Pursuit with one float32 product per step on the device: tokens (n, steps), and the seconds it took."""
    begin = time.perf_counter()
    words, unit = (torch.from_numpy(one).to(device) for one in (dictionary, neurons))
    unit = unit / unit.norm(dim=1, keepdim=True)
    projections, squares = unit @ words.T, words.square().sum(dim=1)
    totals, rows = torch.zeros_like(unit), torch.arange(len(unit), device=device)
    taken = torch.zeros(projections.shape, dtype=torch.bool, device=device)
    tokens = []
    for _ in range(steps):
        along, size = (totals * unit).sum(dim=1, keepdim=True), totals.square().sum(dim=1, keepdim=True)
        scores = (along + projections) / (size + 2 * (totals @ words.T) + squares).sqrt()
        best = scores.masked_fill_(taken, -torch.inf).argmax(dim=1)
        taken[rows, best] = True
        totals += words[best]
        tokens.append(best)
    found = torch.stack(tokens, dim=1).cpu().numpy()
    return found, time.perf_counter() - begin


def multiply(left: Rows, right: Rows, device: torch.device) -> None:
    """One float32 product of all rows with all rows, a block at a time; the products are not used."""
    rows, columns = (torch.from_numpy(one).to(device) for one in (left, right))
    for start in range(0, len(rows), BLOCK):
        products = rows[start : start + BLOCK] @ columns.T
    float(products[0, 0])  # waits for the device


DEVICE_PIECES: dict[str, DevicePiece] = {"device-pursuit": pursuits, "device-scan-and-pairs": scan_and_pairs}
