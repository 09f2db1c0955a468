"""Section 2.2 on text: heads' outputs compared with the tokens that they attend to and with the next token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks import rebinding
from vsa_checks.engine.scale import near_one, row_norms
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.sections.heads_on_text import Array, LayerOnText, Traced, head_weights, on_text, text_tokens
from vsa_checks.sections.tokens import excluded
from vsa_checks.statistics import bootstrap, bootstrap_groups, sign_flips
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.activations import reading, require_decoder

ANOTHER_SOURCE, EXCHANGED = "another source of the context", "W_V on exchanged coordinates"
SHUFFLED, EXCHANGED_TOKENS = "shuffled next token", "tokens exchanged for one another"
GAUSSIAN = "Gaussian W_V and W_O under the same attention"
EXCHANGES = 199
GAUSSIANS = 5
TOKEN_EXCHANGES = 999
COPIES = 0.05
"""A head counts as copying if its cosine with the attended token's unembedding leads another source's by this much."""
TRACED_TOKENS = 5
ROUNDING = 1e-5
"""Cosines of float32 activations count as equal if they differ by less."""
TOKENS_TOGETHER = 4096
"""Tokens whose products are added up at a time."""
ABOUT_HEADS = (
    "value as read: with the normalised stream at the source in place of its token's vector. attention at rest: on the"
    " first position, on sinks, and on what is no token."
)
ABOUT_COPIES = (
    "copies: cosine with the attended token's unembedding, minus another source's; ov eigenvalues: how far the head"
    " maps tokens to themselves (Elhage et al. 2021)."
)


def rebinds(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of cos^2 with e_j W_V W_O of the most attended source j, minus another source's.

    Raises NotChecked for a model that cannot read text, and if no head writes anything.
    """
    layer = _layer(subject)
    seen = _seen(bench, subject.basis, layer)
    if not seen.live.any():
        raise NotChecked("every head of the layer has a product of zero")
    if not seen.n_destinations:
        raise NotChecked("no position of the text has two sources that are neither the first nor sinks")
    rows = np.stack(seen.rebinds)[:, seen.live]

    def median(means: Array) -> Array:
        middle: Array = np.median(means, axis=-1)
        return middle

    value = float(median(rows.mean(axis=0)))
    exchanged, reference, sampled = _exchanged(bench, subject, layer, seen)
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
        reference=reference,
        nulls=(_flip_null(bench, subject, ANOTHER_SOURCE, rows, median), exchanged),
        details=_head_details(bench, subject, layer, seen) | sampled,
    )


def next_token(bench: Workbench, subject: Subject) -> Measurement:
    """Mean cosine of a layer's attention output with the next token's unembedding, minus a shuffled next token's.

    The second term is a mean over all shuffles within a window that move every token. Raises NotChecked for an encoder,
    a model that cannot read text, one whose stream the unembedding does not read directly, and a layer whose attention
    writes nothing.
    """
    require_decoder(bench, subject.basis, "no next token is predicted")
    readout, why = bench.model(subject.basis).readout()
    if readout is None:
        raise NotChecked(why)
    seen = _seen(bench, subject.basis, _layer(subject))
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
        nulls=(
            _flip_null(bench, subject, SHUFFLED, rows, lambda means: means[..., 0]),
            _exchanged_tokens(bench, subject, seen, readout),
        ),
        details={
            "cosine_with_next_token": float(own.mean()),
            "cosine_with_shuffled_token": float(shuffled.mean()),
            "n_windows": len(rows),
        }
        | _left_out(bench, subject.basis, seen),
    )


def _seen(bench: Workbench, basis: Basis, layer: int) -> LayerOnText:
    """Results for one layer. Raises NotChecked if it has no attention, or if its attention is not accessible."""
    bench.weight(basis, layer, "W_O")
    return on_text(bench, basis)[layer]


def _layer(subject: Subject) -> int:
    if subject.layer is None:
        raise ValueError(f"{subject.id} names no layer")
    return subject.layer


def _flip_null(
    bench: Workbench, subject: Subject, name: str, rows: Array, statistic: Callable[[Array], Array]
) -> NullMeasurement:
    """The statistic of window means (windows, m) with the two sides of whole windows exchanged at random.

    A window whose two sides differ only by rounding gives no evidence: exchanging them is a tie.
    """
    signs = sign_flips(len(rows), bench.rng(name, subject.id))
    told = np.where(np.abs(rows) > ROUNDING, rows, 0.0)
    drawn, own = statistic(signs @ told / len(rows)), statistic(np.ones(len(rows)) @ told / len(rows))
    # Rounding of the sums must not turn a tie into a win.
    return NullMeasurement.of_draws(name, float(own) - ROUNDING**2, drawn, ">=")


def _exchanged(
    bench: Workbench, subject: Subject, layer: int, seen: LayerOnText
) -> tuple[NullMeasurement, Reference, dict[str, Any]]:
    """The layer median at some destinations with W_V reading exchanged coordinates, and with Gaussian matrices.

    Attention and stream are the layer's own.
    """
    basis, vectors = subject.basis, bench.token_vectors(subject.basis)
    metric = head_weights(bench, basis, layer).metric
    W_V = bench.weight(basis, layer, "W_V")
    some = seen.sampled
    streams = np.concatenate([one.streams for one in some]).transpose(1, 0, 2)
    most, other = (vectors[np.concatenate(tokens).T] for tokens in zip(*((s.most, s.other) for s in some), strict=True))
    own, drawn = rebinding.exchanged_margins(
        streams, most, other, W_V, metric, EXCHANGES, bench.rng(EXCHANGED, subject.id)
    )
    value = float(np.median(own[seen.live]))
    rng, shape = bench.rng(GAUSSIAN, subject.id), bench.weight(basis, layer, "W_O").shape
    of_gaussians = []
    for _ in range(GAUSSIANS):
        W_O = rng.standard_normal(shape, dtype=np.float32)
        read = rng.standard_normal(W_V.shape, dtype=np.float32)
        free = rebinding.exchanged_margins(streams, most, other, read, W_O @ W_O.transpose(0, 2, 1), 0, rng)[0]
        of_gaussians.append(float(np.median(free[seen.live])))
    return (
        NullMeasurement.of_draws(EXCHANGED, value, np.median(drawn[:, seen.live], axis=1), ">="),
        Reference(GAUSSIAN, float(np.mean(of_gaussians))),
        {"sampled_destinations": streams.shape[1], "value_at_sampled_destinations": value},
    )


def _exchanged_tokens(
    bench: Workbench, subject: Subject, seen: LayerOnText, readout: NDArray[np.float32]
) -> NullMeasurement:
    """The margin with each token's unembedding replaced by another's, the same wherever the token comes next."""
    assert seen.next_weights is not None
    weights = seen.next_weights / len(seen.margins)
    used = weights.any(axis=1)
    vectors = readout[:, text_tokens(bench, subject.basis)[used]].T
    own, drawn = rebinding.exchanged_tokens(
        weights[used], vectors, TOKEN_EXCHANGES, bench.rng(EXCHANGED_TOKENS, subject.id)
    )
    # Rounding of the sums must not turn a tie into a win.
    return NullMeasurement.of_draws(EXCHANGED_TOKENS, own - ROUNDING**2, drawn, ">=")


def _head_details(bench: Workbench, subject: Subject, layer: int, seen: LayerOnText) -> dict[str, Any]:
    """Each head's numbers, the heads that copy what they attend to, and one vector traced through the clearest head."""
    basis, notes = subject.basis, [ABOUT_HEADS]
    columns: dict[str, Array] = {
        "value": np.mean(seen.rebinds, axis=0),
        "cos_squared": np.mean(seen.level, axis=0),
        "value_as_read": np.mean(seen.reads, axis=0),
        "attention_at_rest": np.mean(seen.resting, axis=0),
    }
    readout, why = bench.model(basis).readout()
    if readout is not None:
        scores = _copying(bench, basis, layer, readout)
        columns |= {"copies": np.mean(seen.copies, axis=0), "ov_eigenvalues": scores}
        notes.append(ABOUT_COPIES)
    else:
        notes.append(f"Whether heads copy tokens, and which tokens they write, is not told: {why}.")
    heads = [int(head) for head in np.flatnonzero(seen.live)]
    by_head = [{"head": head, **{name: float(column[head]) for name, column in columns.items()}} for head in heads]
    details: dict[str, Any] = {
        "by_head": by_head,
        "n_windows": len(seen.rebinds),
        "notes": notes,
    } | _left_out(bench, basis, seen)
    if readout is not None:
        details["copying_heads"] = [entry["head"] for entry in by_head if entry["copies"] >= COPIES]
    best = max(heads, key=lambda head: columns["value"][head])
    traced = seen.traced[best]
    if traced is not None:
        details["traced"] = _told(bench, basis, layer, best, traced, readout)
    return details


def _left_out(bench: Workbench, basis: Basis, seen: LayerOnText) -> dict[str, Any]:
    """Positions of the text that were left out, and rows of W_E that are not tokens, if any."""
    return (
        {"n_sinks": seen.n_sinks}
        | ({"n_untrained": seen.n_untrained} if seen.n_untrained else {})
        | excluded(bench, basis)
    )


def _copying(bench: Workbench, basis: Basis, layer: int, readout: NDArray[np.float32]) -> Array:
    """How far each head's W_V W_O maps tokens to themselves (h,)."""

    def multiply() -> Array:
        vectors, ids = bench.token_vectors(basis), bench.tokens(basis).ids
        total = np.zeros((len(readout), vectors.shape[1]))
        for at in range(0, len(ids), TOKENS_TOGETHER):
            some = ids[at : at + TOKENS_TOGETHER]
            total += readout[:, some].astype(np.float64) @ vectors[some].astype(np.float64)
        return total

    product = bench.once(("unembeddings times token vectors", basis), multiply)
    heads = head_weights(bench, basis, layer)
    return rebinding.copying_scores(heads.W_V, heads.W_O, product).astype(np.float64)


def _told(
    bench: Workbench, basis: Basis, layer: int, head: int, traced: Traced, readout: NDArray[np.float32] | None
) -> dict[str, Any]:
    """A traced rebinding in words: what was attended to, and the tokens that the written vector is closest to."""
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
    if readout is not None:
        ids = bench.tokens(basis).ids
        norms = bench.once(("norms of unembeddings", basis), lambda: row_norms(readout.T))
        W_V, W_O = (near_one(one[head], (0, 1)) for one in (heads.W_V, heads.W_O))
        bound = near_one(bench.token_vectors(basis)[source]) @ W_V
        for name, vector in (("writes", traced.written), ("binding_alone", bound)):
            products = near_one(vector) @ W_O @ readout
            cosines = np.divide(products, norms, out=np.full(len(norms), -np.inf), where=norms > 0)[ids]
            closest = ids[np.argsort(-cosines, kind="stable")[:TRACED_TOKENS]]
            told[name] = ", ".join(repr(model.token_name(int(token))) for token in closest)
    return told
