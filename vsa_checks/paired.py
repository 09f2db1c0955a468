"""The exact sign-flip test of paired differences: each keeps or flips its sign with equal probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def paired_p(differences: ArrayLike, unit: float = 1.0) -> tuple[float, float]:
    """Compute the p values of the sum of differences, under all 2^n ways to flip their signs.

    The differences are rounded to multiples of `unit`, and the distribution of their sum is computed exactly, by
    convolution. For differences of -1, 0 and 1 this is McNemar's exact test; p may be as small as 2^-n.

    Parameters
    ----------
    differences : array (n,), one for each unit that keeps or flips its sign as a whole
    unit : step to which differences are rounded

    Returns
    -------
    p_value, p_opposite : how often the sum is at least, and at most, the observed sum

    References
    ----------
    Fisher 1935, The design of experiments, section 21; McNemar 1947, Psychometrika 12.
    """
    whole = np.rint(np.asarray(differences, np.float64) / unit).astype(np.int64)
    law: NDArray[np.float64] = np.ones(1)  # of the sum, from -reach to reach
    for size in np.sort(np.abs(whole[whole != 0])):
        wider = np.zeros(len(law) + 2 * size)
        wider[: len(law)] += 0.5 * law
        wider[2 * size :] += 0.5 * law
        law = wider
    place = len(law) // 2 + int(whole.sum())
    return min(1.0, float(law[place:].sum())), min(1.0, float(law[: place + 1].sum()))
