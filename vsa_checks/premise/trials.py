"""Trials of VSA operations on random vectors, to hold the laws of `theory` against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.bundles import greedy_pursuit
from vsa_checks.nulls import random_directions
from vsa_checks.orthogonality import live_rows, rms_cosine
from vsa_checks.premise.constructions import draw_bundles, frame, gaussian_matrix
from vsa_checks.premise.operations import (
    Vectors,
    bind,
    bundle,
    cleanup,
    coherence,
    cosine_matrix,
    recalled,
    similarity_change,
    unbind,
)

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
    return Simulated.mean(sets, lambda: (np.abs(cosine_matrix(random_directions(n, d, rng), 0.0)) > size).sum() / pairs)


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
