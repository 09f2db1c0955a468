"""Tokenizers of a language's own, saved so that transformers loads them: whole words, or pieces found in a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vsa_checks.models.quiet import quiet


def save_words(folder: Path, words: Sequence[str], unknown: str) -> None:
    """Save a tokenizer that splits at spaces, each word a token whose id is its place."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    _save(tokenizer, folder, unk_token=unknown)


def _save(tokenizer: object, folder: Path, **special: str) -> None:
    from transformers import PreTrainedTokenizerFast

    with quiet():
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
