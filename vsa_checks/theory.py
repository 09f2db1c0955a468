"""What ideal random vectors give: the laws that stand beside every figure as its reference."""

from __future__ import annotations

import math

import numpy as np
from scipy import integrate, special, stats


def cosine_deviation(d: int) -> float:
    """Standard deviation of the cosine of two independent random directions in d dimensions: 1/sqrt(d), exactly."""
    return float(1.0 / np.sqrt(d))


def cosine_tail(d: int, size: float) -> float:
    """Probability that |cos| of two independent random directions in d dimensions exceeds `size`.

    (1 + cos)/2 follows Beta((d-1)/2, (d-1)/2).
    """
    half = (d - 1) / 2
    return float(2.0 * stats.beta.sf((1.0 + size) / 2.0, half, half))


def cosine_quantile(d: int, tail: float) -> float:
    """The |cos| that two independent random directions in d dimensions exceed with probability `tail`."""
    half = (d - 1) / 2
    return float(2.0 * stats.beta.isf(tail / 2.0, half, half) - 1.0)


def largest_cosine(n: int, d: int, quantile: float = 0.5) -> float:
    """Quantile of the largest |cos| among n independent random directions in d dimensions.

    Cai, Fan, Jiang 2013: d ln(1 - M^2) + 4 ln n - ln ln n has the distribution 1 - exp(-e^(y/2)/sqrt(8 pi)).
    """
    y = 2.0 * np.log(-np.sqrt(8.0 * np.pi) * np.log(quantile))
    return float(np.sqrt(max(1.0 - np.exp((y - 4.0 * np.log(n) + np.log(np.log(n))) / d), 0.0)))


def welch_bound(n: int, d: int) -> float:
    """Least possible largest |cos| of n unit vectors in d dimensions (Welch 1974); 0 for n <= d."""
    return float(np.sqrt((n - d) / (d * (n - 1)))) if n > d else 0.0


def rankin_bound(d: int) -> int:
    """Largest number of vectors in d dimensions of which no two have a positive cosine: 2d (Rankin 1955)."""
    return 2 * d


def nearly_orthogonal_count(d: int, size: float) -> float:
    """How many vectors with all |cos| <= `size` exist in d dimensions at least, by the union bound: e^(d size^2/4)."""
    return float(np.exp(d * size**2 / 4.0))


def gram_edges(n: int, d: int) -> tuple[float, float]:
    """Edges of the spectrum of the Gram matrix of n random unit vectors in d dimensions (Marchenko, Pastur 1967)."""
    root = np.sqrt(n / d)
    return float((1.0 - root) ** 2), float((1.0 + root) ** 2)


def recall_probability(d: float, k: int, n: int) -> float:
    """Probability of naming one item of n from a sum of k random vectors by best dot product.

    Frady, Kleyko, Sommer 2018: integral of phi(h) Phi(h + s)^(n-1), s = sqrt(d/k).
    """
    signal = np.sqrt(d / k)

    def density(h: float) -> float:
        # Those of scipy.stats are the same, behind checks that take twenty times as long.
        return math.exp((n - 1) * float(special.log_ndtr(h + signal)) - h * h / 2.0) / math.sqrt(2.0 * math.pi)

    return float(integrate.quad(density, -12.0, 12.0, limit=400)[0])


def member_cosine(k: int) -> float:
    """Cosine of a sum of k nearly orthogonal unit vectors with one of them: 1/sqrt(k)."""
    return float(1.0 / np.sqrt(k))


def crosstalk_deviation(k: int, d: int) -> float:
    """Standard deviation of the dot product of a sum of k random unit vectors with another one: sqrt(k/d)."""
    return float(np.sqrt(k / d))


def bundle_cosine(k: int, mean_cosine: float) -> float:
    """Cosine with the target of a sum of k orthogonal-but-for-the-target unit vectors of this mean cosine with it."""
    c2 = mean_cosine**2
    return float(np.sqrt(k) * mean_cosine / np.sqrt(1.0 - c2 + k * c2))


def chance_bundle_cosine(k: int, n: int, d: int) -> float:
    """Cosine that the k most similar of n random unit vectors reach with a random direction in d dimensions.

    The mean of the k largest of n cosines, from the Beta law's quantiles, put into `bundle_cosine`.
    """
    half = (d - 1) / 2
    places = (np.arange(1, k + 1) - 0.5) / n
    top = 2.0 * stats.beta.isf(places, half, half) - 1.0
    return bundle_cosine(k, float(top.mean()))


def greedy_recovery_bound(coherence: float) -> int:
    """Largest k for which greedy pursuit surely recovers a k-sparse sum: coherence < 1/(2k - 1) (Tropp 2004)."""
    return max(int(np.ceil((1.0 / coherence + 1.0) / 2.0)) - 1, 0)


def decoding_bound(coherence: float) -> int:
    """Largest k for which dot products with a bundle of k surely exceed 1/2 for its members only: coherence < 1/(2k).

    Thomas, Dasgupta, Rosing 2021.
    """
    return max(int(np.ceil(1.0 / (2.0 * coherence))) - 1, 0)


def unbinding_error(d: int, r: int) -> float:
    """Root mean square length of what unbinding from a Gaussian matrix (d, r) adds to a unit vector: sqrt((d+1)/r).

    From E (W W^T)^2 = (1 + (d + 1)/r) I for entries of variance 1/r.
    """
    return float(np.sqrt((d + 1) / r))


def product_isometry(d: int, rank: int) -> float:
    """Limit of (sum s^2)^2 / (rank sum s^4) for a product of Gaussian (d, rank) and (rank, d) matrices.

    Free multiplicative convolution of two Marchenko-Pastur laws of ratio rank/d: second moment 1 + 2 rank/d.
    """
    return float(1.0 / (1.0 + 2.0 * rank / d))
