"""Binding by a head's matrix: how much it changes similarities, and which vectors unbinding recovers (section 2.2).

Binding multiplies a vector by a matrix. Unbinding multiplies the result by the transpose, and cleanup takes the known
vector that has the largest dot product with it. The *image* of a vector is its product with the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine import loops
from vsa_checks.engine.scale import near_one
from vsa_checks.engine.threads import share_out, workers

BLOCK_ROWS, QUERIES, RIVALS = 4096, 256, 4096
"""Block sizes per thread: rows to multiply, queries to look for, and rows to compare them with."""
TOGETHER = 1024
"""Columns of the heads multiplied together: a single head is too narrow for a fast matrix product."""
TIE = 1e-6
"""Dot products that differ by less than this share count as equal: about eight units in float32's last place."""


@dataclass(frozen=True)
class HeadBinding:
    """The effect of each head's binding on the vectors: the result of `measure_binding`.

    Attributes
    ----------
    similarity_change : array (h,), root mean square of (cosine after - cosine before) over pairs
        Over ALL pairs of rows whose image is not zero; NaN if there are fewer than two such rows.
    recovered : bool array (h, q), whether unbinding and cleanup recover each query
    """

    similarity_change: NDArray[np.float64]
    recovered: NDArray[np.bool_]


def head_maps(reads: ArrayLike, writes: ArrayLike | None = None) -> NDArray[np.float32]:
    """Return narrow maps whose images have the same dot products as under reads[h], or under reads[h] @ writes[h].

    reads[h] @ writes[h] reaches at most r of its d_out dimensions. The map gives the image's coordinates in these.

    Parameters
    ----------
    reads : array (h, d, r)
    writes : array (h, r, d_out), optional

    Returns
    -------
    float32 array (h, d, r)

    Raises
    ------
    ValueError : shapes do not fit
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
    """Draw `head_maps` (heads, d, rank) of Gaussian matrices (d, rank), or with d_out (d, rank) @ (rank, d_out)."""
    reads = rng.standard_normal((heads, d, rank)) / np.sqrt(d)
    return head_maps(reads, None if d_out is None else rng.standard_normal((heads, rank, d_out)) / np.sqrt(rank))


def gram_square(unit: NDArray[np.float32]) -> float:
    """Sum the squared cosines of all ordered pairs of unit rows (n, d), including each row with itself."""
    return float(np.square(_cross_moment(unit, unit)).sum())


def measure_binding(
    unit: ArrayLike,
    maps: ArrayLike,
    queries: ArrayLike,
    before: float | None = None,
    changes: NDArray[np.float64] | None = None,
) -> HeadBinding:
    """Measure how much each head's binding changes cosines, and which queries unbinding and cleanup recover.

    A query is recovered if, among all rows, it has the largest dot product with (query @ map) @ map^T. Ties, within
    float32's rounding, go to the lowest row.

    Parameters
    ----------
    unit : array (n, d), rows of unit norm
    maps : array (h, d, r), see `head_maps`
    queries : int array (q,), rows of `unit`
    before : `gram_square` of `unit`, if already known
    changes : `similarity_change`, if already known: it does not depend on the queries, and takes most of the time

    Returns
    -------
    HeadBinding

    References
    ----------
    Paper, section 2.2.
    """
    words, asked = np.asarray(unit, np.float32), np.asarray(queries, np.int64)
    keys = near_one(np.asarray(maps, np.float32), (1, 2))  # neither result depends on the scale of a map
    before = gram_square(words) if before is None else before
    together = max(1, TOGETHER // keys.shape[2])
    groups = [
        _measure_group(words, keys[at : at + together], asked, None if changes is not None else before)
        for at in range(0, len(keys), together)
    ]
    if changes is None:
        changes = np.concatenate([one.similarity_change for one in groups])
    return HeadBinding(changes, np.concatenate([one.recovered for one in groups]))


def _measure_group(
    words: NDArray[np.float32], keys: NDArray[np.float32], asked: NDArray[np.int64], before: float | None
) -> HeadBinding:
    """Do `measure_binding` for a few heads, so that all their images (n, h, r) fit in memory.

    Without `before`, changes of similarity are not measured, and all are NaN.
    """
    images, lengths, between, after = _map_words(words, keys, compare=before is not None)
    change = np.full(len(keys), np.nan)
    for head in range(len(keys) if before is not None else 0):
        live = lengths[head] > 0
        n = int(live.sum())
        if n >= 2:
            first = before if before is not None and n == len(words) else gram_square(words[live])
            # Squared difference of the two (n, n) Gram matrices, from smaller ones. Both diagonals are 1 and cancel.
            total = first - 2.0 * between[head] + after[head]
            change[head] = np.sqrt(max(total, 0.0) / (n * (n - 1.0)))
    orders = np.argsort(-lengths, axis=1)
    recovered = np.zeros((len(keys), len(asked)), bool)

    def look(part: tuple[int, int], _: None) -> None:
        head, some = part[0], slice(part[1], part[1] + QUERIES)
        recovered[head, some] = _are_recovered(images[:, head], lengths[head], orders[head], asked[some])

    parts = [(head, start) for head in range(len(keys)) for start in range(0, len(asked), QUERIES)]
    share_out(look, parts, [None] * workers(len(parts)))
    return HeadBinding(change, recovered)


def _map_words(
    words: NDArray[np.float32], keys: NDArray[np.float32], compare: bool
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Map the words (n, d) by maps (h, d, r).

    Returns the images (n, h, r), their lengths (h, n), and two sums of squares by head (h,): of the entries of
    words^T @ after and of after^T @ after, where `after` (n, r) is the head's images at unit length (or zero). Both
    sums are zero if no comparison is asked for.
    """
    (n, d), (heads, _, rank) = words.shape, keys.shape
    side = np.ascontiguousarray(keys.transpose(1, 0, 2).reshape(d, heads * rank))
    images, lengths = np.empty((n, heads, rank), np.float32), np.empty((heads, n))
    starts = range(0, n, BLOCK_ROWS)

    def bind(start: int, held: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]] | None:
        rows = slice(start, min(start + BLOCK_ROWS, n))
        unit = held[: rows.stop - start]
        np.matmul(words[rows], side, out=images[rows].reshape(-1, heads * rank))
        loops.normalize_images(images[rows], unit, lengths[:, rows])
        if not compare:
            return None
        each = [unit[:, head].T @ unit[:, head].copy() for head in range(heads)]
        return words[rows].T @ unit.reshape(-1, heads * rank), each

    scratch = [np.empty((min(n, BLOCK_ROWS), heads, rank), np.float32) for _ in range(workers(len(starts)))]
    between, after = np.zeros((d, heads * rank)), np.zeros((heads, rank, rank))
    for found in share_out(bind, starts, scratch):
        if found is not None:
            between += found[0]
            after += found[1]
    return (
        images,
        lengths,
        np.square(between).reshape(d, heads, rank).sum(axis=(0, 2)),
        np.square(after).sum(axis=(1, 2)),
    )


def _are_recovered(
    images: NDArray[np.float32], lengths: NDArray[np.float64], order: NDArray[np.int64], asked: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell which of the rows `asked` have their largest dot product with their own image, of all images (n, r).

    Ties, within float32's rounding, go to the lowest row. Only an image longer than a row's own can have a larger dot
    product with it, so images are tried from the longest (`order`) down to the row's own length.
    """
    # If the image is zero, all dot products are equal: nothing is recovered, not even row 0.
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


def _cross_moment(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute left^T @ right for left (n, d) and right (n, d'), adding float32 products of blocks in float64."""
    total = np.zeros((left.shape[1], right.shape[1]))
    for start in range(0, len(left), BLOCK_ROWS):
        # The copy stops NumPy from noticing that both are one matrix: its routine for that is several times slower.
        total += left[start : start + BLOCK_ROWS].T @ right[start : start + BLOCK_ROWS].copy()
    return total
