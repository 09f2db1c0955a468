"""Shapes of the timed models, with random weights, and how much of the slow implementations is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fixtures.small_models import Sizes

Rows = NDArray[np.float32]
Say = Callable[[str], None]
"""Tells the user how far the work has come."""


@dataclass(frozen=True)
class Geometry:
    """A dictionary (tokens, d) and `layers` matrices (neurons, d)."""

    name: str
    tokens: int
    d: int
    layers: int
    neurons: int

    def dictionary(self) -> Rows:
        """The dictionary: Gaussian."""
        return np.random.default_rng(0).standard_normal((self.tokens, self.d), dtype=np.float32)

    def layer(self, number: int) -> Rows:
        """The neurons of one layer: Gaussian."""
        return np.random.default_rng([1, number]).standard_normal((self.neurons, self.d), dtype=np.float32)


@dataclass(frozen=True)
class NamedSizes:
    """All sizes of a model, and what it is called."""

    name: str
    sizes: Sizes


@dataclass(frozen=True)
class BenchmarkSizes:
    """Shapes of models, what part of the slow ways is run, and the model whose real weights are used."""

    paper: Geometry
    embedded: Geometry
    long: int
    short: int
    obvious_neurons: int
    obvious_steps: int
    checked_neurons: int
    scanned_plainly: int
    flat_neighbours: int
    rounds: int
    context_tokens: int
    context_neurons: int
    budgets: tuple[int, ...]
    real_neurons: int
    real_rows: int
    measured_shapes: tuple[NamedSizes, ...]
    expected_shapes: tuple[NamedSizes, ...]
    model: str = "smollm2-135m"


EXPECTED = (
    NamedSizes("SmolLM2-135M", Sizes(576, 49_152, 30, 9, 3, 64, 1_536, gated=True)),
    NamedSizes("GPT-2 small", Sizes(768, 50_257, 12, 12, 12, 64, 3_072)),
    NamedSizes("GPT-2 medium", Sizes(1_024, 50_257, 24, 16, 16, 64, 4_096)),
    NamedSizes("GPT-2 XL", Sizes(1_600, 50_257, 48, 25, 25, 64, 6_400)),
    NamedSizes("Llama 3.2 1B", Sizes(2_048, 128_256, 16, 32, 8, 64, 8_192, gated=True)),
    NamedSizes("Llama 3 8B", Sizes(4_096, 128_256, 32, 32, 8, 128, 14_336, gated=True)),
)
FULL = BenchmarkSizes(
    paper=Geometry("GPT-2 small", 50257, 768, 12, 3072),
    embedded=Geometry("embedded model", 49152, 576, 60, 1536),
    long=64,
    short=5,
    obvious_neurons=256,
    obvious_steps=4,
    checked_neurons=8,
    scanned_plainly=32,
    flat_neighbours=256,
    rounds=3,
    context_tokens=8192,
    context_neurons=128,
    budgets=(2 * 10**9, 4 * 10**9, 12 * 10**9),
    real_neurons=8,
    real_rows=4000,
    # Wide, deep, and with many tokens.
    measured_shapes=(
        NamedSizes("wide", Sizes(768, 8_000, 1, 12, 12, 64, 3_072)),
        NamedSizes("deep", Sizes(256, 8_000, 12, 4, 2, 64, 683, gated=True)),
        NamedSizes("many tokens", Sizes(384, 48_000, 2, 6, 6, 64, 1_536)),
    ),
    expected_shapes=EXPECTED,
)
SMALL = BenchmarkSizes(
    paper=Geometry("GPT-2 small, made tiny", 1500, 48, 2, 96),
    embedded=Geometry("embedded model, made tiny", 1200, 36, 3, 64),
    long=16,
    short=5,
    obvious_neurons=32,
    obvious_steps=4,
    checked_neurons=4,
    scanned_plainly=8,
    flat_neighbours=64,
    rounds=2,
    context_tokens=300,
    context_neurons=16,
    budgets=(2 * 10**9, 4 * 10**9),
    real_neurons=2,
    real_rows=300,
    measured_shapes=(NamedSizes("tiny", Sizes(48, 400, 2, 3, 3, 16, 96)),),
    expected_shapes=EXPECTED[-1:],
)
