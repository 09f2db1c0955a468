"""Section 2.2 on text: what heads write beside the tokens they attend to, and beside the token that comes next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks import rebinding
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.statistics import bootstrap, bootstrap_groups, sign_flips, tail_p
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.activations import Seen, in_text, read, reading, require_decoder, sinks

Array = NDArray[np.float64]

ANOTHER_SOURCE, SHUFFLED = "another source of the context", "shuffled next token"
COPIES = 0.05
"""From such a margin of cosines with the token's unembedding on a head counts as copying what it attends to."""
TRACED_TOKENS = 5


@dataclass(frozen=True)
class Traced:
    """One head's clearest rebinding: at a destination, from a source, and what it had there before W_O (r,)."""

    cosine: float
    window: int
    destination: int
    source: int
    attention: float
    written: NDArray[np.float32]


@dataclass
class LayerOnText:
    """Figures of one layer, a row per window. Heads: cos^2 with the source's token minus another's, and so on."""

    rebinds: list[Array]
    reads: list[Array]
    copies: list[Array]
    level: list[Array]
    resting: list[Array]
    margins: list[tuple[float, float]]
    traced: list[Traced | None]
    live: NDArray[np.bool_]
    n_sinks: int = 0
    n_destinations: int = 0
    n_next: int = 0


@dataclass(frozen=True)
class HeadWeights:
    """What one layer's heads read and write with, per query head, the value's bias, and W_O W_O^T."""

    W_V: NDArray[np.float32]
    W_O: NDArray[np.float32]
    b_V: NDArray[np.float32]
    metric: NDArray[np.float32]


def rebinds(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of cos^2 with e_j W_V W_O of the most attended source j, minus another source's.

    Raises NotChecked for a model that cannot read text, and where all heads write nothing.
    """
    layer = _layer(subject)
    seen = on_text(bench, subject.basis)[layer]
    if not seen.live.any():
        raise NotChecked("every head of the layer has a product of zero")
    if not seen.n_destinations:
        raise NotChecked("no position of the text has two sources that are neither the first nor sinks")
    rows = np.stack(seen.rebinds)[:, seen.live]

    def median(means: Array) -> Array:
        middle: Array = np.median(means, axis=-1)
        return middle

    value = float(median(rows.mean(axis=0)))
    return Measurement(
        value=value,
        interval=bootstrap_groups(
            [row[None] for row in rows],
            "windows of text",
            bench.rng("bootstrap", subject.id),
            lambda chosen: median(chosen.mean(axis=0)),
        ),
        n_examined=seen.n_destinations,
        n_excluded=int((~seen.live).sum()),
        nulls=(_flip_null(bench, subject, ANOTHER_SOURCE, rows, value, median),),
        details=_head_details(bench, subject, layer, seen),
    )


def next_token(bench: Workbench, subject: Subject) -> Measurement:
    """Mean cosine of a layer's attention output with the next token's unembedding, minus a shuffled next token's.

    Shuffled within a window, over all shuffles that leave no token in its place. Raises NotChecked for an encoder, a
    model that cannot read text, and a layer whose attention writes nothing.
    """
    require_decoder(bench, subject.basis, "no next token is predicted")
    if bench.model(subject.basis).W_U is None:
        raise NotChecked("the model has no unembedding")
    seen = on_text(bench, subject.basis)[_layer(subject)]
    if not seen.live.any():
        raise NotChecked("every head of the layer has a product of zero")
    if not seen.margins:
        raise NotChecked("no window of the text has two positions to shuffle")
    own, shuffled = np.array(seen.margins).T
    rows = (own - shuffled)[:, None]
    value = float(rows.mean())
    return Measurement(
        value=value,
        interval=bootstrap(rows[:, 0], "windows of text", bench.rng("bootstrap", subject.id)),
        n_examined=seen.n_next,
        nulls=(_flip_null(bench, subject, SHUFFLED, rows, value, lambda means: means[..., 0]),),
        details={
            "cosine_with_next_token": float(own.mean()),
            "cosine_with_shuffled_token": float(shuffled.mean()),
            "n_windows": len(rows),
            "n_sinks": seen.n_sinks,
        },
    )


def on_text(bench: Workbench, basis: Basis) -> list[LayerOnText]:
    """All layers' figures, from one reading of the text. Raises NotChecked as `activations.reading` does."""
    return bench.once(("attention on text", basis), lambda: _read_all(bench, basis))


def _read_all(bench: Workbench, basis: Basis) -> list[LayerOnText]:
    model = bench.model(basis)
    embedding = bench.embedding(basis)
    unembedding = None if model.W_U is None else model.W_U.numpy().T
    weights = [head_weights(bench, basis, layer) for layer in range(model.info.n_layers)]
    layers = [_empty(one) for one in weights]
    rng = bench.rng("another source", basis)
    hooks = ("*.attn.hook_pattern", "*.attn.hook_z", "*.attn.hook_v", "*.hook_attn_out")
    for place, seen in enumerate(read(bench, basis, hooks, f"attention on text ({basis})")):
        tokens = seen.window.tokens
        vectors = None if unembedding is None else np.ascontiguousarray(unembedding[tokens])
        for layer, found in enumerate(layers):
            _look(seen, place, layer, found, weights[layer], embedding[tokens], vectors, model.info.causal, rng)
    return layers


def _look(
    seen: Seen,
    place: int,
    layer: int,
    found: LayerOnText,
    heads: HeadWeights,
    embeddings: NDArray[np.float32],
    unembeddings: NDArray[np.float32] | None,
    causal: bool,
    rng: np.random.Generator,
) -> None:
    """Add one window's figures of one layer to `found`."""
    block = f"blocks.{layer}"
    pattern = seen.cache[f"{block}.attn.hook_pattern"]
    h, r, _ = heads.W_O.shape
    n = len(pattern[0])
    resting = sinks(pattern, causal)
    allowed = in_text(seen.window) & ~resting
    found.n_sinks += int((resting & in_text(seen.window)).sum())
    at, most, other = rebinding.attended_sources(pattern, allowed, rng, causal)
    if len(at):
        # The bias of the values is the same whatever is attended to.
        written = seen.cache[f"{block}.attn.hook_z"].reshape(n, h, r)[at] - heads.b_V
        values = seen.cache[f"{block}.attn.hook_v"].reshape(n, -1, r)
        values = np.repeat(values, h // values.shape[1], axis=1) - heads.b_V
        bound = (embeddings @ heads.W_V).transpose(1, 0, 2)
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
        found.n_destinations += len(at)
        _trace(found, place, cosines, at, most, pattern, written)
    before = np.flatnonzero(allowed[:-1] & in_text(seen.window)[1:])
    if unembeddings is not None and causal and len(before) >= 2:
        outputs = seen.cache[f"{block}.hook_attn_out"][before]
        found.margins.append(rebinding.next_token_margin(outputs, unembeddings[before + 1]))
        found.n_next += len(before)


def _trace(
    found: LayerOnText,
    place: int,
    cosines: NDArray[np.floating],
    at: NDArray[np.int64],
    most: NDArray[np.int64],
    pattern: NDArray[np.float32],
    written: NDArray[np.float32],
) -> None:
    """Keep each head's clearest rebinding, from a source that is another position."""
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
    """One layer's weights for each query head, value heads repeated for the query heads that share them."""
    W_O = bench.weight(basis, layer, "W_O")
    W_V = bench.weight(basis, layer, "W_V")
    bias = bench.bias(basis, layer, "attn.b_V")
    h, r, _ = W_O.shape
    if bias is None:
        bias = np.zeros((len(W_V), r), np.float32)
    group = h // len(W_V)
    bias = bias.reshape(-1, r)
    return HeadWeights(
        np.repeat(W_V, group, axis=0), W_O, np.repeat(bias, h // len(bias), axis=0), W_O @ W_O.transpose(0, 2, 1)
    )


def _empty(heads: HeadWeights) -> LayerOnText:
    live = np.asarray(heads.W_V.any(axis=(1, 2)) & heads.W_O.any(axis=(1, 2)))
    return LayerOnText([], [], [], [], [], [], [None] * len(live), live)


def _layer(subject: Subject) -> int:
    if subject.layer is None:
        raise ValueError(f"{subject.id} names no layer")
    return subject.layer


def _flip_null(
    bench: Workbench, subject: Subject, name: str, rows: Array, value: float, statistic: Callable[[Array], Array]
) -> NullMeasurement:
    """The statistic of window means (windows, m) with the two sides of whole windows exchanged at random."""
    signs = sign_flips(len(rows), bench.rng(name, subject.id))
    drawn = statistic(signs @ rows / len(rows))
    return NullMeasurement(
        name,
        float(drawn.mean()),
        float(drawn.std(ddof=1)),
        len(drawn),
        tail_p(value, drawn, ">="),
        tail_p(value, drawn, "<="),
    )


def _head_details(bench: Workbench, subject: Subject, layer: int, seen: LayerOnText) -> dict[str, Any]:
    """Each head's figures, which heads copy what they attend to, and one vector traced through the clearest head."""
    columns: dict[str, Array] = {
        "value": np.mean(seen.rebinds, axis=0),
        "cos_squared": np.mean(seen.level, axis=0),
        "value_as_read": np.mean(seen.reads, axis=0),
        "attention_at_rest": np.mean(seen.resting, axis=0),
    }
    scores = _copying(bench, subject.basis, layer)
    if scores is not None:
        columns |= {"copies": np.mean(seen.copies, axis=0), "ov_eigenvalues": scores}
    heads = [int(head) for head in np.flatnonzero(seen.live)]
    by_head = [{"head": head, **{name: float(column[head]) for name, column in columns.items()}} for head in heads]
    details: dict[str, Any] = {
        "by_head": by_head,
        "n_windows": len(seen.rebinds),
        "n_sinks": seen.n_sinks,
        "copying_heads": [entry["head"] for entry in by_head if entry.get("copies", 0.0) >= COPIES],
        "notes": [
            "value as read: with the normalised stream at the source in place of its token's embedding. attention at"
            " rest: on the first position and on sinks. copies: cosine with the attended token's unembedding, minus"
            " another source's; ov eigenvalues: how far the head maps tokens to themselves (Elhage et al. 2021)."
        ],
    }
    best = max(heads, key=lambda head: columns["value"][head])
    traced = seen.traced[best]
    if traced is not None:
        details["traced"] = _told(bench, subject.basis, layer, best, traced)
    return details


def _copying(bench: Workbench, basis: Basis, layer: int) -> Array | None:
    model = bench.model(basis)
    unembedding = model.W_U
    if unembedding is None:
        return None
    product = bench.once(("W_U W_E", basis), lambda: (unembedding @ model.W_E).numpy())
    heads = head_weights(bench, basis, layer)
    return rebinding.copying_scores(heads.W_V, heads.W_O, product).astype(np.float64)


def _told(bench: Workbench, basis: Basis, layer: int, head: int, traced: Traced) -> dict[str, Any]:
    """A traced vector in words: what was attended to, and which tokens' unembeddings lie closest to what is written."""
    model, heads = bench.model(basis), head_weights(bench, basis, layer)
    tokens = reading(bench, basis).windows[traced.window].tokens
    source = int(tokens[traced.source])
    told: dict[str, Any] = {
        "head": head,
        "at": model.token_name(int(tokens[traced.destination])),
        "attends_to": model.token_name(source),
        "positions_back": traced.destination - traced.source,
        "attention": traced.attention,
        "cosine": traced.cosine,
    }
    if model.W_U is not None:
        vectors = model.W_U.numpy()
        norms = bench.once(("norms of W_U", basis), lambda: np.maximum(np.linalg.norm(vectors, axis=0), 1e-12))
        bound = bench.embedding(basis)[source] @ heads.W_V[head]
        for name, vector in (("writes", traced.written), ("binding_alone", bound)):
            closest = np.argsort(-(vector @ heads.W_O[head] @ vectors) / norms, kind="stable")[:TRACED_TOKENS]
            told[name] = ", ".join(repr(model.token_name(int(token))) for token in closest)
    return told
