"""How evenly a head's matrix product stretches the directions that it reads (paper, section 2.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine.scale import near_one


def isometry(left: ArrayLike, right: ArrayLike) -> NDArray[np.float64]:
    """Compute (sum s^2)^2 / (rank sum s^4) over the singular values s of left @ right, for each head.

    It is 1 if all s are equal, and 1 / rank if all but one are zero. Replacing the two matrices by left @ A and
    A^-1 @ right changes neither the model nor this number.

    Parameters
    ----------
    left : array (h, d, rank)
    right : array (h, rank, d_out)

    Returns
    -------
    array (h,), NaN if the product is zero

    Raises
    ------
    ValueError : shapes do not fit
    """
    # From the (rank, rank) Gram matrices of the two: the product itself is never computed.
    a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if a.ndim != 3 or b.ndim != 3 or a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise ValueError(f"expected (h, d, rank) and (h, rank, d), got {a.shape} and {b.shape}")
    a, b = near_one(a, (1, 2)), near_one(b, (1, 2))
    return _evenness((a.transpose(0, 2, 1) @ a) @ (b @ b.transpose(0, 2, 1)))


def gaussian_layers(
    shapes: tuple[int, int], heads: tuple[int, int], rank: int, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Compute the median `isometry` over heads for each of `draws` layers with random Gaussian matrices.

    If one side has fewer matrices than there are heads, several heads share each, as in grouped-query attention.

    Parameters
    ----------
    shapes : d and d_out, the dimensions that the heads read and write
    heads : numbers of left and of right matrices; the larger is a multiple of the smaller

    Returns
    -------
    array (draws,)
    """
    n_heads = max(heads)
    found = []
    for _ in range(draws):
        grams = [
            np.repeat(_wishart(d, rank, count, rng), n_heads // count, axis=0)
            for d, count in zip(shapes, heads, strict=True)
        ]
        found.append(np.median(_evenness(grams[0] @ grams[1])))
    return np.array(found)


def _evenness(product: NDArray[np.float64]) -> NDArray[np.float64]:
    """The isometry of left @ right, from left^T left right right^T (h, rank, rank)."""
    squares = np.trace(product, axis1=1, axis2=2)
    fourths = np.einsum("hij,hji->h", product, product)
    with np.errstate(invalid="ignore"):
        return np.where(squares > 0, squares**2 / (product.shape[1] * fourths), np.nan)


def _wishart(d: int, rank: int, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the Gram matrices (count, rank, rank) of Gaussian matrices (d, rank).

    References
    ----------
    Bartlett 1933, On the theory of statistical regression, Proc. Royal Society of Edinburgh 53 (for d >= rank).
    """
    if d < rank:
        columns = rng.standard_normal((count, d, rank))
        return columns.transpose(0, 2, 1) @ columns
    lower = np.tril(rng.standard_normal((count, rank, rank)), -1)
    places = np.arange(rank)
    lower[:, places, places] = np.sqrt(rng.chisquare(d - places, (count, rank)))
    return lower @ lower.transpose(0, 2, 1)
