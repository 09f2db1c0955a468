"""Constructs vectors for tests of the laws: random frames, packings and bundles, and sets at the limit of a law."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from vsa_checks.nulls import random_directions
from vsa_checks.premise.operations import Vectors


def frame(n: int, d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw random orthonormal rows (n, d); for n = d a random orthogonal matrix. Raises ValueError for n > d."""
    if n > d:
        raise ValueError(f"{n} orthonormal vectors do not fit into {d} dimensions")
    q, r = np.linalg.qr(rng.standard_normal((d, n)))
    # Without the signs of R, Q would not be uniformly distributed.
    return np.ascontiguousarray((q * np.sign(np.diagonal(r))).T)


def gaussian_matrix(d: int, r: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a Gaussian matrix (d, r) that keeps squared lengths on average: entries of variance 1/r."""
    return rng.standard_normal((d, r)) / np.sqrt(r)


def cross_polytope(d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return d orthonormal vectors and their opposites (2d, d), rotated at random."""
    axes = frame(d, d, rng)
    return np.concatenate([axes, -axes])


def simplex(d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the corners of a regular simplex (d + 1, d), rotated at random: all pairwise cosines are -1/d."""
    return linalg.null_space(np.ones((1, d + 1))) @ frame(d, d, rng)


def spikes_and_waves(d: int) -> NDArray[np.float64]:
    """Return the axes and the Walsh functions (2d, d), d a power of two: unit vectors of coherence 1/sqrt(d)."""
    return np.concatenate([np.eye(d), linalg.hadamard(d) / np.sqrt(d)])


def trap(k: int, tightness: float, d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the members that are hardest to recover (k, d), and one more row, which is easily taken for a member.

    The members have pairwise cosines of -mu, and the last row has a cosine of mu with each. mu = tightness / k is the
    coherence, with 0 < tightness <= 1. Raises ValueError for k >= d.
    """
    n, own = k + 1, np.sqrt(1.0 + tightness / k)
    rows = own * np.eye(n) + (np.sqrt(1.0 - tightness) - own) / n
    rows[-1] *= -1.0
    return rows @ frame(n, d, rng)


def fan(k: int, cosine: float, d: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a target (1, d), and k unit vectors (k, d) of this cosine with it, orthogonal after removing the target.

    Raises ValueError for k >= d.
    """
    axes = frame(k + 1, d, rng)
    return axes[:1], cosine * axes[:1] + np.sqrt(1.0 - cosine**2) * axes[1:]


def pack(count: float, d: int, size: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw at least `count` unit vectors (n, d), skipping each with |cos| > `size` with an earlier one.

    Raises ValueError if twice as many draws are not enough, or for more than a gigabyte of vectors.
    """
    if count * d > 2**28:
        raise ValueError(f"{count:.3g} vectors of {d} dimensions are too many to compare with each other")
    wanted, n = math.ceil(count), 0
    kept = np.empty((wanted, d), np.float32)
    for _ in range(0, 2 * wanted, 256):
        drawn = random_directions(256, d, rng)
        fits = (np.abs(drawn @ kept[:n].T) <= size).all(axis=1)
        near = np.tril(np.abs(drawn @ drawn.T) > size, -1)
        for i in np.flatnonzero(fits):
            fits[i] = not near[i, fits].any()
        new = drawn[fits][: wanted - n]
        kept[n : n + len(new)] = new
        n += len(new)
        if n == wanted:
            return kept
    raise ValueError(f"only {n} of {wanted} vectors of |cos| <= {size} were found in {d} dimensions")


def draw_bundles(n: int, k: int, bundles: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw members (bundles, k) from n vectors, none twice in a bundle. Raises ValueError for k > n."""
    if k > n:
        raise ValueError(f"a bundle of {k} cannot be drawn from {n} vectors")
    orders = np.tile(np.arange(n), (bundles, 1))
    # In place, and a copy of what is wanted: all orders of a large vocabulary take much memory.
    return rng.permuted(orders, axis=1, out=orders)[:, :k].copy()


def with_common_mean(vectors: NDArray[np.float32], length: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Add the same random vector of this length to all rows of `vectors` (n, d)."""
    return vectors + np.float32(length) * random_directions(1, vectors.shape[1], rng)


def with_a_twin(vectors: Vectors, k: int, rng: np.random.Generator) -> tuple[Vectors, NDArray[np.int64]]:
    """Repeat the first row of `vectors` (n, d) at the end, and draw 10 bundles (10, k) whose first member is the copy.

    The row that it copies is in no bundle. Raises ValueError for k > n.
    """
    others = draw_bundles(len(vectors) - 1, k - 1, 10, rng) + 1
    return np.concatenate([vectors, vectors[:1]]), np.insert(others, 0, len(vectors), axis=1)
