"""Operations of vector symbolic architectures, and trials of them on random vectors to hold their laws against."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from vsa_checks.bundles import BLOCK_BYTES, greedy_pursuit
from vsa_checks.nulls import random_directions
from vsa_checks.orthogonality import live_rows, second_moment

Vectors = NDArray[np.floating[Any]]
Members = NDArray[np.integer[Any]]

# --- operations -----------------------------------------------------------------------------------------------


def bundle(vectors: ArrayLike, members: ArrayLike) -> Vectors:
    """Unweighted sums of the rows of `vectors` (n, d) that `members` (m, k) names; returns (m, d).

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
    """Take back a binding of rows `bound` (n, r) by `matrix` (d, r): its transpose, the inverse if it is orthogonal.

    Returns (n, d). Raises ValueError for shapes that do not fit. Source: paper, section 2.2.
    """
    return bind(bound, np.asarray(matrix).T)


def cleanup(queries: ArrayLike, vectors: ArrayLike) -> NDArray[np.int64]:
    """Row of `vectors` (n, d) with the largest dot product with each query (m, d), ties to the lowest; returns (m,).

    Raises ValueError for shapes that do not fit.
    """
    asked, words = np.asarray(queries), np.asarray(vectors)
    found = np.empty(len(asked), np.int64)
    step = _step(len(words))
    for start in range(0, len(asked), step):
        found[start : start + step] = bind(asked[start : start + step], words.T).argmax(axis=1)
    return found


def recalled(vectors: ArrayLike, members: ArrayLike) -> NDArray[np.bool_]:
    """Whether each member's dot product with its bundle exceeds that of every row that is not in the bundle.

    vectors (n, d), members (m, k) without repetition in a row; returns (m, k). Raises ValueError if a member is no
    row of `vectors`, or if bundles leave no row out.
    """
    words, rows = _members(vectors, members)
    if rows.shape[1] >= len(words):
        raise ValueError(f"bundles of {rows.shape[1]} of {len(words)} vectors leave none to be told from")
    found = np.empty(rows.shape, bool)
    step = _step(len(words))
    for start in range(0, len(rows), step):
        now = rows[start : start + step]
        dots = bundle(words, now) @ words.T
        own = np.take_along_axis(dots, now, axis=1)
        np.put_along_axis(dots, now, -np.inf, axis=1)
        found[start : start + step] = own > dots.max(axis=1, keepdims=True)
    return found


def decoded(vectors: ArrayLike, members: ArrayLike) -> NDArray[np.bool_]:
    """Whether the rows whose dot product with a bundle exceeds 1/2 are its members and no others; returns (m,).

    vectors (n, d) of unit norm, members (m, k). Raises ValueError if a member is no row of `vectors`. Source: Thomas,
    Dasgupta, Rosing 2021.
    """
    words, rows = _members(vectors, members)
    found = np.empty(len(rows), bool)
    step = _step(len(words))
    for start in range(0, len(rows), step):
        now = rows[start : start + step]
        expected = np.zeros((len(now), len(words)), bool)
        np.put_along_axis(expected, now, True, axis=1)
        found[start : start + step] = ((bundle(words, now) @ words.T > 0.5) == expected).all(axis=1)
    return found


def recovered(vectors: ArrayLike, members: ArrayLike) -> NDArray[np.bool_]:
    """Whether greedy pursuit of a bundle, stopped at its size, names its members and no others; returns (m,).

    vectors (n, d), members (m, k). Raises ValueError if a member is no row of `vectors`.
    """
    words, rows = _members(vectors, members)
    found = greedy_pursuit(bundle(words, rows), words, rows.shape[1])
    return np.array([set(found.tokens(i).tolist()) == set(row.tolist()) for i, row in enumerate(rows)], bool)


def found_again(vectors: ArrayLike, matrix: ArrayLike) -> NDArray[np.bool_]:
    """Whether cleanup names each of `vectors` (n, d) after it was bound by `matrix` (d, r) and unbound; returns (n,).

    Raises ValueError for shapes that do not fit. Source: paper, section 2.2.
    """
    words = np.asarray(vectors)
    named: NDArray[np.bool_] = cleanup(unbind(bind(words, matrix), matrix), words) == np.arange(len(words))
    return named


def similarity_change(before: ArrayLike, after: ArrayLike) -> float:
    """Root mean square of (cosine after - cosine before) over ALL pairs of rows, exactly.

    before (n, d) and after (n, r) hold the same vectors in the same order; rows without a direction in either are left
    out. Raises ValueError if the numbers of rows differ or fewer than two are left.
    """
    first, second = live_rows(before), live_rows(after)
    if len(np.asarray(before)) != len(np.asarray(after)):
        raise ValueError(f"{len(np.asarray(before))} vectors before and {len(np.asarray(after))} after do not pair up")
    _, left, right = np.intersect1d(first.rows, second.rows, return_indices=True)
    a, b = first.unit[left], second.unit[right]
    n = len(a)
    if n < 2:
        raise ValueError(f"{n} vectors with a direction make no pair")
    # The squared difference of the two Gram matrices by moments: (d + r)^2 numbers and not n^2. The diagonals cancel.
    d, moment = a.shape[1], second_moment(np.concatenate([a, b], axis=1))
    total = np.square(moment[:d, :d]).sum() - 2.0 * np.square(moment[:d, d:]).sum() + np.square(moment[d:, d:]).sum()
    return float(np.sqrt(max(total, 0.0) / (n * (n - 1))))


def coherence(vectors: ArrayLike) -> float:
    """Largest |cos| of two rows of `vectors` (n, d), n small: in float64, all pairs at once.

    Raises ValueError for fewer than two rows with a direction.
    """
    return float(np.abs(_pair_cosines(vectors)).max())


def closest_pair(vectors: ArrayLike) -> float:
    """Largest cosine of two rows of `vectors` (n, d), n small, with its sign: exactly 0 where whole numbers give 0.

    Raises ValueError for fewer than two rows with a direction.
    """
    return float(_pair_cosines(vectors).max())


# --- vectors made to order ------------------------------------------------------------------------------------


def frame(n: int, d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Uniformly random orthonormal rows (n, d), n <= d; for n = d a random orthogonal matrix.

    Raises ValueError for n > d.
    """
    if n > d:
        raise ValueError(f"{n} orthonormal vectors do not fit into {d} dimensions")
    q, r = np.linalg.qr(rng.standard_normal((d, n)))
    # Without the signs of R the law of Q would be that of the routine, not uniform.
    return np.ascontiguousarray((q * np.sign(np.diagonal(r))).T)


def gaussian_matrix(d: int, r: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian matrix (d, r) that keeps squared lengths on average: entries of variance 1/r."""
    return rng.standard_normal((d, r)) / np.sqrt(r)


def cross_polytope(d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Orthonormal vectors and their opposites (2d, d), turned at random: Rankin's 2d vectors of pairwise cos <= 0."""
    axes = frame(d, d, rng)
    return np.concatenate([axes, -axes])


def simplex(d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Corners of a regular simplex (d + 1, d), turned at random: all pairwise cosines are -1/d."""
    corners = np.eye(d + 1) - 1.0 / (d + 1)
    within = linalg.null_space(np.ones((1, d + 1)))
    return live_rows(corners @ within @ frame(d, d, rng)).unit.astype(np.float64)


def spikes_and_waves(d: int) -> NDArray[np.float64]:
    """The axes and the Walsh functions (2d, d), d a power of two: unit vectors of coherence 1/sqrt(d)."""
    return np.concatenate([np.eye(d), linalg.hadamard(d) / np.sqrt(d)])


def trap(k: int, tightness: float, d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Bundle members at their worst (k + 1, d): k vectors of pairwise cosine -mu, and one of cosine mu with each.

    mu = tightness / k, 0 < tightness <= 1, is the coherence. Raises ValueError for k >= d.
    """
    mu, n = tightness / k, k + 1
    own = np.sqrt(1.0 + mu)
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

    Raises ValueError if twice as many draws do not suffice.
    """
    wanted = math.ceil(count)
    kept, n = np.empty((wanted, d), np.float32), 0
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
    """Members (bundles, k) of bundles drawn from n vectors, each bundle without repetition.

    Raises ValueError for k > n.
    """
    if k > n:
        raise ValueError(f"a bundle of {k} cannot be drawn from {n} vectors")
    return rng.permuted(np.tile(np.arange(n), (bundles, 1)), axis=1)[:, :k]


def with_common_mean(vectors: ArrayLike, length: float, rng: np.random.Generator) -> Vectors:
    """The rows of `vectors` (n, d), each with the same random vector of this length added."""
    words = np.asarray(vectors)
    shifted: Vectors = words + length * random_directions(1, words.shape[1], rng)
    return shifted


def with_a_twin(vectors: ArrayLike, k: int, rng: np.random.Generator) -> tuple[Vectors, NDArray[np.int64]]:
    """`vectors` (n, d) with one row repeated at the end, and 10 bundles (10, k) whose first member is that copy.

    The row that it copies is in none of them. Raises ValueError for k >= n.
    """
    words = np.asarray(vectors)
    others = draw_bundles(len(words) - 1, k - 1, 10, rng) + 1
    return np.concatenate([words, words[:1]]), np.insert(others, 0, len(words), axis=1)


# --- laws that stand beside those of `theory` ------------------------------------------------------------------


def rankin_bound(d: int) -> int:
    """Largest number of vectors in d dimensions without a pair of positive cosine: 2d (Rankin 1955)."""
    return 2 * d


def decoding_bound(largest: float) -> int:
    """Largest k for which `decoded` holds of every bundle: coherence < 1/(2k) (Thomas, Dasgupta, Rosing 2021)."""
    return max(math.ceil(1.0 / (2.0 * largest)) - 1, 0)


def unbinding_error(d: int, r: int) -> float:
    """Root mean square length of what unbinding from a Gaussian matrix (d, r) adds to a unit vector: sqrt((d+1)/r).

    From E (W W^T)^2 = (1 + (d + 1)/r) I for entries of variance 1/r.
    """
    return float(np.sqrt((d + 1) / r))


# --- trials ---------------------------------------------------------------------------------------------------

STANDARD_ERRORS = 4.5
"""A right law strays further than this from a simulation about once in 100,000 times; trials are many enough that a
law for half or twice the size does so always (`singles_out`)."""


@dataclass(frozen=True)
class Simulated:
    """A figure from independent trials, and its standard error."""

    value: float
    error: float

    @classmethod
    def mean(cls, trials: ArrayLike) -> Simulated:
        """Mean of trials (n,). Raises ValueError for fewer than two."""
        values = np.asarray(trials, np.float64)
        if len(values) < 2:
            raise ValueError(f"{len(values)} trials have no standard error")
        return cls(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))

    @classmethod
    def root_mean(cls, squares: ArrayLike) -> Simulated:
        """Square root of the mean of trials (n,) of a square. Raises ValueError for fewer than two."""
        square = cls.mean(squares)
        root = np.sqrt(square.value)
        return cls(float(root), float(square.error / (2.0 * root)) if root > 0 else 0.0)

    @classmethod
    def quantile(cls, trials: ArrayLike, quantile: float) -> Simulated:
        """Quantile of trials (n,), its error from the order statistics one standard error of rank away."""
        values = np.asarray(trials, np.float64)
        reach = np.sqrt(quantile * (1.0 - quantile) / len(values))
        low, point, high = np.quantile(values, np.clip([quantile - reach, quantile, quantile + reach], 0.0, 1.0))
        return cls(float(point), float((high - low) / 2.0))

    def agrees(self, law: float, slack: float = 0.0) -> bool:
        """Whether the law lies within `STANDARD_ERRORS` and `slack`, what the law itself leaves out."""
        return abs(self.value - law) <= STANDARD_ERRORS * self.error + slack

    def exceeds(self, law: float) -> bool:
        """Whether the figure lies above the law by more than `STANDARD_ERRORS`."""
        return self.value - law > STANDARD_ERRORS * self.error

    def singles_out(self, law: Callable[[int], float], size: int, slack: float = 0.0) -> bool:
        """Whether the law agrees at this size and neither at half nor at twice it."""
        return (
            self.agrees(law(size), slack)
            and not self.agrees(law(size // 2), slack)
            and not self.agrees(law(2 * size), slack)
        )


def cosine_trials(n: int, d: int, sets: int, rng: np.random.Generator) -> Simulated:
    """Root mean square cosine of the pairs of n random vectors; the units are sets of n."""
    return Simulated.root_mean(_means(sets, lambda: _pair_cosines(random_directions(n, d, rng)) ** 2))


def tail_trials(n: int, d: int, size: float, sets: int, rng: np.random.Generator) -> Simulated:
    """Share of the pairs of n random vectors with |cos| > `size`; the units are sets of n."""
    return Simulated.mean(_means(sets, lambda: np.abs(_pair_cosines(random_directions(n, d, rng))) > size))


def largest_cosine_trials(n: int, d: int, quantile: float, sets: int, rng: np.random.Generator) -> Simulated:
    """Quantile of the largest |cos| among n random vectors; the units are sets of n."""
    return Simulated.quantile(_means(sets, lambda: coherence(random_directions(n, d, rng))), quantile)


def member_trials(d: int, k: int, bundles: int, rng: np.random.Generator) -> Simulated:
    """Root mean square of the mean cosine of a bundle of k random vectors with its members; the units are bundles."""
    members = random_directions(bundles * k, d, rng).reshape(bundles, k, d)
    totals = live_rows(members.sum(axis=1)).unit
    return Simulated.root_mean((members @ totals[:, :, None]).mean(axis=(1, 2)) ** 2)


def crosstalk_trials(d: int, k: int, bundles: int, rng: np.random.Generator) -> Simulated:
    """Root mean square dot product of a bundle of k random vectors with 200 outside; the units are bundles."""
    totals = random_directions(bundles * k, d, rng).reshape(bundles, k, d).sum(axis=1)
    # Independent though all meet the same outsiders: whatever those are, a bundle's expected square is k/d.
    return Simulated.root_mean(np.square(totals @ random_directions(200, d, rng).T).mean(axis=1))


def recall_trials(d: int, k: int, n: int, sets: int, rng: np.random.Generator) -> Simulated:
    """Share of members recalled among n candidates, the member and n - 1 outside; the units are sets of 20 bundles."""
    total = n + k - 1
    return Simulated.mean(
        _means(sets, lambda: recalled(random_directions(total, d, rng), draw_bundles(total, k, 20, rng)))
    )


def bound_recall_trials(d: int, k: int, n: int, sets: int, rng: np.random.Generator) -> Simulated:
    """Share of k random vectors, each one of n and bound by its own orthogonal matrix, that unbinding their sum names.

    The k matrices are drawn once; the units are sets of n vectors and 20 sums.
    """
    keys = [frame(d, d, rng).astype(np.float32) for _ in range(k)]

    def named() -> NDArray[np.bool_]:
        words, fillers = random_directions(n, d, rng), rng.integers(n, size=(k, 20))
        total = np.sum([bind(words[rows], key) for rows, key in zip(fillers, keys, strict=True)], axis=0)
        return np.array([cleanup(unbind(total, key), words) for key in keys]) == fillers

    return Simulated.mean(_means(sets, named))


def top_bundle_trials(k: int, n: int, d: int, sets: int, rng: np.random.Generator) -> Simulated:
    """Cosine with a random direction of the sum of the k most similar of n random vectors.

    The units are sets of n vectors and 20 directions.
    """

    def reached() -> NDArray[np.floating[Any]]:
        words, targets = random_directions(n, d, rng), random_directions(20, d, rng)
        nearest = np.argpartition(targets @ words.T, -k, axis=1)[:, -k:]
        return np.einsum("md,md->m", live_rows(bundle(words, nearest)).unit, targets)

    return Simulated.mean(_means(sets, reached))


def pursuit_trials(k: int, n: int, d: int, sets: int, rng: np.random.Generator) -> Simulated:
    """Cosine with a random direction of the k of n random vectors that greedy pursuit finds; units as above."""
    return Simulated.mean(
        _means(
            sets,
            lambda: greedy_pursuit(random_directions(20, d, rng), random_directions(n, d, rng), k).cosine,
        )
    )


def independence_trials(d: int, draws: int, rng: np.random.Generator) -> Simulated:
    """Root mean square cosine of a vector with itself bound by a random orthogonal matrix; the units are both."""

    def square() -> float:
        vector = random_directions(1, d, rng)
        return float(bind(vector, frame(d, d, rng))[0] @ vector[0]) ** 2

    return Simulated.root_mean(_means(draws, square))


def similarity_trials(d: int, r: int, n: int, draws: int, rng: np.random.Generator) -> Simulated:
    """Root mean square change of the cosines of n random vectors under a Gaussian matrix (d, r); the units are both."""

    def change() -> float:
        vectors = random_directions(n, d, rng)
        return similarity_change(vectors, bind(vectors, gaussian_matrix(d, r, rng))) ** 2

    return Simulated.root_mean(_means(draws, change))


def unbinding_trials(d: int, r: int, draws: int, rng: np.random.Generator) -> Simulated:
    """Root mean square length of the error that unbinding from a Gaussian matrix (d, r) leaves in a unit vector."""

    def squares() -> NDArray[np.floating[Any]]:
        vectors, matrix = random_directions(10, d, rng), gaussian_matrix(d, r, rng)
        return np.square(unbind(bind(vectors, matrix), matrix) - vectors).sum(axis=1)

    return Simulated.root_mean(_means(draws, squares))


def _means(units: int, trial: Callable[[], ArrayLike]) -> list[float]:
    return [float(np.mean(trial())) for _ in range(units)]


def _members(vectors: ArrayLike, members: ArrayLike) -> tuple[Vectors, Members]:
    words, rows = np.asarray(vectors), np.asarray(members)
    if words.ndim != 2 or rows.ndim != 2 or rows.dtype.kind not in "iu":
        raise ValueError(f"expected vectors (n, d) and row numbers (m, k), got {words.shape} and {rows.shape}")
    if rows.size and not (rows.min() >= 0 and rows.max() < len(words)):
        raise ValueError(f"members {rows.min()} to {rows.max()} are not all rows of {len(words)} vectors")
    return words if words.dtype.kind == "f" else words.astype(np.float64), rows


def _step(n_words: int) -> int:
    return max(16, BLOCK_BYTES // (8 * max(n_words, 1)))


def _pair_cosines(vectors: ArrayLike) -> NDArray[np.float64]:
    """Cosines of all pairs of rows, each pair once."""
    words = np.asarray(vectors, np.float64)
    norms = np.sqrt(np.square(words).sum(axis=1))
    words, norms = words[norms > 0], norms[norms > 0]
    if len(words) < 2:
        raise ValueError(f"{len(words)} vectors with a direction make no pair")
    first, second = np.triu_indices(len(words), 1)
    cosines: NDArray[np.float64] = (words @ words.T)[first, second] / (norms[first] * norms[second])
    return cosines
