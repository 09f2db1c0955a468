"""One reading of the text for both claims about attention on text: what each head writes, window by window.

A token is represented by the vector with which its stream starts, and W_O is taken as it writes to the stream, with the
gain of a norm that follows it (`hook_attn_out` comes after that norm). Positions whose row of W_E is not a token
(`Workbench.tokens`) are left out like sinks.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks import rebinding
from vsa_checks.engine.scale import near_one
from vsa_checks.errors import NotChecked
from vsa_checks.models import Basis
from vsa_checks.sections.isometry import per_query_head
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.activations import Seen, in_text, read, reading, sinks

Array = NDArray[np.float64]
SAMPLED = 128
"""Approximate number of destinations of a layer, evenly spaced, that are kept to be read with exchanged coordinates."""
SAMPLED_BYTES = 256 * 2**20
"""Memory for the kept destinations of all layers; if they would take more, fewer are kept."""


@dataclass(frozen=True)
class Sampled:
    """Some destinations of one layer: what each head reads, weighted by its attention (m, h, d), and tokens (m, h)."""

    streams: NDArray[np.float32]
    most: NDArray[np.int64]
    other: NDArray[np.int64]


@dataclass(frozen=True)
class Traced:
    """One head's clearest rebinding: destination, source, and its output there before W_O (r,)."""

    cosine: float
    window: int
    destination: int
    source: int
    attention: float
    written: NDArray[np.float32]


@dataclass
class LayerOnText:
    """Results for one layer; lists have one entry per window: means over its destinations, by head (h,)."""

    rebinds: list[Array]
    """cos^2 with the bound token of the most attended source, minus the same with another source's."""
    reads: list[Array]
    """Like `rebinds`, with the head's input at the source instead of the bound token."""
    copies: list[Array]
    """Cosine with the unembedding of the most attended token, minus the same with the other source's."""
    level: list[Array]
    """cos^2 with the bound token of the most attended source."""
    resting: list[Array]
    """Share of attention on the first position and on sinks."""
    margins: list[tuple[float, float]]
    """Mean cosine of the layer's output with the next token's unembedding, and with a shuffled one."""
    traced: list[Traced | None]
    """Each head's clearest rebinding."""
    live: NDArray[np.bool_]
    """Heads whose W_V and W_O are not zero (h,)."""
    sampled: list[Sampled]
    next_weights: NDArray[np.floating] | None = None
    """Sum over windows of `rebinding.next_token_weights`, by token of the text."""
    n_sinks: int = 0
    n_untrained: int = 0
    """Positions left out because their row of W_E is not a token."""
    n_destinations: int = 0
    n_next: int = 0


@dataclass(frozen=True)
class HeadWeights:
    """One layer's matrices for reading and writing, per query head, the value bias, and W_O W_O^T up to a factor."""

    W_V: NDArray[np.float32]
    W_O: NDArray[np.float32]
    b_V: NDArray[np.float32]
    metric: NDArray[np.float32]


def on_text(bench: Workbench, basis: Basis) -> dict[int, LayerOnText]:
    """Results for all layers, from one reading of the text. Raises NotChecked as `activations.reading` does."""
    return bench.once(("attention on text", basis), lambda: _read_all(bench, basis))


def _read_all(bench: Workbench, basis: Basis) -> dict[int, LayerOnText]:
    model = bench.model(basis)
    vectors, known = bench.token_vectors(basis), bench.tokens(basis).mask
    readout, _ = model.readout()
    weights = {}
    for layer in range(model.info.n_layers):
        with suppress(NotChecked):  # a hybrid model has layers without attention
            weights[layer] = head_weights(bench, basis, layer)
    layers = {layer: _empty(one) for layer, one in weights.items()}
    rng = bench.rng("another source", basis)
    n_tokens, step = reading(bench, basis).n_tokens, 1
    if weights:
        bytes_each = 4 * model.info.d_model * max(len(one.W_O) for one in weights.values()) * len(weights)
        step = max(-(-n_tokens // SAMPLED), -(-n_tokens * bytes_each // SAMPLED_BYTES))
    types = text_tokens(bench, basis)
    hooks = ("*.attn.hook_pattern", "*.attn.hook_z", "*.attn.hook_v", "*.attn.hook_in", "*.hook_attn_out")
    for place, seen in enumerate(read(bench, basis, hooks, f"attention on text ({basis})")):
        tokens = seen.window.tokens
        these = near_one(vectors[tokens]), None if readout is None else np.ascontiguousarray(readout[:, tokens].T)
        for layer, found in layers.items():
            _add_window(seen, place, layer, found, weights[layer], *these, known[tokens], model.info.causal, rng, step)
            if these[1] is not None and model.info.causal:
                _add_next(seen, layer, found, these[1], known[tokens], types)
    return layers


def text_tokens(bench: Workbench, basis: Basis) -> NDArray[np.int64]:
    """The different tokens of the text that this model reads, in order."""
    return np.unique(np.concatenate([window.tokens for window in reading(bench, basis).windows]))


def _add_window(
    seen: Seen,
    place: int,
    layer: int,
    found: LayerOnText,
    heads: HeadWeights,
    vectors: NDArray[np.float32],
    unembeddings: NDArray[np.float32] | None,
    known: NDArray[np.bool_],
    causal: bool,
    rng: np.random.Generator,
    step: int,
) -> None:
    """Add the results of one layer's heads in one window to `found`."""
    block = f"blocks.{layer}"
    pattern = seen.cache[f"{block}.attn.hook_pattern"]
    h, r, _ = heads.W_O.shape
    n = len(pattern[0])
    resting = sinks(pattern, causal)
    text = in_text(seen.window)
    allowed = text & ~resting & known
    found.n_sinks += int((resting & text).sum())
    found.n_untrained += int((text & ~resting & ~known).sum())
    at, most, other = rebinding.attended_sources(pattern, allowed, rng, causal)
    if len(at):
        # The value bias is written whatever the head attends to.
        written = seen.cache[f"{block}.attn.hook_z"].reshape(n, h, r)[at] - heads.b_V
        values = seen.cache[f"{block}.attn.hook_v"].reshape(n, -1, r)
        values = np.repeat(values, h // values.shape[1], axis=1) - heads.b_V
        bound = (vectors @ near_one(heads.W_V, (1, 2))).transpose(1, 0, 2)
        each = np.arange(h)
        cosines = rebinding.head_cosines(written, bound[most, each], heads.metric)
        others = rebinding.head_cosines(written, bound[other, each], heads.metric)
        found.rebinds.append((cosines**2 - others**2).mean(axis=0))
        found.level.append((cosines**2).mean(axis=0))
        read_cosines = [
            rebinding.head_cosines(written, values[chosen, each], heads.metric) ** 2 for chosen in (most, other)
        ]
        found.reads.append((read_cosines[0] - read_cosines[1]).mean(axis=0))
        found.resting.append(1.0 - pattern[:, at][:, :, allowed].sum(axis=2).mean(axis=1))
        if unembeddings is not None:
            towards = rebinding.token_cosines(written, unembeddings, heads.W_O)
            gap = np.take_along_axis(towards, most[:, :, None], 2) - np.take_along_axis(towards, other[:, :, None], 2)
            found.copies.append(gap[:, :, 0].mean(axis=0))
        kept = np.flatnonzero((found.n_destinations + np.arange(len(at))) % step == 0)
        found.n_destinations += len(at)
        weighed = pattern[:, at[kept]] @ seen.cache[f"{block}.attn.hook_in"]
        tokens = seen.window.tokens
        found.sampled.append(Sampled(weighed.transpose(1, 0, 2), tokens[most[kept]], tokens[other[kept]]))
        _trace(found, place, cosines, at, most, pattern, written)


def _add_next(
    seen: Seen,
    layer: int,
    found: LayerOnText,
    unembeddings: NDArray[np.float32],
    known: NDArray[np.bool_],
    types: NDArray[np.int64],
) -> None:
    """Add the cosines of one layer's output in one window with the next tokens to `found`."""
    block = f"blocks.{layer}"
    text = in_text(seen.window) & known
    allowed = text & ~sinks(seen.cache[f"{block}.attn.hook_pattern"], True)
    before = np.flatnonzero(allowed[:-1] & text[1:])
    if len(before) < 2:
        return
    outputs = seen.cache[f"{block}.hook_attn_out"][before]
    found.margins.append(rebinding.next_token_margin(outputs, unembeddings[before + 1]))
    found.n_next += len(before)
    places = np.searchsorted(types, seen.window.tokens[before + 1])
    weights = rebinding.next_token_weights(outputs, places, len(types))
    found.next_weights = weights if found.next_weights is None else found.next_weights + weights


def _trace(
    found: LayerOnText,
    place: int,
    cosines: NDArray[np.floating],
    at: NDArray[np.int64],
    most: NDArray[np.int64],
    pattern: NDArray[np.float32],
    written: NDArray[np.float32],
) -> None:
    """Keep each head's clearest rebinding whose source is a different position."""
    for head in range(cosines.shape[1]):
        moved = np.where(most[:, head] != at, cosines[:, head], -1.0)
        best = int(moved.argmax())
        kept = found.traced[head]
        if moved[best] > (0.0 if kept is None else kept.cosine):
            i, j = int(at[best]), int(most[best, head])
            found.traced[head] = Traced(
                float(moved[best]), place, i, j, float(pattern[head, i, j]), written[best, head].copy()
            )


def head_weights(bench: Workbench, basis: Basis, layer: int) -> HeadWeights:
    """One layer's weights for each query head; value heads are repeated for the query heads that share them."""
    W_O = bench.written(basis, layer, "W_O")
    W_V = bench.weight(basis, layer, "W_V")
    bias = bench.bias(basis, layer, "attn.b_V")
    h, r, _ = W_O.shape
    if bias is None:
        bias = np.zeros((len(W_V), r), np.float32)
    sized = near_one(W_O, (1, 2))
    return HeadWeights(
        per_query_head(W_V, h), W_O, per_query_head(bias.reshape(-1, r), h), sized @ sized.transpose(0, 2, 1)
    )


def _empty(heads: HeadWeights) -> LayerOnText:
    live = np.asarray(heads.W_V.any(axis=(1, 2)) & heads.W_O.any(axis=(1, 2)))
    return LayerOnText([], [], [], [], [], [], [None] * len(live), live, [])
