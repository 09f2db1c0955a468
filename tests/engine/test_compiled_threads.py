"""Compiled loops give the same whatever number of threads runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from tests.oracles import Rows
from vsa_checks.bundles import greedy_pursuit, ranked_scan
from vsa_checks.orthogonality import pairwise_cosines, second_moment


def pairs(neurons: Rows, words: Rows) -> list[Any]:
    found = pairwise_cosines(words, (0.1, 0.3), block=50)
    counts = [found.above_by_row[level].tolist() for level in (0.1, 0.3)]
    return [found.max_abs, found.fraction_above, found.histogram.tolist(), counts]


def moments(neurons: Rows, words: Rows) -> list[Any]:
    rows = np.concatenate([words + shift for shift in range(8)])  # several blocks of rows
    found = pairwise_cosines(rows)
    return [found.mean, found.rms, found.mean_square_by_row.tolist(), second_moment(rows).tolist()]


def pursued(neurons: Rows, words: Rows) -> list[Any]:
    found = greedy_pursuit(neurons, words, 6)
    return [found.token_ids.tolist(), found.cosines.tolist()]


def scanned(neurons: Rows, words: Rows) -> list[Any]:
    found = [ranked_scan(neurons, words, count) for count in (2, None)]
    return [(one.token_ids.tolist(), one.cosines.tolist(), one.starts.tolist()) for one in found]


@pytest.mark.parametrize("measure", [pairs, moments, pursued, scanned])
def test_all_threads_give_what_one_gives(measure: Callable[[Rows, Rows], list[Any]]) -> None:
    rng = np.random.default_rng(1)
    neurons, words = (rng.standard_normal(shape).astype(np.float32) for shape in ((61, 16), (400, 16)))
    alone = measure(neurons, words)
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    try:
        for _ in range(3):
            assert measure(neurons, words) == alone
    finally:
        numba.set_num_threads(1)
