"""What heads write beside what binding the token that they attend to would give (paper, section 2.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating]


def attended_sources(
    pattern: ArrayLike, allowed: ArrayLike, rng: np.random.Generator, causal: bool = True
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each destination and head the most attended source, and another source of the same context at random.

    pattern (h, n, n: head, destination, source); allowed (n,): which positions may be source or destination. Returns
    destinations (m,), and two (m, h) arrays of positions. The context of a destination is itself and what is before
    it (all, if not causal); one with fewer than two allowed sources is left out.
    """
    attention, free = np.asarray(pattern), np.asarray(allowed, bool)
    h, n, _ = attention.shape
    context = np.broadcast_to(free, (n, n)).copy()
    if causal:
        context &= np.tril(np.ones((n, n), bool))
    destinations = np.flatnonzero(free & (context.sum(axis=1) >= 2))
    within = context[destinations]
    scores = np.where(within, attention[:, destinations], -1.0)
    most = scores.argmax(axis=2).T
    lots = np.where(within[:, None, :], rng.random((len(destinations), h, n)), -1.0)
    np.put_along_axis(lots, most[:, :, None], -1.0, axis=2)
    return destinations, most, lots.argmax(axis=2)


def head_cosines(written: ArrayLike, bound: ArrayLike, metric: ArrayLike) -> Floats:
    """Cosine of two vectors per position and head after W_O, computed within the head: (m, h).

    written, bound (m, h, r): what a head has before W_O, and what it is compared with; metric (h, r, r): its
    W_O W_O^T. 0 where either is zero.
    """
    z, v = (np.asarray(one).transpose(1, 0, 2) for one in (written, bound))
    weighed, weighed_bound = z @ np.asarray(metric), v @ np.asarray(metric)
    squares = (weighed * z).sum(axis=2), (weighed_bound * v).sum(axis=2)
    return _ratio((weighed * v).sum(axis=2), np.sqrt(np.maximum(squares[0], 0) * np.maximum(squares[1], 0))).T


def token_cosines(written: ArrayLike, vectors: ArrayLike, W_O: ArrayLike) -> Floats:
    """Cosine of what heads write with other vectors of the stream: (m, h, k).

    written (m, h, r), vectors (k, d), W_O (h, r, d). 0 where either is zero.
    """
    z, u, o = np.asarray(written).transpose(1, 0, 2), np.asarray(vectors), np.asarray(W_O)
    squares = ((z @ (o @ o.transpose(0, 2, 1))) * z).sum(axis=2)
    sizes = np.sqrt(np.maximum(squares, 0))[:, :, None] * np.linalg.norm(u, axis=1)
    return _ratio(z @ (o @ u.T), sizes).transpose(1, 0, 2)


def next_token_margin(outputs: ArrayLike, next_vectors: ArrayLike) -> tuple[float, float]:
    """Mean cosine of outputs (n, d) with the vectors (n, d) of their next tokens, and with those of one another's.

    The second is the mean over all shuffles that leave no token in its place. Raises ValueError for n < 2.
    """
    left, right = _unit(np.asarray(outputs)), _unit(np.asarray(next_vectors))
    n = len(left)
    if n < 2:
        raise ValueError("fewer than two positions cannot be shuffled")
    own = np.einsum("nd,nd->", left, right)
    every = float(left.sum(axis=0) @ right.sum(axis=0))
    return float(own) / n, (every - float(own)) / (n * (n - 1))


def copying_scores(W_V: ArrayLike, W_O: ArrayLike, unembedding_of_embedding: ArrayLike) -> Floats:
    """How far each head maps tokens to themselves: sum of eigenvalues over the sum of their sizes, -1 to 1 (h,).

    The eigenvalues are those of W_E W_V W_O W_U, through the (r, r) matrix W_O (W_U W_E) W_V; W_V (h, d, r), W_O (h, r,
    d), W_U W_E (d, d). 0 for a head that writes nothing. Source: Elhage et al. 2021, A Mathematical Framework for
    Transformer Circuits.
    """
    v, o = np.asarray(W_V, np.float64), np.asarray(W_O, np.float64)
    values = np.linalg.eigvals(o @ np.asarray(unembedding_of_embedding, np.float64) @ v)
    return _ratio(values.sum(axis=1).real, np.abs(values).sum(axis=1))


def _unit(vectors: Floats) -> Floats:
    return _ratio(vectors, np.linalg.norm(vectors, axis=1, keepdims=True))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(bottom > 0, top / bottom, 0.0)
    return found
