"""Small tasks, each with items of known answers: copying, induction, agreement, a cloze over closed vocabularies."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks import paths
from vsa_checks.interventions.losses import Item

FILE = "tasks.toml"
LEAST_ITEMS = 6
"""A task with fewer items left after tokenization is skipped."""


def read_tasks() -> dict[str, Any]:
    """The tasks as they are written in fixtures/texts/tasks.toml."""
    return tomllib.loads((paths.TEXTS / FILE).read_text(encoding="utf-8"))


def items(
    tokenizer: Any, ordinary: NDArray[np.int64], n_positions: int, rng: np.random.Generator
) -> dict[str, list[Item]]:
    """Tokenize the tasks.

    An item is left out where the tokenizer gives two of its options the same first token, where it is longer than the
    model's positions, and where it needs a token that the model does not have.

    Parameters
    ----------
    tokenizer : a transformers tokenizer
    ordinary : int array, the ids of tokens that have an embedding
    n_positions : how many tokens the model reads at most
    rng : draws the order of words and tokens

    Returns
    -------
    dict of task to items; a task with fewer than LEAST_ITEMS is left out
    """
    told = read_tasks()
    special = set(tokenizer.all_special_ids)
    plain = np.array([token for token in ordinary.tolist() if token not in special], np.int64)
    found = {
        "copying": _copying(told["copying"], tokenizer, rng),
        "induction": _induction(told["induction"], tokenizer, plain, rng),
        "agreement": [_choice(tokenizer, one[0], one[1:]) for one in told["agreement"]["items"]],
        "cloze": [
            _choice(tokenizer, words, [right, *(one for one in group["options"] if one != right)])
            for group in told["cloze"]["groups"]
            for words, right in group["items"]
        ],
    }
    known = int(ordinary.max()) + 1
    fit = {name: [item for item in some if item and _fits(item, n_positions, known)] for name, some in found.items()}
    return {name: some for name, some in fit.items() if len(some) >= LEAST_ITEMS}


def _fits(item: Item, n_positions: int, known: int) -> bool:
    return len(item.tokens) <= n_positions and max(int(item.tokens.max()), *item.options, 0) < known


def _copying(told: dict[str, Any], tokenizer: Any, rng: np.random.Generator) -> list[Item | None]:
    made: list[Item | None] = []
    for _ in range(told["items"]):
        words = rng.choice(told["words"], told["length"], replace=False)
        whole = told["frame"].format(words=", ".join(words))
        before, after = (np.asarray(tokenizer.encode(text), np.int64) for text in (whole[: whole.rfind(" ")], whole))
        common = len(before)
        # Tokenizers that add an end mark, or join the last word with what precedes it, leave nothing to predict.
        same = len(after) > common and np.array_equal(after[:common], before)
        made.append(Item(after, first=common) if same else None)
    return made


def _induction(
    told: dict[str, Any], tokenizer: Any, plain: NDArray[np.int64], rng: np.random.Generator
) -> list[Item | None]:
    length = told["length"]
    if len(plain) < length:
        return []
    start = [] if getattr(tokenizer, "bos_token_id", None) is None else [tokenizer.bos_token_id]
    made: list[Item | None] = []
    for _ in range(told["items"]):
        once = rng.choice(plain, length, replace=False)
        made.append(Item(np.concatenate([start, once, once]).astype(np.int64), first=len(start) + length + 1))
    return made


def _choice(tokenizer: Any, words: str, options: list[str]) -> Item | None:
    """The next word after some words, the right one first; by the first token that it has after a space."""
    before = np.asarray(tokenizer.encode(words), np.int64)
    firsts = []
    for option in options:
        after = np.asarray(tokenizer.encode(f"{words} {option}"), np.int64)
        if len(after) <= len(before) or not np.array_equal(after[: len(before)], before):
            return None
        firsts.append(int(after[len(before)]))
    # "Tuesday" and "Thursday" share their first token in small vocabularies: then the choice means nothing.
    return Item(before, options=tuple(firsts)) if len(set(firsts)) == len(firsts) else None
