"""Null and planted models of the claims on activations: models that read text (fixtures/reading.py)."""

from __future__ import annotations

from functools import partial

import numpy as np

from calibration.draws import SMALL
from calibration.kinds import CalibrationCase, Null, Signal
from fixtures import null_models, reading
from fixtures.planted import plant
from fixtures.reading import bench_that_reads
from fixtures.small_models import Sizes, gaussian_weights
from vsa_checks.sections.attention_text import ANOTHER_SOURCE
from vsa_checks.sections.attention_text import SHUFFLED as SHUFFLED_NEXT
from vsa_checks.sections.boolean import GAUSSIAN
from vsa_checks.sections.neurons import MATCHED
from vsa_checks.sections.residual import SHUFFLED as SHUFFLED_TOKENS
from vsa_checks.workbench.access import Workbench

NARROW_HEAD = Sizes(gated=True, n_layers=1, n_heads=1, n_kv_heads=1, d_head=2)
"""One head of two dimensions: whatever it writes lies close to many tokens."""
NARROW = Sizes(d_model=16, n_layers=1, n_heads=1, n_kv_heads=1, d_head=16)
TWENTY_TOKENS = Sizes(d_vocab=20, n_layers=1)
"""The median rank of any token is then about the threshold."""
NOISES = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
SIZES = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0)
OUTPUTS = (0.1, 0.2, 0.3, 0.5, 1.0, 3.0)
KEPT = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
DROWNED = 1_000.0


def untaught_reader(sizes: Sizes, seed: int) -> Workbench:
    """Random initialisation on seven short windows: so little text that chance strays far."""
    weights = gaussian_weights(sizes, np.random.default_rng(seed))
    return bench_that_reads(sizes, weights, reading.short_windows(sizes.d_vocab, seed=seed), seed)


def content_reader(size: float, seed: int) -> Workbench:
    """Heads that attend to where their own token stands; positions of this norm dilute it."""
    weights, _ = plant(SMALL, seed=seed)
    reading.content_heads(weights)
    reading.far_positions(size)(weights)
    return bench_that_reads(SMALL, weights, reading.uniform_text(n=640, seed=seed), seed)


def successor(kept: float, seed: int) -> Workbench:
    """Heads that write the next token of a succession, on a text that keeps to it this often."""
    weights, _ = plant(SMALL, seed=seed)
    reading.succeeding_heads(weights)
    return bench_that_reads(SMALL, weights, reading.broken_succession_text(kept, seed=seed), seed)


def or_reader(noise: float, seed: int) -> Workbench:
    """Neurons that are sums of five tokens, with noise of this norm, on independent words."""
    weights, _ = plant(SMALL, noise=noise, seed=seed)
    return bench_that_reads(SMALL, weights, reading.uniform_text(n=640, seed=seed), seed)


def no_bundles(seed: int) -> Workbench:
    """Neurons that are Gaussian directions, on independent words."""
    weights, _ = plant(SMALL, seed=seed)
    weights.W_in[0] = np.random.default_rng([seed, 7]).standard_normal(weights.W_in[0].shape) / 4
    weights.b_in[0] = 0.0
    return bench_that_reads(SMALL, weights, reading.uniform_text(n=640, seed=seed), seed)


def matched_reader(seed: int) -> Workbench:
    """Neurons from one Gaussian that lies along twelve tokens, on independent words."""
    weights = null_models.covariance_matched_neurons.weights(SMALL, pool=12, background=1.0, seed=seed)
    return bench_that_reads(SMALL, weights, reading.uniform_text(n=640, seed=seed), seed)


def pair_reader(noise: float, seed: int) -> Workbench:
    """Heads that add the token before to the stream, on a text where two tokens of a bundle stand side by side."""
    weights, truth = plant(SMALL, noise=noise, seed=seed)
    reading.previous_token_heads()(weights)
    return bench_that_reads(SMALL, weights, reading.pairs_text(truth, n=2_000, seed=seed), seed)


def pairs_without_bundles(matched: bool, seed: int) -> Workbench:
    """The same heads and independent words, with Gaussian neurons or ones along twelve tokens."""
    weights, _ = plant(SMALL, seed=seed)
    if matched:
        drawn = null_models.covariance_matched_neurons.weights(SMALL, pool=12, background=1.0, seed=seed)
        weights.W_in[0] = drawn.W_in[0]
    else:
        weights.W_in[0] = np.random.default_rng([seed, 7]).standard_normal(weights.W_in[0].shape) / 4
    weights.b_in[0] = 0.0
    reading.previous_token_heads()(weights)
    return bench_that_reads(SMALL, weights, reading.uniform_text(n=1_300, seed=seed), seed)


def keeper(factor: float, seed: int) -> Workbench:
    """MLP outputs of this size beside the planted one, at which they outweigh the token."""
    weights, _ = plant(SMALL, seed=seed)
    reading.outputs_of_size(factor)(weights)
    return bench_that_reads(SMALL, weights, reading.uniform_text(n=640, seed=seed), seed)


def drowned(seed: int) -> Workbench:
    """A stream of positions alone, with twenty tokens to choose from."""
    weights, _ = plant(TWENTY_TOKENS, seed=seed)
    reading.far_positions(DROWNED)(weights)
    return bench_that_reads(TWENTY_TOKENS, weights, reading.uniform_text(20, n=320, seed=seed), seed)


def scrambled(seed: int) -> Workbench:
    """A stream that is a random function of the token, each of which recurs: the embedding is of other tokens.

    Streams are MLP outputs a thousand times as large as what they are computed from.
    """
    sizes = Sizes(d_model=256, d_vocab=20, n_layers=1, d_head=64, d_mlp=300)
    weights = gaussian_weights(sizes, np.random.default_rng(seed))
    weights.W_pos[:] = 0.0
    reading.outputs_of_size(DROWNED)(weights)
    return bench_that_reads(sizes, weights, reading.uniform_text(20, n=320, seed=seed), seed)


CASES_ON_TEXT: dict[str, CalibrationCase] = {
    "attention-rebinds": CalibrationCase(
        0,
        None,
        (Null("random initialisation, one narrow head", partial(untaught_reader, NARROW_HEAD), (ANOTHER_SOURCE,)),),
        (Signal("heads by content, d = 64", "norm of positions", SIZES, content_reader),),
    ),
    "attention-next-token": CalibrationCase(
        0,
        None,
        (
            Null("random initialisation, d = 16", partial(untaught_reader, NARROW), (SHUFFLED_NEXT,)),
            Null("a succession known, words at random", partial(successor, 0.0), (SHUFFLED_NEXT,)),
        ),
        (Signal("a succession known, d = 64", "share of words in succession", KEPT, successor),),
    ),
    "neuron-or": CalibrationCase(
        0,
        "W_in",
        (
            Null("Gaussian neurons, 300 tokens", no_bundles, (GAUSSIAN, MATCHED)),
            Null("covariance-matched, along 12 tokens", matched_reader, (MATCHED,)),
        ),
        (Signal("sums of 5 tokens; 300 tokens, d = 64", "noise beside the sum", NOISES, or_reader),),
    ),
    "neuron-and": CalibrationCase(
        0,
        "W_in",
        (
            Null("Gaussian neurons, 300 tokens", partial(pairs_without_bundles, False), (GAUSSIAN, MATCHED)),
            Null("covariance-matched, along 12 tokens", partial(pairs_without_bundles, True), (MATCHED,)),
        ),
        (Signal("sums of 5 tokens in pairs, d = 64", "noise beside the sum", NOISES, pair_reader),),
    ),
    "residual-keeps-token": CalibrationCase(
        None,
        None,
        (
            Null("positions alone, 20 tokens", drowned, (SHUFFLED_TOKENS,)),
            Null("a random function of the token, 20 tokens", scrambled, (SHUFFLED_TOKENS,)),
        ),
        (Signal("300 tokens, d = 64", "size of MLP outputs", OUTPUTS, keeper),),
    ),
}
