"""Axes on which vectors have the heaviest tails: independent component analysis with orthogonal axes.

If vectors have independent entries on some orthogonal axes, or use whole groups of axes together, no other axes show
it as well. Nulls that exchange or reflect signs there keep what any such vectors have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vsa_checks.engine.threads import share_out, threads, workers
from vsa_checks.orthogonality import second_moment

Made = TypeVar("Made")

ROWS_PER_AXIS = 16
"""Vectors per dimension from which the axes are found."""
STEPS, SETTLED = 60, 1e-3
"""The search ends when no axis turns by more than this (1 - |cos|), or after this many steps."""
SHARPNESS, TURNS, REFINED = (1.0, 2.0), 20, 1e-4
"""Axes are refined with the contrasts log cosh(s x / deviation), one after the other, each in at most so many steps or
until no axis turns by more than this (1 - |cos|)."""
LARGEST_TURN = 0.3
"""Radians in each plane, per step of the refinement."""
LEAST_CURVATURE, HALFWAY = 0.05, 0.5
"""As shares of the mean product of an entry and its slope: the least curvature that divides a slope, and the negative
one by which two axes halfway between two true ones are known."""
LEAST_VARIANCE = 1e-6
"""Axes with less than this share of the largest variance are left out."""
LEAST_SQUARE = 1e-6
"""Least squared singular value, as a share of the largest, with which a matrix is made orthogonal by its square."""
GRID = 2.0**-12
"""Turns each of 1,000 axes by about .002 radians."""
ROWS, PARTS = 1024, 8
"""Rows that a thread works on at a time, and how many such parts are in memory at once: each is as large as d x d."""


def independent_axes(vectors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Find axes along which vectors have the heaviest tails: the columns of an orthogonal matrix (d, d).

    If vectors had independent entries on some orthogonal axes, or used whole groups of them together, and were then
    rotated, this recovers these axes (for a group, any axes within it). The method is independent component analysis of
    the whitened vectors with the contrast log cosh, followed by the closest orthogonal matrix.

    Parameters
    ----------
    vectors : float32 array (n, d), centered; at most 16 d of them are used
    rng : draws these vectors and the start of the search

    Raises
    ------
    ValueError : vectors that are all zero

    References
    ----------
    Hyvärinen 1999, Fast and robust fixed-point algorithms for independent component analysis, IEEE Trans. Neural
    Networks 10 (symmetric orthogonalization).
    """
    n, d = vectors.shape
    some = vectors if n <= ROWS_PER_AXIS * d else vectors[np.sort(rng.choice(n, ROWS_PER_AXIS * d, replace=False))]
    start = rng.standard_normal((d, d))
    with threads():
        values, axes = np.linalg.eigh(second_moment(some) / len(some))
        used = values > values.max() * LEAST_VARIANCE
        if not used.any():
            raise ValueError("vectors without a direction have no axes")
        spanned, scale = axes[:, used], np.sqrt(values[used])
        # All in the vectors' own coordinates, so that neither the signs of the principal axes nor their order matter.
        whitening = (spanned / scale) @ spanned.T
        turn = _on_grid(_orthogonal(spanned @ (spanned.T @ start[:, : len(scale)])))
        for _ in range(STEPS):
            # What the grid puts outside the span of the vectors would grow, because nothing opposes it there.
            turned = _on_grid(_orthogonal(spanned @ (spanned.T @ _step(some, whitening, turn))))
            moved = _moved(turned, turn)
            turn = turned
            if moved < SETTLED:
                break
        mixing = (spanned * scale) @ (spanned.T @ turn)
        found = _orthogonal(mixing / np.linalg.norm(mixing, axis=0))
        if len(scale) < d:
            rest = start[:, len(scale) :]
            found = np.concatenate([found, _orthogonal(rest - spanned @ (spanned.T @ rest))], axis=1)
    return found.astype(np.float32)


def _step(
    vectors: NDArray[np.float32], whitening: NDArray[np.float64], turn: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One step of the fixed-point search for all axes (d, r) of the whitened vectors at once; whitening (d, d)."""
    through = whitening @ turn

    def part(start: int, _: None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows = vectors[start : start + ROWS].astype(np.float64)
        bent = np.tanh(rows @ through)
        return rows.T @ bent, len(rows) - np.einsum("ij,ij->j", bent, bent)

    drawn, slopes = np.zeros(through.shape), np.zeros(through.shape[1])
    for one, slope in _in_parts(part, len(vectors)):
        drawn += one
        slopes += slope
    return (whitening @ drawn - turn * slopes) / len(vectors)


def refined_axes(vectors: NDArray[np.float32], axes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn axes to where the contrast of the vectors is best, without whitening them first.

    Whitened vectors of a sample are uncorrelated on the axes found even if the true ones are not in this sample, which
    limits `independent_axes`. Each step is Newton's for every plane of two axes as if there were no other, with the
    curvature that independent entries would have and with the deviations as they were before it. Nothing makes sure
    that a step improves the contrast; tests show that the axes end closer to the true ones.

    Parameters
    ----------
    vectors : float32 array (n, d), centered
    axes : float32 array (d, d), orthonormal columns from which to start

    Returns
    -------
    float32 array (d, d), orthonormal columns

    References
    ----------
    Ablin, Cardoso and Gramfort 2018, Faster ICA under orthogonal constraint, ICASSP.
    """
    with threads():
        moment = second_moment(vectors) / len(vectors)
        turn = axes.astype(np.float64)
        for sharpness in SHARPNESS:
            for _ in range(TURNS):
                turned = _orthogonal(turn + turn @ _turn(vectors, moment, turn, sharpness))
                moved = _moved(turned, turn)
                turn = turned
                if moved < REFINED:
                    break
    return turn.astype(np.float32)


def _turn(
    vectors: NDArray[np.float32], moment: NDArray[np.float64], axes: NDArray[np.float64], sharpness: float
) -> NDArray[np.float64]:
    """Skew-symmetric matrix (d, d) of the angles by which to turn each axis towards each other."""
    variance = np.einsum("ij,ij->j", axes, moment @ axes)
    factors = sharpness / np.sqrt(np.maximum(variance, variance.max() * LEAST_VARIANCE))
    scaled = axes * factors

    def part(start: int, _: None) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        entries = vectors[start : start + ROWS].astype(np.float64) @ scaled
        bent = np.tanh(entries)
        bend = 1 - bent * bent
        return entries.T @ bent, (entries * entries).T @ bend, bend.sum(axis=0)

    slopes, bends, mean = np.zeros(axes.shape), np.zeros(axes.shape), np.zeros(len(axes))
    for slope, bend, sums in _in_parts(part, len(vectors)):
        slopes += slope
        bends += bend
        mean += sums
    # Entry (i, j): the mean of entry i times the derivative of the contrast at entry j, and the same once more.
    n = len(vectors)
    scale = factors / factors[:, None]
    slopes, bends, expected = slopes * scale / n, bends * scale**2 / n, np.outer(variance, factors**2 * mean / n)
    own = np.diag(slopes)
    both = own[:, None] + own
    curvature, if_independent, downhill = bends + bends.T - both, expected + expected.T - both, slopes.T - slopes
    least = LEAST_CURVATURE * own.mean()
    angles = np.clip(downhill / np.maximum(if_independent, least), -LARGEST_TURN, LARGEST_TURN)
    # Two axes halfway between two true ones hardly have a slope: their curvature shows it.
    halfway = curvature < -HALFWAY * own.mean()
    found: NDArray[np.float64] = np.where(halfway, LARGEST_TURN * np.sign(downhill), angles)
    return found


def _in_parts(part: Callable[[int, None], Made], n: int) -> Iterator[Made]:
    """What `part` makes of the rows that follow each start below n, in order, by several threads."""
    starts = range(0, n, ROWS)
    for first in range(0, len(starts), PARTS):
        some = starts[first : first + PARTS]
        yield from share_out(part, some, [None] * workers(len(some)))


def _moved(turned: NDArray[np.float64], turn: NDArray[np.float64]) -> float:
    """How far the axis that turned most has turned: 1 - |cos|."""
    return float(np.abs(np.abs(np.einsum("ij,ij->j", turned, turn)) - 1.0).max())


def _on_grid(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round the entries of axes to multiples of GRID.

    A step of the search may multiply rounding errors by ten, so that it would end at other axes with every library. On
    the grid, errors vanish, and the steps are the same everywhere.
    """
    rounded: NDArray[np.float64] = np.round(axes / GRID) * GRID
    return rounded


def _orthogonal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The closest matrix with orthonormal columns."""
    # matrix @ (matrix^T matrix)^(-1/2): half the time of a singular value decomposition, but it squares the condition.
    squares, axes = np.linalg.eigh(matrix.T @ matrix)
    if squares[0] > squares[-1] * LEAST_SQUARE:
        even: NDArray[np.float64] = matrix @ ((axes / np.sqrt(squares)) @ axes.T)
        return even
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    closest: NDArray[np.float64] = left @ right
    return closest
