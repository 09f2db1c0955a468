"""What linear binding does to a set of vectors: the similarity it keeps, and what unbinding brings back (2.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine import loops
from vsa_checks.engine.threads import share_out, workers

BLOCK_ROWS, QUERIES, RIVALS = 4096, 256, 4096
"""Rows that a thread maps at a time, and queries and possible mistakes for them that it compares at a time."""
TOGETHER = 1024
"""Columns of maps side by side: single heads are too narrow for a matrix product to be fast."""
TIE = 1e-6
"""Dot products are taken for equal within this share, some eight units in the last place of float32."""


@dataclass(frozen=True)
class Bound:
    """What each head does to the vectors: see `measure_maps`."""

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


def measure_maps(unit: ArrayLike, maps: ArrayLike, queries: ArrayLike, before: float | None = None) -> Bound:
    """How far each head's binding changes cosines, and which queries unbinding and cleanup bring back.

    unit (n, d) of norm one; maps (h, d, r); queries (q,) rows of `unit`; before, the `gram_square` of `unit` where it
    is known already. similarity_change (h,): root mean square of (cosine after - cosine before) over ALL pairs of rows
    that the head does not map to zero, NaN where fewer than two are left. recovered (h, q): whether of all rows the
    query itself has the largest dot product with (query @ map) @ map^T, ties (to rounding) to the lowest row. Source:
    paper, section 2.2.
    """
    words, keys, asked = np.asarray(unit, np.float32), np.asarray(maps, np.float32), np.asarray(queries, np.int64)
    before = gram_square(words) if before is None else before
    together = max(1, TOGETHER // keys.shape[2])
    groups = [_group(words, keys[at : at + together], asked, before) for at in range(0, len(keys), together)]
    return Bound(
        np.concatenate([one.similarity_change for one in groups]), np.concatenate([one.recovered for one in groups])
    )


def _group(words: NDArray[np.float32], keys: NDArray[np.float32], asked: NDArray[np.int64], before: float) -> Bound:
    """`measure_maps` of heads whose images (n, h, r) are held at the same time."""
    images, lengths, between, after = _through(words, keys)
    change = np.full(len(keys), np.nan)
    for head in range(len(keys)):
        live = lengths[head] > 0
        n = int(live.sum())
        if n >= 2:
            first = before if n == len(words) else gram_square(words[live])
            # The squared difference of two Gram matrices by moments; their diagonals are one in both and cancel.
            total = first - 2.0 * between[head] + after[head]
            change[head] = np.sqrt(max(total, 0.0) / (n * (n - 1.0)))
    orders = np.argsort(-lengths, axis=1)
    recovered = np.zeros((len(keys), len(asked)), bool)

    def look(part: tuple[int, int], _: None) -> None:
        head, some = part[0], slice(part[1], part[1] + QUERIES)
        recovered[head, some] = _named(images[:, head], lengths[head], orders[head], asked[some])

    parts = [(head, start) for head in range(len(keys)) for start in range(0, len(asked), QUERIES)]
    share_out(look, parts, [None] * workers(len(parts)))
    return Bound(change, recovered)


def _through(
    words: NDArray[np.float32], keys: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Images (n, h, r) of the words under maps (h, d, r), and their lengths (h, n).

    Then, by head, the summed squares of words^T @ after and of after^T @ after, where after holds the images at unit
    length, or at zero where they are that.
    """
    (n, d), (heads, _, rank) = words.shape, keys.shape
    side = np.ascontiguousarray(keys.transpose(1, 0, 2).reshape(d, heads * rank))
    images, lengths = np.empty((n, heads, rank), np.float32), np.empty((heads, n))
    starts = range(0, n, BLOCK_ROWS)

    def bind(start: int, held: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        rows = slice(start, min(start + BLOCK_ROWS, n))
        unit = held[: rows.stop - start]
        np.matmul(words[rows], side, out=images[rows].reshape(-1, heads * rank))
        loops.unit_images(images[rows], unit, lengths[:, rows])
        each = [unit[:, head].T @ unit[:, head].copy() for head in range(heads)]
        return words[rows].T @ unit.reshape(-1, heads * rank), each

    scratch = [np.empty((min(n, BLOCK_ROWS), heads, rank), np.float32) for _ in range(workers(len(starts)))]
    between, after = np.zeros((d, heads * rank)), np.zeros((heads, rank, rank))
    for outer, inner in share_out(bind, starts, scratch):
        between += outer
        after += inner
    return (
        images,
        lengths,
        np.square(between).reshape(d, heads, rank).sum(axis=(0, 2)),
        np.square(after).sum(axis=(1, 2)),
    )


def _named(
    images: NDArray[np.float32], lengths: NDArray[np.float64], order: NDArray[np.int64], asked: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of the rows `asked` have no larger dot product with any of the images (n, r) than with themselves.

    Ties, to float32's rounding, go to the lowest row. A product larger than the image's with itself takes a longer
    image, so that each is compared with those only, longest first as in `order`, until one is found.
    """
    # A map to zero names row 0 of anything: that is no recovery.
    named: NDArray[np.bool_] = lengths[asked] > 0
    own = np.square(lengths[asked])
    for start in range(0, len(order), RIVALS):
        rivals = order[start : start + RIVALS]
        left = np.flatnonzero(named & (lengths[asked] <= lengths[rivals[0]] * (1 + TIE)))
        if not len(left):
            break
        products = images[asked[left]] @ images[rivals].T
        highest = products.max(axis=1)
        named[left[highest > own[left] * (1 + TIE)]] = False
        close = np.flatnonzero(named[left] & (highest >= own[left] * (1 - TIE)))
        level = products[close] >= own[left[close], None] * (1 - TIE)
        named[left[close]] = ~(level & (rivals < asked[left[close], None])).any(axis=1)
    return named


def _moment(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """left^T @ right, (d, d'), summed in float64 a block of rows at a time."""
    total = np.zeros((left.shape[1], right.shape[1]))
    for start in range(0, len(left), BLOCK_ROWS):
        # A copy: for a matrix with itself NumPy turns to a routine that is several times slower on such tall ones.
        total += left[start : start + BLOCK_ROWS].T @ right[start : start + BLOCK_ROWS].copy()
    return total
