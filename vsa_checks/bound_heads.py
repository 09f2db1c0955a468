"""Tokens bound by the heads of a layer, on each head's principal axes, and reflected there (section 3.3).

A reflection flips the sign of all bound tokens of a head along some of their principal axes. It keeps their lengths,
their angles with one another, their covariance and the space that the head writes to. It is one draw of the whole
dictionary, so draws can be compared even if neurons depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bound_tokens import Part
from vsa_checks.orthogonality import second_moment

Rows = NDArray[np.float32]

KEPT = 8
"""One in this many principal axes of each head, the first ones, keep their signs: most bound tokens share them."""


@dataclass(frozen=True)
class Heads:
    """Bound tokens of each head on its principal axes: left (h, V, r) @ right (h, r, d), right with orthonormal rows.

    squares (h, V): squared norms. The axes of each head are in descending order of variance.
    """

    left: Rows
    right: Rows
    squares: Rows

    @classmethod
    def of(cls, parts: list[Part]) -> Heads:
        """Express the bound tokens of each head, all given by factors of the same rank r, on their principal axes.

        `parts` is emptied along the way: with a large vocabulary there is not enough memory for both.
        """
        shape = len(parts), len(parts[0].left), parts[0].left.shape[1]
        left, right = np.empty(shape, np.float32), []
        for head in range(len(parts)):
            part = parts.pop(0)
            assert part.right is not None
            # right = inner.T @ outer.T with orthonormal columns of outer.
            outer, inner = np.linalg.qr(part.right.T.astype(np.float64))
            bound = part.left @ inner.T.astype(np.float32)
            axes = np.linalg.eigh(second_moment(bound))[1][:, ::-1]
            np.matmul(bound, axes.astype(np.float32), out=left[head])
            right.append((outer @ axes).T.astype(np.float32))
        squares = np.einsum("hij,hij->hi", left, left, dtype=np.float64).astype(np.float32)
        return cls(left, np.ascontiguousarray(np.stack(right)), squares)  # rows side by side: loops run along them

    @property
    def parts(self) -> list[Part]:
        """The same, head by head."""
        return [Part(left, right) for left, right in zip(self.left, self.right, strict=True)]

    def within(self, neurons: Rows) -> Rows:
        """Coordinates of neurons (n, d) on the principal axes of each head (h, n, r)."""
        turned: Rows = np.einsum("nd,hrd->hnr", neurons, self.right, optimize=True)
        return turned

    def reflections(self, n: int, rng: np.random.Generator) -> Rows:
        """Draw signs (n, h, r): random ones for all principal axes but the first of each head."""
        heads, _, rank = self.left.shape
        signs = (2 * rng.integers(0, 2, (n, heads, rank), dtype=np.int8) - 1).astype(np.float32)
        signs[:, :, : rank // KEPT] = 1.0
        return signs

    def reflected_on(self, axes: Rows, signs: Rows) -> Heads:
        """The bound tokens with their coordinates on other axes, the columns of (d, d), multiplied by signs (h, d)."""
        along: Rows = (self.right @ axes).astype(np.float32, copy=False) * signs[:, None, :]
        turned: Rows = np.asarray(along @ axes.T, np.float32)
        return Heads(self.left, turned, self.squares)

    def reflected(self, signs: Rows) -> Heads:
        """The bound tokens with their coordinates on the principal axes multiplied by signs (h, r)."""
        return Heads(self.left, signs[:, :, None] * self.right, self.squares)
