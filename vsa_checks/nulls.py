"""The null ladder: what stands in for the structure claimed, with just that structure destroyed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from vsa_checks.engine.threads import share_out, threads, workers
from vsa_checks.orthogonality import live_rows, rms_cosine

SETTLED, MOST_STEPS = 1e-4, 200
"""Expectation maximisation ends when no length moves by more than this share, after some nine rounds as a rule."""
FURTHER = 1.4
"""How far lengths go the way that a round sends them: up to 2 they end where 1 does, and sooner."""
LEAST_SPREAD = 1e-6
"""Variance of unit vectors below which they are all alike: there is no Gaussian of directions to be found."""
LEAST_VARIANCE = 1e-9
"""Beside the mean variance: rows that leave a direction out must not make it infinitely unlikely."""


def random_directions(n: int, d: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Independent uniformly random unit vectors (n, d).

    For one neuron against one dictionary this is also the law of Haar-rotated neurons and of a rotated dictionary.
    """
    return live_rows(rng.standard_normal((n, d), dtype=np.float32)).unit


@dataclass(frozen=True)
class Matched:
    """A Gaussian law whose vectors are mean (d,) + g root, g (r,) standard normal and root (r, d)."""

    mean: NDArray[np.float32]
    root: NDArray[np.float32]

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Independent vectors (n, d)."""
        drawn: NDArray[np.float32] = self.mean + rng.standard_normal((n, len(self.root)), dtype=np.float32) @ self.root
        return drawn


def covariance_matched(vectors: ArrayLike) -> Matched:
    """The Gaussian law whose directions follow those of the rows of `vectors` (m, d): same mean and covariance.

    Only directions are compared with tokens, so the lengths of the rows must not matter. With more than 2d rows: the
    Gaussian that makes the rows' directions most likely (`gaussian_of_directions`). With fewer, which do not settle
    one, or with all alike: the mean and covariance of the rows at unit norm, root being C / sqrt(m - 1), C the
    centered rows; where few directions hold most of the variance this null is somewhat too easy. Raises ValueError
    for fewer than two live rows.
    """
    with threads():  # several to a matrix of this size would mostly wait for each other
        unit = live_rows(vectors).unit
        if len(unit) < 2:
            raise ValueError("fewer than two vectors have no covariance")
        middle = unit.mean(axis=0, dtype=np.float64)
        if len(unit) > 2 * unit.shape[1] and 1.0 - middle @ middle > LEAST_SPREAD:
            mean, covariance = gaussian_of_directions(unit)
            values, axes = np.linalg.eigh(covariance)
            return Matched(mean.astype(np.float32), (axes * np.sqrt(np.maximum(values, 0.0))).T.astype(np.float32))
        center = middle.astype(np.float32)
        return Matched(center, (unit - center) / np.float32(np.sqrt(len(unit) - 1)))


def covariance_matched_each(sets: Sequence[ArrayLike]) -> list[Matched]:
    """`covariance_matched` of each set of vectors; several are fitted at a time."""
    return share_out(lambda vectors, _: covariance_matched(vectors), sets, [None] * workers(len(sets)))


def gaussian_of_directions(unit: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,) and covariance (d, d) of the Gaussian whose directions the unit rows (m, d) most likely are; m > d.

    Scaled so that its vectors have a mean square of one. Expectation maximisation over the lengths that the rows had:
    the length of a Gaussian vector of known direction has density ~ l^(d-1) exp(-a l^2 / 2 + b l). With mean zero it is
    Tyler's estimate of shape (Tyler 1987); with a mean, the projected normal (Presnell, Morrison, Littell 1998).
    """
    rows = np.asarray(unit, np.float64)
    m, d = rows.shape
    # Large enough that rounding leaves the matrix positive, whatever its dimension.
    least = np.eye(d) * max(LEAST_VARIANCE, d * d * np.finfo(float).eps) / d
    length, square = np.ones(m), np.ones(m)
    further, before = FURTHER, np.inf
    for _ in range(MOST_STEPS):
        mean, covariance = _moments(rows, length, square)
        root = np.linalg.cholesky(covariance + least * np.trace(covariance))
        even = solve_triangular(root, rows.T, lower=True, check_finite=False)
        a = np.einsum("ij,ij->j", even, even)
        b = solve_triangular(root, mean, lower=True, check_finite=False) @ even
        # The density's peak, and its width there: exact to order 1/d.
        peak = (b + np.sqrt(b**2 + 4.0 * a * (d - 1))) / (2.0 * a)
        spread = 1.0 / (a + (d - 1) / peak**2)
        ratio = peak / (np.sqrt((peak**2 + spread).mean()) * length)
        moved = np.abs(ratio - 1.0).max()
        if moved > before:
            further = 1.0  # where lengths swing, plain rounds still settle
        if moved >= SETTLED:
            peak *= ratio ** (further - 1.0)
        square = peak**2 + spread
        scale = np.sqrt(square.mean())
        length, square, before = peak / scale, square / scale**2, moved
        if moved < SETTLED:
            break
    return _moments(rows, length, square)


def _moments(
    rows: NDArray[np.float64], length: NDArray[np.float64], square: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of rows at these expected lengths and squared lengths."""
    mean = (length[:, None] * rows).mean(axis=0)
    weighted = np.sqrt(square)[:, None] * rows
    return mean, weighted.T @ weighted / len(rows) - np.outer(mean, mean)


def permuted_coordinates(vectors: ArrayLike, rng: np.random.Generator) -> NDArray[np.float32]:
    """The rows of `vectors` (n, d), each with its own coordinates in random order."""
    return rng.permuted(np.asarray(vectors, np.float32), axis=1)


def gaussian_rms_cosines(n: int, d: int, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Root mean square off-diagonal cosine of each of `draws` Gaussian (n, d) matrices (draws,).

    Cosines do not depend on the norms of the rows, so this serves for rows of any norms.
    """
    return np.array([rms_cosine(random_directions(n, d, rng)) for _ in range(draws)])
