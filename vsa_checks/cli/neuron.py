"""What one MLP neuron reads and writes: its bundle of tokens compared with chance, what feeds it, what it promotes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vsa_checks import nulls
from vsa_checks.bundles import Bundles, greedy_pursuit, ranked_scan
from vsa_checks.cli.circuit import (
    Head,
    Source,
    Tokens,
    finite,
    heads_before,
    neurons_before,
    tokens_written,
    weight_name,
)
from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.errors import NotChecked, UsageError
from vsa_checks.judging.subjects import mlp_inputs
from vsa_checks.models import Model
from vsa_checks.orthogonality import live_rows
from vsa_checks.sections.tokens import token_dictionary
from vsa_checks.statistics import stream
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.outcome import ON_A_LINE

Method = Literal["pursuit", "scan"]
METHODS: tuple[Method, ...] = ("pursuit", "scan")
NULL_NEURONS = 100
BAND = (0.05, 0.95)
"""Quantiles of the null neurons that bound the null's band."""


@dataclass(frozen=True)
class Step:
    """One token of the bundle, in order of inclusion, with the bundle's cosine and those of the nulls at that size."""

    token: int
    name: str
    alone: float
    cosine: float
    random: tuple[float, float]
    matched: tuple[float, float]


@dataclass(frozen=True)
class Explanation:
    """The whole explanation. `bundle_size` may exceed the steps shown; `source_bar` is the best cosine by chance.

    `heads_note` says why there are no heads, `writes_note` why no tokens are promoted; "" if there are.
    """

    model: str
    basis: str
    layer: int
    expert: int | None
    neuron: int
    matrix: str
    method: Method
    n_tokens: int
    bundle_size: int
    steps: tuple[Step, ...]
    heads: tuple[Head, ...]
    heads_note: str
    sources: tuple[Source, ...]
    source_bar: float
    promotes: Tokens
    suppresses: Tokens
    writes_note: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def explain(
    model: Model,
    layer: int,
    neuron: int,
    matrix: str | None = None,
    method: Method = "pursuit",
    max_tokens: int = 10,
    *,
    expert: int | None = None,
    top: int = 6,
    seed: int = 0,
) -> Explanation:
    """Explain one neuron by a bundle of centered token embeddings, and say what feeds it and what it writes.

    Parameters
    ----------
    model : Model
        In one basis of its weights.
    layer, neuron : int
        Which neuron, counted from 0.
    matrix : str, optional
        The matrix it reads through: W_in, or on a gated model W_gate (the default there) or W_in.
    method : {"pursuit", "scan"}
        Greedy pursuit, or the paper's ranked scan with all tokens listing.
    max_tokens : int
        How many tokens of the bundle to show.
    expert : int, optional
        Which expert of the layer has the neuron, if the layer is a mixture of experts.
    top : int
        How many heads, earlier neurons and written tokens to name.
    seed : int
        Seed of the nulls: random directions, and Gaussian neurons with the layer's mean and covariance. Both are
        explained like the neuron itself.

    Returns
    -------
    Explanation

    Raises
    ------
    UsageError
        For a layer, expert, neuron, matrix or number of tokens that does not exist, for a dead neuron, and if no token
        has a direction.
    ModelError
        For weights that hold NaN or infinite numbers.
    """
    info = model.info
    matrix = _checked(model, layer, matrix, expert, max_tokens)
    name = weight_name(layer, matrix, expert)
    neurons = np.ascontiguousarray(finite(model, model.array(name), name).T)
    if not 0 <= neuron < len(neurons):
        raise UsageError(
            f"{info.name} has no neuron {neuron} in layer {layer}: its neurons are 0 to {len(neurons) - 1}."
        )
    found = live_rows(neurons[neuron, None])
    if found.n_excluded:
        raise UsageError(f"Neuron {neuron} of layer {layer} is dead: its weights in {matrix} are all zero.")
    if np.count_nonzero(neurons.any(axis=1)) < 2:
        raise UsageError(f"Neuron {neuron} is the only live one in layer {layer}: there is nothing to compare it with.")
    unit, words = found.unit[0], _words(model)
    rng = stream(seed, "explain", layer, matrix)
    random = nulls.random_directions(NULL_NEURONS, info.d_model, rng)
    matched = nulls.covariance_matched(neurons).draw(NULL_NEURONS, rng)
    every = np.concatenate([unit[None], random, matched])
    bundles = greedy_pursuit(every, words, max_tokens) if method == "pursuit" else ranked_scan(every, words)
    heads, heads_note = heads_before(model, words, layer, unit, top)
    sources, bar = neurons_before(model, layer, unit, top)
    promotes, suppresses, writes_note = tokens_written(model, words, layer, expert, neuron, top)
    return Explanation(
        model=info.name,
        basis=model.basis,
        layer=layer,
        expert=expert,
        neuron=neuron,
        matrix=matrix,
        method=method,
        n_tokens=len(words.rows),
        bundle_size=int(bundles.size[0]),
        steps=_steps(model, words, bundles, unit, max_tokens),
        heads=heads,
        heads_note=heads_note,
        sources=sources,
        source_bar=bar,
        promotes=promotes,
        suppresses=suppresses,
        writes_note=writes_note,
    )


def _checked(model: Model, layer: int, matrix: str | None, expert: int | None, max_tokens: int) -> str:
    """The matrix to use. Raises UsageError for anything that the model does not have."""
    info = model.info
    matrices = mlp_inputs(info)
    if not 0 <= layer < info.n_layers:
        raise UsageError(f"{info.name} has no layer {layer}: its layers are 0 to {info.n_layers - 1}.")
    if matrix is not None and matrix not in matrices:
        raise UsageError(
            f"The neurons of {info.name} do not read through {matrix} but through {' and '.join(matrices)}."
        )
    if info.d_model == 1:
        raise UsageError(f"No neuron of {info.name} can be explained by tokens: {ON_A_LINE}.")
    if max_tokens < 1:
        raise UsageError(f"A bundle cannot have at most {max_tokens} tokens: ask for 1 or more.")
    matrix = matrix or matrices[0]
    n_experts = info.n_experts if weight_name(layer, matrix, 0) in model else 0
    if expert is not None and not n_experts:
        raise UsageError(f"Layer {layer} of {info.name} has no experts: leave --expert out.")
    if expert is not None and not 0 <= expert < n_experts:
        raise UsageError(f"Layer {layer} of {info.name} has no expert {expert}: its experts are 0 to {n_experts - 1}.")
    if weight_name(layer, matrix, expert) not in model:
        if n_experts:
            raise UsageError(
                f"Layer {layer} of {info.name} is a mixture of {n_experts} experts, each with its own neurons: choose"
                f" one with --expert, 0 to {n_experts - 1}."
            )
        raise UsageError(f"{info.name} has no neurons to explain there: {model.why_missing(layer, matrix)}.")
    return matrix


def _words(model: Model) -> Dictionary:
    """The dictionary that the claims use. Raises UsageError if no token has a direction."""
    bench = Workbench(model.info.name, loaded=model)
    finite(model, model.array("embed.W_E"), "embed.W_E")
    vectors = bench.tokens(model.basis).of(bench.token_vectors(model.basis))
    try:
        # After centering, equal rows would have arbitrary directions, from rounding of their mean.
        if (vectors == vectors[:1]).all():
            raise NotChecked("all word embeddings are equal")
        return token_dictionary(bench, model.basis)
    except NotChecked as why:
        raise UsageError(f"No neuron of {model.info.name} can be explained by tokens: {why}.") from None


def _steps(
    model: Model, words: Dictionary, found: Bundles, unit: NDArray[np.float32], max_tokens: int
) -> tuple[Step, ...]:
    rows = {int(row): at for at, row in enumerate(words.rows)}
    steps = []
    for place, (token, cosine) in enumerate(zip(found.tokens(0)[:max_tokens], found.path(0), strict=False)):
        after = found.cosine_at(place + 1)[1:]
        at = rows[int(token)]
        steps.append(
            Step(
                token=int(token),
                name=model.token_name(int(token)),
                alone=float(words.vectors[at] @ unit / words.norms[at]),
                cosine=float(cosine),
                random=_band(after[:NULL_NEURONS]),
                matched=_band(after[NULL_NEURONS:]),
            )
        )
    return tuple(steps)


def _band(cosines: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(cosines, BAND)
    return float(low), float(high)
