"""Cosines of all pairs of a set of vectors (paper, sections 2.1 and 3.1).

Mean and root mean square are computed exactly from sums over the vectors. Maximum, tails and histogram come from one
pass over the Gram matrix (the matrix of all dot products), a block at a time. n vectors have d dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine import loops
from vsa_checks.engine.loops import PairTally
from vsa_checks.engine.scale import row_norms
from vsa_checks.engine.threads import Progress, share_out, threads, workers

if TYPE_CHECKING:
    import torch

HISTOGRAM_BINS = 400
"""Bins of the cosine histogram over [-1, 1]: .005 wide."""
BLOCK = 2048
"""Rows and columns of the Gram matrix that a thread computes at a time."""
ROWS, STRIP = 1024, 192
"""Block sizes of the sums over vectors: rows of the vectors, and columns of their second moment (d, d)."""


@dataclass(frozen=True)
class Live:
    """Rows that are not zero, at unit norm (n, d), their row numbers (n,), and how many zero rows were left out."""

    unit: NDArray[np.float32]
    rows: NDArray[np.int64]
    n_excluded: int


@dataclass(frozen=True)
class PairwiseCosines:
    """Cosines of all n (n - 1) / 2 pairs of n vectors.

    Attributes
    ----------
    mean, rms, max_abs : float, over the cosines; `max_abs` is the largest absolute value
    fraction_above : dict, share of pairs with |cos| above each threshold
    histogram, bin_edges : int array (bins,) of pairs, and array (bins + 1,) from -1 to 1
    mean_square_by_row : array (n,), mean squared cosine of each vector with the others
    above_by_row : dict of int arrays (n,), pairs of each vector with |cos| above each threshold
    rows : int array (n,), row numbers of the vectors; the `n_excluded` zero rows are left out
    """

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
    """Scale rows to unit norm, leaving out those whose entries are all zero. Every other row has a direction.

    Parameters
    ----------
    vectors : array (n, d), of any magnitude that its type can hold, including denormal numbers

    Raises
    ------
    ValueError : the array is not two-dimensional, or holds NaN or infinite numbers
    """
    array = np.asarray(vectors)
    if array.ndim != 2:
        raise ValueError(f"expected vectors of shape (n, d), got an array of shape {array.shape}")
    norms = row_norms(array)
    if not np.isfinite(norms).all():
        raise ValueError(f"row {int(np.flatnonzero(~np.isfinite(norms))[0])} holds NaN or infinite numbers")
    rows = np.flatnonzero(norms > 0)
    unit = np.empty((len(rows), array.shape[1]), np.float32)
    alive = array if len(rows) == len(array) else array[rows]
    # Divided in float64 and rounded buffer by buffer: a whole array of float64 quotients would be slow to allocate.
    np.divide(alive, norms[rows, None], out=unit, dtype=np.float64, casting="same_kind")
    return Live(unit, rows, len(array) - len(rows))


def centered(vectors: ArrayLike) -> NDArray[np.float32]:
    """Subtract the mean row, computed in float64, from each row of `vectors` (n, d); returns float32 (n, d)."""
    array = np.asarray(vectors)
    # Subtracted in float64 and rounded buffer by buffer: a float64 copy of a large vocabulary takes much memory.
    found = np.empty(array.shape, np.float32)
    return np.subtract(array, array.mean(axis=0, dtype=np.float64), out=found, dtype=np.float64, casting="same_kind")


def row_mean_squares(unit: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the mean squared cosine of each vector with all the others.

    Parameters
    ----------
    unit : float32 array (n, d), rows of unit norm

    Returns
    -------
    array (n,)

    Raises
    ------
    ValueError : fewer than two rows
    """
    n, d = unit.shape
    if n < 2:
        raise ValueError(f"{n} vectors with a direction make no pair")
    if n <= d:
        gram = unit.astype(np.float64) @ unit.T.astype(np.float64)
        np.fill_diagonal(gram, 0.0)
        return (gram**2).sum(axis=1) / (n - 1)
    moment = second_moment(unit)
    # The moment is symmetric: after adding its lower half to the upper one, a strip of columns needs no rows below it.
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
    """Compute vectors^T @ vectors, for vectors (n, d), in float64 and a block of rows at a time; returns (d, d)."""

    def part(start: int) -> NDArray[np.float64]:
        block = vectors[start : start + ROWS].astype(np.float64)
        return block.T @ block

    moment = np.zeros((vectors.shape[1], vectors.shape[1]))
    with threads() as pool:
        for one in pool.map(part, range(0, len(vectors), ROWS)):
            moment += one
    return moment


def mean_cosine(unit: NDArray[np.float32]) -> float:
    """Compute the mean cosine of all pairs of vectors, exactly, from the norm of their sum.

    Parameters
    ----------
    unit : float32 array (n, d), rows of unit norm

    Raises
    ------
    ValueError : fewer than two rows
    """
    n = len(unit)
    if n < 2:
        raise ValueError(f"{n} vectors with a direction make no pair")
    total = unit.sum(axis=0, dtype=np.float64)
    own = np.einsum("ij,ij->", unit, unit, dtype=np.float64)
    return float((total @ total - own) / (n * (n - 1)))


def mean_square_of_random_signs(unit: NDArray[np.float32]) -> tuple[float, float]:
    """Compute mean and variance of the mean squared cosine of all pairs if every entry had a random sign, exactly.

    Each pair has cosines sum_i s_i |x_i y_i| then, and pairs are uncorrelated. Magnitudes stay: vectors with few
    entries in common are nearly orthogonal whatever the signs.

    Parameters
    ----------
    unit : float32 array (n, d), rows of unit norm

    Raises
    ------
    ValueError : fewer than two rows
    """
    n = len(unit)
    if n < 2:
        raise ValueError(f"{n} vectors with a direction make no pair")
    squares = np.square(unit)
    fourths = np.square(squares)
    totals, fourth_totals = squares.sum(axis=0, dtype=np.float64), fourths.sum(axis=0, dtype=np.float64)
    # Sums over pairs, where x and y are two rows: of x^2 y^2, of (x^2 . y^2)^2, and of x^4 y^4.
    mean = totals @ totals - fourth_totals.sum()
    own = fourths.sum(axis=1, dtype=np.float64)
    products = np.square(second_moment(squares)).sum() - own @ own
    eighths = fourth_totals @ fourth_totals - np.einsum("ij,ij->", fourths, fourths, dtype=np.float64)
    ordered_pairs = n * (n - 1)
    # Rounding must not make it negative if no pair has two entries in common.
    variance = max(2.0 * (products - eighths), 0.0) / ordered_pairs
    return float(mean / ordered_pairs), float(variance / (ordered_pairs / 2))


def rms_cosine(unit: NDArray[np.float32]) -> float:
    """Compute the root mean square cosine of all pairs of vectors, exactly, from their Gram matrix.

    Parameters
    ----------
    unit : float32 array (n, d), rows of unit norm

    Raises
    ------
    ValueError : fewer than two rows
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
    """Measure the cosines of ALL pairs of vectors, never of a sample.

    Mean and root mean square are computed in float64. The rest is counted from float32 cosines, in one pass over half
    of the Gram matrix. Memory: a copy of the vectors, and block^2 float32 numbers for each thread.

    Parameters
    ----------
    vectors : array (n, d), of any norm; zero rows are left out and counted
    thresholds : values of |cos| above which pairs are counted
    block : rows and columns of the Gram matrix that are computed at a time
    device : where to compute the Gram matrix; None is the compiled engine
        A device works on as many rows at a time as fit in its memory. Its cosines may differ in float32's last bit.
    progress : called with the number of steps done and the total

    Raises
    ------
    ValueError : fewer than two rows that are not zero, or as `live_rows`
    VsaChecksError : the device's memory is too small

    References
    ----------
    Paper, section 3.1 (M^T M).
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
    """Count all pairs of unit rows (n, d) by blocks of the Gram matrix."""
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
