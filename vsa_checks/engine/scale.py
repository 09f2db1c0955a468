"""Norms of vectors of any magnitude, and exact scaling by powers of two, so that tiny and huge vectors work too."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Number = TypeVar("Number", np.float32, np.float64)
SAFE = 1e280
"""Sums of squares above this, or below its inverse, may have lost digits or overflowed: such rows are summed again."""


def row_norms(vectors: ArrayLike) -> NDArray[np.float64]:
    """Compute the norm of each row, in float64; it is zero only if all entries are.

    Parameters
    ----------
    vectors : array (n, d), of any magnitude that its type can hold, including denormal numbers

    Returns
    -------
    array (n,), not finite if an entry is not
    """
    array = np.asarray(vectors)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", array, array, dtype=np.float64)
        norms: NDArray[np.float64] = np.sqrt(squares)
    unsafe = np.flatnonzero(~((squares > 1 / SAFE) & (squares < SAFE)))
    if len(unsafe) and array.shape[1]:
        largest = np.abs(array[unsafe].astype(np.float64)).max(axis=1)
        lengths = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        part = array[unsafe] / lengths[:, None]
        norms[unsafe] = lengths * np.sqrt(np.einsum("ij,ij->i", part, part))
    return norms


def near_one(vectors: NDArray[Number], axis: int | tuple[int, ...] = -1) -> NDArray[Number]:
    """Scale by powers of two, so that squares and products neither vanish nor overflow.

    Parameters
    ----------
    vectors : array (...), float32 or float64
    axis : the axes of one vector; each is scaled by a power of two of its own

    Returns
    -------
    array (...), the largest entry of each vector between 1/2 and 1 (2^-24 and 4 at the ends of the type's range)
    """
    _, exponents = np.frexp(np.abs(vectors).max(axis=axis, keepdims=True))
    most = np.finfo(vectors.dtype).maxexp - 2
    return vectors * np.ldexp(vectors.dtype.type(1), np.clip(-exponents, -most, most))
