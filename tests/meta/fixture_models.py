"""The models and texts that the meta-tests name: planted, null, and degenerate ones that answer no claim."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from fixtures import null_models, reading
from fixtures.planted import plant, planted_model
from fixtures.planted_circuits import bound_token_neurons, fed_layers
from fixtures.small_models import GATED, N_POSITIONS, Sizes, Weights, gaussian_weights, save
from tests.models import tiny
from vsa_checks.models.texts import Text
from vsa_checks.workbench.access import Workbench


class Benches(Protocol):
    """Workbenches of these models, by name and by the name of the text they read, each made once."""

    def __call__(self, model: str, text: str | None = None) -> Workbench:
        """The workbench of a model that reads the text of this name, or the text that ships with the checks."""
        ...


FEW_TOKENS = Sizes(d_model=256, d_vocab=66, n_layers=1, d_head=64, d_mlp=300)
"""A quarter as many tokens as dimensions, so that sums of tokens do not reach every direction."""
TOO_FEW_TOKENS = Sizes(d_model=256, d_vocab=50, n_layers=1, d_head=64, d_mlp=300)
FEW_VECTORS = Sizes(gated=True, n_kv_heads=1, d_head=4, d_mlp=6)
"""Four key and value vectors and six neurons: Gaussians of such numbers often lie further apart than is typical."""
FIVE_LAYERS = Sizes(n_layers=5)
"""The order of three or four layers is by chance the one they stand in too often: p = .01 takes five."""
CHANCE_RATIO = 0.8
A_HANDFUL = Sizes(d_vocab=20)
"""Bundles of ten would leave no more tokens out than they hold."""
NARROW = Sizes(d_model=16, d_head=4)
"""So few dimensions that sums of ten of any vectors name none of them."""
NARROW_HEADS = Sizes(gated=True, n_kv_heads=2, d_head=2)
"""Heads of so few dimensions that no matrix of their shape lets a token be found again."""


def without(matrix: str, sizes: Sizes | None = None) -> Callable[[Path], object]:
    """A planted model one of whose matrices is zero everywhere."""
    sizes = sizes or Sizes()

    def write(directory: Path) -> Path:
        weights, _ = plant(sizes)
        getattr(weights, matrix)[:] = 0.0
        return save(directory, sizes, weights)

    return write


def one_token_repeated(directory: Path) -> Path:
    """All tokens share one embedding: uncentered they are as alike as can be, centered there is nothing left."""
    weights, _ = plant(Sizes())
    weights.W_E[:] = weights.W_E[0]
    return save(directory, Sizes(), weights)


def few_vectors(directory: Path) -> Path:
    """Vectors of W_V and W_out whose rms cosine is .8 of that of random directions: not rare among so few."""
    rng = np.random.default_rng(0)
    weights = gaussian_weights(FEW_VECTORS, rng)
    cosine = CHANCE_RATIO / np.sqrt(FEW_VECTORS.d_model)
    for layer in range(FEW_VECTORS.n_layers):
        weights.W_V[layer, 0] = equiangular(FEW_VECTORS.d_head, FEW_VECTORS.d_model, cosine, rng).T
        weights.W_out[layer] = equiangular(FEW_VECTORS.d_mlp, FEW_VECTORS.d_model, cosine, rng)
    return save(directory, FEW_VECTORS, weights)


def equiangular(n: int, d: int, cosine: float, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors (n, d), n <= d, each pair of which has this cosine (at least 0)."""
    axes = np.linalg.qr(rng.standard_normal((d, n)))[0].T
    return np.linalg.cholesky((1 - cosine) * np.eye(n) + cosine) @ axes


def silent_heads(weights: Weights) -> None:
    """Heads of no layer write anything."""
    weights.W_O[:] = 0.0


def _reader(*changes: reading.Change, sizes: Sizes | None = None) -> Callable[[Path], object]:
    return lambda directory: reading.reader(directory, sizes, *changes)


FIXTURE_MODELS: dict[str, Callable[[Path], object]] = {
    "planted": planted_model,
    "planted, gated": partial(planted_model, sizes=GATED),
    "planted, few tokens": partial(planted_model, sizes=FEW_TOKENS, noise=1.4),
    "planted, few tokens, little noise": partial(planted_model, sizes=FEW_TOKENS, noise=0.75),
    "planted, few tokens, noisy": partial(planted_model, sizes=FEW_TOKENS, noise=2.3),
    "random": null_models.random_initialisation,
    "random, gated": partial(null_models.random_initialisation, sizes=GATED),
    "random, few tokens": partial(null_models.random_initialisation, sizes=FEW_TOKENS),
    "random, too few tokens": partial(null_models.random_initialisation, sizes=TOO_FEW_TOKENS),
    "covariance-matched neurons": null_models.covariance_matched_neurons,
    "permuted coordinates": null_models.permuted_coordinates,
    "common mean": partial(null_models.common_mean, size=3.0),
    "common mean along the ones": partial(null_models.common_mean, along_ones=True),
    "low-rank embeddings": null_models.low_rank_embeddings,
    "near-duplicate tokens": null_models.near_duplicate_tokens,
    "heavy-tailed norms": null_models.heavy_tailed_norms,
    "rewritten heads": null_models.rewritten_heads,
    "rewritten heads, gated": partial(null_models.rewritten_heads, sizes=GATED),
    "skewed OV": partial(null_models.skewed_heads, product="OV"),
    "skewed QK": partial(null_models.skewed_heads, product="QK"),
    "shared direction": partial(null_models.shared_direction, size=3.0),
    "few vectors": few_vectors,
    "bound-token neurons": bound_token_neurons,
    "bound-token neurons, gated": partial(bound_token_neurons, sizes=GATED),
    "fed layers": partial(fed_layers, sizes=FIVE_LAYERS),
    "fed layers, three of them": fed_layers,
    "a handful of tokens": partial(planted_model, sizes=A_HANDFUL),
    "a narrow model": partial(planted_model, sizes=NARROW),
    "narrow heads": partial(planted_model, sizes=NARROW_HEADS),
    "zero W_E": without("W_E"),
    "zero W_Q": without("W_Q"),
    "zero W_V": without("W_V"),
    "zero W_in": without("W_in"),
    "zero W_gate": without("W_gate", GATED),
    "zero W_out": without("W_out"),
    "one token repeated": one_token_repeated,
    "reader": _reader(),
    "reader, heads by content": _reader(reading.succeeding_heads),
    "reader, heads by content, gated": _reader(reading.content_heads, sizes=GATED),
    "reader, heads on the token before": _reader(reading.previous_token_heads()),
    "reader, heads on the token before, no bundles": _reader(reading.previous_token_heads(), reading.random_neurons),
    "reader, no bundles": _reader(reading.random_neurons),
    "reader, small outputs": _reader(reading.outputs_of_size(0.1)),
    "reader, large outputs": _reader(reading.outputs_of_size(30.0)),
    "reader, one direction written": _reader(reading.one_direction_written),
    "reader, nothing written": _reader(reading.outputs_of_size(0.0), silent_heads),
    "encoder": partial(tiny.write_hf, model_type="bert"),
}

TEXTS: dict[str, Callable[[], Text]] = {
    "uniform": reading.uniform_text,
    "succession": reading.succession_text,
    "mostly constant": reading.mostly_constant_text,
    "constant": reading.constant_text,
    "pairs": lambda: reading.pairs_text(plant(Sizes())[1]),
    "short": lambda: reading.uniform_text(n=6 * N_POSITIONS),
}
