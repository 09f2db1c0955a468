"""Cosines between all pairs of a set of vectors: moments exactly, tails by blocks (paper sections 2.1 and 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine import loops
from vsa_checks.engine.loops import PairTally
from vsa_checks.engine.threads import Progress, share_out, threads, workers

if TYPE_CHECKING:
    import torch

HISTOGRAM_BINS = 400
"""Bins of the cosine histogram over [-1, 1]: .005 wide."""
BLOCK = 2048
"""Rows and columns of the Gram matrix that a thread multiplies at a time."""
ROWS, STRIP = 1024, 192
"""Rows whose moments are taken at a time, and columns of the second moment that they are multiplied with at a time."""


@dataclass(frozen=True)
class Live:
    """The rows of a matrix that have a direction, at unit norm, and which rows they were."""

    unit: NDArray[np.float32]
    rows: NDArray[np.int64]
    n_excluded: int


@dataclass(frozen=True)
class PairwiseCosines:
    """Figures over all off-diagonal pairs of n vectors, and each vector's own mean square and tail counts."""

    n_vectors: int
    n_excluded: int
    n_pairs: int
    mean: float
    rms: float
    max_abs: float
    fraction_above: dict[float, float]
    histogram: NDArray[np.int64]
    bin_edges: NDArray[np.float64]
    mean_square_by_row: NDArray[np.float64] = field(repr=False)
    above_by_row: dict[float, NDArray[np.int64]] = field(repr=False)
    rows: NDArray[np.int64] = field(repr=False)


def live_rows(vectors: ArrayLike) -> Live:
    """Return the rows of `vectors` (n, d) at unit norm, leaving out those of zero norm.

    Raises ValueError if the array is not two-dimensional or holds NaN or infinite numbers.
    """
    array = np.asarray(vectors)
    if array.ndim != 2:
        raise ValueError(f"expected vectors of shape (n, d), got an array of shape {array.shape}")
    norms = np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
    if not np.isfinite(norms).all():
        raise ValueError(f"row {int(np.flatnonzero(~np.isfinite(norms))[0])} holds NaN or infinite numbers")
    rows = np.flatnonzero(norms > 0)
    unit = np.empty((len(rows), array.shape[1]), np.float32)
    alive = array if len(rows) == len(array) else array[rows]
    # In float64, a buffer at a time: an array of quotients in float64 would take longer to make than to fill.
    np.divide(alive, norms[rows, None], out=unit, dtype=np.float64, casting="same_kind")
    return Live(unit, rows, len(array) - len(rows))


def centered(vectors: ArrayLike) -> NDArray[np.float32]:
    """Return the rows of `vectors` (n, d) less their mean row, which is taken in float64."""
    array = np.asarray(vectors)
    return (array - array.mean(axis=0, dtype=np.float64)).astype(np.float32)


def row_mean_squares(unit: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean squared cosine of each unit row (n, d) with all the others (n,), from the smaller Gram matrix.

    Raises ValueError for fewer than two rows: there is no pair to look at.
    """
    n, d = unit.shape
    if n < 2:
        raise ValueError(f"{n} vectors with a direction make no pair")
    if n <= d:
        gram = unit.astype(np.float64) @ unit.T.astype(np.float64)
        np.fill_diagonal(gram, 0.0)
        return (gram**2).sum(axis=1) / (n - 1)
    moment = second_moment(unit)
    # It is symmetric: what lies below its diagonal is added above, and a strip of it ends at the diagonal.
    upper = np.triu(moment) + np.triu(moment, 1)

    def part(start: int) -> NDArray[np.float64]:
        block = unit[start : start + ROWS].astype(np.float64)
        sums = -(np.einsum("ij,ij->i", block, block) ** 2)
        for left in range(0, d, STRIP):
            right = left + STRIP
            sums += np.einsum("ij,ij->i", block[:, :right] @ upper[:right, left:right], block[:, left:right])
        return sums

    with threads() as pool:
        sums = np.concatenate(list(pool.map(part, range(0, n, ROWS))))
    return np.maximum(sums, 0.0) / (n - 1)


def second_moment(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum over the rows of `vectors` (n, d) of their outer products (d, d), in float64, a block at a time."""

    def part(start: int) -> NDArray[np.float64]:
        block = vectors[start : start + ROWS].astype(np.float64)
        return block.T @ block

    moment = np.zeros((vectors.shape[1], vectors.shape[1]))
    with threads() as pool:
        for one in pool.map(part, range(0, len(vectors), ROWS)):
            moment += one
    return moment


def mean_cosine(unit: NDArray[np.float32]) -> float:
    """Mean of the off-diagonal cosines of unit rows (n, d), exactly, from the norm of their sum.

    Raises ValueError for fewer than two rows: there is no pair to look at.
    """
    n = len(unit)
    if n < 2:
        raise ValueError(f"{n} vectors with a direction make no pair")
    total = unit.sum(axis=0, dtype=np.float64)
    own = np.einsum("ij,ij->", unit, unit, dtype=np.float64)
    return float((total @ total - own) / (n * (n - 1)))


def rms_cosine(unit: NDArray[np.float32]) -> float:
    """Root mean square of the off-diagonal cosines of unit rows (n, d), exactly, from their Gram matrix.

    Raises ValueError for fewer than two rows: there is no pair to look at.
    """
    n, d = unit.shape
    if n < 2:
        raise ValueError(f"{n} vectors with a direction make no pair")
    gram = second_moment(unit.T if n <= d else unit)
    own = np.einsum("ij,ij->i", unit, unit, dtype=np.float64)
    return float(np.sqrt(max((gram**2).sum() - (own**2).sum(), 0.0) / (n * (n - 1))))


def pairwise_cosines(
    vectors: ArrayLike,
    thresholds: Sequence[float] = (),
    *,
    block: int | None = None,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> PairwiseCosines:
    """Measure the cosines of ALL off-diagonal pairs of the rows of `vectors` (n, d).

    Mean and root mean square come from moments in float64; the maximum of |cos|, the share of pairs with |cos|
    above each threshold and the histogram come from one pass over half of the Gram matrix, `block` rows at a
    time (memory block^2 float32 for each thread beside a unit-norm copy). On a `device` of torch's (None: the compiled
    engine) that pass is made there, on as many rows at a time as its free memory holds, and cosines may differ in
    float32's last bit. Rows of zero norm are left out and counted. Raises ValueError if fewer than two rows have a
    direction, VsaChecksError where the device's memory is too small. Source: paper, section 3.1 (M^T M).
    """
    live = live_rows(vectors)
    n = len(live.rows)
    mean_squares = row_mean_squares(live.unit)
    levels = np.asarray(sorted({float(t) for t in thresholds}), dtype=np.float32)
    if device is None:
        tally = _tally(live.unit, levels, block or BLOCK, progress)
    else:
        from vsa_checks.engine.on_device import pairs as on_device

        tally = on_device.tally(live.unit, levels, HISTOGRAM_BINS, device, block, progress)
    n_pairs = n * (n - 1) // 2
    above = tally.above.sum(axis=0)
    shares = {float(t): float(above[k] / 2 / n_pairs) for k, t in enumerate(sorted(set(thresholds)))}
    return PairwiseCosines(
        n_vectors=n,
        n_excluded=live.n_excluded,
        n_pairs=n_pairs,
        mean=mean_cosine(live.unit),
        rms=float(np.sqrt(mean_squares.mean())),
        max_abs=float(min(tally.maximum.max(), 1.0)),
        fraction_above=shares,
        histogram=tally.histogram,
        bin_edges=np.linspace(-1.0, 1.0, HISTOGRAM_BINS + 1),
        mean_square_by_row=mean_squares,
        above_by_row={float(t): tally.above[:, k] for k, t in enumerate(sorted(set(thresholds)))},
        rows=live.rows,
    )


def _tally(unit: NDArray[np.float32], levels: NDArray[np.float32], block: int, progress: Progress | None) -> PairTally:
    """Count all pairs of unit rows (n, d) by blocks of the Gram matrix, and tell `progress` after each."""
    n = len(unit)
    corners = [(i, j) for i in range(0, n, block) for j in range(i, n, block)]
    tallies = [PairTally.of(n, len(levels), HISTOGRAM_BINS) for _ in range(workers(len(corners)))]

    def count(corner: tuple[int, int], mine: tuple[PairTally, NDArray[np.float32]]) -> None:
        i, j = corner
        left, right = unit[i : i + block], unit[j : j + block]
        tally, products = mine
        cosines = products[: len(left) * len(right)].reshape(len(left), len(right))
        np.matmul(left, right.T, out=cosines)
        loops.tally_block(cosines, i, j, levels, tally.maximum, tally.above, tally.histogram)

    share_out(count, corners, [(tally, np.empty(min(block, n) ** 2, np.float32)) for tally in tallies], progress)
    return PairTally.joined(tallies)
