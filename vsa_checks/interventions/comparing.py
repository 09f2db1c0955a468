"""Queries and keys compared over the distances between positions: sizes of W_Q R W_K^T, and nulls of the same size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """W_Q and W_K (d, r) of one head."""

    queries: Matrix
    keys: Matrix


@dataclass(frozen=True)
class Distances:
    """How queries are turned against keys at each distance (distances, r, r), and how often it occurs (distances,)."""

    turns: Matrix
    shares: Matrix

    @classmethod
    def of(cls, turns: Matrix, lengths: tuple[int, ...]) -> Distances:
        """Those that occur in sequences of some lengths: a token sees all before it. A single turn holds for all."""
        if len(turns) == 1:
            return cls(turns, np.ones(1))
        counts = np.maximum(np.array(lengths)[:, None] - np.arange(len(turns)), 0).sum(axis=0, dtype=np.float64)
        return cls(turns, counts / counts.sum())

    def inner(self, one: Pair, other: Pair) -> float:
        """Frobenius inner product of the two W_Q R W_K^T, in the mean over the distances."""
        turned = (one.queries.T @ other.queries) @ self.turns @ (other.keys.T @ one.keys)
        return float(self.shares @ (self.turns * turned).sum(axis=(1, 2)))


@dataclass(frozen=True)
class Target:
    """A head, and the target norm and inner product for its changed product: Frobenius, over the distances."""

    own: Pair
    norm: float
    inner: float
    over: Distances

    @classmethod
    def of(cls, own: Pair, changed: Pair, over: Distances) -> Target:
        """The result of a change to a head."""
        return cls(own, over.inner(changed, changed), over.inner(changed, own), over)


def random_queries(target: Target, keys: Matrix, directions: Matrix) -> Matrix:
    """Move queries at random so that, with keys moved at random, W_Q R W_K^T changes as much as the target says.

    What is found is a multiple of the own queries plus one of the directions, so that over the distances the product
    has in the mean the norm that the change gives it, and the inner product with what it was; hence its distance too.

    Parameters
    ----------
    target : the head, and what the change makes of it
    keys : array (d, r), keys that were moved already
    directions : array (d, r), where to move the queries

    Returns
    -------
    array (d, r); as near as it can be where the moved keys alone change the product too much already, and the own
    queries where a head compares nothing
    """
    own, over = target.own, target.over
    along, across = Pair(own.queries, keys), Pair(directions, keys)
    kept, gained = over.inner(along, own), over.inner(across, own)
    aa, ab, bb = over.inner(along, along), over.inner(along, across), over.inner(across, across)
    if kept <= 0 or bb <= 0:
        return own.queries
    # With a = (inner - b * gained) / kept, the squared norm is quadratic in b.
    a0, a1 = target.inner / kept, -gained / kept
    two, one, none = a1**2 * aa + 2 * a1 * ab + bb, 2 * a0 * (a1 * aa + ab), a0**2 * aa - target.norm
    b = (-one + np.sqrt(max(one**2 - 4 * two * none, 0.0))) / (2 * two) if two > 0 else 0.0
    found: Matrix = (a0 + a1 * b) * own.queries + b * directions
    return found
