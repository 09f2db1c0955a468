"""Vectors that take the place of others: bundles of tokens, and what else lies at the same distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bundles import Bundles
from vsa_checks.engine.dictionary import Dictionary

Rows = NDArray[np.float64]


def bundle_vectors(bundles: Bundles, dictionary: Dictionary, k: int) -> Rows:
    """Sum the first k tokens of each bundle, at unit norm.

    Parameters
    ----------
    bundles : n bundles of rows of the dictionary
    dictionary : V vectors of length d
    k : how many tokens; a bundle that has fewer is taken whole

    Returns
    -------
    array (n, d), zero for an empty bundle
    """
    found = np.zeros((len(bundles), dictionary.vectors.shape[1]))
    for at in range(len(bundles)):
        places = np.searchsorted(dictionary.rows, bundles.tokens(at)[:k])
        found[at] = dictionary.vectors[places].sum(axis=0, dtype=np.float64)
    return unit(found)


def unit(rows: Rows) -> Rows:
    """Rows (n, d) at unit norm; zero rows stay zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def cosines(originals: Rows, changed: Rows) -> Rows:
    """Cosine of each row (n, d) with the row in the same place; 0 where one of them is zero."""
    return np.clip(np.einsum("ij,ij->i", unit(originals), unit(changed)), -1.0, 1.0)


def at_same_cosine(originals: Rows, changed: Rows, directions: Rows) -> Rows:
    """Give each row another change of the same size: the same norm after it, cosine with the original and distance.

    Parameters
    ----------
    originals, changed : arrays (n, d)
    directions : array (n, d), where to move each row; the part along the original does not count

    Returns
    -------
    array (n, d); rows that are zero before or after, or whose direction is the original's own, are those of `changed`
    """
    before, cosine = unit(originals), cosines(originals, changed)[:, None]
    sideways = directions - np.einsum("ij,ij->i", directions, before)[:, None] * before
    # What is left of a direction that was the original's own is rounding.
    whole = np.linalg.norm(sideways, axis=1) > 1e-9 * np.linalg.norm(directions, axis=1)
    whole &= (np.linalg.norm(originals, axis=1) > 0) & (np.linalg.norm(changed, axis=1) > 0)
    turned = cosine * before + np.sqrt(1.0 - cosine**2) * unit(sideways)
    found: Rows = np.where(whole[:, None], np.linalg.norm(changed, axis=1, keepdims=True) * turned, changed)
    return found


def relative_distance(originals: Rows, changed: Rows) -> float:
    """Frobenius norm of the change over that of the originals."""
    return float(np.linalg.norm(changed - originals) / np.linalg.norm(originals))
