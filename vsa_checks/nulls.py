"""The null ladder: what stands in for the structure claimed, with just that structure destroyed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.orthogonality import live_rows, rms_cosine


def random_directions(n: int, d: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Independent uniformly random unit vectors (n, d).

    For one neuron against one dictionary this is also the law of Haar-rotated neurons and of a rotated dictionary.
    """
    return live_rows(rng.standard_normal((n, d), dtype=np.float32)).unit


def covariance_matched(vectors: ArrayLike, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian vectors (n, d) with the mean and covariance of the unit-norm rows of `vectors` (m, d).

    Drawn as mean + g C / sqrt(m - 1), g standard normal and C the centered rows, so that no covariance matrix need
    be factored. Raises ValueError for fewer than two live rows.
    """
    unit = live_rows(vectors).unit
    if len(unit) < 2:
        raise ValueError("fewer than two vectors have no covariance")
    mean = unit.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = (unit - mean) / np.float32(np.sqrt(len(unit) - 1))
    return mean + rng.standard_normal((n, len(unit)), dtype=np.float32) @ spread


def permuted_coordinates(vectors: ArrayLike, rng: np.random.Generator) -> NDArray[np.float32]:
    """The rows of `vectors` (n, d), each with its own coordinates in random order."""
    return rng.permuted(np.asarray(vectors, np.float32), axis=1)


def gaussian_rms_cosines(n: int, d: int, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Root mean square off-diagonal cosine of each of `draws` Gaussian (n, d) matrices (draws,).

    Cosines do not depend on the norms of the rows, so this serves for rows of any norms.
    """
    return np.array([rms_cosine(random_directions(n, d, rng)) for _ in range(draws)])
