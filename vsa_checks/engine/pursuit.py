"""The greedy pursuit, which examines few tokens at each step and still finds the best of all.

This module plans and shares out the work; `pursuit_steps` holds one step of a pursuit, `pursuit_loops` its loops.

Take a bundle with squared norm q and dot product r with the neuron, and a token with norm n, dot product p with the
neuron, and overlap o (its dot product with the bundle, divided by n). With the token added the bundle's cosine is
(r + p) / sqrt(q + n^2 + 2 n o). It is at least s > 0 only if

    2 rho p + kappa p^2 - n^2 - 2 n o >= q - r rho,    kappa = 1 / s^2, rho = r kappa.

Now and then all tokens are checked, and a list is made of those that may be best in the next steps: tokens whose left
side, at the rho and kappa expected then, plus a margin tau n exceeds a bar below the right side. In later steps rho and
kappa are known, and each token included has lowered an overlap by no more than its norm times its most negative
cosine. So one inequality tells whether a token outside the list may have caught up (`list_contains_best`). While
none may have, only the list is checked: the token of highest bound is scored exactly, in float64 from the vectors, then
all whose bound is still above the best score. Bundles of a few tokens are finished before such a list pays off. They
get a new list at each step, with almost no margin, of the tokens that reach a cosine known to be within reach.

The overlaps of all tokens are updated from rows of the Gram matrix in bytes (`GramRows`), whose rounding is added to
the bounds. Where memory is too short for rows, a matrix product computes them. If all rows are there, each bundle is
built from its first token to its last, while its data is in the processor's cache (`_pursue_separately`). If not, all
bundles grow by one token at a time, and the rows or products that they need are made together (`_pursue_in_step`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.engine import pursuit_steps
from vsa_checks.engine.dictionary import BATCH_BYTES, Dictionary, bytes_to_make_all
from vsa_checks.engine.threads import Progress, share_out, workers

Seen = Callable[[int, Any], None]
"""Called with the first neuron of a block and the block's products with all tokens, an array or a tensor."""
ROOM = 3072
"""Most entries of a list; the last eight may stay empty, because tokens are added eight at a time."""
BLOCK_BYTES = 256 * 2**20
"""Target memory for the dot products of the neurons processed together."""
LEAST_BLOCK, THREAD_BLOCK = 16, 256
"""Fewest neurons worth a thread of their own, and most that a thread multiplies at a time: with fewer, a matrix product
spends much of its time copying the tokens."""


def plan_block(words: Dictionary, n: int, length: int, memory: int | None) -> int:
    """Return how many neurons to work on together, so that a pursuit of n neurons allocates at most `memory` bytes.

    The rest of the memory is given to the rows of the Gram matrix. If `memory` is None, as many neurons as fit into
    BLOCK_BYTES. Raises ValueError if `memory` is too small.
    """
    n_words, d = words.vectors.shape
    each = 8 * n_words + 16 * min(ROOM, n_words + 8) + 16 * d
    if memory is None:
        return max(LEAST_BLOCK, BLOCK_BYTES // each)
    # Dictionary, neurons at unit norm and the copies made on the way, the result, and a batch or tiles of products.
    made = max(2 * BATCH_BYTES, bytes_to_make_all(words))
    fixed = words.vectors.nbytes + 40 * n_words + n * (24 * d + 40 * length) + made
    if memory < fixed + LEAST_BLOCK * each:
        least = (fixed + LEAST_BLOCK * each) / 1e9
        raise ValueError(f"a pursuit of this size needs a budget of {least:.2f} GB at least, not {memory / 1e9:.2f} GB")
    block = min(max(LEAST_BLOCK, min(BLOCK_BYTES, (memory - fixed) // 4) // each), max(n, 1))
    words.limit_gram(memory - fixed - block * each)
    return block


def pursue(
    words: Dictionary,
    target: NDArray[np.float32],
    picked: NDArray[np.int64],
    paths: NDArray[np.float64],
    block: int,
    progress: Progress | None = None,
    seen: Seen | None = None,
) -> None:
    """Put the tokens and cosines of each neuron's pursuit into `picked` and `paths` (n, k).

    target (n, d): neurons at unit norm, worked on `block` at a time. k must not exceed the number of tokens. `seen` is
    called with the products of each block and its first neuron.
    """
    gram, (n_words, _), (n, length) = words.gram, words.vectors.shape, picked.shape
    step = min(block, max(n, 1))
    keep = gram.capacity >= min(n_words, n * length)
    if keep or length > pursuit_steps.FEW:
        gram.prepare(n * (length - 1), keep)
    shared = _shared_arrays(words, keep)
    if gram.complete:
        _pursue_separately(words, shared, target, picked, paths, block, progress, seen)
        return
    work = pursuit_steps.Workspace.of(step, n_words, min(ROOM, n_words + 8))
    # Allocated once: fresh pages for every block would cost as much as filling them.
    scratch = np.empty((step, n_words), np.float32)
    for start in range(0, n, step):
        neurons = _neurons_from(target, picked, paths, scratch, start)
        np.matmul(neurons.unit, words.vectors.T, out=neurons.projections)
        if seen is not None:
            seen(start, neurons.projections)
        _pursue_in_step(words, shared, neurons, work, keep)
        if progress is not None:
            progress(start + len(neurons.unit), n)


def _neurons_from(
    target: NDArray[np.float32],
    picked: NDArray[np.int64],
    paths: NDArray[np.float64],
    scratch: NDArray[np.float32],
    start: int,
) -> pursuit_steps.Neurons:
    """Take as many neurons from `start` on as `scratch` (rows, V) has rows for their projections."""
    rows = slice(start, min(start + len(scratch), len(target)))
    unit = target[rows]
    return pursuit_steps.Neurons(unit, scratch[: len(unit)], np.zeros(unit.shape), picked[rows], paths[rows])


def _pursue_separately(
    words: Dictionary,
    shared: pursuit_steps.Words,
    target: NDArray[np.float32],
    picked: NDArray[np.int64],
    paths: NDArray[np.float64],
    block: int,
    progress: Progress | None,
    seen: Seen | None,
) -> None:
    """Build each neuron's bundle from its first token to its last, in independent threads."""
    n_words, at_once = len(words.rows), min(workers(-(-len(target) // LEAST_BLOCK)), block)
    step = max(min(block // at_once, THREAD_BLOCK, -(-len(target) // at_once)), 1)
    starts = range(0, len(target), step)
    scratch = [
        (pursuit_steps.Workspace.of(1, n_words, min(ROOM, n_words + 8)), np.empty((step, n_words), np.float32))
        for _ in range(min(at_once, len(starts)))
    ]

    def complete(start: int, mine: tuple[pursuit_steps.Workspace, NDArray[np.float32]]) -> None:
        neurons = _neurons_from(target, picked, paths, mine[1], start)
        np.matmul(neurons.unit, words.vectors.T, out=neurons.projections)
        if seen is not None:
            seen(start, neurons.projections)
        pursuit_steps.complete_bundles(mine[0], shared, neurons)

    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress(min(done * step, len(target)), len(target))

    share_out(complete, starts, scratch, tell)


def _shared_arrays(words: Dictionary, keep: bool) -> pursuit_steps.Words:
    """Collect the arrays that all neurons share; without rows of the Gram matrix unless `keep`."""
    norms, gram = words.norms.astype(np.float32), words.gram
    extremes = np.array([norms.min(), norms.max(), norms.mean(dtype=np.float64)])
    rows = gram.rows if keep else gram.rows[:0]
    return pursuit_steps.Words(norms, words.inverse, words.vectors, rows, gram.steps, gram.slot, gram.lowest, extremes)


def _pursue_in_step(
    words: Dictionary,
    shared: pursuit_steps.Words,
    neurons: pursuit_steps.Neurons,
    work: pursuit_steps.Workspace,
    keep: bool,
) -> None:
    """Add one token to all bundles, then the next, and make the rows or products that they lack together."""
    gram, used = words.gram, neurons.used
    pursuit_steps.begin_bundles(work, shared, neurons)
    unsettled = np.empty(len(used), bool)
    for k in range(1, used.shape[1]):
        if keep or used.shape[1] > pursuit_steps.FEW:  # otherwise each list lasts for one step and needs no bound
            gram.find_lowest(used[:, k - 1], keep)
        pursuit_steps.include_listed(work, shared, neurons, k, unsettled)
        left = np.flatnonzero(unsettled)
        if keep:
            gram.slots(used[left, :k][np.arange(k) >= work.since[left, None]])
        else:
            _multiply_overlaps(words, neurons.totals, left, work.overlaps)
            work.slack[left] = 0.0
        pursuit_steps.include_best(work, shared, neurons, k, left)


def _multiply_overlaps(
    words: Dictionary, totals: NDArray[np.float64], left: NDArray[np.int64], overlaps: NDArray[np.float32]
) -> None:
    """Compute `overlaps` (n, V) of the sums in rows `left`: dot products with all tokens, over the tokens' norms."""
    batch = max(1, BATCH_BYTES // (4 * len(words.inverse)))
    for start in range(0, len(left), batch):
        some = left[start : start + batch]
        overlaps[some] = (totals[some].astype(np.float32) @ words.vectors.T) * words.inverse
