"""Operations of vector symbolic architectures, and trials of them on random vectors to hold their laws against."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from vsa_checks.bundles import BLOCK_BYTES, greedy_pursuit
from vsa_checks.nulls import random_directions
from vsa_checks.orthogonality import live_rows, rms_cosine, second_moment

Vectors = NDArray[np.floating[Any]]
Members = NDArray[np.integer[Any]]

# --- operations -----------------------------------------------------------------------------------------------


def bundle(vectors: ArrayLike, members: ArrayLike) -> Vectors:
    """Unweighted sums (m, d) of the rows of `vectors` (n, d) that `members` (m, k) names.

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
    """Undo the binding of rows `bound` (n, r) by `matrix` (d, r) with its transpose, its inverse if it is orthogonal.

    Returns (n, d). Raises ValueError for shapes that do not fit. Source: paper, section 2.2.
    """
    return bind(bound, np.asarray(matrix).T)


def cleanup(queries: ArrayLike, vectors: ArrayLike) -> NDArray[np.int64]:
    """Row of `vectors` (n, d) with the largest dot product with each query (m, d), ties to the lowest; returns (m,).

    Raises ValueError for shapes that do not fit.
    """
    asked, words = np.asarray(queries), np.asarray(vectors)
    found = np.empty(len(asked), np.int64)
    for part in _blocks(len(asked), len(words)):
        found[part] = bind(asked[part], words.T).argmax(axis=1)
    return found


def found_again(vectors: ArrayLike, matrix: ArrayLike) -> NDArray[np.bool_]:
    """Whether cleanup names each of `vectors` (n, d) after it was bound by `matrix` (d, r) and unbound; returns (n,).

    Raises ValueError for shapes that do not fit. Source: paper, section 2.2.
    """
    words = np.asarray(vectors)
    named: NDArray[np.bool_] = cleanup(unbind(bind(words, matrix), matrix), words) == np.arange(len(words))
    return named


def recalled(vectors: ArrayLike, members: ArrayLike) -> NDArray[np.bool_]:
    """Whether each member's dot product with its bundle exceeds that of every row that is not in the bundle.

    vectors (n, d), members (m, k) without repetition in a row; returns (m, k). Raises ValueError if a member is no
    row of `vectors`, or if bundles leave no row out.
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
    """Whether the rows whose dot product with a bundle exceeds 1/2 are its members and no others; returns (m,).

    vectors (n, d) of unit norm, members (m, k). Raises ValueError if a member is no row of `vectors`. Source: Thomas,
    Dasgupta, Rosing 2021.
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
    """Whether greedy pursuit of a bundle, stopped at its size, names its members and no others; returns (m,).

    vectors (n, d), members (m, k). Raises ValueError if a member is no row of `vectors`.
    """
    words, rows = _members(vectors, members)
    found = greedy_pursuit(bundle(words, rows), words, rows.shape[1])
    return np.array([set(found.tokens(i).tolist()) == set(row.tolist()) for i, row in enumerate(rows)], bool)


def similarity_change(before: ArrayLike, after: ArrayLike) -> float:
    """Root mean square of (cosine after - cosine before) over ALL pairs of rows.

    before (n, d) and after (n, r) hold the same vectors in the same order; rows without a direction in either are left
    out. Raises ValueError if the numbers of rows differ or fewer than two are left.
    """
    first, second = live_rows(before), live_rows(after)
    if len(first.rows) + first.n_excluded != len(second.rows) + second.n_excluded:
        raise ValueError("there are not as many vectors after as before")
    _, left, right = np.intersect1d(first.rows, second.rows, return_indices=True)
    n, d = len(left), first.unit.shape[1]
    if n < 2:
        raise ValueError(f"{n} vectors with a direction make no pair")
    # The squared difference of the two Gram matrices by moments: (d + r)^2 numbers and not n^2. The diagonals cancel.
    moment = second_moment(np.concatenate([first.unit[left], second.unit[right]], axis=1))
    total = np.square(moment[:d, :d]).sum() - 2.0 * np.square(moment[:d, d:]).sum() + np.square(moment[d:, d:]).sum()
    return float(np.sqrt(max(total, 0.0) / (n * (n - 1))))


def coherence(vectors: ArrayLike) -> float:
    """Largest |cos| of two rows of `vectors` (n, d), n small: all pairs at once.

    Raises ValueError for fewer than two rows with a direction.
    """
    return float(np.abs(_gram(vectors, 0.0)).max())


def closest_pair(vectors: ArrayLike) -> float:
    """Largest cosine of two rows of `vectors` (n, d), n small, with its sign; 0 exactly for orthogonal whole numbers.

    Raises ValueError for fewer than two rows with a direction.
    """
    return float(_gram(vectors, -np.inf).max())


# --- laws that stand beside those of `theory` ------------------------------------------------------------------


def rankin_bound(d: int) -> int:
    """Largest number of vectors in d dimensions of which no two have a positive cosine: 2d (Rankin 1955)."""
    return 2 * d


def decoding_bound(largest: float) -> int:
    """Largest k for which `decoded` holds of every bundle: coherence < 1/(2k) (Thomas, Dasgupta, Rosing 2021)."""
    return max(math.ceil(1.0 / (2.0 * largest)) - 1, 0)


def unbinding_error(d: int, r: int) -> float:
    """Root mean square length of what unbinding from a Gaussian matrix (d, r) adds to a unit vector: sqrt((d+1)/r).

    From E (W W^T)^2 = (1 + (d + 1)/r) I for entries of variance 1/r.
    """
    return float(np.sqrt((d + 1) / r))


# --- vectors made to order ------------------------------------------------------------------------------------


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


# --- trials ---------------------------------------------------------------------------------------------------

STANDARD_ERRORS = 4.5
"""A right law lies further than this from a simulation about once in 100,000 times."""


@dataclass(frozen=True)
class Simulated:
    """A figure from independent trials, and its standard error."""

    value: float
    error: float

    @classmethod
    def mean(cls, units: int, trial: Callable[[], ArrayLike]) -> Simulated:
        """Mean over `units` calls of `trial`, of whose figures each gives the mean."""
        return cls.of([np.mean(np.asarray(trial())) for _ in range(units)])

    @classmethod
    def of(cls, trials: ArrayLike) -> Simulated:
        """Mean of trials (n,). Raises ValueError for fewer than two."""
        values = np.asarray(trials, np.float64)
        if len(values) < 2:
            raise ValueError(f"{len(values)} trials have no standard error")
        return cls(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))

    @classmethod
    def quantile(cls, trials: ArrayLike, quantile: float) -> Simulated:
        """Quantile of trials (n,); its error from the quantiles two standard errors of rank away."""
        values = np.asarray(trials, np.float64)
        reach = 2.0 * np.sqrt(quantile * (1.0 - quantile) / len(values))
        low, point, high = np.quantile(values, np.clip([quantile - reach, quantile, quantile + reach], 0.0, 1.0))
        return cls(float(point), float((high - low) / 4.0))

    def root(self) -> Simulated:
        """The square root of the figure."""
        value = float(np.sqrt(self.value))
        return Simulated(value, self.error / (2.0 * value) if value > 0 else 0.0)

    def agrees(self, law: float, slack: float = 0.0) -> bool:
        """Whether the law lies within `STANDARD_ERRORS` and `slack`, what the law itself leaves out."""
        return abs(self.value - law) <= STANDARD_ERRORS * self.error + slack

    def exceeds(self, law: float) -> bool:
        """Whether the figure lies above the law by more than `STANDARD_ERRORS`."""
        return self.value - law > STANDARD_ERRORS * self.error

    def singles_out(self, law: Callable[[int], float], size: int, slack: float = 0.0) -> bool:
        """Whether the law agrees at this size, and neither at half nor at twice it."""
        return [self.agrees(law(s), slack) for s in (size // 2, size, 2 * size)] == [False, True, False]


def cosine_trials(n: int, d: int, sets: int, rng: np.random.Generator) -> Simulated:
    """Root mean square cosine of the pairs of n random vectors; the units are sets of n."""
    return Simulated.mean(sets, lambda: rms_cosine(random_directions(n, d, rng)) ** 2).root()


def tail_trials(n: int, d: int, size: float, sets: int, rng: np.random.Generator) -> Simulated:
    """Share of the pairs of n random vectors with |cos| > `size`; the units are sets of n."""
    pairs = n * (n - 1)
    return Simulated.mean(sets, lambda: (np.abs(_gram(random_directions(n, d, rng), 0.0)) > size).sum() / pairs)


def largest_cosine_trials(n: int, d: int, quantile: float, sets: int, rng: np.random.Generator) -> Simulated:
    """Quantile of the largest |cos| among n random vectors; the units are sets of n."""
    return Simulated.quantile([coherence(random_directions(n, d, rng)) for _ in range(sets)], quantile)


def member_trials(d: int, k: int, bundles: int, rng: np.random.Generator) -> Simulated:
    """Root mean square of the mean cosine of a bundle of k random vectors with its members; the units are bundles."""
    members = random_directions(bundles * k, d, rng).reshape(bundles, k, d)
    totals = live_rows(members.sum(axis=1)).unit
    return Simulated.of((members @ totals[:, :, None]).mean(axis=(1, 2)) ** 2).root()


def crosstalk_trials(d: int, k: int, bundles: int, rng: np.random.Generator) -> Simulated:
    """Root mean square dot product of a bundle of k random vectors with 200 outside; the units are bundles."""
    totals = random_directions(bundles * k, d, rng).reshape(bundles, k, d).sum(axis=1)
    # Independent though all meet the same outsiders: whatever those are, a bundle's expected square is k/d.
    return Simulated.of(np.square(totals @ random_directions(200, d, rng).T).mean(axis=1)).root()


def recall_trials(d: int, k: int, n: int, sets: int, rng: np.random.Generator) -> Simulated:
    """Share of members recalled among n candidates, the member and n - 1 outside; the units are sets of 20 bundles."""
    total = n + k - 1
    return Simulated.mean(sets, lambda: recalled(random_directions(total, d, rng), draw_bundles(total, k, 20, rng)))


def bound_recall_trials(d: int, k: int, n: int, sets: int, rng: np.random.Generator) -> Simulated:
    """Share of k random vectors, each one of n and bound by its own orthogonal matrix, that unbinding their sum names.

    The k matrices are drawn once; the units are sets of n vectors and 40 sums.
    """
    # One above another, so that a sum of bound vectors is one product.
    keys = np.concatenate([frame(d, d, rng) for _ in range(k)]).astype(np.float32)

    def named() -> NDArray[np.bool_]:
        words, fillers = random_directions(n, d, rng), rng.integers(n, size=(40, k))
        total = bind(words[fillers].reshape(40, k * d), keys)
        return cleanup(unbind(total, keys).reshape(40 * k, d), words) == fillers.ravel()

    return Simulated.mean(sets, named)


def chance_bundle_trials(k: int, n: int, d: int, pursue: bool, sets: int, rng: np.random.Generator) -> Simulated:
    """Cosine with a random direction of the sum of the k most similar of n random vectors, or of k found by pursuit.

    The units are sets of n vectors and 20 directions.
    """

    def reached() -> Vectors:
        words, targets = random_directions(n, d, rng), random_directions(20, d, rng)
        if pursue:
            return greedy_pursuit(targets, words, k).cosine
        nearest = np.argpartition(targets @ words.T, -k, axis=1)[:, -k:]
        return (live_rows(bundle(words, nearest)).unit * targets).sum(axis=1)

    return Simulated.mean(sets, reached)


def binding_trials(d: int, draws: int, rng: np.random.Generator) -> Simulated:
    """Root mean square cosine of a vector with itself bound by a random orthogonal matrix; the units are both."""

    def square() -> Vectors:
        vector = random_directions(1, d, rng)
        return (bind(vector, frame(d, d, rng)) @ vector.T) ** 2

    return Simulated.mean(draws, square).root()


def similarity_trials(d: int, r: int, n: int, draws: int, rng: np.random.Generator) -> Simulated:
    """Root mean square change of the cosines of n random vectors under a Gaussian matrix (d, r); the units are both."""

    def square() -> float:
        vectors = random_directions(n, d, rng)
        return similarity_change(vectors, bind(vectors, gaussian_matrix(d, r, rng))) ** 2

    return Simulated.mean(draws, square).root()


def unbinding_trials(d: int, r: int, draws: int, rng: np.random.Generator) -> Simulated:
    """Root mean square length of the error that unbinding from a Gaussian matrix (d, r) leaves in a unit vector."""

    def squares() -> Vectors:
        vectors, matrix = random_directions(10, d, rng), gaussian_matrix(d, r, rng)
        return np.square(unbind(bind(vectors, matrix), matrix) - vectors).sum(axis=1)

    return Simulated.mean(draws, squares).root()


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


def _gram(vectors: ArrayLike, own: float) -> Vectors:
    """Cosines of all pairs of rows that have a direction (n, n), with `own` for each with itself."""
    words = np.asarray(vectors)
    words = words if words.dtype.kind == "f" else words.astype(np.float64)
    norms = np.sqrt(np.square(words).sum(axis=1))
    words, norms = words[norms > 0], norms[norms > 0]
    if len(words) < 2:
        raise ValueError(f"{len(words)} vectors with a direction make no pair")
    cosines: Vectors = words @ words.T
    cosines /= norms[:, None] * norms
    np.fill_diagonal(cosines, own)
    return cosines
