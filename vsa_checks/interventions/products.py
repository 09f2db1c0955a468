"""Make the product of a head's two matrices, W_V W_O or W_Q W_K^T, stretch all directions that it reads evenly.

A product of rank r is U T V^T, with orthonormal U and V and a core T (r, r), which is diagonal before any change.
The nearest multiple of a partial isometry has the same U and V and a multiple of the identity in the core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
NEGLIGIBLE = 1e-6
"""Singular values below this share of the largest count as zero: rounding of the stored weights."""


@dataclass(frozen=True)
class Product:
    """A product left @ right as U diag(s) V^T: U (d, r), s (r,), V (d_out, r), r its rank up to rounding."""

    U: Matrix
    s: Matrix
    V: Matrix

    def evened(self, degree: float) -> Matrix:
        """The core (r, r) with all singular values to the power 1 - degree, at the same Frobenius norm.

        Degree 0 is the core as it is, degree 1 that of the nearest multiple of a partial isometry at this norm.
        """
        return np.diag(_evened(self.s, degree))


def product(left: Matrix, right: Matrix) -> Product:
    """Decompose left (d, r) @ right (r, d_out) without making it; the rank is what is not negligible."""
    q_left, r_left = np.linalg.qr(left)
    q_right, r_right = np.linalg.qr(right.T)
    u, s, vt = np.linalg.svd(r_left @ r_right.T)
    kept = s > NEGLIGIBLE * s[0] if len(s) and s[0] > 0 else np.zeros(len(s), bool)
    return Product(q_left @ u[:, kept], s[kept], q_right @ vt.T[:, kept])


def basis(matrix: Matrix) -> Matrix:
    """An orthonormal basis (d, r) of the columns of a matrix (d, r); zero columns for those that it lacks."""
    u, s, _ = np.linalg.svd(matrix, full_matrices=False)
    found: Matrix = u * (s > NEGLIGIBLE * s[0] if s[0] > 0 else np.zeros(len(s), bool))
    return found


@dataclass(frozen=True)
class Writer:
    """W_V W_O of a head, and what leads from W_V (d, r) as it is to the columns of U."""

    product: Product
    lead: Matrix

    @classmethod
    def of(cls, W_V: Matrix, W_O: Matrix) -> Writer:
        """The head with these matrices (d, r) and (r, d_out)."""
        found = product(W_V, W_O)
        return cls(found, np.linalg.pinv(W_V, rcond=NEGLIGIBLE) @ found.U)

    def writing(self, core: Matrix) -> Matrix:
        """The W_O (r, d_out) with which W_V @ W_O is U core V^T."""
        return self.lead @ core @ self.product.V.T


def even_keys(W_K: Matrix, degree: float) -> Matrix:
    """W_K (d, r) with its own singular values evened: its polar factor, at its norm, at degree 1.

    Rotary positions turn queries and keys between W_Q and W_K. With W_K even, W_Q turned W_K^T is a multiple of a
    partial isometry at every distance of positions if it is so at distance zero.
    """
    u, s, vt = np.linalg.svd(W_K, full_matrices=False)
    kept = s > NEGLIGIBLE * s[0] if s[0] > 0 else np.zeros(len(s), bool)
    return (u[:, kept] * _evened(s[kept], degree)) @ vt[kept]


def asking(W_K: Matrix, found: Product, core: Matrix) -> Matrix:
    """The W_Q (d, r) with which W_Q @ W_K^T is U core V^T, for a W_K (d, r) whose columns span V."""
    return found.U @ core @ found.V.T @ np.linalg.pinv(W_K.T, rcond=NEGLIGIBLE)


def _evened(s: Matrix, degree: float) -> Matrix:
    if not len(s):
        return s
    powered = (s / s[0]) ** (1.0 - degree)
    even: Matrix = powered * (np.linalg.norm(s) / np.linalg.norm(powered))
    return even
