"""The paper's scan over tokens and tokens bound by heads (sections 3.2 and 3.3), without holding the bound tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.bound_heads import Heads
from vsa_checks.bound_tokens import BLOCK_BYTES, Part
from vsa_checks.bundles import LEAST_COSINE
from vsa_checks.engine import bound_loops, loops
from vsa_checks.engine.threads import Progress, share_out, workers
from vsa_checks.orthogonality import live_rows

MOST_BLOCK = 64
"""Most neurons that a thread works on at a time."""


@dataclass(frozen=True)
class BoundScan:
    """Cosine of each neuron's bundle (n,), and how many plain and how many bound tokens it has (n,)."""

    cosines: NDArray[np.float64]
    n_plain: NDArray[np.int64]
    n_bound: NDArray[np.int64]


def scan_with_bound(neurons: ArrayLike, words: Part, heads: Heads, *, progress: Progress | None = None) -> BoundScan:
    """Include tokens and bound tokens by the paper's rule, if each of them lists all neurons.

    Same result as `bundles.ranked_scan` with K = all and the stacked vectors as dictionary.

    Parameters
    ----------
    neurons : array (n, d), none of them zero
    words : the tokens (V, d), part without factors
    heads : the bound tokens of each head
    progress : called with the number of neurons done and the total

    Returns
    -------
    BoundScan

    Raises
    ------
    ValueError : a zero neuron

    References
    ----------
    Paper, sections 3.2 and 3.3.
    """
    live = live_rows(neurons)
    if live.n_excluded:
        raise ValueError(f"{live.n_excluded} of the neurons have no direction")
    n, n_words = len(live.unit), len(words.left)
    norms = np.sqrt(np.concatenate([words.squares[None], heads.squares]), dtype=np.float64).ravel()
    inverse = np.divide(1.0, norms, out=np.zeros(norms.shape), where=norms > 0).astype(np.float32)
    meets = np.ascontiguousarray(np.einsum("qkd,pld->qpkl", heads.right, heads.right, optimize=True))
    step = max(1, min(n, MOST_BLOCK, BLOCK_BYTES // (4 * len(norms))))
    starts = range(0, n, step)
    reached, sizes = np.zeros(n), np.zeros((n, 2), np.int64)

    def explain(start: int, products: NDArray[np.float32]) -> None:
        rows = slice(start, min(start + step, n))
        unit = live.unit[rows]
        cosines = products[: len(unit)]
        np.matmul(unit, words.left.T, out=cosines[:, :n_words])
        for number, (left, right) in enumerate(zip(heads.left, heads.right, strict=True), start=1):
            np.matmul(unit @ right.T, left.T, out=cosines[:, number * n_words : (number + 1) * n_words])
        cosines *= inverse
        ends, ids, values = loops.collect_candidates(cosines, np.float32(LEAST_COSINE))
        bound_loops.scan_bound(
            words.left, heads.left, heads.right, meets, norms, ends, ids, values, reached[rows], sizes[rows]
        )

    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress(min(done * step, n), n)

    share_out(explain, starts, [np.empty((step, len(norms)), np.float32) for _ in range(workers(len(starts)))], tell)
    return BoundScan(reached, sizes[:, 0], sizes[:, 1])
