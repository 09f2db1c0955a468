"""How well a model predicts: the loss of next tokens, window by window, and the answers to items of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.models.texts import Window

BATCH_TOKENS = 512
"""Logits of so many tokens are held at a time: 100 MB at a vocabulary of 49,152."""


def window_losses(module: Any, windows: Sequence[Window]) -> NDArray[np.float64]:
    """Compute the mean cross-entropy of the next token of each window, in nats.

    Tokens that the tokenizer adds around a text are read and not predicted; the first token of a text is predicted
    where one of them precedes it.

    Returns
    -------
    array (windows,)
    """
    import torch

    found = np.empty(len(windows))
    for batch in _batches([len(window.tokens) for window in windows]):
        tokens = torch.from_numpy(np.stack([windows[at].tokens for at in batch]))
        with torch.no_grad():
            logits = module(tokens, use_cache=False).logits
        for row, at in enumerate(batch):
            first, last = max(1, windows[at].first), windows[at].last
            found[at] = float(
                torch.nn.functional.cross_entropy(
                    logits[row, first - 1 : last - 1].double(), tokens[row, first:last], reduction="mean"
                )
            )
    return found


@dataclass(frozen=True)
class Item:
    """Tokens (n,) and what is asked of them.

    With `options`, token ids of which the first is right, the next token after `tokens` is chosen among them. Without,
    the tokens from `first` on are predicted, each among the whole vocabulary.
    """

    tokens: NDArray[np.int64]
    options: tuple[int, ...] = ()
    first: int = 0


def item_scores(module: Any, items: Sequence[Item]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute each item's loss in nats, among the options it has, and its share of right answers.

    Returns
    -------
    losses, accuracies : arrays (items,)
    """
    import torch

    losses, right = np.empty(len(items)), np.empty(len(items))
    for batch in _batches([len(item.tokens) for item in items]):
        tokens = torch.from_numpy(np.stack([items[at].tokens for at in batch]))
        with torch.no_grad():
            logits = module(tokens, use_cache=False).logits
        for row, at in enumerate(batch):
            item = items[at]
            if item.options:
                scores = logits[row, -1:, list(item.options)].double()
                wanted = torch.zeros(1, dtype=torch.long)
            else:
                scores = logits[row, item.first - 1 : -1].double()
                wanted = tokens[row, item.first :]
            losses[at] = float(torch.nn.functional.cross_entropy(scores, wanted))
            right[at] = float((scores.argmax(-1) == wanted).double().mean())
    return losses, right


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Places of equal length together, so that nothing is padded, at most BATCH_TOKENS tokens at a time."""
    found: list[list[int]] = []
    for length in sorted(set(lengths)):
        places = [at for at, own in enumerate(lengths) if own == length]
        size = max(1, BATCH_TOKENS // length)
        found += [places[start : start + size] for start in range(0, len(places), size)]
    return found
