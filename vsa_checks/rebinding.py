"""Compare what heads write with the token that they attend to, bound by their matrices (paper, section 2.2).

Shapes: m positions, h heads, r dimensions of a head, d of the residual stream. Vectors are scaled by powers of two
before multiplication, so that cosines of tiny and huge vectors are also correct.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine.scale import near_one
from vsa_checks.engine.threads import share_out, workers
from vsa_checks.exchanged import Exchange

Floats = NDArray[np.floating]


def attended_sources(
    pattern: ArrayLike, allowed: ArrayLike, rng: np.random.Generator, causal: bool = True
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find the most attended source of each destination and head, and draw another source of the same context.

    The context of a destination is itself and all positions before it, or all positions if attention is not causal.
    Destinations with fewer than two allowed sources are left out.

    Parameters
    ----------
    pattern : array (h, n, n) of attention, by head, destination and source
    allowed : bool array (n,), positions that may be source or destination

    Returns
    -------
    destinations : int array (m,)
    most, other : int arrays (m, h), positions of the most attended source and of the other one
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
    """Compute the cosine of two vectors of a head after W_O, without leaving the head's r dimensions.

    Parameters
    ----------
    written : array (m, h, r), what each head has before W_O
    bound : array (m, h, r), the vector to compare it with
    metric : array (h, r, r), W_O W_O^T of each head

    Returns
    -------
    array (m, h), 0 if either vector is zero
    """
    z, v = (_near_one(one).transpose(1, 0, 2) for one in (written, bound))
    weights = _near_one(metric, (1, 2))
    weighed, weighed_bound = z @ weights, v @ weights
    squares = (weighed * z).sum(axis=2), (weighed_bound * v).sum(axis=2)
    return _ratio((weighed * v).sum(axis=2), np.sqrt(np.maximum(squares[0], 0) * np.maximum(squares[1], 0))).T


def token_cosines(written: ArrayLike, vectors: ArrayLike, W_O: ArrayLike) -> Floats:
    """Compute the cosines of what heads write with vectors of the residual stream.

    Parameters
    ----------
    written : array (m, h, r), what each head has before W_O
    vectors : array (k, d)
    W_O : array (h, r, d)

    Returns
    -------
    array (m, h, k), 0 if either vector is zero
    """
    z, u, o = _near_one(written).transpose(1, 0, 2), _near_one(vectors), _near_one(W_O, (1, 2))
    squares = ((z @ (o @ o.transpose(0, 2, 1))) * z).sum(axis=2)
    sizes = np.sqrt(np.maximum(squares, 0))[:, :, None] * np.linalg.norm(u, axis=1)
    return _ratio(z @ (o @ u.T), sizes).transpose(1, 0, 2)


def next_token_margin(outputs: ArrayLike, next_vectors: ArrayLike) -> tuple[float, float]:
    """Compute the mean cosine of outputs with their own next tokens, and with those of other positions.

    Parameters
    ----------
    outputs : array (n, d)
    next_vectors : array (n, d), the vector of each position's next token

    Returns
    -------
    own : float
    shuffled : float, the mean over all shuffles that move every token

    Raises
    ------
    ValueError : fewer than two positions
    """
    left, right = _unit(_near_one(outputs)), _unit(_near_one(next_vectors))
    n = len(left)
    if n < 2:
        raise ValueError("fewer than two positions cannot be shuffled")
    own = np.einsum("nd,nd->", left, right)
    every = float(left.sum(axis=0) @ right.sum(axis=0))
    return float(own) / n, (every - float(own)) / (n * (n - 1))


def exchanged_margins(
    streams: ArrayLike,
    attended: ArrayLike,
    others: ArrayLike,
    W_V: ArrayLike,
    metric: ArrayLike,
    draws: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure rebinding under one attention pattern with the layer's own W_V, and with W_V on exchanged coordinates.

    Rebinding is cos^2 of a head's output with the bound token that it attends to, minus cos^2 with another bound token.
    All heads of the layer read the same exchanged coordinates, so their dependence on each other is unchanged.

    Parameters
    ----------
    streams : array (h, m, d), what each head reads at all sources, weighted by its attention
    attended, others : arrays (h, m, d), the token that it attends to most, and another of the context
    W_V : array (kv, d, r), of each value head; h is a multiple of kv
    metric : array (h, r, r), W_O W_O^T of each head
    draws : number of exchanges

    Returns
    -------
    own : array (h,), means over the m destinations
    drawn : array (draws, h)
    """
    values = _near_one(W_V, (1, 2))
    rows = np.concatenate([_near_one(one) for one in (streams, attended, others)], axis=1).astype(values.dtype)
    h, triple, d = rows.shape
    kv, _, r = values.shape
    rows = rows.reshape(kv, -1, d)
    squares, axes = np.linalg.eigh(_near_one(metric, (1, 2)))
    root = axes * np.sqrt(np.maximum(squares, 0))[:, None, :]

    def margins(through: Floats) -> NDArray[np.float64]:
        written = (rows @ through).reshape(h, triple, r) @ root
        z, v, u = written.reshape(h, 3, triple // 3, r).transpose(1, 0, 2, 3)
        sizes = [np.einsum("hmr,hmr->hm", one, one) for one in (z, v, u)]
        squared = [
            _ratio(np.einsum("hmr,hmr->hm", z, one) ** 2, sizes[0] * size)
            for one, size in ((v, sizes[1]), (u, sizes[2]))
        ]
        return np.asarray((squared[0] - squared[1]).mean(axis=1, dtype=np.float64))

    def exchanged(exchange: Exchange, _: None) -> NDArray[np.float64]:
        return margins(exchange.of(values, 1))

    exchanges = [Exchange.drawn(d, rng) for _ in range(draws)]
    drawn = share_out(exchanged, exchanges, [None] * workers(draws))
    return margins(values), np.array(drawn).reshape(draws, h)


def next_token_weights(outputs: ArrayLike, types: NDArray[np.int64], n_types: int) -> Floats:
    """Compute the factor of each token's unit vector in `next_token_margin`, own minus shuffled.

    Parameters
    ----------
    outputs : array (n, d)
    types : int array (n,), which token comes next at each position
    n_types : number of tokens

    Returns
    -------
    array (n_types, d); the margin is the sum over tokens of their products with the tokens' unit vectors
    """
    unit = _unit(_near_one(outputs))
    n = len(unit)
    found = np.zeros((n_types, unit.shape[1]), unit.dtype)
    np.add.at(found, types, unit * (n / (n - 1)))
    found -= np.outer(np.bincount(types, minlength=n_types) / (n - 1), unit.sum(axis=0)).astype(unit.dtype)
    return found / unit.dtype.type(n)


def exchanged_tokens(
    weights: ArrayLike, vectors: ArrayLike, draws: int, rng: np.random.Generator
) -> tuple[float, NDArray[np.float64]]:
    """Compute a margin from `next_token_weights`, and the margins after random permutations of the tokens.

    A token is replaced by the same other one wherever it comes next: outputs before the same next token are similar,
    and count as evidence only once.

    Parameters
    ----------
    weights, vectors : arrays (t, d), for the tokens that come next somewhere
    draws : number of exchanges

    Returns
    -------
    own : float
    drawn : array (draws,)
    """
    products = np.asarray(weights, np.float64) @ _unit(_near_one(vectors)).T
    places = np.arange(len(products))
    drawn = [products[places, rng.permutation(len(products))].sum() for _ in range(draws)]
    return float(np.trace(products)), np.array(drawn)


def copying_scores(W_V: ArrayLike, W_O: ArrayLike, unembedding_of_embedding: ArrayLike) -> Floats:
    """Measure how far each head copies tokens: the sum of the eigenvalues of W_E W_V W_O W_U over that of their sizes.

    The non-zero eigenvalues are those of the (r, r) matrix W_O (W_U W_E) W_V.

    Parameters
    ----------
    W_V : array (h, d, r)
    W_O : array (h, r, d)
    unembedding_of_embedding : array (d, d), W_U W_E

    Returns
    -------
    array (h,) from -1 to 1, 0 for a head that writes nothing

    References
    ----------
    Elhage et al. 2021, A Mathematical Framework for Transformer Circuits.
    """
    v, o = (_near_one(np.asarray(one, np.float64), (1, 2)) for one in (W_V, W_O))
    values = np.linalg.eigvals(o @ _near_one(np.asarray(unembedding_of_embedding, np.float64), (0, 1)) @ v)
    return _ratio(values.sum(axis=1).real, np.abs(values).sum(axis=1))


def _near_one(vectors: ArrayLike, axis: int | tuple[int, ...] = -1) -> Floats:
    array = np.asarray(vectors)
    found: Floats = near_one(array if array.dtype == np.float32 else array.astype(np.float64), axis)
    return found


def _unit(vectors: Floats) -> Floats:
    return _ratio(vectors, np.linalg.norm(vectors, axis=1, keepdims=True))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(bottom > 0, top / bottom, 0.0)
    return found
