"""Nulls: random vectors that lack only the structure that a claim is about.

From weak to strong: uniformly random directions, and vectors with the mean and covariance of real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from vsa_checks.engine.threads import share_out, threads, workers
from vsa_checks.orthogonality import live_rows

SETTLED, MOST_STEPS = 1e-4, 200
"""Expectation maximisation ends when no length changes by more than this share: after about nine iterations."""
FURTHER = 1.4
"""Step of the lengths, as a multiple of each iteration's change: any up to 2 has the same limit, this one is faster."""
LEAST_SPREAD = 1e-6
"""Unit vectors with a variance below this count as equal: no Gaussian can be fitted to their directions."""
LEAST_VARIANCE = 1e-9
"""Smallest variance of any direction, as a share of the mean: no direction may become infinitely unlikely."""


def random_directions(n: int, d: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw independent, uniformly random unit vectors (n, d), float32.

    Comparing a neuron with a dictionary after rotating either at random would give the same distribution.
    """
    return live_rows(rng.standard_normal((n, d), dtype=np.float32)).unit


@dataclass(frozen=True)
class Matched:
    """A Gaussian distribution: its vectors are mean (d,) + g @ root (r, d), where g (r,) is standard normal."""

    mean: NDArray[np.float32]
    root: NDArray[np.float32]

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw n independent vectors (n, d)."""
        drawn: NDArray[np.float32] = self.mean + rng.standard_normal((n, len(self.root)), dtype=np.float32) @ self.root
        return drawn


def covariance_matched(vectors: ArrayLike) -> Matched:
    """Fit a Gaussian whose vectors have directions like the given ones: the same mean and covariance.

    Only directions are compared with tokens, so the fit does not depend on the lengths of the vectors. With more than
    2d of them, it is the Gaussian that makes their directions most likely (`gaussian_of_directions`). Fewer vectors do
    not determine one; then, and if all vectors are equal, it has the mean and covariance of the vectors at unit norm.
    That null is somewhat too easy to beat if a few directions hold most of the variance.

    Parameters
    ----------
    vectors : array (m, d)

    Raises
    ------
    ValueError : fewer than two vectors that are not zero
    """
    with threads():  # one thread: with several to a matrix of this size, most would wait for each other
        unit = live_rows(vectors).unit
        if len(unit) < 2:
            raise ValueError("fewer than two vectors have no covariance")
        middle = unit.mean(axis=0, dtype=np.float64)
        # In one dimension there are only two directions, and lengths add no information.
        if len(unit) > 2 * unit.shape[1] > 2 and 1.0 - middle @ middle > LEAST_SPREAD:
            mean, covariance = gaussian_of_directions(unit)
            values, axes = np.linalg.eigh(covariance)
            return Matched(mean.astype(np.float32), (axes * np.sqrt(np.maximum(values, 0.0))).T.astype(np.float32))
        center = middle.astype(np.float32)
        return Matched(center, (unit - center) / np.float32(np.sqrt(len(unit) - 1)))


def covariance_matched_each(sets: Sequence[ArrayLike]) -> list[Matched]:
    """Fit `covariance_matched` to each of several sets of vectors (m, d), in parallel."""
    return share_out(lambda vectors, _: covariance_matched(vectors), sets, [None] * workers(len(sets)))


def gaussian_of_directions(unit: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit the Gaussian that makes the given directions most likely.

    Expectation maximisation. The unknowns are the lengths l that the vectors had before scaling: given the direction, l
    has a density proportional to l^(d-1) exp(-a l^2 / 2 + b l). The fitted Gaussian is scaled so that its vectors have
    a mean square of one.

    Parameters
    ----------
    unit : array (m, d), rows of unit norm; m > d

    Returns
    -------
    mean : array (d,)
    covariance : array (d, d)

    References
    ----------
    Tyler 1987, A distribution-free M-estimator of multivariate scatter, Annals of Statistics 15 (mean zero).
    Presnell, Morrison, Littell 1998, Projected multivariate linear models for directional data, JASA 93 (any mean).
    """
    rows = np.asarray(unit, np.float64)
    m, d = rows.shape
    # Large enough to keep the matrix positive definite despite rounding, in any dimension.
    least = np.eye(d) * max(LEAST_VARIANCE, d * d * np.finfo(float).eps) / d
    length, square = np.ones(m), np.ones(m)
    further, before = FURTHER, np.inf
    for _ in range(MOST_STEPS):
        mean, covariance = _moments(rows, length, square)
        root = np.linalg.cholesky(covariance + least * np.trace(covariance))
        even = solve_triangular(root, rows.T, lower=True, check_finite=False)
        a = np.einsum("ij,ij->j", even, even)
        b = solve_triangular(root, mean, lower=True, check_finite=False) @ even
        # Mean and variance of each length, from the peak of its density and the width there: exact to order 1/d.
        peak = (b + np.sqrt(b**2 + 4.0 * a * (d - 1))) / (2.0 * a)
        spread = 1.0 / (a + (d - 1) / peak**2)
        ratio = peak / (np.sqrt((peak**2 + spread).mean()) * length)
        moved = np.abs(ratio - 1.0).max()
        if moved > before:
            further = 1.0  # longer steps overshoot here
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
    """Compute the mean and covariance of unit rows scaled to these expected lengths and squared lengths."""
    mean = (length[:, None] * rows).mean(axis=0)
    weighted = np.sqrt(square)[:, None] * rows
    return mean, weighted.T @ weighted / len(rows) - np.outer(mean, mean)
