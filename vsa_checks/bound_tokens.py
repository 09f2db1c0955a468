"""Greedy pursuit over tokens and over tokens bound by heads (paper, section 3.3).

With one bound copy of each token per head, the dictionary would be too large for memory. So its parts are kept as
matrix products, and only dot products with a block of neurons are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine import loops
from vsa_checks.engine.threads import Progress, share_out, workers
from vsa_checks.orthogonality import live_rows

BLOCK_BYTES = 128 * 2**20
"""Target memory for a thread's dot products."""


@dataclass(frozen=True)
class Part:
    """Vectors (V, d) of a dictionary, given as left (V, r) @ right (r, d), or as left (V, d) alone."""

    left: NDArray[np.float32]
    right: NDArray[np.float32] | None = None

    def within(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, r) vectors whose dot products with `left` equal those of `vectors` (n, d) with the part."""
        return vectors if self.right is None else vectors @ self.right.T

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the vectors (n, d) at these places (n,)."""
        chosen = self.left[places].astype(np.float64)
        return chosen if self.right is None else chosen @ self.right

    @property
    def squares(self) -> NDArray[np.float32]:
        """Squared norms of the vectors (V,)."""
        if self.right is None:
            return np.einsum("ij,ij->i", self.left, self.left, dtype=np.float64).astype(np.float32)
        inner = self.left @ (self.right @ self.right.T)
        return np.maximum(np.einsum("ij,ij->i", inner, self.left, dtype=np.float64), 0.0).astype(np.float32)


@dataclass(frozen=True)
class Pursued:
    """Result of a pursuit: part and place of each included vector (n, k), and the cosine after it (n, k)."""

    parts: NDArray[np.int64]
    places: NDArray[np.int64]
    cosines: NDArray[np.float64]


def pursue(
    neurons: ArrayLike, dictionary: Sequence[Part], max_tokens: int, *, progress: Progress | None = None
) -> Pursued:
    """Include in each neuron's bundle, `max_tokens` times, the vector of any part that gives the highest cosine.

    Same result as `bundles.greedy_pursuit` with all parts stacked. Each vector is included at most once; ties, within
    float32's rounding, go to the first part and the lowest place.

    Parameters
    ----------
    neurons : array (n, d), none of them zero
    dictionary : the parts
    max_tokens : vectors per bundle
    progress : called with the number of neurons done and the total

    Raises
    ------
    ValueError : a zero neuron, max_tokens < 1, or fewer vectors than max_tokens

    References
    ----------
    Paper, section 3.3.
    """
    live = live_rows(neurons)
    if live.n_excluded:
        raise ValueError(f"{live.n_excluded} of the neurons have no direction")
    squares = [part.squares for part in dictionary]
    if not 1 <= max_tokens <= sum(int(np.count_nonzero(one)) for one in squares):
        raise ValueError(f"a bundle of {max_tokens} cannot be built from this dictionary")
    n, total = len(live.unit), sum(len(part.left) for part in dictionary)
    parts, places = np.full((n, max_tokens), -1, np.int64), np.full((n, max_tokens), -1, np.int64)
    cosines = np.zeros((n, max_tokens))
    step = max(1, min(n, BLOCK_BYTES // (4 * total)))
    starts, widest = range(0, n, step), max(len(part.left) for part in dictionary)
    # Buffers for the neurons' dot products with all parts, and the sums' dot products with one part.
    scratch = [
        ([np.empty((step, len(part.left)), np.float32) for part in dictionary], np.empty(step * widest, np.float32))
        for _ in range(workers(len(starts)))
    ]

    def find(start: int, mine: tuple[list[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        rows = slice(start, min(start + step, n))
        block = _Block(live.unit[rows], parts[rows], places[rows], cosines[rows])
        _pursue_block(block, dictionary, squares, [one[: rows.stop - start] for one in mine[0]], mine[1])

    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress(min(done * step, n), n)

    share_out(find, starts, scratch, tell)
    return Pursued(parts, places, cosines)


@dataclass(frozen=True)
class _Block:
    """Some neurons at unit norm (n, d), and the rows of the result that they fill."""

    unit: NDArray[np.float32]
    parts: NDArray[np.int64]
    places: NDArray[np.int64]
    cosines: NDArray[np.float64]


def _pursue_block(
    block: _Block,
    dictionary: Sequence[Part],
    squares: Sequence[NDArray[np.float32]],
    projections: Sequence[NDArray[np.float32]],
    scratch: NDArray[np.float32],
) -> None:
    n, exact = len(block.unit), block.unit.astype(np.float64)
    for part, square, along_part in zip(dictionary, squares, projections, strict=True):
        np.matmul(part.within(block.unit), part.left.T, out=along_part)
        along_part[:, square == 0] = -np.inf  # so that zero vectors are never the best
    totals = np.zeros(exact.shape)
    scratch.fill(0.0)
    for step in range(block.parts.shape[1]):
        along = np.einsum("ij,ij->i", totals, exact).astype(np.float32)
        square = np.einsum("ij,ij->i", totals, totals).astype(np.float32)
        sums = totals.astype(np.float32)
        scores, best_part, best_place = np.full(n, -np.inf, np.float32), np.zeros(n, np.int64), np.zeros(n, np.int64)
        for number, part in enumerate(dictionary):
            overlaps = scratch[: n * len(part.left)].reshape(n, -1)
            if step:
                np.matmul(part.within(sums), part.left.T, out=overlaps)
            loops.find_better_addition(
                projections[number], overlaps, squares[number], number, along, square, scores, best_part, best_place
            )
        for number, part in enumerate(dictionary):
            chosen = np.flatnonzero(best_part == number)
            totals[chosen] += part.rows(best_place[chosen])
            projections[number][chosen, best_place[chosen]] = -np.inf  # each at most once
        block.parts[:, step], block.places[:, step] = best_part, best_place
        block.cosines[:, step] = np.einsum("ij,ij->i", totals, exact) / np.linalg.norm(totals, axis=1)
