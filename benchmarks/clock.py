"""Time several implementations in turns, so that other load on the machine slows all of them equally."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np


def clock(work: Callable[[], Any]) -> float:
    """Seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round; a round runs all ways one after the other."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            seconds[name].append(clock(work))
    return seconds


def row(name: str, ours: float, other: float, ratios: list[float], target: str = "", note: str = "") -> dict[str, Any]:
    """One line of the table: the median of other / ours, with the least and the largest ratio of single rounds."""
    return {
        "name": name,
        "ours_s": ours,
        "other_s": other,
        "ratio": float(np.median(ratios)),
        "low": min(ratios),
        "high": max(ratios),
        "target": target,
        "note": note,
    }
