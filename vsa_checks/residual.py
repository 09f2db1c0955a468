"""The residual stream as a bundle: how well it keeps its token, and how orthogonal its parts are (paper, section 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine import loops
from vsa_checks.orthogonality import live_rows

BLOCK = 128


def unit_rows(vectors: ArrayLike) -> NDArray[np.float32]:
    """The rows of `vectors` (V, d) at unit norm; those without a direction stay zero. ValueError if none has one."""
    array = np.asarray(vectors, np.float32)
    live = live_rows(array)
    if not len(live.rows):
        raise ValueError("no row has a direction")
    unit = np.zeros(array.shape, np.float32)
    unit[live.rows] = live.unit
    return unit


def own_ranks(streams: ArrayLike, unit: NDArray[np.float32], tokens: ArrayLike) -> NDArray[np.int64]:
    """Rank by cosine of each stream's own token among all tokens, 1 for the closest: (n,).

    streams (n, d), unit (V, d) the `unit_rows` of all tokens, tokens (n,) which of them are the streams' own. Ties
    count for the token.
    """
    vectors, own = np.asarray(streams, np.float32), np.asarray(tokens, np.int64)
    found = np.empty(len(own), np.int64)
    for start in range(0, len(own), BLOCK):
        cosines = vectors[start : start + BLOCK] @ unit.T
        mine = np.take_along_axis(cosines, own[start : start + BLOCK, None], axis=1)
        found[start : start + BLOCK] = 1 + (cosines > mine).sum(axis=1)
    return found


def ranks_of_each(streams: ArrayLike, unit: NDArray[np.float32], tokens: ArrayLike) -> NDArray[np.int32]:
    """Rank by cosine of every one of `tokens` (m,) for every stream (n, d): (n, m); see `own_ranks`."""
    vectors, asked = np.asarray(streams, np.float32), np.asarray(tokens, np.int64)
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
    """Median rank over all positions (n,) of the token that each token was exchanged for, everywhere alike: (draws,).

    ranks (n, m) of the m different tokens of the text at each position; types (n,): which of them stands there. Where
    a token recurs the stream is much the same: exchanged position by position, each would count as evidence anew.
    """
    n, m = ranks.shape
    places = np.arange(n)
    return np.array([np.median(ranks[places, rng.permutation(m)[types]]) for _ in range(draws)])


def component_cosines(components: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared cosines among a stream's components at each position, each component's mean over positions removed.

    components (n, c, d). Returns the mean over all pairs of components at each position (n,), and the mean over
    positions for each pair (c, c). Raises ValueError for fewer than two components, or one that never moves.
    """
    parts = np.array(components, np.float32)
    n, c, _ = parts.shape
    if c < 2:
        raise ValueError("fewer than two components have no cosine")
    size = np.abs(parts).max(axis=(0, 2))
    parts -= parts.mean(axis=0, dtype=np.float64).astype(np.float32)
    # What rounding leaves of a component that is the same everywhere is no direction.
    still = np.abs(parts).max(axis=(0, 2)) <= 1e-5 * size
    if still.any():
        raise ValueError(f"component {int(np.flatnonzero(still)[0])} is the same at all positions")
    norms = np.linalg.norm(parts, axis=2, keepdims=True)
    parts /= np.where(norms > 0, norms, 1.0)
    by_position, by_pair = np.empty(n), np.zeros((c, c))
    for start in range(0, n, BLOCK):
        block = parts[start : start + BLOCK]
        squares = np.square(block @ block.transpose(0, 2, 1), dtype=np.float64)
        by_pair += squares.sum(axis=0)
        trace = np.trace(squares, axis1=1, axis2=2)
        by_position[start : start + BLOCK] = (squares.sum(axis=(1, 2)) - trace) / (c * (c - 1))
    return by_position, by_pair / n
