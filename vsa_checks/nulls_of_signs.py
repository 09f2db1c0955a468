"""A null that keeps how much of each neuron lies on each axis, and how each axis is used, and nothing else.

If a neuron is a sum of certain tokens, its entries have their signs from these tokens. Here the signs come from other
neurons, axis by axis, while the magnitudes stay the neuron's own. What a layer has in common with the tokens without
being sums of tokens lies in magnitudes: heavy tails, a few dominant axes, groups of axes used together. It is not known
which axes show it, so there are several sets: the coordinates, principal axes, and independent axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsa_checks.engine.threads import threads
from vsa_checks.orthogonality import second_moment

KEPT = 8
"""Number of first principal axes that stay unchanged: they hold the mean, and most of what groups share."""
NEIGHBOURS = 16
"""Signs are exchanged within groups of this many neurons, whose entries on the axis have similar magnitudes."""
COLUMNS = 64
"""Axes whose signs are exchanged at a time."""


def principal_axes(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the principal axes of vectors (n, d) about the origin: the columns of (d, d), largest first.

    They are about the origin, so that a dominant mean lies on the first axis and on no other.
    """
    with threads():
        axes = np.linalg.eigh(second_moment(vectors))[1]
    return np.ascontiguousarray(axes[:, ::-1], np.float32)


def kept_axes(d: int) -> int:
    """How many of d principal axes stay unchanged: KEPT, or an eighth of them if d is small."""
    return min(KEPT, d // 8)


def exchange_signs(
    unit: NDArray[np.float32],
    labels: NDArray[np.int64],
    asked: NDArray[np.int64],
    rng: np.random.Generator,
    axes: NDArray[np.float32] | None = None,
    kept: int = 0,
) -> NDArray[np.float32]:
    """Give some neurons of a layer the signs of others, axis by axis.

    On each axis, neurons are sorted by the magnitude of their entry; within each 16 consecutive ones, signs are
    permuted at random. This keeps the distribution of entries on each axis, with its mean and skewness, and each
    neuron's magnitudes; it destroys how signs on different axes go together. One neuron represents its cluster: if its
    sign is flipped, so are those of the whole cluster.

    Parameters
    ----------
    unit : float32 array (m, d), rows of unit norm
    labels : int array (m,), each neuron's cluster, from 0
    asked : int array (n,), the neurons to return
    axes : array (d, d), orthonormal columns; None for the coordinates. Their own signs do not matter.
    kept : number of first axes on which nothing is exchanged

    Returns
    -------
    float32 array (n, d)
    """
    with threads():
        along = unit if axes is None else unit @ axes
    order = rng.permutation(len(unit))
    heads = np.empty(labels.max() + 1, np.int64)
    heads[labels[order]] = order
    found: NDArray[np.float32] = along[asked]
    for start in range(kept, along.shape[1], COLUMNS):
        columns = slice(start, start + COLUMNS)
        entries = np.ascontiguousarray(along[heads, columns].T)
        signs = np.where(entries < 0, np.float32(-1), np.float32(1))
        by_size = np.argsort(-np.abs(entries), axis=1, kind="stable")
        mixed = _mixed(rng.random(signs.shape[::-1]).T)
        given = np.empty_like(signs)
        np.put_along_axis(given, by_size, np.take_along_axis(signs, np.take_along_axis(by_size, mixed, 1), 1), 1)
        found[:, columns] *= (given * signs)[:, labels[asked]].T
    with threads():
        return found if axes is None else found @ axes.T


def _mixed(keys: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices 0, 1, ... of each row of keys (c, m), with each 16 consecutive ones sorted by their keys."""
    c, m = keys.shape
    padded = np.full((c, -(-m // NEIGHBOURS), NEIGHBOURS), np.inf)
    padded.reshape(c, -1)[:, :m] = keys
    places = np.argsort(padded, axis=2) + np.arange(padded.shape[1])[:, None] * NEIGHBOURS
    return places.reshape(c, -1)[:, :m]
