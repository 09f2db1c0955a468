"""Tokenizers of a language's own, saved so that transformers loads them: whole words, or pieces found in a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vsa_checks.models.quiet import quiet


def save_words(folder: Path, words: Sequence[str], unknown: str) -> None:
    """Save a tokenizer that splits at spaces, each word a token whose id is its place."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    save(tokenizer, folder, unk_token=unknown)


def pieces_of(text: str, n_pieces: int) -> Any:
    """A byte-level BPE tokenizer of at most n_pieces tokens, found in a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=n_pieces, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    return tokenizer


def save(tokenizer: Any, folder: Path, **special: str) -> None:
    """Save a tokenizer beside a model's weights."""
    from transformers import PreTrainedTokenizerFast

    with quiet():
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
