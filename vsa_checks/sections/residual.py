"""Section 2: the residual stream on text as a bundle of the token and of what each component adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.orthogonality import centered
from vsa_checks.residual import (
    component_cosines,
    cosines_apart,
    exchanged_medians,
    own_ranks,
    ranks_of_each,
    shuffled_medians,
    unit_rows,
)
from vsa_checks.sections.tokens import excluded
from vsa_checks.statistics import Interval, bootstrap_groups
from vsa_checks.theory import cosine_deviation
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.activations import Seen, in_text, read, reading, require_decoder, sinks

SHUFFLED, EXCHANGED = "shuffled tokens", "what is added on exchanged coordinates"
SHUFFLES, EXCHANGES = 999, 199
APART, APART_DRAWS, APART_POSITIONS = "components of other positions", 199, 64
STREAM_BYTES = 256 * 2**20
"""Memory for components' outputs, which are kept at as many evenly spaced positions as fit."""
CURVE_POSITIONS = 128
EXCHANGED_POSITIONS = 64
"""Approximate number of evenly spaced positions that are ranked after exchanging the additions' coordinates."""
CLOSEST_PAIRS = 10


@dataclass(frozen=True)
class StreamOnText:
    """Data from reading the text: by window, tokens (n,) and the stream after the middle layer (n, d).

    Sinks, and positions whose row of W_E is not a token (`Workbench.tokens`), are left out; a token is given by its
    index among the tokens. some_streams (layers, m, d) is the stream after each layer at m positions with the tokens
    some_tokens. components (m, c, d): outputs at each position kept, of the components in names. squares (m,): their
    mean squared cosine there, windows (m,): the position's window. pair_squares (c, c): mean over positions for each
    pair. still: components that write the same everywhere. unseen: components whose outputs are not shown.
    """

    middle: int
    tokens: list[NDArray[np.int64]]
    streams: list[NDArray[np.float32]]
    some_tokens: NDArray[np.int64]
    some_streams: NDArray[np.float32]
    windows: NDArray[np.int64]
    components: NDArray[np.float32]
    squares: NDArray[np.float64]
    pair_squares: NDArray[np.float64]
    names: tuple[str, ...]
    still: tuple[str, ...]
    n_sinks: int
    n_untrained: int
    unseen: tuple[str, ...]

    @property
    def n_left_out(self) -> int:
        """Positions of the text that were left out."""
        return self.n_sinks + self.n_untrained

    @property
    def nbytes(self) -> int:
        """Size of the arrays."""
        return self.some_streams.nbytes + self.components.nbytes + sum(one.nbytes for one in self.streams)


def keeps_token(bench: Workbench, subject: Subject) -> Measurement:
    """Median rank of the position's own token, by cosine of the stream after layer n_layers // 2 with all tokens.

    A token is represented by the vector with which its stream starts. Tokens and stream are not centered; details have
    both centered. If a model adds only little, the token stays first whatever is added. So, at some of the positions,
    the token must be kept better than with the same additions on exchanged coordinates.
    Raises NotChecked for a model that cannot read text, and for tokens without a direction.
    """
    reading(bench, subject.basis)
    vectors = bench.tokens(subject.basis).of(bench.token_vectors(subject.basis))
    if not vectors.any() or not centered(vectors).any():
        raise NotChecked("no word embedding has a direction of its own")
    seen, words = _on_text(bench, subject.basis), unit_rows(vectors)
    present, types = np.unique(np.concatenate(seen.tokens), return_inverse=True)
    ranks = ranks_of_each(np.concatenate(seen.streams), words, present)
    everything = ranks[np.arange(len(types)), types]
    own = np.split(everything, np.cumsum([len(one) for one in seen.tokens])[:-1])
    value = float(np.median(everything))
    drawn = shuffled_medians(ranks, types, SHUFFLES, bench.rng(SHUFFLED, subject.id))
    exchanged, sampled = _exchanged(bench, subject, seen, vectors, words)
    return Measurement(
        value=value,
        interval=bootstrap_groups(own, "windows of text", bench.rng("bootstrap", subject.id), np.median),
        n_examined=len(everything),
        n_excluded=seen.n_left_out,
        nulls=(NullMeasurement.of_draws(SHUFFLED, value, drawn, "<="), exchanged),
        details={
            "layer": seen.middle,
            "share_at_rank_1": float((everything == 1).mean()),
            "curve": _by_layer(seen, vectors, words),
        }
        | sampled
        | excluded(bench, subject.basis),
    )


def components(bench: Workbench, subject: Subject) -> Measurement:
    """Root mean square cosine among embedding, attention and MLP outputs at a position, against random directions.

    Random directions are the ideal here, not a null: a purely random model rightly meets the claim. The same value for
    components from different positions, with the same distributions but unrelated to each other, is shown as well.

    Raises NotChecked for an encoder, a model that cannot read text, and if fewer than two components change over
    positions.
    """
    require_decoder(bench, subject.basis, "in an encoder norms rescale the stream, which is no sum of its components")
    seen = _on_text(bench, subject.basis)
    if seen.unseen:
        listed = ", ".join(seen.unseen[:4]) + (" and more" if len(seen.unseen) > 4 else "")
        raise NotChecked(f"transformer_lens does not show what some components add to the stream: {listed}")
    if len(seen.names) < 2:
        raise NotChecked("fewer than two components write anything that changes from position to position")
    groups = [seen.squares[seen.windows == window] for window in np.unique(seen.windows)]
    squares = bootstrap_groups(groups, "windows of text", bench.rng("bootstrap", subject.id), np.mean)
    value = float(np.sqrt(seen.squares.mean()))
    apart = cosines_apart(seen.components, APART_POSITIONS, APART_DRAWS, bench.rng(APART, subject.basis))
    return Measurement(
        value=value,
        interval=Interval(float(np.sqrt(squares.low)), float(np.sqrt(squares.high)), squares.unit),
        n_examined=len(seen.squares),
        n_excluded=seen.n_left_out,
        nulls=(NullMeasurement.of_draws(APART, value, apart, "<="),),
        reference=Reference("random directions, 1/sqrt(d)", cosine_deviation(bench.model(subject.basis).info.d_model)),
        details=_pairs(seen),
    )


def _exchanged(
    bench: Workbench,
    subject: Subject,
    seen: StreamOnText,
    vectors: NDArray[np.float32],
    words: NDArray[np.float32],
) -> tuple[NullMeasurement, dict[str, Any]]:
    """The median rank at some positions after exchanging the coordinates of what was added to the token."""
    step = max(1, -(-len(seen.some_tokens) // EXCHANGED_POSITIONS))
    tokens, streams = seen.some_tokens[::step], seen.some_streams[seen.middle, ::step]
    value = float(np.median(own_ranks(streams, words, tokens)))
    rng = bench.rng(EXCHANGED, subject.id)
    drawn = exchanged_medians(streams, vectors[tokens], words, tokens, EXCHANGES, rng)
    return NullMeasurement.of_draws(EXCHANGED, value, drawn, "<="), {
        "sampled_positions": len(tokens),
        "value_at_sampled_positions": value,
    }


def _on_text(bench: Workbench, basis: Basis) -> StreamOnText:
    return bench.while_room(("stream on text", basis), lambda: _read_all(bench, basis), lambda found: found.nbytes)


def _read_all(bench: Workbench, basis: Basis) -> StreamOnText:
    info = bench.model(basis).info
    middle = info.n_layers // 2
    sources = _components(info.n_layers)
    found = reading(bench, basis)
    step = stride(STREAM_BYTES, 4 * info.d_model * 2 * len(sources), found.n_tokens)
    sparse = max(1, -(-found.n_tokens // CURVE_POSITIONS))
    tokens, streams, parts, places, layers, asked = [], [], [], [], [], []
    known = bench.tokens(basis).mask
    places_of = np.cumsum(known) - 1
    n_sinks = n_untrained = read_before = 0
    hooks = ("hook_embed", "*.hook_attn_out", "*.hook_mlp_out", "*.hook_resid_post", "*.attn.hook_pattern")
    for window, seen in enumerate(read(bench, basis, hooks, f"the stream on text ({basis})")):
        resting = _any_sink(seen, info.n_layers, info.causal)
        text, trained = in_text(seen.window), known[seen.window.tokens]
        n_sinks += int((resting & text).sum())
        n_untrained += int((text & ~resting & ~trained).sum())
        at = np.flatnonzero(text & ~resting & trained)
        tokens.append(places_of[seen.window.tokens[at]])
        streams.append(seen.cache[f"blocks.{middle}.hook_resid_post"][at])
        kept = at[(read_before + np.arange(len(at))) % step == 0]
        shown = {name: hook for name, hook in sources.items() if _shows(seen, hook, info.d_model)}
        if shown:
            parts.append(np.stack([seen.cache[hook][kept] for hook in shown.values()], axis=1))
        places.append(np.full(len(kept), window))
        thin = at[(read_before + np.arange(len(at))) % sparse == 0]
        asked.append(places_of[seen.window.tokens[thin]])
        layers.append(np.stack([seen.cache[f"blocks.{layer}.hook_resid_post"][thin] for layer in range(info.n_layers)]))
        read_before += len(at)
    if not read_before:
        raise NotChecked("at no position of the text is there a token that was trained and is no sink")
    together = np.concatenate(parts) if parts else np.zeros((0, 0, info.d_model), np.float32)
    if len(shown) < len(sources):
        together = together[:0]  # if components are missing, the stream is not their sum
    moving = np.zeros(together.shape[1], bool)
    if len(together):
        moving = np.ptp(together, axis=0).max(axis=1) > 1e-5 * np.abs(together).max(axis=(0, 2))
    names = list(shown)
    together = together[:, moving]
    squares, pair_squares = np.zeros(len(together)), np.zeros((0, 0))
    if moving.sum() >= 2:
        squares, pair_squares = component_cosines(together)
    return StreamOnText(
        middle,
        tokens,
        streams,
        np.concatenate(asked),
        np.concatenate(layers, axis=1),
        np.concatenate(places),
        together,
        squares,
        pair_squares,
        tuple(name for name, moves in zip(names, moving, strict=True) if moves),
        tuple(name for name, moves in zip(names, moving, strict=True) if not moves),
        n_sinks,
        n_untrained,
        tuple(name for name in sources if name not in shown),
    )


def stride(budget_bytes: int, bytes_each: int, n: int) -> int:
    """The smallest stride at which evenly spaced ones of n things of equal size fit into a budget."""
    return max(1, -(-n * bytes_each // budget_bytes))


def _components(n_layers: int) -> dict[str, str]:
    """Name of each component -> the hook of its output."""
    found = {"embedding": "hook_embed"}
    for layer in range(n_layers):
        found |= {f"attention {layer}": f"blocks.{layer}.hook_attn_out", f"MLP {layer}": f"blocks.{layer}.hook_mlp_out"}
    return found


def _any_sink(seen: Seen, n_layers: int, causal: bool) -> NDArray[np.bool_]:
    """Positions that are a sink in any layer (n,): their large entries stay in the stream of all later layers."""
    names = (f"blocks.{layer}.attn.hook_pattern" for layer in range(n_layers))
    patterns = [seen.cache[name] for name in names if name in seen.cache]  # a hybrid has layers without attention
    found: NDArray[np.bool_] = np.any([sinks(pattern, causal) for pattern in patterns], axis=0)
    return found


def _shows(seen: Seen, hook: str, d_model: int) -> bool:
    """Whether a component's output is accessible as it is added to the stream."""
    return hook in seen.cache and seen.cache[hook].shape[-1] == d_model


def _by_layer(seen: StreamOnText, vectors: NDArray[np.float32], words: NDArray[np.float32]) -> dict[str, Any]:
    """Median rank of the own token after each layer, as measured and with stream and tokens centered."""
    tokens, centered_words = seen.some_tokens, unit_rows(centered(vectors))
    return {
        "x_label": "after layer",
        "y_label": f"median rank of the own token, {len(tokens)} positions",
        "x": list(range(len(seen.some_streams))),
        "series": [
            {
                "name": "as they are",
                "y": [float(np.median(own_ranks(one, words, tokens))) for one in seen.some_streams],
            },
            {
                "name": "stream and tokens centered",
                "y": [float(np.median(own_ranks(centered(one), centered_words, tokens))) for one in seen.some_streams],
            },
        ],
    }


def _pairs(seen: StreamOnText) -> dict[str, Any]:
    """The closest pairs of components, and each component's own rms cosine with the others."""
    c = len(seen.names)
    upper = np.triu_indices(c, 1)
    order = np.argsort(-seen.pair_squares[upper], kind="stable")[:CLOSEST_PAIRS]
    own = np.sqrt((seen.pair_squares.sum(axis=1) - np.diag(seen.pair_squares)) / (c - 1))
    return {
        "closest_pairs": [
            {
                "first": seen.names[upper[0][place]],
                "second": seen.names[upper[1][place]],
                "rms_cosine": float(np.sqrt(seen.pair_squares[upper][place])),
            }
            for place in order
        ],
        "components": [
            {"component": name, "rms_cosine": float(value)} for name, value in zip(seen.names, own, strict=True)
        ],
        "still_components": list(seen.still),
    }
