"""Null and planted models of the claims on circuits: bound tokens, links between MLP layers, the published path."""

from __future__ import annotations

from functools import partial

import numpy as np

from calibration.draws import SMALL, matched, untaught
from calibration.kinds import CalibrationCase, Null, Signal
from fixtures.in_memory import bench_in_memory, paper_model_in_memory
from fixtures.planted_circuits import bound_token_weights, fed_weights
from fixtures.small_models import Array, Sizes, gaussian_weights
from vsa_checks.sections.bound_tokens import FAKE, TURNED
from vsa_checks.sections.circuits import REORDERED
from vsa_checks.sections.figure2 import RANDOM_PATHS, published_links
from vsa_checks.workbench.access import Workbench

NOISES = (0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0)
SHARES_FED = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.0)
EIGHT_LAYERS = Sizes(n_layers=8, d_mlp=100)
FIVE_LAYERS = Sizes(n_layers=5, d_mlp=40)
"""So few neurons that one or two pairs of two layers are linked by chance: their ratios stray far from one."""
PAPERS = Sizes(n_layers=12, d_mlp=3072)
"""The layers and neurons of GPT-2 small, in 64 dimensions."""


def with_bound_tokens(noise: float, seed: int) -> Workbench:
    """Layer-0 neurons that are sums of five tokens, each bound by a head, with noise of this norm beside the sum."""
    return bench_in_memory(SMALL, bound_token_weights(SMALL, noise=noise, seed=seed)[0], seed)


def fed(sizes: Sizes, share: float, seed: int) -> Workbench:
    """This share of the neurons of later layers read what a neuron of an earlier layer writes."""
    return bench_in_memory(sizes, fed_weights(sizes, share=share, seed=seed), seed)


def uneven_layers(sizes: Sizes, seed: int) -> Workbench:
    """All layers write along and read along one direction, some more and some less, in no order."""
    rng = np.random.default_rng([seed, 5])
    weights = gaussian_weights(sizes, np.random.default_rng(seed))
    direction = _unit(rng.standard_normal(sizes.d_model))
    written, read = rng.lognormal(-0.7, 0.5, (2, sizes.n_layers))
    for layer in range(sizes.n_layers):
        _along(weights.W_out[layer], direction, float(written[layer]))
        _along(weights.W_in[layer].T, direction, float(read[layer]))
    return bench_in_memory(sizes, weights, seed)


def papers_untaught(seed: int) -> Workbench:
    """Random initialisation, taken for the paper's model."""
    return paper_model_in_memory(PAPERS, gaussian_weights(PAPERS, np.random.default_rng(seed)), seed)


def papers_path(noise: float, seed: int) -> Workbench:
    """The published path planted: each reader is the sum of what is linked to it, with noise of this norm beside it."""
    rng = np.random.default_rng([seed, 6])
    weights = gaussian_weights(PAPERS, np.random.default_rng(seed))
    links = published_links()
    for target in sorted({link.target for link in links if link.target is not None}):
        layer, neuron = target
        sources = [link.source for link in links if link.target == target]
        read = np.sum([_unit(weights.W_out[source]) for source in sources], axis=0)
        weights.W_in[layer, :, neuron] = 0.16 * _unit(_unit(read) + noise * _unit(rng.standard_normal(len(read))))
    named = [link for link in links if link.token is not None]
    for token, link in enumerate(named):
        written = _unit(weights.W_out[link.source])
        weights.W_E[token] = 0.16 * _unit(written + noise * _unit(rng.standard_normal(len(written))))
    return paper_model_in_memory(PAPERS, weights, seed)


def _unit(vector: Array) -> Array:
    unit: Array = vector / np.linalg.norm(vector)
    return unit


def _along(vectors: Array, direction: Array, size: float) -> None:
    """Adds `direction`, at this size beside the vectors' own length, to each of the rows."""
    vectors += size * np.linalg.norm(vectors, axis=1, keepdims=True) * direction


CASES_OF_CIRCUITS: dict[str, CalibrationCase] = {
    "circuits-bound-tokens": CalibrationCase(
        0,
        "W_in",
        (
            Null("random initialisation, 300 tokens", partial(untaught, SMALL), (TURNED, FAKE)),
            Null("neurons covariance-matched, along 12 tokens", partial(matched, SMALL, 12, 1.0), (TURNED,)),
        ),
        (Signal("sums of 5 bound tokens; 300 tokens, d = 64", "noise beside the sum", NOISES, with_bound_tokens),),
    ),
    "circuits-mlp-to-mlp": CalibrationCase(
        None,
        "W_in",
        (
            Null("random initialisation, 5 layers of 40", partial(untaught, FIVE_LAYERS), (REORDERED,)),
            Null("layers uneven along one direction, 8 of 100", partial(uneven_layers, EIGHT_LAYERS), (REORDERED,)),
        ),
        (Signal("later layers fed by earlier ones, 8 of 100", "share fed", SHARES_FED, partial(fed, EIGHT_LAYERS)),),
    ),
    "circuit-figure2": CalibrationCase(
        None,
        None,
        (Null("random initialisation, 12 layers of 3,072", papers_untaught, (RANDOM_PATHS,)),),
        (Signal("the published path, d = 64", "noise beside the sum", NOISES, papers_path),),
    ),
}
