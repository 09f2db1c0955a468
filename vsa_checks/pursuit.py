"""How a pursuit looks at few tokens and is sure of all.

A bundle of squared norm q and projection r on the neuron gains from a token of norm n, projection p and overlap
o x n with the bundle the cosine (r + p) / sqrt(q + n^2 + 2 n o). This reaches a score s > 0 only if

    2 rho p + kappa p^2 - n^2 - 2 n o >= q - r rho,    kappa = 1 / s^2, rho = r kappa.

Now and then all tokens are looked at, and those are listed for which the left side, at the rho and kappa to be expected
soon, plus tau n exceeds a bar below the right side. From then on an overlap falls with each token included by no more
than that token's norm times its lowest cosine with any other, and rho and kappa are known, so that a line of
arithmetic tells whether a token outside the list may have caught up. While it may not, only the list is looked at.
Tokens of the list are scored in float64 from their vectors, those with the highest bound first, until no bound is left
above the best.

Overlaps of all tokens are made anew either from rows of the Gram matrix at a byte an entry (see `GramRows`), whose
rounding is added to the bounds, or, where memory is short, by a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vsa_checks import _pursuit_kernels as _kernels
from vsa_checks.dictionary import BATCH_BYTES, Dictionary

ROOM = 3072
"""Most tokens in a list, and up to eight more places."""
FIRST_TAU = 0.7
"""Room left by the first list, beside the mean norm."""


BLOCK_BYTES = 256 * 2**20
"""Aim of the projections and overlaps of the neurons that are worked on together."""
LEAST_BLOCK = 16


def block_within(words: Dictionary, n: int, length: int, memory: int | None) -> int:
    """How many neurons are worked on together, so that a pursuit of n allocates at most `memory` bytes; makes room.

    What the rows of the Gram matrix may take is set accordingly. Without a budget: as many as BLOCK_BYTES hold, and
    the dictionary's rows as they are. Raises ValueError for a budget that holds no more than the input.
    """
    n_words, d = words.vectors.shape
    each = 8 * n_words + 16 * min(ROOM, n_words + 8) + 16 * d
    if memory is None:
        return max(LEAST_BLOCK, BLOCK_BYTES // each)
    # Dictionary, neurons at unit norm and on the way to it, the result, and a batch of products.
    fixed = words.vectors.nbytes + 40 * n_words + n * (24 * d + 40 * length) + 2 * BATCH_BYTES
    if memory < fixed + LEAST_BLOCK * each:
        least = (fixed + LEAST_BLOCK * each) / 1e9
        raise ValueError(f"a pursuit of this size needs a budget of {least:.2f} GB at least, not {memory / 1e9:.2f} GB")
    block = min(max(LEAST_BLOCK, min(BLOCK_BYTES, (memory - fixed) // 4) // each), max(n, 1))
    words.gram_within(memory - fixed - block * each)
    return block


def pursue(
    words: Dictionary,
    target: NDArray[np.float32],
    picked: NDArray[np.int64],
    paths: NDArray[np.float64],
    block: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Put tokens (n, k) and cosines (n, k) of each neuron's pursuit into `picked` and `paths`.

    target (n, d): neurons at unit norm; `block` of them at a time. k must not exceed the tokens that there are.
    """
    gram, n_words, length = words.gram, len(words.rows), picked.shape[1]
    step = min(block, max(len(target), 1))
    keep = gram.capacity >= min(n_words, step * length)
    gram.foresee(len(target) * (length - 1), keep)
    rows = gram.rows if keep else gram.rows[:0]
    norms = words.norms.astype(np.float32)
    extremes = (float(norms.min()), float(norms.max()), float(norms.mean(dtype=np.float64)))
    # Made once: fresh pages for every block cost as much as filling them.
    scratch = np.empty((2, step, n_words), np.float32)
    for start in range(0, len(target), step):
        neurons, used = target[start : start + step], picked[start : start + step]
        n = len(neurons)
        projections, overlaps = scratch[0, :n], scratch[1, :n]
        np.matmul(neurons, words.vectors.T, out=projections)
        overlaps.fill(0.0)
        lists = _kernels.Lists.of(n, min(ROOM, n_words + 8))
        lists.frames[:, 4] = FIRST_TAU * extremes[2]
        totals, slack, since = np.zeros(neurons.shape), np.zeros(n), np.zeros(n, np.int64)
        cosines, unsettled = paths[start : start + step], np.ones(n, bool)
        for k in range(length):
            if k:
                lists.fallen[:] += gram.falls(used[:, k - 1], keep)
                _kernels.include_listed(
                    *lists, rows, gram.steps, gram.slot, norms, words.vectors, neurons, totals, used, cosines, k,
                    extremes, unsettled,
                )  # fmt: skip
            left = np.flatnonzero(unsettled)
            if k and len(left):
                if keep:
                    gram.slots(used[left, :k][np.arange(k) >= since[left, None]])
                else:
                    _multiply(words, totals, left, overlaps)
                    slack[left] = 0.0
            _kernels.include_best(
                *lists, left, projections, overlaps, slack, since, rows, gram.steps, gram.slot, norms, words.vectors,
                neurons, totals, used, cosines, k, extremes,
            )  # fmt: skip
        if progress is not None:
            progress(min(start + step, len(target)), len(target))


def _multiply(
    words: Dictionary, totals: NDArray[np.float64], left: NDArray[np.int64], overlaps: NDArray[np.float32]
) -> None:
    """Put the overlaps of the sums `left` with all tokens, over the tokens' norms, into their rows of `overlaps`."""
    inverse = (1.0 / words.norms).astype(np.float32)
    batch = max(1, BATCH_BYTES // (4 * len(inverse)))
    for start in range(0, len(left), batch):
        some = left[start : start + batch]
        overlaps[some] = (totals[some].astype(np.float32) @ words.vectors.T) * inverse
