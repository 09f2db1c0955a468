"""The language that a network is trained on and asked about: the grammar's language, or English."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dynamics.grammar import UNKNOWN, Grammar
from dynamics.tokenizers_of import save_words
from vsa_checks.models.texts import MOST_TOKENS, Text

PASSAGE = 512
HELD_OUT = 987_654_321
"""Seed of the text that no network is trained on."""


@dataclass(frozen=True)
class Language:
    """A language: its name, vocabulary size, training text by seed and length, and the text that claims read.

    grammar: None where the concepts are not known. save_tokenizer is called with a checkpoint's folder.
    """

    name: str
    d_vocab: int
    training: Callable[[int, int], NDArray[np.int64]]
    held_out: NDArray[np.int64]
    text: Text
    save_tokenizer: Callable[[Path], None]
    grammar: Grammar | None = None


def of_grammar(grammar: Grammar) -> Language:
    """The language of a grammar. Trainings of different seeds read different texts."""
    words = grammar.words()
    ids = {word: at for at, word in enumerate(words)}

    def tokens(seed: int, n: int) -> NDArray[np.int64]:
        return np.array([ids[word] for word in grammar.text(seed, n)], np.int64)

    held_out = grammar.text(HELD_OUT, MOST_TOKENS)
    return Language(
        "grammar",
        len(words),
        tokens,
        np.array([ids[word] for word in held_out], np.int64),
        passages("the grammar's language", held_out),
        lambda folder: save_words(folder, words, UNKNOWN),
        grammar,
    )


def passages(name: str, words: Sequence[str]) -> Text:
    """Words as passages for the claims about activations."""
    parts = tuple(" ".join(words[at : at + PASSAGE]) for at in range(0, len(words), PASSAGE))
    return Text(name, parts, hashlib.sha256("\n".join(parts).encode()).hexdigest())
