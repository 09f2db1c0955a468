"""Vectors made to order: random frames, packings and bundles, and sets of vectors at the edge of what a law allows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from vsa_checks.nulls import random_directions
from vsa_checks.premise.operations import Vectors


def frame(n: int, d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Uniformly random orthonormal rows (n, d); for n = d a random orthogonal matrix. Raises ValueError for n > d."""
    if n > d:
        raise ValueError(f"{n} orthonormal vectors do not fit into {d} dimensions")
    q, r = np.linalg.qr(rng.standard_normal((d, n)))
    # Without the signs of R the law of Q would be that of the routine, not uniform.
    return np.ascontiguousarray((q * np.sign(np.diagonal(r))).T)


def gaussian_matrix(d: int, r: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian matrix (d, r) that keeps squared lengths on average: entries of variance 1/r."""
    return rng.standard_normal((d, r)) / np.sqrt(r)


def cross_polytope(d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Orthonormal vectors and their opposites (2d, d), turned at random."""
    axes = frame(d, d, rng)
    return np.concatenate([axes, -axes])


def simplex(d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Corners of a regular simplex (d + 1, d), turned at random: all pairwise cosines are -1/d."""
    return linalg.null_space(np.ones((1, d + 1))) @ frame(d, d, rng)


def spikes_and_waves(d: int) -> NDArray[np.float64]:
    """The axes and the Walsh functions (2d, d), d a power of two: unit vectors of coherence 1/sqrt(d)."""
    return np.concatenate([np.eye(d), linalg.hadamard(d) / np.sqrt(d)])


def trap(k: int, tightness: float, d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Bundle members at their worst (k + 1, d): k vectors of pairwise cosine -mu, and one of cosine mu with each.

    mu = tightness / k, 0 < tightness <= 1, is the coherence. Raises ValueError for k >= d.
    """
    n, own = k + 1, np.sqrt(1.0 + tightness / k)
    rows = own * np.eye(n) + (np.sqrt(1.0 - tightness) - own) / n
    rows[-1] *= -1.0
    return rows @ frame(n, d, rng)


def fan(k: int, cosine: float, d: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A target (1, d), and k unit vectors (k, d) of this cosine with it that are orthogonal apart from it.

    Raises ValueError for k >= d.
    """
    axes = frame(k + 1, d, rng)
    return axes[:1], cosine * axes[:1] + np.sqrt(1.0 - cosine**2) * axes[1:]


def pack(count: float, d: int, size: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random unit vectors, at least `count` of them (n, d), without those of |cos| > `size` with an earlier one.

    Raises ValueError if twice as many draws do not suffice, or for more than a gigabyte of vectors.
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
    """Members (bundles, k) drawn from n vectors, in no bundle twice. Raises ValueError for k > n."""
    if k > n:
        raise ValueError(f"a bundle of {k} cannot be drawn from {n} vectors")
    return rng.permuted(np.tile(np.arange(n), (bundles, 1)), axis=1)[:, :k]


def with_common_mean(vectors: NDArray[np.float32], length: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """The rows of `vectors` (n, d), each with the same random vector of this length added."""
    return vectors + np.float32(length) * random_directions(1, vectors.shape[1], rng)


def with_a_twin(vectors: Vectors, k: int, rng: np.random.Generator) -> tuple[Vectors, NDArray[np.int64]]:
    """`vectors` (n, d) with the first row repeated at the end, and 10 bundles (10, k) whose first member is that copy.

    The row that it copies is in none of them. Raises ValueError for k > n.
    """
    others = draw_bundles(len(vectors) - 1, k - 1, 10, rng) + 1
    return np.concatenate([vectors, vectors[:1]]), np.insert(others, 0, len(vectors), axis=1)
