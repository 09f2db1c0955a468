"""How a pursuit looks at few tokens and is sure of all.

A bundle of squared norm q and projection r on the neuron gains from a token of norm n, projection p and overlap
o x n with the bundle the cosine (r + p) / sqrt(q + n^2 + 2 n o). This reaches a score s > 0 only if

    2 rho p + kappa p^2 - n^2 - 2 n o >= q - r rho,    kappa = 1 / s^2, rho = r kappa.

Now and then all tokens are looked at, and those are listed for which the left side, at the rho and kappa to be expected
soon, plus tau n exceeds a bar below the right side. From then on an overlap falls with each token included by no more
than that token's norm times its lowest cosine with any other, and rho and kappa are known, so that a line of
arithmetic tells whether a token outside the list may have caught up. While it may not, only the list is looked at.
Tokens of the list are scored in float64 from their vectors, those with the highest bound first, until no bound is left
above the best. A bundle of few tokens is done before such lists repay their making: there each step lists, with tau
next to zero, just what reaches a cosine that is known to be reached, or nearly.

Overlaps of all tokens are made anew either from rows of the Gram matrix at a byte an entry (see `GramRows`), whose
rounding is added to the bounds, or, where memory is short, by a matrix product. Where all rows are kept, each bundle is
made from first to last while what it needs lies in a core's cache; otherwise all bundles grow by one token at a time,
so that the rows or products that they lack are made together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vsa_checks.engine import pursuit_steps
from vsa_checks.engine.dictionary import BATCH_BYTES, Dictionary, filling_bytes
from vsa_checks.engine.threads import share_out, workers

ROOM = 3072
"""Most tokens in a list, and up to eight more places."""
BLOCK_BYTES = 256 * 2**20
"""Aim of the projections and overlaps of the neurons that are worked on together."""
LEAST_BLOCK, THREAD_BLOCK = 16, 128
"""Fewest neurons that are worth a thread of their own, and most that a thread multiplies at a time."""


def block_within(words: Dictionary, n: int, length: int, memory: int | None) -> int:
    """How many neurons are worked on together, so that a pursuit of n allocates at most `memory` bytes; makes room.

    What the rows of the Gram matrix may take is set accordingly. Without a budget: as many as BLOCK_BYTES hold, and
    the dictionary's rows as they are. Raises ValueError for a budget that holds no more than the input.
    """
    n_words, d = words.vectors.shape
    each = 8 * n_words + 16 * min(ROOM, n_words + 8) + 16 * d
    if memory is None:
        return max(LEAST_BLOCK, BLOCK_BYTES // each)
    # Dictionary, neurons at unit norm and on the way to it, the result, and a batch of products or tiles of them.
    made = max(2 * BATCH_BYTES, filling_bytes(words))
    fixed = words.vectors.nbytes + 40 * n_words + n * (24 * d + 40 * length) + made
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
    gram, (n_words, _), (n, length) = words.gram, words.vectors.shape, picked.shape
    step = min(block, max(n, 1))
    keep = gram.capacity >= min(n_words, n * length)
    gram.foresee(n * (length - 1), keep)
    shared = _shared(words, keep)
    if gram.complete:
        _apart(words, shared, target, picked, paths, block, progress)
        return
    places = pursuit_steps.Places.of(step, n_words, min(ROOM, n_words + 8))
    # Made once: fresh pages for every block cost as much as filling them.
    scratch = np.empty((step, n_words), np.float32)
    for start in range(0, n, step):
        neurons = _block(target, picked, paths, scratch, start)
        np.matmul(neurons.unit, words.vectors.T, out=neurons.projections)
        _together(words, shared, neurons, places, keep)
        if progress is not None:
            progress(start + len(neurons.unit), n)


def _block(
    target: NDArray[np.float32],
    picked: NDArray[np.int64],
    paths: NDArray[np.float64],
    scratch: NDArray[np.float32],
    start: int,
) -> pursuit_steps.Neurons:
    """As many neurons from `start` on as `scratch` has rows for their projections."""
    rows = slice(start, min(start + len(scratch), len(target)))
    unit = target[rows]
    return pursuit_steps.Neurons(unit, scratch[: len(unit)], np.zeros(unit.shape), picked[rows], paths[rows])


def _apart(
    words: Dictionary,
    shared: pursuit_steps.Words,
    target: NDArray[np.float32],
    picked: NDArray[np.int64],
    paths: NDArray[np.float64],
    block: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Each neuron's bundle from first to last, in threads that know nothing of each other."""
    n_words, at_once = len(words.rows), min(workers(-(-len(target) // LEAST_BLOCK)), block)
    step = max(min(block // at_once, THREAD_BLOCK, -(-len(target) // at_once)), 1)
    starts = range(0, len(target), step)
    scratch = [
        (pursuit_steps.Places.of(1, n_words, min(ROOM, n_words + 8)), np.empty((step, n_words), np.float32))
        for _ in range(min(at_once, len(starts)))
    ]

    def complete(start: int, mine: tuple[pursuit_steps.Places, NDArray[np.float32]]) -> None:
        neurons = _block(target, picked, paths, mine[1], start)
        np.matmul(neurons.unit, words.vectors.T, out=neurons.projections)
        pursuit_steps.complete(mine[0], shared, neurons)

    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress(min(done * step, len(target)), len(target))

    share_out(complete, starts, scratch, tell)


def _shared(words: Dictionary, keep: bool) -> pursuit_steps.Words:
    norms, gram = words.norms.astype(np.float32), words.gram
    extremes = np.array([norms.min(), norms.max(), norms.mean(dtype=np.float64)])
    rows = gram.rows if keep else gram.rows[:0]
    return pursuit_steps.Words(norms, words.inverse, words.vectors, rows, gram.steps, gram.slot, gram.lowest, extremes)


def _together(
    words: Dictionary,
    shared: pursuit_steps.Words,
    neurons: pursuit_steps.Neurons,
    places: pursuit_steps.Places,
    keep: bool,
) -> None:
    """Add one token to all bundles before the next, so that what they lack is made for many at a time."""
    gram, used = words.gram, neurons.used
    pursuit_steps.begin(places, shared, neurons)
    unsettled = np.empty(len(used), bool)
    for k in range(1, used.shape[1]):
        gram.learn(used[:, k - 1], keep)
        pursuit_steps.include_listed(places, shared, neurons, k, unsettled)
        left = np.flatnonzero(unsettled)
        if keep:
            gram.slots(used[left, :k][np.arange(k) >= places.since[left, None]])
        else:
            _multiply(words, neurons.totals, left, places.overlaps)
            places.slack[left] = 0.0
        pursuit_steps.include_best(places, shared, neurons, k, left)


def _multiply(
    words: Dictionary, totals: NDArray[np.float64], left: NDArray[np.int64], overlaps: NDArray[np.float32]
) -> None:
    """Put the overlaps of the sums `left` with all tokens, over the tokens' norms, into their rows of `overlaps`."""
    batch = max(1, BATCH_BYTES // (4 * len(words.inverse)))
    for start in range(0, len(left), batch):
        some = left[start : start + batch]
        overlaps[some] = (totals[some].astype(np.float32) @ words.vectors.T) * words.inverse
