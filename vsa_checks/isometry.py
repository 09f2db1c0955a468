"""How evenly a head's matrix product stretches the directions that it reads (paper, section 2.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine.scale import near_one


def isometry(left: ArrayLike, right: ArrayLike) -> NDArray[np.float64]:
    """Compute (sum s^2)^2 / (rank sum s^4) over the singular values s of left @ right, for each head.

    It is 1 where all s are equal and 1 / rank where all but one are zero. Replacing the two matrices by left @ A and
    A^-1 @ right leaves the model the same, and this number too.

    Parameters
    ----------
    left : array (h, d, rank)
    right : array (h, rank, d_out)

    Returns
    -------
    array (h,), NaN where the product is zero

    Raises
    ------
    ValueError : shapes do not fit
    """
    # From the (rank, rank) Gram matrices of the two: the product itself is never made.
    a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if a.ndim != 3 or b.ndim != 3 or a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise ValueError(f"expected (h, d, rank) and (h, rank, d), got {a.shape} and {b.shape}")
    a, b = near_one(a, (1, 2)), near_one(b, (1, 2))
    product = (a.transpose(0, 2, 1) @ a) @ (b @ b.transpose(0, 2, 1))
    squares = np.trace(product, axis1=1, axis2=2)
    fourths = np.einsum("hij,hji->h", product, product)
    with np.errstate(invalid="ignore"):
        return np.where(squares > 0, squares**2 / (a.shape[2] * fourths), np.nan)


def gaussian_isometry(
    d: int, rank: int, draws: int, rng: np.random.Generator, d_out: int | None = None
) -> NDArray[np.float64]:
    """Compute the `isometry` (draws,) of products of random Gaussian matrices (d, rank) and (rank, d_out or d)."""
    out = d if d_out is None else d_out
    return np.concatenate(
        [isometry(rng.standard_normal((1, d, rank)), rng.standard_normal((1, rank, out))) for _ in range(draws)]
    )
