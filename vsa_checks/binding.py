"""What linear binding does to a set of vectors: the similarity it keeps, and what unbinding brings back (2.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLOCK_ROWS = 8192


@dataclass(frozen=True)
class Bound:
    """What each head does to the vectors: see `bound_figures`."""

    similarity_change: NDArray[np.float64]
    recovered: NDArray[np.bool_]


def head_maps(reads: ArrayLike, writes: ArrayLike | None = None) -> NDArray[np.float32]:
    """Maps (h, d, r) whose images have the geometry of those of reads[h], or of reads[h] @ writes[h].

    reads (h, d, r); writes (h, r, d_out) or None. reads[h] @ writes[h] maps to at most r dimensions of d_out: the
    images are given in coordinates there, in which their dot products are the same. Raises ValueError if shapes differ.
    """
    read = np.asarray(reads, np.float64)
    if writes is None:
        if read.ndim != 3:
            raise ValueError(f"expected matrices (h, d, r), got {read.shape}")
        return read.astype(np.float32)
    write = np.asarray(writes, np.float64)
    if read.ndim != 3 or write.ndim != 3 or read.shape[0] != write.shape[0] or read.shape[2] != write.shape[1]:
        raise ValueError(f"expected (h, d, r) and (h, r, d_out), got {read.shape} and {write.shape}")
    values, axes = np.linalg.eigh(write @ write.transpose(0, 2, 1))
    root = axes * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    return (read @ root).astype(np.float32)


def gaussian_maps(
    heads: int, d: int, rank: int, rng: np.random.Generator, d_out: int | None = None
) -> NDArray[np.float32]:
    """`head_maps` of Gaussian matrices: of one (d, rank), or with d_out of a product (d, rank) @ (rank, d_out)."""
    reads = rng.standard_normal((heads, d, rank)) / np.sqrt(d)
    return head_maps(reads, None if d_out is None else rng.standard_normal((heads, rank, d_out)) / np.sqrt(rank))


def gram_square(unit: NDArray[np.float32]) -> float:
    """Sum of the squared cosines of all ordered pairs of unit rows (n, d), each row with itself among them."""
    return float(np.square(_moment(unit, unit)).sum())


def bound_figures(unit: ArrayLike, maps: ArrayLike, queries: ArrayLike, before: float | None = None) -> Bound:
    """How far each head's binding changes cosines, and which queries unbinding and cleanup bring back.

    unit (n, d) of norm one; maps (h, d, r); queries (q,) rows of `unit`; before, the `gram_square` of `unit` where it
    is known already. similarity_change (h,): root mean square of (cosine after - cosine before) over ALL pairs of rows
    that the head does not map to zero, NaN where fewer than two are left. recovered (h, q): whether of all rows the
    query itself has the largest dot product with (query @ map) @ map^T, ties to the lowest row. Source: paper,
    section 2.2.
    """
    words, keys, asked = np.asarray(unit, np.float32), np.asarray(maps, np.float32), np.asarray(queries, np.int64)
    before = gram_square(words) if before is None else before
    change = np.full(len(keys), np.nan)
    recovered = np.zeros((len(keys), len(asked)), bool)
    for head, key in enumerate(keys):
        images = words @ key
        lengths = np.sqrt(np.einsum("ij,ij->i", images, images, dtype=np.float64))
        recovered[head] = _named(images, asked)
        live = lengths > 0
        n = int(live.sum())
        if n < 2:
            continue
        if n < len(words):
            kept = words[live]
            after = images[live] / lengths[live, None].astype(np.float32)
            first = gram_square(kept)
        else:
            kept, first = words, before
            after = images / lengths[:, None].astype(np.float32)
        # The squared difference of two Gram matrices by moments; their diagonals are one in both and cancel.
        total = first - 2.0 * np.square(_moment(kept, after)).sum() + gram_square(after)
        change[head] = np.sqrt(max(total, 0.0) / (n * (n - 1.0)))
    return Bound(change, recovered)


def _named(images: NDArray[np.float32], asked: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = np.empty(len(asked), np.int64)
    step = max(1, 2**25 // max(len(images), 1))
    for start in range(0, len(asked), step):
        rows = asked[start : start + step]
        found[start : start + step] = (images[rows] @ images.T).argmax(axis=1)
    # A map to zero names row 0 of anything: that is no recovery.
    named: NDArray[np.bool_] = (found == asked) & images[asked].any(axis=1)
    return named


def _moment(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """left^T @ right, (d, d'), summed in float64 a block of rows at a time."""
    total = np.zeros((left.shape[1], right.shape[1]))
    for start in range(0, len(left), BLOCK_ROWS):
        # A copy: for a matrix with itself NumPy turns to a routine that is several times slower on such tall ones.
        total += left[start : start + BLOCK_ROWS].T @ right[start : start + BLOCK_ROWS].copy()
    return total
