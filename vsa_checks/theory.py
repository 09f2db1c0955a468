"""Laws of ideal random vectors: the references that measurements are compared with.

Throughout, d is the number of dimensions, n the number of vectors and k the number of members of a bundle. Vectors are
uniformly random directions unless stated otherwise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy  # its parts are imported where they are first used: scipy.stats takes most of a second


def cosine_deviation(d: int) -> float:
    """Return the standard deviation of the cosine of two independent vectors: 1/sqrt(d), exactly."""
    return float(1.0 / np.sqrt(d))


ARTIFACT_DEVIATIONS = 6.0
"""A pair is an artifact if its |cos| exceeds this many standard deviations of random directions."""


def artifact_cut(d: int) -> float:
    """Return the |cos| above which a pair counts as an artifact: 6/sqrt(d)."""
    return float(ARTIFACT_DEVIATIONS / np.sqrt(d))


def cosine_tail(d: int, size: float) -> float:
    """Return the probability that |cos| of two independent vectors exceeds `size`.

    Exact: (1 + cos)/2 has the distribution Beta((d-1)/2, (d-1)/2).
    """
    half = (d - 1) / 2
    return float(2.0 * scipy.special.betaincc(half, half, min((1.0 + size) / 2.0, 1.0)))


def cosine_quantile(d: int, tail: float) -> float:
    """Return the |cos| that two independent vectors exceed with probability `tail`: the inverse of `cosine_tail`."""
    half = (d - 1) / 2
    return float(2.0 * scipy.special.betainccinv(half, half, tail / 2.0) - 1.0)


def largest_cosine(n: int, d: int, quantile: float = 0.5) -> float:
    """Return a quantile of the largest |cos| among n independent vectors, the median by default.

    A limit for large n: for the largest |cos| M, y = d ln(1 - M^2) + 4 ln n - ln ln n has the distribution function
    1 - exp(-e^(y/2)/sqrt(8 pi)).

    Parameters
    ----------
    quantile : probability that the largest |cos| lies below the value returned

    References
    ----------
    Cai, Fan, Jiang 2013, Distributions of angles in random packing on spheres, JMLR 14.
    """
    y = 2.0 * np.log(-np.sqrt(8.0 * np.pi) * np.log(quantile))
    return float(np.sqrt(max(1.0 - np.exp((y - 4.0 * np.log(n) + np.log(np.log(n))) / d), 0.0)))


def mean_square_law(n: int, d: int) -> Any:
    """Return the law of the mean squared cosine over all pairs of n vectors: a shifted gamma distribution.

    It starts at the smallest possible value, `welch_bound` squared. Mean and variance are exact, 1/d and 2 (d - 1)/
    (d^2 (d + 2)) over the number of pairs, because pairs are uncorrelated. The form is exact as n or d grows: a
    chi-square law with n (n - 1)/2 degrees of freedom for n far below d, and (d - 1)(d + 2)/2 for n far above.

    Returns
    -------
    frozen scipy distribution

    Raises
    ------
    ValueError : fewer than two vectors or dimensions
    """
    if n < 2 or d < 2:
        raise ValueError(f"the cosines of {n} vectors in {d} dimensions do not vary")
    return shifted_gamma(welch_bound(n, d) ** 2, 1.0 / d, 2.0 * (d - 1) / (d**2 * (d + 2)) / (n * (n - 1) / 2))


def shifted_gamma(least: float, mean: float, variance: float) -> Any:
    """Return the gamma distribution that starts at `least` and has this mean and variance, as a frozen one of scipy."""
    above = mean - least
    return scipy.stats.gamma(above**2 / variance, loc=least, scale=variance / above)


def welch_bound(n: int, d: int) -> float:
    """Return the smallest possible rms cosine, and so largest |cos|, of any n vectors; 0 for n <= d.

    References
    ----------
    Welch 1974, Lower bounds on the maximum cross correlation of signals, IEEE Trans. Inf. Theory 20.
    """
    return float(np.sqrt((n - d) / (d * (n - 1)))) if n > d else 0.0


def rankin_bound(d: int) -> int:
    """Return the largest number of vectors such that no two have a positive cosine: 2d.

    References
    ----------
    Rankin 1955, The closest packing of spherical caps in n dimensions, Proc. Glasgow Math. Assoc. 2.
    """
    return 2 * d


def nearly_orthogonal_count(d: int, size: float) -> float:
    """Return a number of vectors that can have all |cos| <= `size`, by the union bound: e^(d size^2/4)."""
    return float(np.exp(d * size**2 / 4.0))


def recall_probability(d: float, k: int, n: int) -> float:
    """Return the probability that a member has a larger dot product with its bundle than n - 1 outsiders.

    The integral of phi(h) Phi(h + s)^(n-1) over h, with s = sqrt(d/k), phi and Phi the standard normal density and
    distribution. Dot products are assumed normal, and a member's noise that of k others, not k - 1.

    References
    ----------
    Frady, Kleyko, Sommer 2018, A theory of sequence indexing and working memory in recurrent neural networks, Neural
    Computation 30 (p_corr).
    """
    signal = np.sqrt(d / k)

    def density(h: float) -> float:
        # Written out, because scipy.stats checks its arguments, which takes twenty times as long.
        return math.exp((n - 1) * float(scipy.special.log_ndtr(h + signal)) - h * h / 2.0) / math.sqrt(2.0 * math.pi)

    return float(scipy.integrate.quad(density, -12.0, 12.0, limit=400)[0])


def member_cosine(k: int) -> float:
    """Return the cosine of a bundle of k nearly orthogonal unit vectors with one of them: 1/sqrt(k)."""
    return float(1.0 / np.sqrt(k))


def crosstalk_deviation(k: int, d: int) -> float:
    """Return the standard deviation of the dot product of a bundle of k unit vectors with another one: sqrt(k/d)."""
    return float(np.sqrt(k / d))


def bundle_cosine(k: int, mean_cosine: float) -> float:
    """Return the cosine of a bundle with its target, for members that have only the target in common.

    Parameters
    ----------
    k : members, unit vectors that are orthogonal after removing their parts along the target
    mean_cosine : mean cosine of the members with the target
    """
    c2 = mean_cosine**2
    return float(np.sqrt(k) * mean_cosine / np.sqrt(1.0 - c2 + k * c2))


def chance_bundle_cosine(k: int, n: int, d: int) -> float:
    """Return the cosine with a random direction that the bundle of the k most similar of n vectors reaches by chance.

    This is `bundle_cosine` at the mean of the k largest of n cosines, computed from quantiles of the Beta law.
    """
    half = (d - 1) / 2
    places = (np.arange(1, k + 1) - 0.5) / n
    top = 2.0 * scipy.special.betainccinv(half, half, places) - 1.0
    return bundle_cosine(k, float(top.mean()))


def greedy_recovery_bound(coherence: float) -> int:
    """Return the largest k for which greedy pursuit is sure to recover every bundle of k: coherence < 1/(2k - 1).

    Parameters
    ----------
    coherence : largest |cos| of two vectors of the dictionary

    References
    ----------
    Tropp 2004, Greed is good: algorithmic results for sparse approximation, IEEE Trans. Inf. Theory 50.
    """
    return max(int(np.ceil((1.0 / coherence + 1.0) / 2.0)) - 1, 0)


def decoding_bound(coherence: float) -> int:
    """Return the largest k for which only members can have a dot product above 1/2 with a bundle of k.

    The condition is coherence < 1/(2k).

    Parameters
    ----------
    coherence : largest |cos| of two vectors, which have unit norm

    References
    ----------
    Thomas, Dasgupta, Rosing 2021, A theoretical perspective on hyperdimensional computing, JAIR 72.
    """
    return max(int(np.ceil(1.0 / (2.0 * coherence))) - 1, 0)


def unbinding_error(d: int, r: int) -> float:
    """Return the rms length of the error in a unit vector bound and unbound by a Gaussian W (d, r): sqrt((d+1)/r).

    Follows from E (W W^T)^2 = (1 + (d + 1)/r) I for entries of variance 1/r.
    """
    return float(np.sqrt((d + 1) / r))
