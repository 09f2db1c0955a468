"""The residual stream as a bundle: how well it keeps its token, how orthogonal its components are (paper, section 2).

Shapes: n positions, V tokens of the vocabulary, d dimensions, c components (embeddings, attention and MLP outputs).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine import loops
from vsa_checks.engine.scale import near_one
from vsa_checks.exchanged import Exchange
from vsa_checks.orthogonality import live_rows

BLOCK = 128
"""Positions compared with all tokens at a time."""


def unit_rows(vectors: ArrayLike) -> NDArray[np.float32]:
    """Scale rows (V, d) to unit norm; zero rows stay zero. Raises ValueError if all are zero, or as `live_rows`."""
    array = np.asarray(vectors)
    live = live_rows(array)
    if not len(live.rows):
        raise ValueError("no row has a direction")
    unit = np.zeros(array.shape, np.float32)
    unit[live.rows] = live.unit
    return unit


def own_ranks(streams: ArrayLike, unit: NDArray[np.float32], tokens: ArrayLike) -> NDArray[np.int64]:
    """Rank each position's own token among all tokens, by cosine with the stream there.

    Parameters
    ----------
    streams : array (n, d)
    unit : float32 array (V, d), the `unit_rows` of all tokens
    tokens : int array (n,), the token at each position

    Returns
    -------
    int array (n,), 1 for the closest; tokens with an equal cosine do not lower the own token's rank
    """
    vectors, own = near_one(np.asarray(streams, np.float32)), np.asarray(tokens, np.int64)
    found = np.empty(len(own), np.int64)
    for start in range(0, len(own), BLOCK):
        cosines = vectors[start : start + BLOCK] @ unit.T
        mine = np.take_along_axis(cosines, own[start : start + BLOCK, None], axis=1)
        found[start : start + BLOCK] = 1 + (cosines > mine).sum(axis=1)
    return found


def ranks_of_each(streams: ArrayLike, unit: NDArray[np.float32], tokens: ArrayLike) -> NDArray[np.int32]:
    """Rank each of several tokens (m,) at each position (n, m), by cosine with the stream there; see `own_ranks`."""
    vectors, asked = near_one(np.asarray(streams, np.float32)), np.asarray(tokens, np.int64)
    found = np.empty((len(vectors), len(asked)), np.int32)
    for start in range(0, len(vectors), BLOCK):
        cosines = vectors[start : start + BLOCK] @ unit.T
        scores = cosines[:, asked]
        order = np.argsort(scores, axis=1)
        loops.count_above(cosines, np.take_along_axis(scores, order, axis=1), order, found[start : start + BLOCK])
    return found + np.int32(1)


def shuffled_medians(
    ranks: NDArray[np.integer], types: NDArray[np.int64], draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Compute the median rank of shuffled tokens: the null of `own_ranks`.

    Each draw permutes the text's m different tokens, and replaces each one in the same way at all its positions. The
    streams at a token's positions are similar; if shuffled one by one, they would count as independent evidence.

    Parameters
    ----------
    ranks : int array (n, m), rank of each of the m tokens at each position, see `ranks_of_each`
    types : int array (n,), which of the m tokens is at each position
    draws : number of shuffles

    Returns
    -------
    array (draws,), medians over positions
    """
    n, m = ranks.shape
    places = np.arange(n)
    return np.array([np.median(ranks[places, rng.permutation(m)[types]]) for _ in range(draws)])


def exchanged_medians(
    streams: ArrayLike,
    vectors: ArrayLike,
    unit: NDArray[np.float32],
    tokens: ArrayLike,
    draws: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Compute the median rank of the own token after the coordinates of what was added to it are exchanged.

    In each draw, all positions have the same coordinates exchanged: the additions keep their lengths and their angles
    between positions, and lose their relation to the tokens.

    Parameters
    ----------
    streams : array (n, d)
    vectors : array (n, d), what each stream starts with: its token
    unit, tokens : as in `own_ranks`
    draws : number of exchanges

    Returns
    -------
    array (draws,), medians over positions
    """
    began = np.asarray(vectors, np.float32)
    added = np.asarray(streams, np.float32) - began
    d = added.shape[1]
    return np.array(
        [np.median(own_ranks(began + Exchange.drawn(d, rng).of(added), unit, tokens)) for _ in range(draws)]
    )


def cosines_apart(components: ArrayLike, n_positions: int, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Compute the root mean square cosine between components of different positions, each component's mean removed.

    Positions are drawn separately for each component: it keeps its own distribution, but is compared with nothing that
    was written at the same position.

    Parameters
    ----------
    components : array (n, c, d)
    n_positions : number of positions in each draw
    draws : number of draws

    Returns
    -------
    array (draws,)
    """
    parts = np.array(components, np.float32).transpose(1, 0, 2)
    c, n, _ = parts.shape
    parts -= parts.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    found = []
    for _ in range(draws):
        some = near_one(np.stack([part[rng.permutation(n)[:n_positions]] for part in parts], axis=1))
        norms = np.linalg.norm(some, axis=2, keepdims=True)
        some /= np.where(norms > 0, norms, 1.0)
        squares = np.square(some @ some.transpose(0, 2, 1), dtype=np.float64)
        off = squares.sum() - np.trace(squares, axis1=1, axis2=2).sum()
        found.append(np.sqrt(off / (len(some) * c * (c - 1))))
    return np.array(found)


def component_cosines(components: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the squared cosines between components at the same position, after removing each component's mean.

    Parameters
    ----------
    components : array (n, c, d)

    Returns
    -------
    by_position : array (n,), mean over all pairs of components
    by_pair : array (c, c), mean over positions

    Raises
    ------
    ValueError : fewer than two components, or one that is the same at all positions
    """
    parts = np.array(components, np.float32)
    n, c, _ = parts.shape
    if c < 2:
        raise ValueError("fewer than two components have no cosine")
    size = np.abs(parts).max(axis=(0, 2))
    parts -= parts.mean(axis=0, dtype=np.float64).astype(np.float32)
    # A component that is the same everywhere leaves only rounding errors, whose direction is meaningless.
    still = np.abs(parts).max(axis=(0, 2)) <= 1e-5 * size
    if still.any():
        raise ValueError(f"component {int(np.flatnonzero(still)[0])} is the same at all positions")
    by_position, by_pair = np.empty(n), np.zeros((c, c))
    for start in range(0, n, BLOCK):
        block = near_one(parts[start : start + BLOCK])
        norms = np.linalg.norm(block, axis=2, keepdims=True)
        block /= np.where(norms > 0, norms, 1.0)
        squares = np.square(block @ block.transpose(0, 2, 1), dtype=np.float64)
        by_pair += squares.sum(axis=0)
        trace = np.trace(squares, axis1=1, axis2=2)
        by_position[start : start + BLOCK] = (squares.sum(axis=(1, 2)) - trace) / (c * (c - 1))
    return by_position, by_pair / n
