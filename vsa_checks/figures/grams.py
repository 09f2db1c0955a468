"""M^T M as an array: the cosines of some vectors of a matrix, small enough to be kept for every layer of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Arrays = dict[str, NDArray[np.generic]]

WHOLE = -1
"""Stands for a block of vectors from the whole matrix, where another block is of one head."""
MOST_VECTORS = 64
"""Rows and columns of one block: on a page they are seen one by one."""
MOST_BYTES = 16 * 2**20
"""All blocks of a model together, whatever its size."""
MATRICES = 8
"""A layer has no more matrices of which blocks are kept."""
LEVELS = 127


def room(n_layers: int) -> int:
    """How many bytes the blocks of one matrix may take in a model of so many layers."""
    return min(40_000, MOST_BYTES // (MATRICES * max(n_layers, 1)))


def spread_out(n: int, wanted: int) -> NDArray[np.int64]:
    """At most `wanted` of the numbers 0 to n - 1, evenly spread, the first among them."""
    return np.unique(np.linspace(0, n - 1, min(n, wanted)).round().astype(np.int64))


def matrix_blocks(vectors: ArrayLike, room: int, n_heads: int = 0, *, rows: NDArray[np.int64] | None = None) -> Arrays:
    """Cosines among vectors of one matrix: a block of the whole matrix, and one for each head as far as there is room.

    Parameters
    ----------
    vectors : array (n, d)
        The matrix's vectors, head by head where it has heads. Those that are zero have cosine 0 with all.
    room : int, bytes
    n_heads : int, optional
        How many heads the vectors belong to, equally many to each; 0 for a matrix without.
    rows : int array, optional
        Which vectors to take for the block of the whole matrix; by default some evenly spread.

    Returns
    -------
    dict
        rows, int (blocks, r): which vectors, -1 where a block has fewer. heads, int (blocks,): the head, or WHOLE.
        cosines, int8 (blocks, r (r - 1)/2): the upper triangle of each block, row by row, in `steps`, float (blocks,).
    """
    from vsa_checks.orthogonality import live_rows  # loads the compiled loops, which a page does without

    array = np.asarray(vectors)
    r = min(MOST_VECTORS, len(array), max(2, int((2 * room) ** 0.5)))
    chosen = [(WHOLE, spread_out(len(array), r) if rows is None else np.asarray(rows)[:r])]
    if n_heads > 1:
        size = len(array) // n_heads
        for head in spread_out(n_heads, max(1, room // max(r * (r - 1) // 2, 1) - 1)):
            chosen.append((int(head), head * size + spread_out(size, r)))
    numbers = np.full((len(chosen), r), -1, np.int32)
    upper = np.triu_indices(r, 1)
    cosines, steps = np.zeros((len(chosen), len(upper[0])), np.int8), np.ones(len(chosen), np.float32)
    for at, (_, picked) in enumerate(chosen):
        numbers[at, : len(picked)] = picked
        found = np.zeros((r, r))
        unit = live_rows(array[picked])
        found[np.ix_(unit.rows, unit.rows)] = unit.unit.astype(np.float64) @ unit.unit.T.astype(np.float64)
        triangle = found[upper]
        steps[at] = (np.abs(triangle).max(initial=0.0) or 1.0) / LEVELS
        cosines[at] = np.rint(triangle / steps[at])
    return {
        "rows": numbers,
        "heads": np.array([head for head, _ in chosen], np.int32),
        "cosines": cosines,
        "steps": steps,
    }


def block(
    arrays: Mapping[str, NDArray[np.generic]], head: int = WHOLE
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """One block as a matrix of cosines (r, r) with ones on its diagonal, and which vectors it holds (r,).

    Raises KeyError for a head that is not among the blocks.
    """
    places = np.flatnonzero(arrays["heads"] == head)
    if not len(places):
        raise KeyError(head)
    at = int(places[0])
    rows = np.asarray(arrays["rows"][at], np.int64)
    full = np.eye(len(rows))
    upper = np.triu_indices(len(rows), 1)
    full[upper] = np.asarray(arrays["cosines"][at], np.float64) * float(np.asarray(arrays["steps"][at], np.float64))
    full = np.triu(full) + np.triu(full, 1).T
    n = int((rows >= 0).sum())
    return full[:n, :n], rows[:n]


def heads_of(arrays: Mapping[str, NDArray[np.generic]]) -> Sequence[int]:
    """The heads that have a block of their own."""
    return [int(head) for head in arrays["heads"] if head != WHOLE]
