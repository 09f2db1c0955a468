"""What pursuit found, for pictures: how cosines spread after each token, and the best explained neurons."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bundles import Bundles
from vsa_checks.figures.kept import PERCENTILES
from vsa_checks.figures.store import words

Arrays = dict[str, NDArray[np.generic]]

BEST = 20
"""So many neurons of a place are named."""
MOST_CHARACTERS = 200
"""Of a longer token's name the rest is not kept."""


def spread(paths: NDArray[np.float64]) -> NDArray[np.float32]:
    """Percentiles of cosines (n, k) after each of k tokens: (5, k), in the order of PERCENTILES."""
    return np.percentile(paths, PERCENTILES, axis=0).astype(np.float32)


def spreads(series: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """The spreads of several sets of vectors, (series, 5, k), under their names."""
    k = min(one.shape[1] for one in series.values())
    return {"percentiles": np.stack([one[:, :k] for one in series.values()]), "names": words(list(series))}


def best_neurons(bundles: Bundles, name: Callable[[int], str], k: int) -> Arrays:
    """The neurons whose bundles of k tokens come closest, the best first, ties to the lowest number.

    Returns
    -------
    dict
        neurons, int (n,); tokens, int (n, k), -1 after the last; cosines, float (n, k), after each token; names of the
        tokens, as `words` writes a list for each neuron.
    """
    reached = np.where(bundles.dead, -np.inf, bundles.cosine_at(k))
    order = np.argsort(-reached, kind="stable")[: min(BEST, int((~bundles.dead).sum()))]
    tokens, cosines = np.full((len(order), k), -1, np.int32), np.zeros((len(order), k), np.float32)
    names = []
    for at, neuron in enumerate(order):
        own = bundles.tokens(int(neuron))[:k]
        tokens[at, : len(own)] = own
        cosines[at, : len(own)] = bundles.path(int(neuron))[:k]
        names.append([name(int(token))[:MOST_CHARACTERS] for token in own])
    return {"neurons": order.astype(np.int32), "tokens": tokens, "cosines": cosines, "names": words(names)}
