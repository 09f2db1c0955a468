"""The circuit around one MLP neuron: heads and earlier neurons that write what it reads, tokens that it promotes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks import theory
from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.engine.threads import threads
from vsa_checks.errors import ModelError
from vsa_checks.models import Model
from vsa_checks.orthogonality import live_rows

Tokens = tuple[tuple[str, float], ...]
"""Names of tokens, each with a cosine."""
BLOCK = 4096
"""How many tokens' unembeddings are read at a time, so that memory stays bounded."""
ROUNDING = 1e-5
"""A vector shorter than this, relative to its factors, is rounding error."""


@dataclass(frozen=True)
class Head:
    """How strongly a head writes what the neuron reads, as a multiple of chance, and the tokens it does so for."""

    layer: int
    head: int
    strength: float
    tokens: Tokens


@dataclass(frozen=True)
class Source:
    """A neuron of an earlier layer, and the cosine of what it writes with what the neuron reads.

    `expert` is the one that holds it in a mixture of experts.
    """

    layer: int
    expert: int | None
    neuron: int
    cosine: float


def weight_name(layer: int, matrix: str, expert: int | None = None) -> str:
    """The name of an MLP's matrix, or of an expert's."""
    return f"blocks.{layer}.mlp.{'' if expert is None else f'experts.{expert}.'}{matrix}"


def finite(model: Model, array: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Weights as they are. Raises ModelError if they hold NaN or infinite numbers."""
    if not np.isfinite(array).all():
        raise ModelError(
            f"The weights {name} of {model.info.name} contain NaN or infinite numbers, so nothing can be said about"
            " them. Fetch or save the model again."
        )
    return array


def heads_before(
    model: Model, words: Dictionary, layer: int, unit: NDArray[np.float32], top: int
) -> tuple[tuple[Head, ...], str]:
    """The heads before the neuron that write most of what it reads.

    A head's strength is |W_V W_O n| divided by its mean over random directions n, the Frobenius norm over sqrt(d).

    Parameters
    ----------
    model : Model
    words : Dictionary
        The tokens to bind (V, d).
    layer : int
        The neuron's layer.
    unit : ndarray, shape (d,)
        What the neuron reads, at unit norm.
    top : int
        How many heads, at most.

    Returns
    -------
    tuple of Head
        The strongest first.
    str
        Why there are none; "" if there are.

    References
    ----------
    Elhage et al. 2021, A mathematical framework for transformer circuits, on composition.
    """
    last = layer - 1 if model.info.parallel else layer
    if last < 0:
        return (), "in this model, attention and MLP of a layer read the same stream, so no head comes before layer 0"
    found = []
    for at in range(last + 1):
        for head, (read, write) in enumerate(_heads_of(model, at)):
            # |W_V W_O|^2 is the trace of (W_V^T W_V)(W_O W_O^T), which are smaller matrices.
            whole = np.sqrt(max(np.einsum("ij,ij->", read.T @ read, write @ write.T), 0.0))
            if whole > 0:
                strength = np.linalg.norm(read @ (write @ unit)) * np.sqrt(len(unit)) / whole
                found.append((float(strength), at, head))
    if not found:
        missing = not any(_heads_of(model, last))
        return (), model.why_missing(last, "W_O") if missing else "no head up to this layer writes anything"
    found.sort(key=lambda one: -one[0])
    heads = []
    for strength, at, head in found[:top]:
        read, write = next(islice(_heads_of(model, at), head, None))
        # W_O = right.T @ axes.T with orthonormal axes (d, r): lengths computed in these axes lose no precision.
        with threads():  # one thread: on matrices of this size, several mostly wait for each other
            axes, right = np.linalg.qr(write.T)
        factor = read @ right.T
        bound = words.vectors @ (factor / np.linalg.norm(factor)).astype(np.float32)
        lengths = np.linalg.norm(bound, axis=1)
        live = lengths > ROUNDING * words.norms
        cosines = np.full(len(bound), -np.inf)
        cosines[live] = (bound @ (axes.T @ unit).astype(np.float32))[live] / lengths[live]
        heads.append(Head(at, head, strength, _named(model, words.rows, cosines, 3)))
    return tuple(heads), ""


def _heads_of(model: Model, layer: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """W_V (d, d_head) and W_O (d_head, d), as written to the stream, for each head of a layer."""
    name = f"blocks.{layer}.attn"
    if f"{name}.W_V" in model and f"{name}.W_O" in model:
        reads = finite(model, model.array(f"{name}.W_V"), f"{name}.W_V")
        writes = finite(model, model.written(layer, "W_O"), f"{name}.W_O")
        for head, write in enumerate(writes):
            yield reads[head * len(reads) // len(writes)].astype(np.float64), write.astype(np.float64)


def neurons_before(model: Model, layer: int, unit: NDArray[np.float32], top: int) -> tuple[tuple[Source, ...], float]:
    """The earlier neurons whose output is closest to what the neuron reads.

    Parameters
    ----------
    model, layer, unit, top
        As for `heads_before`. Neurons of all experts count.

    Returns
    -------
    tuple of Source
        The closest first.
    float
        The largest cosine among the same number of random directions (median).
    """
    found: list[Source] = []
    count = 0
    for at in range(layer):
        for expert in (None, *range(model.info.n_experts)):
            name = weight_name(at, "W_out", expert)
            if name in model:
                live = live_rows(finite(model, model.written(at, "W_out", expert), name))
                cosines = live.unit @ unit
                best = np.argsort(-cosines, kind="stable")[:top]
                found += [Source(at, expert, int(live.rows[place]), float(cosines[place])) for place in best]
                count += len(cosines)
    if not found:
        return (), 0.0
    found.sort(key=lambda one: -one.cosine)
    # Half of all sets of as many random directions have one at least this close.
    alone = -np.expm1(np.log(0.5) / count)
    return tuple(found[:top]), theory.cosine_quantile(len(unit), 2.0 * alone)


def tokens_written(
    model: Model, words: Dictionary, layer: int, expert: int | None, neuron: int, top: int
) -> tuple[Tokens, Tokens, str]:
    """The tokens whose unembedding is closest to what the neuron writes, and the furthest.

    Parameters
    ----------
    model, words, layer, top
        As for `heads_before`.
    expert, neuron : int
        Which neuron of the layer; `expert` is None outside mixtures.

    Returns
    -------
    promotes, suppresses : tuple of (str, float)
        Names and cosines, the largest and the smallest first.
    str
        Why there are none; "" if there are.
    """
    unembedding, why = model.readout()
    if unembedding is None:
        return (), (), why
    written = finite(model, model.written(layer, "W_out", expert), weight_name(layer, "W_out", expert))
    found = live_rows(written[neuron, None])
    if found.n_excluded:
        return (), (), "its weights in W_out are all zero"
    tokens = words.rows
    cosines = np.zeros(len(tokens))
    for start in range(0, len(tokens), BLOCK):
        rows = unembedding[:, tokens[start : start + BLOCK]].T
        live = live_rows(finite(model, rows, "unembed.W_U"))
        cosines[start + live.rows] = live.unit @ found.unit[0]
    downs = tuple((token, -cosine) for token, cosine in _named(model, tokens, -cosines, top))
    return _named(model, tokens, cosines, top), downs, ""


def _named(model: Model, tokens: NDArray[np.int64], cosines: NDArray[np.floating[Any]], top: int) -> Tokens:
    best = [place for place in np.argsort(-cosines, kind="stable")[:top] if np.isfinite(cosines[place])]
    return tuple((model.token_name(int(tokens[place])), float(cosines[place])) for place in best)
