"""Activations on text, window by window and hook by hook, and which positions are attention sinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.models import Basis
from vsa_checks.models.forward import CannotRun
from vsa_checks.models.texts import LEAST_WINDOW, LEAST_WINDOWS, Reading, Window, cut
from vsa_checks.workbench.access import Workbench

SINK_SHARE = 0.2
"""A sink gets at least this share of all attention of the destinations that can see it, over the heads of a layer."""
SINK_DESTINATIONS = 8
"""With fewer destinations a large share is common."""


@dataclass(frozen=True)
class Seen:
    """One window and what the model computed on it: hook name -> activations without the batch dimension."""

    window: Window
    cache: dict[str, NDArray[np.float32]]


def reading(bench: Workbench, basis: Basis) -> Reading:
    """The windows of text that this model reads. Raises NotChecked without a tokenizer or with too little text."""
    model = bench.model(basis)
    if model.tokenizer is None:
        raise NotChecked(f"the model cannot read text: {model.text_reason}")
    try:
        n_ctx = int(model.bridge.cfg.n_ctx)
    except CannotRun as problem:
        raise NotChecked(f"the model cannot be run: {problem}") from problem
    if n_ctx < LEAST_WINDOW:
        raise NotChecked(f"the model has only {n_ctx} positions: windows of text have {LEAST_WINDOW} at least")
    found = bench.once("reading", lambda: cut(bench.text, model.tokenizer, n_ctx, model.info.d_vocab))
    if len(found.windows) < LEAST_WINDOWS:
        raise NotChecked(
            f"the text {bench.text.name} has {found.n_in_text} tokens for this model, enough for {len(found.windows)}"
            f" windows; at least {LEAST_WINDOWS} are needed"
        )
    bench.tokens_were_read(found.n_tokens)
    return found


def read(
    bench: Workbench, basis: Basis, hooks: Sequence[str], label: str, stop_at_layer: int | None = None
) -> Iterator[Seen]:
    """Run the model over the text, window by window, and yield the activations at the hooks named.

    A hook is named in full, or as "*.attn.hook_z" for all blocks. Layers from stop_at_layer on and the unembedding are
    not run. Raises NotChecked as `reading` does.
    """
    model, windows = bench.model(basis), reading(bench, basis).windows
    whole = {name for name in hooks if not name.startswith("*")}
    ends = tuple(name[1:] for name in hooks if name.startswith("*"))
    progress = bench.progress(label)
    for place, window in enumerate(windows):
        try:
            _, cache = model.run_with_cache(
                window.tokens,
                names_filter=lambda name: name in whole or (name.startswith("blocks.") and name.endswith(ends)),
                stop_at_layer=stop_at_layer,
                logits=False,
            )
        except CannotRun as problem:
            raise NotChecked(f"the model cannot be run: {problem}") from problem
        absent = [name for name in whole if name not in cache]
        absent += [f"*{end}" for end in ends if not any(name.endswith(end) for name in cache)]
        if absent:
            raise NotChecked(f"transformer_lens shows no {', '.join(sorted(absent))} of this architecture")
        if any(len(tensor) != 1 or len(window.tokens) not in tensor.shape[1:3] for tensor in cache.values()):
            raise NotChecked("transformer_lens shows activations of this architecture without their positions")
        yield Seen(window, {name: tensor[0].float().cpu().numpy() for name, tensor in cache.items()})
        if progress is not None:
            progress(place + 1, len(windows))


def require_decoder(bench: Workbench, basis: Basis, why: str) -> None:
    """Raise NotChecked, with the reason, for a model whose attention is not causal."""
    if not bench.model(basis).info.causal:
        raise NotChecked(f"needs a causal decoder: {why}")


def sinks(pattern: ArrayLike, causal: bool) -> NDArray[np.bool_]:
    """Find the attention sinks of a layer: positions that get much attention from everywhere.

    A position is one if at least SINK_DESTINATIONS other destinations can see it, and give it at least SINK_SHARE of
    their attention, averaged over destinations and heads.

    Parameters
    ----------
    pattern : array_like, shape (n_heads, n, n)
        Attention by head, destination and source.
    causal : bool
        Whether a destination sees only the sources before it.

    Returns
    -------
    ndarray of bool, shape (n,)

    References
    ----------
    Xiao et al. (2023), arXiv:2309.17453, for the term.
    """
    mean = np.asarray(pattern, np.float64).mean(axis=0)
    n = len(mean)
    sees = np.tril(np.ones((n, n), bool), -1) if causal else ~np.eye(n, dtype=bool)
    counts = sees.sum(axis=0)
    received = np.where(sees, mean, 0.0).sum(axis=0) / np.maximum(counts, 1)
    found: NDArray[np.bool_] = (counts >= SINK_DESTINATIONS) & (received >= SINK_SHARE)
    return found


def in_text(window: Window) -> NDArray[np.bool_]:
    """Which positions of a window (n,) hold text, except the first, which is a sink in most models."""
    places = np.arange(len(window.tokens))
    found: NDArray[np.bool_] = (places >= max(window.first, 1)) & (places < window.last)
    return found
