"""What one MLP neuron reads and writes: its bundle of tokens beside chance, what feeds it, what it promotes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vsa_checks import nulls, theory
from vsa_checks.bundles import Bundles, greedy_pursuit, ranked_scan
from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.errors import UsageError
from vsa_checks.judging.subjects import mlp_inputs
from vsa_checks.models.kept_weights import KeptWeights
from vsa_checks.orthogonality import centered, live_rows
from vsa_checks.statistics import stream

Method = Literal["pursuit", "scan"]
METHODS: tuple[Method, ...] = ("pursuit", "scan")
NULL_NEURONS = 100
BAND = (0.05, 0.95)
"""The null's band: between these quantiles lie nine of ten null neurons."""


@dataclass(frozen=True)
class Step:
    """One token of the bundle, in order of inclusion, and the bundle's cosine with it beside what nulls reach."""

    token: int
    name: str
    alone: float
    cosine: float
    random: tuple[float, float]
    matched: tuple[float, float]


@dataclass(frozen=True)
class Head:
    """How strongly a head writes what the neuron reads, as a multiple of chance, and the tokens it does so for."""

    layer: int
    head: int
    strength: float
    tokens: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Source:
    """A neuron of an earlier layer, and the cosine of what it writes with what the neuron reads."""

    layer: int
    neuron: int
    cosine: float


@dataclass(frozen=True)
class Explanation:
    """All of it. `bundle_size` may exceed the steps shown; `source_bar` is the largest cosine that chance gives."""

    model: str
    basis: str
    layer: int
    neuron: int
    matrix: str
    method: Method
    n_tokens: int
    bundle_size: int
    steps: tuple[Step, ...]
    heads: tuple[Head, ...]
    sources: tuple[Source, ...]
    source_bar: float
    promotes: tuple[tuple[str, float], ...]
    suppresses: tuple[tuple[str, float], ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def explain(
    weights: KeptWeights,
    layer: int,
    neuron: int,
    matrix: str | None = None,
    method: Method = "pursuit",
    max_tokens: int = 10,
    *,
    top: int = 6,
    seed: int = 0,
) -> Explanation:
    """Explain one neuron by a bundle of centered token embeddings, and say what feeds it and what it writes.

    Parameters
    ----------
    weights
        The model's weights in one basis.
    layer, neuron
        Which neuron, counted from 0.
    matrix
        What it reads through: W_in, or on a gated model W_gate (the default there) or W_in.
    method
        Greedy pursuit, or the paper's ranked scan with all tokens listing.
    max_tokens
        Tokens of the bundle that are shown.
    top
        How many heads, earlier neurons and written tokens are named.
    seed
        Of the nulls: random directions, and Gaussian neurons of the layer's mean and covariance. They are explained
        as the neuron is.

    Returns
    -------
    Explanation

    Raises
    ------
    UsageError
        For a layer, neuron, matrix or number of tokens that there is not, and for a dead neuron.
    """
    info = weights.info
    matrix = _checked(weights, layer, neuron, matrix, max_tokens)
    neurons = np.ascontiguousarray(weights.arrays[f"blocks.{layer}.mlp.{matrix}"].T)
    target = neurons[neuron]
    if not target.any():
        raise UsageError(f"Neuron {neuron} of layer {layer} is dead: its weights in {matrix} are all zero.")
    words = Dictionary.of(centered(weights.arrays["embed.W_E"]))
    rng = stream(seed, "explain", layer, matrix)
    random = nulls.random_directions(NULL_NEURONS, info.d_model, rng)
    matched = nulls.covariance_matched(neurons).draw(NULL_NEURONS, rng)
    found = _bundles(np.concatenate([target[None], random, matched]), words, method, max_tokens)
    unit = target / np.linalg.norm(target)
    sources, bar = _sources(weights, layer, unit, top)
    promotes, suppresses = _writes(weights, layer, neuron, top)
    return Explanation(
        model=info.name,
        basis=weights.basis,
        layer=layer,
        neuron=neuron,
        matrix=matrix,
        method=method,
        n_tokens=len(words.rows),
        bundle_size=int(found.size[0]),
        steps=_steps(weights, words, found, unit, max_tokens),
        heads=_heads(weights, words, layer, unit, top),
        sources=sources,
        source_bar=bar,
        promotes=promotes,
        suppresses=suppresses,
    )


def _checked(weights: KeptWeights, layer: int, neuron: int, matrix: str | None, max_tokens: int) -> str:
    """The matrix that is meant. Raises UsageError for what the model does not have."""
    info = weights.info
    matrices = mlp_inputs(info)
    if not 0 <= layer < info.n_layers:
        raise UsageError(f"{info.name} has no layer {layer}: its layers are 0 to {info.n_layers - 1}.")
    if not 0 <= neuron < info.d_mlp:
        raise UsageError(f"{info.name} has no neuron {neuron}: each layer has neurons 0 to {info.d_mlp - 1}.")
    if matrix is not None and matrix not in matrices:
        raise UsageError(f"The neurons of {info.name} do not read through {matrix}, but {' and '.join(matrices)}.")
    if max_tokens < 1:
        raise UsageError(f"A bundle of at most {max_tokens} tokens is none: ask for 1 or more.")
    return matrix or matrices[0]


def _bundles(neurons: NDArray[np.float32], words: Dictionary, method: Method, max_tokens: int) -> Bundles:
    return greedy_pursuit(neurons, words, max_tokens) if method == "pursuit" else ranked_scan(neurons, words)


def _steps(
    weights: KeptWeights, words: Dictionary, found: Bundles, unit: NDArray[np.float32], max_tokens: int
) -> tuple[Step, ...]:
    rows = {int(row): at for at, row in enumerate(words.rows)}
    steps = []
    for place, (token, cosine) in enumerate(zip(found.tokens(0)[:max_tokens], found.path(0), strict=False)):
        after = found.cosine_at(place + 1)[1:]
        at = rows[int(token)]
        steps.append(
            Step(
                token=int(token),
                name=weights.token_name(int(token)),
                alone=float(words.vectors[at] @ unit / words.norms[at]),
                cosine=float(cosine),
                random=_band(after[:NULL_NEURONS]),
                matched=_band(after[NULL_NEURONS:]),
            )
        )
    return tuple(steps)


def _band(cosines: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.nanquantile(cosines, BAND)
    return float(low), float(high)


def _heads(
    weights: KeptWeights, words: Dictionary, layer: int, unit: NDArray[np.float32], top: int
) -> tuple[Head, ...]:
    """The heads up to the neuron's layer that write most of what it reads (composition, Elhage et al. 2021).

    strength: |W_V W_O n| over what a random direction n gives on average, the Frobenius norm over sqrt(d).
    """
    found = []
    for at in range(layer + 1):
        reads, writes = (weights.arrays[f"blocks.{at}.attn.{name}"] for name in ("W_V", "W_O"))
        for head, write in enumerate(writes):
            read = reads[head * len(reads) // len(writes)]
            whole = np.einsum("ij,ji->", read.T @ read, write @ write.T)
            if whole > 0:
                back = read @ (write @ unit)
                found.append((float(np.linalg.norm(back) * np.sqrt(len(unit) / whole)), at, head, read, write, back))
    found.sort(key=lambda one: -one[0])
    heads = []
    for strength, at, head, read, write, back in found[:top]:
        bound = words.vectors @ read
        lengths = np.sqrt(np.maximum(np.einsum("ij,ij->i", bound @ (write @ write.T), bound), 1e-30))
        cosines = words.vectors @ back / lengths
        heads.append(Head(at, head, strength, _named(weights, words.rows, cosines, 3)))
    return tuple(heads)


def _sources(weights: KeptWeights, layer: int, unit: NDArray[np.float32], top: int) -> tuple[tuple[Source, ...], float]:
    """The earlier neurons whose output is closest to what the neuron reads, and the closest that chance would give."""
    if layer == 0:
        return (), 0.0
    cosines = np.full((layer, weights.info.d_mlp), -np.inf)
    for at in range(layer):
        live = live_rows(weights.arrays[f"blocks.{at}.mlp.W_out"])
        cosines[at, live.rows] = live.unit @ unit
    best = np.argsort(-cosines, axis=None, kind="stable")[:top]
    found = tuple(
        Source(int(place // weights.info.d_mlp), int(place % weights.info.d_mlp), float(cosines.flat[place]))
        for place in best
        if np.isfinite(cosines.flat[place])
    )
    # Half of all sets of as many random directions have one at least this close.
    alone = 1.0 - 0.5 ** (1.0 / cosines.size)
    return found, theory.cosine_quantile(len(unit), 2.0 * alone)


def _writes(
    weights: KeptWeights, layer: int, neuron: int, top: int
) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]:
    """The tokens whose unembedding is closest to what the neuron writes, and the furthest; empty for an encoder."""
    unembedding = weights.arrays.get("unembed.W_U")
    written = weights.arrays[f"blocks.{layer}.mlp.W_out"][neuron]
    if unembedding is None or not written.any():
        return (), ()
    lengths = np.linalg.norm(unembedding, axis=0)
    cosines = np.divide(written @ unembedding, lengths, out=np.zeros(len(lengths), np.float32), where=lengths > 0)
    cosines /= np.linalg.norm(written)
    tokens = np.arange(len(cosines))
    ups = _named(weights, tokens, cosines, top)
    downs = tuple((name, -cosine) for name, cosine in _named(weights, tokens, -cosines, top))
    return ups, downs


def _named(
    weights: KeptWeights, tokens: NDArray[np.int64], cosines: NDArray[np.floating[Any]], top: int
) -> tuple[tuple[str, float], ...]:
    best = np.argsort(-cosines, kind="stable")[:top]
    return tuple((weights.token_name(int(tokens[place])), float(cosines[place])) for place in best)
