"""Simulations of VSA operations on random vectors, to test the laws of `theory`.

Each returns a mean over independent units, with its standard error; the docstrings name the unit.
"""

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
"""A correct law differs from a simulation by more than this about once in 100,000 times."""


@dataclass(frozen=True)
class Simulated:
    """A value from independent trials, and its standard error."""

    value: float
    error: float

    @classmethod
    def mean(cls, units: int, trial: Callable[[], ArrayLike]) -> Simulated:
        """Call `trial` once per unit, take the mean of each result, and average over units."""
        return cls.of([np.mean(np.asarray(trial())) for _ in range(units)])

    @classmethod
    def of(cls, trials: ArrayLike) -> Simulated:
        """Average the results of trials (n,). Raises ValueError for fewer than two."""
        values = np.asarray(trials, np.float64)
        if len(values) < 2:
            raise ValueError(f"{len(values)} trials have no standard error")
        return cls(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))

    @classmethod
    def quantile(cls, trials: ArrayLike, quantile: float) -> Simulated:
        """Take a quantile of trials (n,); its error comes from the quantiles two standard errors of rank away."""
        values = np.asarray(trials, np.float64)
        reach = 2.0 * np.sqrt(quantile * (1.0 - quantile) / len(values))
        low, point, high = np.quantile(values, np.clip([quantile - reach, quantile, quantile + reach], 0.0, 1.0))
        return cls(float(point), float((high - low) / 4.0))

    def root(self) -> Simulated:
        """Return the square root of the value, with its error."""
        value = float(np.sqrt(self.value))
        return Simulated(value, self.error / (2.0 * value) if value > 0 else 0.0)

    def agrees(self, law: float, slack: float = 0.0) -> bool:
        """Tell whether value and law differ by at most `STANDARD_ERRORS` plus `slack`, the law's own inaccuracy."""
        return abs(self.value - law) <= STANDARD_ERRORS * self.error + slack

    def exceeds(self, law: float) -> bool:
        """Tell whether the value exceeds the law by more than `STANDARD_ERRORS`."""
        return self.value - law > STANDARD_ERRORS * self.error

    def singles_out(self, law: Callable[[int], float], size: int, slack: float = 0.0) -> bool:
        """Tell whether the law agrees at this size, and at neither half nor twice the size."""
        return [self.agrees(law(s), slack) for s in (size // 2, size, 2 * size)] == [False, True, False]


def cosine_trials(n: int, d: int, sets: int, rng: np.random.Generator) -> Simulated:
    """Simulate the rms cosine of the pairs of n random vectors; unit: a set of n."""
    return Simulated.mean(sets, lambda: rms_cosine(random_directions(n, d, rng)) ** 2).root()


def tail_trials(n: int, d: int, size: float, sets: int, rng: np.random.Generator) -> Simulated:
    """Simulate the share of the pairs of n random vectors with |cos| > `size`; unit: a set of n."""
    pairs = n * (n - 1)
    return Simulated.mean(sets, lambda: (np.abs(cosine_matrix(random_directions(n, d, rng), 0.0)) > size).sum() / pairs)


def largest_cosine_trials(n: int, d: int, quantile: float, sets: int, rng: np.random.Generator) -> Simulated:
    """Simulate a quantile of the largest |cos| among n random vectors; unit: a set of n."""
    return Simulated.quantile([coherence(random_directions(n, d, rng)) for _ in range(sets)], quantile)


def member_trials(d: int, k: int, bundles: int, rng: np.random.Generator) -> Simulated:
    """Simulate the rms of the mean cosine of a bundle of k random vectors with its members; unit: a bundle."""
    members = random_directions(bundles * k, d, rng).reshape(bundles, k, d)
    totals = live_rows(members.sum(axis=1)).unit
    return Simulated.of((members @ totals[:, :, None]).mean(axis=(1, 2)) ** 2).root()


def crosstalk_trials(d: int, k: int, bundles: int, rng: np.random.Generator) -> Simulated:
    """Simulate the rms dot product of a bundle of k random vectors with 200 others; unit: a bundle."""
    totals = random_directions(bundles * k, d, rng).reshape(bundles, k, d).sum(axis=1)
    # Bundles stay independent though they share the 200: whatever those are, a bundle's expected square is k/d.
    return Simulated.of(np.square(totals @ random_directions(200, d, rng).T).mean(axis=1)).root()


def recall_trials(d: int, k: int, n: int, sets: int, rng: np.random.Generator) -> Simulated:
    """Simulate the share of members recalled among n candidates: itself and n - 1 others; unit: a set of 20 bundles."""
    total = n + k - 1
    return Simulated.mean(sets, lambda: recalled(random_directions(total, d, rng), draw_bundles(total, k, 20, rng)))


def bound_recall_trials(d: int, k: int, n: int, sets: int, rng: np.random.Generator) -> Simulated:
    """Simulate how many of k vectors, each bound by its own orthogonal matrix, are found by unbinding their sum.

    Each is one of n random vectors. The k matrices are drawn once; unit: a set of n vectors and 40 sums.
    """
    # Stacked, so that one product gives the sum of bound vectors.
    keys = np.concatenate([frame(d, d, rng) for _ in range(k)]).astype(np.float32)

    def named() -> NDArray[np.bool_]:
        words, fillers = random_directions(n, d, rng), rng.integers(n, size=(40, k))
        total = bind(words[fillers].reshape(40, k * d), keys)
        return cleanup(unbind(total, keys).reshape(40 * k, d), words) == fillers.ravel()

    return Simulated.mean(sets, named)


def chance_bundle_trials(k: int, n: int, d: int, pursue: bool, sets: int, rng: np.random.Generator) -> Simulated:
    """Simulate the cosine with a random direction of the sum of k of n random vectors; unit: a set of n, 20 directions.

    The k are the most similar ones, or those that a pursuit finds.
    """

    def reached() -> Vectors:
        words, targets = random_directions(n, d, rng), random_directions(20, d, rng)
        if pursue:
            return greedy_pursuit(targets, words, k).cosine
        nearest = np.argpartition(targets @ words.T, -k, axis=1)[:, -k:]
        return (live_rows(bundle(words, nearest)).unit * targets).sum(axis=1)

    return Simulated.mean(sets, reached)


def binding_trials(d: int, draws: int, rng: np.random.Generator) -> Simulated:
    """Simulate the rms cosine of a vector with itself bound by a random orthogonal matrix; unit: a pair of them."""

    def square() -> Vectors:
        vector = random_directions(1, d, rng)
        return (bind(vector, frame(d, d, rng)) @ vector.T) ** 2

    return Simulated.mean(draws, square).root()


def similarity_trials(d: int, r: int, n: int, draws: int, rng: np.random.Generator) -> Simulated:
    """Simulate the rms change of cosines of n random vectors by a Gaussian matrix (d, r); unit: a set and a matrix."""

    def square() -> float:
        vectors = random_directions(n, d, rng)
        return similarity_change(vectors, bind(vectors, gaussian_matrix(d, r, rng))) ** 2

    return Simulated.mean(draws, square).root()


def unbinding_trials(d: int, r: int, draws: int, rng: np.random.Generator) -> Simulated:
    """Simulate the rms length of the error after binding and unbinding by a Gaussian matrix (d, r); unit: a matrix."""

    def squares() -> Vectors:
        vectors, matrix = random_directions(10, d, rng), gaussian_matrix(d, r, rng)
        return np.square(unbind(bind(vectors, matrix), matrix) - vectors).sum(axis=1)

    return Simulated.mean(draws, squares).root()
