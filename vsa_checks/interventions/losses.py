"""How well a model predicts: the loss of next tokens, window by window, and the answers to items of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import first_line
from vsa_checks.models.forward import CannotRun
from vsa_checks.models.texts import Window

BATCH_TOKENS = 1024
"""Number of tokens whose logits are held at a time: 200 MB at a vocabulary of 49,152."""


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
        logits = _logits(module, [windows[at].tokens for at in batch])
        for row, at in enumerate(batch):
            window = windows[at]
            wanted = torch.from_numpy(predicted(window))
            scores = logits[row, window.last - 1 - len(wanted) : window.last - 1].float()
            found[at] = float(torch.nn.functional.cross_entropy(scores, wanted))
    return found


def predicted(window: Window) -> NDArray[np.int64]:
    """The tokens of a window that are predicted (n,)."""
    return window.tokens[max(1, window.first) : window.last]


def fixed_guess(wanted: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Compute the mean loss of each unit's tokens, in nats, under the best guess that knows no context.

    That is how often each token is among all that are asked: no one distribution over tokens, not the unigrams of any
    corpus either, has a lower loss on all of them.

    Returns
    -------
    array (units,)
    """
    tokens, places = np.unique(np.concatenate(wanted), return_inverse=True)
    losses = -np.log(np.bincount(places, minlength=len(tokens)) / len(places))[places]
    ends = np.cumsum([len(one) for one in wanted])
    return np.array([part.mean() for part in np.split(losses, ends[:-1])])


@dataclass(frozen=True)
class Item:
    """Tokens (n,) and what is asked of them.

    With `options`, token ids of which the first is right, the next token after `tokens` is chosen among them. Without,
    the tokens from `first` on are predicted, each among the whole vocabulary.
    """

    tokens: NDArray[np.int64]
    options: tuple[int, ...] = ()
    first: int = 0

    @property
    def wanted(self) -> NDArray[np.int64]:
        """What is asked (n,): the right option, or the tokens from `first` on."""
        return np.array(self.options[:1], np.int64) if self.options else self.tokens[self.first :]


def blind_losses(items: Sequence[Item]) -> NDArray[np.float64]:
    """Compute the loss (items,) of a guess that knows no context: even among options, or `fixed_guess`."""
    if not all(item.options for item in items):
        return fixed_guess([item.wanted for item in items])
    return np.log([len(item.options) for item in items])


def item_scores(module: Any, items: Sequence[Item]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute each item's loss in nats, among the options it has, and its share of right answers.

    Returns
    -------
    losses, accuracies : arrays (items,)
    """
    import torch

    losses, right = np.empty(len(items)), np.empty(len(items))
    for batch in _batches([len(item.tokens) for item in items]):
        logits = _logits(module, [items[at].tokens for at in batch])
        for row, at in enumerate(batch):
            item, last = items[at], len(items[at].tokens) - 1
            if item.options:
                scores = logits[row, last : last + 1, list(item.options)].float()
                wanted = torch.zeros(1, dtype=torch.long)
            else:
                scores = logits[row, item.first - 1 : last].float()
                wanted = torch.from_numpy(item.tokens[item.first :])
            losses[at] = float(torch.nn.functional.cross_entropy(scores, wanted))
            right[at] = float((scores.argmax(-1) == wanted).double().mean())
    return losses, right


def _logits(module: Any, sequences: Sequence[NDArray[np.int64]]) -> Any:
    """The logits (sequences, positions, d_vocab) of sequences of one length. Raises CannotRun for any error."""
    import torch

    tokens = np.stack(sequences)
    try:
        with torch.no_grad():
            return module(torch.from_numpy(tokens), use_cache=False).logits
    except Exception as problem:  # transformers may raise anything
        raise CannotRun(
            f"The model cannot be run over the text: {first_line(problem)}. Check that there is enough free memory, or "
            "give another model."
        ) from problem


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Places of equal length together, shortest first, at most BATCH_TOKENS tokens at a time.

    Nothing is padded: what is held at its mean is a mean over tokens of the text, and of nothing else.
    """
    found: list[list[int]] = [[]]
    for place in np.argsort(lengths, kind="stable").tolist():
        full = (len(found[-1]) + 1) * lengths[place] > BATCH_TOKENS
        if found[-1] and (full or lengths[place] != lengths[found[-1][0]]):
            found.append([])
        found[-1].append(place)
    return [batch for batch in found if batch]
