"""Bundles of five tokens by pursuit, for a layer's neurons and for random directions; several claims share them.

Tokens are the centered token vectors with which the stream starts, without rows of W_E that are not tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks import nulls
from vsa_checks.bundles import Bundles, greedy_pursuit
from vsa_checks.figures.bundle_arrays import spread
from vsa_checks.kurtosis import SeenKurtosis
from vsa_checks.models import Basis
from vsa_checks.sections.neurons import in_words, layer_neurons
from vsa_checks.sections.tokens import token_dictionary
from vsa_checks.statistics import stream
from vsa_checks.workbench.access import Workbench

PURSUIT_TOKENS = 5
RANDOM_NEURONS = 20_000
TAIL = 0.99


@dataclass(frozen=True)
class Pursued:
    """The bundles of neurons, and the kurtosis (n,) over the tokens of those that are not dead.

    Both need each neuron's products with all tokens, which take most of the time.
    """

    bundles: Bundles
    kurtosis: NDArray[np.float64]

    def parts(self, count: int) -> list[Pursued]:
        """Split it into so many equal parts, of neurons that follow each other and are not dead."""
        n = len(self.bundles) // count
        return [
            Pursued(self.bundles.part(start, start + n), self.kurtosis[start : start + n])
            for start in range(0, count * n, n)
        ]

    def paths(self) -> NDArray[np.float64]:
        """Cosine after 1, 2, ... tokens of each neuron that is not dead (n, tokens)."""
        length = int(self.bundles.size.max())
        live = ~self.bundles.dead
        return np.stack([self.bundles.cosine_at(k)[live] for k in range(1, length + 1)], axis=1)


@dataclass(frozen=True)
class Bars:
    """Levels that almost no random direction exceeds: cosine after 1, 2, ... tokens (k,), and kurtosis.

    spread: percentiles of the cosines of all of them, for pictures.
    """

    cosines: NDArray[np.float64]
    kurtosis: float
    spread: NDArray[np.float32]


def pursue(bench: Workbench, basis: Basis, neurons: NDArray[np.float32], label: str) -> Pursued:
    """Pursuit of five tokens for each of the neurons (n, d), none of them dead."""
    words = token_dictionary(bench, basis)
    if bench.torch_device is None:
        # Over a run most rows of the Gram matrix are needed. All at once, if they fit, take half of the products.
        words.gram.prepare(len(words.rows), keep=True)
    own = SeenKurtosis(words, int(np.count_nonzero(neurons.any(axis=1))))
    found = greedy_pursuit(
        neurons, words, PURSUIT_TOKENS, device=bench.torch_device, progress=bench.progress(label), seen=own.see
    )
    return Pursued(found, own.kurtosis())


def pursued_neurons(bench: Workbench, basis: Basis, *place: Any) -> Pursued:
    """The result of pursuit for the neurons at a place, found once."""
    label = f"pursuit in {in_words(*place)} ({basis})"
    return bench.once(
        ("pursuit", basis, *place), lambda: pursue(bench, basis, layer_neurons(bench, basis, *place), label)
    )


def token_bundles(bench: Workbench, basis: Basis, *place: Any) -> Bundles:
    """The bundles of five tokens that pursuit finds for the neurons at a place, found once."""
    return pursued_neurons(bench, basis, *place).bundles


def random_bars(bench: Workbench, basis: Basis) -> Bars:
    """99th percentiles of random directions' pursuit cosines and kurtosis, found once per dictionary."""
    words = token_dictionary(bench, basis)

    def measure() -> Bars:
        # The same directions for every seed: the bar is part of the question, and its share is known to .0007.
        drawn = nulls.random_directions(RANDOM_NEURONS, words.vectors.shape[1], stream(0, "pursuit random"))
        found = pursue(bench, basis, drawn, f"pursuit of {RANDOM_NEURONS:,} random directions ({basis})")
        paths = found.paths()
        return Bars(np.quantile(paths, TAIL, axis=0), float(np.quantile(found.kurtosis, TAIL)), spread(paths))

    return bench.once(("pursuit random", id(words)), measure)
