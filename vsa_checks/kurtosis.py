"""Kurtosis of a neuron's products with the tokens: high if a few tokens stand out.

Kurtosis over the vocabulary is the statistic of ROTATE, a rival account of what neurons read. If it is high, a few
tokens have much larger products with the neuron than most. It does not say which tokens, or how many make up a sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine import loops
from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.engine.threads import Progress, share_out, workers
from vsa_checks.orthogonality import live_rows

if TYPE_CHECKING:
    import torch

LEAST = -2.0
"""The smallest possible excess kurtosis: of a distribution with two equally likely values."""
LEAST_SPREAD = 1e-6
"""Products that differ by less than this, relative to the product of their lengths, differ only by rounding."""
NEURONS = 64
"""Neurons that a thread multiplies with the tokens at a time."""


def excess_kurtosis(
    neurons: ArrayLike, dictionary: ArrayLike | Dictionary, *, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Compute the excess kurtosis, over all tokens, of each neuron's dot products with them.

    E[(x - E x)^4] / Var(x)^2 - 3, over the tokens: 0 for a Gaussian. It does not depend on the length of a neuron or on
    a vector added to all tokens. Products are float32; their moments are float64, about their mean.
    Memory: a copy of the neurons, and the products of 64 of them for each thread.

    Parameters
    ----------
    neurons : array (n, d), of any norm
    dictionary : array (V, d) with one row per token, or a Dictionary; tokens of zero are left out
    progress : called with the number of blocks of neurons done and the total

    Returns
    -------
    float64 array (n,), no unit; -2, the minimum, if all products are equal: for zero neurons, and for neurons that are
    orthogonal to all tokens

    Raises
    ------
    ValueError : neurons and tokens of different dimensions, no token with a direction, or NaN or infinite numbers

    References
    ----------
    Avrahamy, Gur-Arieh and Geva 2026, Disentangling MLP Neuron Weights in Vocabulary Space, arXiv:2604.06005.
    """
    live = live_rows(neurons)
    words = dictionary if isinstance(dictionary, Dictionary) else Dictionary.of(dictionary)
    if live.unit.shape[1] != words.vectors.shape[1]:
        raise ValueError(f"neurons have {live.unit.shape[1]} dimensions, and tokens {words.vectors.shape[1]}")
    seen = SeenKurtosis(words, len(live.unit))

    def multiply(start: int, products: NDArray[np.float32]) -> None:
        rows = live.unit[start : start + NEURONS]
        seen.see(start, np.matmul(rows, words.vectors.T, out=products[: len(rows)]))

    starts = range(0, len(live.unit), NEURONS)
    scratch = [
        np.empty((min(NEURONS, len(live.unit)), len(words.rows)), np.float32) for _ in range(workers(len(starts)))
    ]
    share_out(multiply, starts, scratch, progress)
    found = np.full(len(np.asarray(neurons)), LEAST)
    found[live.rows] = seen.kurtosis()
    return found


class SeenKurtosis:
    """The excess kurtosis of neurons whose products with all tokens are computed for another purpose.

    Parameters
    ----------
    words : Dictionary
        The tokens, in the order of the products.
    n : int
        How many neurons there are.
    """

    def __init__(self, words: Dictionary, n: int) -> None:
        self._words, self._moments = words, np.zeros((n, 4))

    def see(self, start: int, products: NDArray[np.float32] | torch.Tensor) -> None:
        """Take the products (m, V) of m neurons at unit norm, from neuron `start` on; thread-safe."""
        rows = slice(start, start + len(products))
        if isinstance(products, np.ndarray):
            near_mean = products.mean(axis=1).astype(np.float64)
            loops.add_moments(products, near_mean, self._moments[rows])
        else:
            from vsa_checks.engine.on_device.moments import add_moments

            add_moments(products, self._moments[rows])

    def kurtosis(self) -> NDArray[np.float64]:
        """Excess kurtosis (n,) as computed by `excess_kurtosis`; -2 for neurons that were not seen."""
        return _from_moments(self._moments.T / len(self._words.rows), self._words)


def _from_moments(moments: NDArray[np.float64], words: Dictionary) -> NDArray[np.float64]:
    """Excess kurtosis (n,) from the first four moments (4, n) about a point next to the mean, of neurons of norm 1."""
    # The largest possible variance of the products: the mean square of the tokens.
    rounding = LEAST_SPREAD**2 * float(np.mean(words.norms**2))
    # The rounded products' own mean is not exactly that point.
    off, second, third, fourth = moments
    variance = second - off**2
    central = fourth - 4 * off * third + 6 * off**2 * second - 3 * off**4
    spread = variance > rounding
    return np.where(spread, central / np.where(spread, variance, 1.0) ** 2 - 3.0, LEAST)
