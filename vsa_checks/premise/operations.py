"""Operations of vector symbolic architectures: bundling, binding, cleanup, and three ways to read a bundle.

In all of them vectors are rows (n, d), and bundles are given by their members: row numbers (m, k).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.bundles import greedy_pursuit
from vsa_checks.orthogonality import live_rows, second_moment

BLOCK_BYTES = 256 * 2**20
"""Memory that the dot products held at a time should take."""
Vectors = NDArray[np.floating[Any]]
Members = NDArray[np.integer[Any]]


def bundle(vectors: ArrayLike, members: ArrayLike) -> Vectors:
    """Sum the members (m, k) of each bundle, rows of `vectors` (n, d), without weights; returns (m, d).

    Raises ValueError if a member is no row of `vectors`. Source: paper, section 2.
    """
    words, rows = _members(vectors, members)
    total = np.zeros((len(rows), words.shape[1]), words.dtype)
    for column in rows.T:
        total += words[column]
    return total


def bind(vectors: ArrayLike, matrix: ArrayLike) -> Vectors:
    """Bind the rows of `vectors` (n, d) by `matrix` (d, r), as W_V W_O of a head does; returns (n, r).

    Raises ValueError for shapes that do not fit. Source: paper, section 2.2.
    """
    words, key = np.asarray(vectors), np.asarray(matrix)
    if words.ndim != 2 or key.ndim != 2 or words.shape[1] != key.shape[0]:
        raise ValueError(f"expected vectors (n, d) and a matrix (d, r), got {words.shape} and {key.shape}")
    bound: Vectors = words @ key
    return bound


def unbind(bound: ArrayLike, matrix: ArrayLike) -> Vectors:
    """Undo the binding of rows `bound` (n, r) by `matrix` (d, r), with the transpose; returns (n, d).

    The transpose is the inverse of an orthogonal matrix only; for others the result is approximate. Raises ValueError
    for shapes that do not fit. Source: paper, section 2.2.
    """
    return bind(bound, np.asarray(matrix).T)


def cleanup(queries: ArrayLike, vectors: ArrayLike) -> NDArray[np.int64]:
    """Find the row of `vectors` (n, d) with the largest dot product with each query (m, d), ties to the lowest: (m,).

    Raises ValueError for shapes that do not fit.
    """
    asked, words = np.asarray(queries), np.asarray(vectors)
    found = np.empty(len(asked), np.int64)
    for part in _blocks(len(asked), len(words)):
        found[part] = bind(asked[part], words.T).argmax(axis=1)
    return found


def found_again(vectors: ArrayLike, matrix: ArrayLike) -> NDArray[np.bool_]:
    """Tell whether cleanup finds each of `vectors` (n, d) again after binding by `matrix` (d, r) and unbinding: (n,).

    Raises ValueError for shapes that do not fit. Source: paper, section 2.2.
    """
    words = np.asarray(vectors)
    named: NDArray[np.bool_] = cleanup(unbind(bind(words, matrix), matrix), words) == np.arange(len(words))
    return named


def recalled(vectors: ArrayLike, members: ArrayLike) -> NDArray[np.bool_]:
    """Tell whether each member's dot product with its bundle exceeds that of every row outside the bundle: (m, k).

    vectors (n, d); members (m, k), none twice in a bundle. Raises ValueError if a member is no row of `vectors`, or if
    no row is outside the bundles.
    """
    words, rows = _members(vectors, members)
    if rows.shape[1] >= len(words):
        raise ValueError(f"bundles of {rows.shape[1]} of {len(words)} vectors leave none to be told from")
    found = np.empty(rows.shape, bool)
    for part in _blocks(len(rows), len(words)):
        dots = bundle(words, rows[part]) @ words.T
        own = np.take_along_axis(dots, rows[part], axis=1)
        np.put_along_axis(dots, rows[part], -np.inf, axis=1)
        found[part] = own > dots.max(axis=1, keepdims=True)
    return found


def decoded(vectors: ArrayLike, members: ArrayLike) -> NDArray[np.bool_]:
    """Tell whether the rows whose dot product with a bundle exceeds 1/2 are exactly its members: (m,).

    vectors (n, d) of unit norm; members (m, k). Raises ValueError if a member is no row of `vectors`. Source: Thomas,
    Dasgupta, Rosing 2021 (see `theory.decoding_bound`).
    """
    words, rows = _members(vectors, members)
    found = np.empty(len(rows), bool)
    for part in _blocks(len(rows), len(words)):
        wrong = bundle(words, rows[part]) @ words.T > 0.5
        inside = np.take_along_axis(wrong, rows[part], axis=1).all(axis=1)
        np.put_along_axis(wrong, rows[part], False, axis=1)
        found[part] = inside & ~wrong.any(axis=1)
    return found


def recovered(vectors: ArrayLike, members: ArrayLike) -> NDArray[np.bool_]:
    """Tell whether greedy pursuit of a bundle, stopped at its size, finds exactly its members: (m,).

    vectors (n, d); members (m, k). Raises ValueError if a member is no row of `vectors`.
    """
    words, rows = _members(vectors, members)
    found = greedy_pursuit(bundle(words, rows), words, rows.shape[1])
    return np.array([set(found.tokens(i).tolist()) == set(row.tolist()) for i, row in enumerate(rows)], bool)


def similarity_change(before: ArrayLike, after: ArrayLike) -> float:
    """Compute the root mean square of (cosine after - cosine before) over ALL pairs of rows.

    before (n, d) and after (n, r): the same vectors in the same order. Rows that are zero in either are left out.
    Raises ValueError if the numbers of rows differ or fewer than two are left.
    """
    first, second = live_rows(before), live_rows(after)
    if len(first.rows) + first.n_excluded != len(second.rows) + second.n_excluded:
        raise ValueError("there are not as many vectors after as before")
    _, left, right = np.intersect1d(first.rows, second.rows, return_indices=True)
    n, d = len(left), first.unit.shape[1]
    if n < 2:
        raise ValueError(f"{n} vectors with a direction make no pair")
    # The squared difference of the two Gram matrices, from (d + r)^2 numbers instead of n^2. Both diagonals are 1.
    moment = second_moment(np.concatenate([first.unit[left], second.unit[right]], axis=1))
    total = np.square(moment[:d, :d]).sum() - 2.0 * np.square(moment[:d, d:]).sum() + np.square(moment[d:, d:]).sum()
    return float(np.sqrt(max(total, 0.0) / (n * (n - 1))))


def coherence(vectors: ArrayLike) -> float:
    """Compute the largest |cos| of two rows of `vectors` (n, d), n small: all pairs at once.

    Raises ValueError for fewer than two rows with a direction.
    """
    cosines = cosine_matrix(vectors, 0.0)
    return float(max(cosines.max(), -cosines.min()))


def closest_pair(vectors: ArrayLike) -> float:
    """Compute the largest cosine of two rows of `vectors` (n, d), n small; exactly 0 for orthogonal whole numbers.

    Raises ValueError for fewer than two rows with a direction.
    """
    return float(cosine_matrix(vectors, -np.inf).max())


def cosine_matrix(vectors: ArrayLike, own: float) -> Vectors:
    """Compute the cosines of all pairs of the m rows of `vectors` (n, d) that are not zero, with `own` on the diagonal.

    Returns (m, m), all pairs at once, so n must be small. Raises ValueError for m < 2.
    """
    words = np.asarray(vectors)
    words = words if words.dtype.kind == "f" else words.astype(np.float64)
    norms = np.sqrt(np.square(words).sum(axis=1))
    words, norms = words[norms > 0], norms[norms > 0]
    if len(words) < 2:
        raise ValueError(f"{len(words)} vectors with a direction make no pair")
    cosines: Vectors = words @ words.T
    cosines /= norms[:, None]
    cosines /= norms
    np.fill_diagonal(cosines, own)
    return cosines


def _blocks(n: int, n_words: int) -> Iterator[slice]:
    step = max(16, BLOCK_BYTES // (8 * max(n_words, 1)))
    return (slice(start, start + step) for start in range(0, n, step))


def _members(vectors: ArrayLike, members: ArrayLike) -> tuple[Vectors, Members]:
    words, rows = np.asarray(vectors), np.asarray(members)
    if words.ndim != 2 or rows.ndim != 2 or rows.dtype.kind not in "iu":
        raise ValueError(f"expected vectors (n, d) and row numbers (m, k), got {words.shape} and {rows.shape}")
    if rows.size and not (rows.min() >= 0 and rows.max() < len(words)):
        raise ValueError(f"members {rows.min()} to {rows.max()} are not all rows of {len(words)} vectors")
    return words if words.dtype.kind == "f" else words.astype(np.float64), rows
