"""Token names from the files of a tokenizer, read directly: no torch, no transformers, milliseconds."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict

from vsa_checks.models.files import LONGEST_BESIDE
from vsa_checks.models.gguf_header import GGUFHeader
from vsa_checks.reading import Unreadable, check, read_json, read_text

TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "spiece.model")
_SENTENCEPIECE = ("tokenizer.model", "spiece.model")
_ADDED_TOKENS = ("added_tokens.json", "tokenizer_config.json")
_GGUF_TOKENS, _GGUF_TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_GGUF_UNUSED = 5
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# Vocabularies are padded to round numbers by a few percent; one far shorter belongs to another model.
_SMALLEST_SHARE = 0.8
# Some tokenizers gained a padding token or a few more that the embeddings never got.
_MOST_EXTRA, _MOST_EXTRA_SHARE = 16, 0.02
# A list is made with a place for each id. The largest vocabularies have 300,000 tokens.
_MOST_TOKENS = 10_000_000
_Ids = dict[str, Annotated[int, Field(ge=0, lt=_MOST_TOKENS)]]


class _Added(TypedDict):
    content: str
    id: Annotated[int, Field(ge=0, lt=_MOST_TOKENS)]


class _Fast(TypedDict):
    model: dict[str, Any]


class _Decoded(TypedDict):
    content: str


class Vocabulary:
    """Token names by id, readable: a leading space is a space, and bytes that form no text are escaped."""

    def __init__(self, pieces: Sequence[str | None], style: str) -> None:
        """`pieces` has None for ids without a token; `style` says how pieces are written, such as "byte-level"."""
        self.pieces = pieces
        self.style = style

    def __len__(self) -> int:
        return len(self.pieces)

    def name(self, token: int) -> str:
        """Readable name of a token; its id as text when the vocabulary has no such token."""
        piece = self.pieces[token] if 0 <= token < len(self.pieces) else None
        if piece is None:
            return str(token)
        return _READ[self.style](piece)

    def named(self, d_vocab: int) -> NDArray[np.bool_]:
        """Which of a model's tokens this vocabulary has, (d_vocab,): False for ids in its gaps and past its end."""
        found = np.zeros(d_vocab, bool)
        known = [piece is not None for piece in self.pieces[:d_vocab]]
        found[: len(known)] = known
        return found


@lru_cache(maxsize=1)
def _byte_of_character() -> dict[str, int]:
    # GPT-2 writes every byte as a printable character: itself if it is one, else the next free one from 256 on.
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    characters = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    return characters | {chr(256 + at): byte for at, byte in enumerate(others)}


def _byte_level(piece: str) -> str:
    table = _byte_of_character()
    if any(character not in table for character in piece):
        return piece  # an added token, stored as it is
    return bytes(table[character] for character in piece).decode("utf-8", errors="backslashreplace")


def _sentencepiece(piece: str) -> str:
    match = _BYTE_PIECE.fullmatch(piece)
    if match:
        return bytes([int(match[1], 16)]).decode("utf-8", errors="backslashreplace")
    return piece.replace("▁", " ")


_READ: dict[str, Callable[[str], str]] = {"byte-level": _byte_level, "sentencepiece": _sentencepiece, "plain": str}
_GGUF_STYLES = {"gpt2": "byte-level", **dict.fromkeys(("llama", "t5", "gemma4"), "sentencepiece")}


def text_state(n_tokens: int | None, d_vocab: int) -> tuple[bool, str]:
    """Whether a tokenizer of `n_tokens` (None: unknown) serves a model of `d_vocab` tokens, and why not.

    It may be a few tokens longer than the model's vocabulary, as long as no text uses those: `texts.cut` looks.
    """
    if n_tokens is None:
        return True, ""
    if n_tokens == 0:
        return False, "no tokenizer: token ids stand for names, and what needs text is not checked"
    if n_tokens > d_vocab + max(_MOST_EXTRA, int(_MOST_EXTRA_SHARE * d_vocab)):
        return (
            False,
            f"the tokenizer's ids go up to {n_tokens - 1:,}, the model has only {d_vocab:,} tokens: they do not belong "
            "together",
        )
    if n_tokens < _SMALLEST_SHARE * d_vocab:
        return False, f"the tokenizer has only {n_tokens:,} tokens for the model's {d_vocab:,}"
    return True, ""


def directory_text_state(directory: Path, d_vocab: int) -> tuple[bool, str]:
    """Whether the tokenizer of a directory serves a model of `d_vocab` tokens, and why not."""
    vocabulary, problem = _read(directory)
    if problem:
        return False, f"its tokenizer cannot be used: {problem}"
    if vocabulary is not None:
        return text_state(len(vocabulary), d_vocab)
    return text_state(None if any((directory / name).is_file() for name in _SENTENCEPIECE) else 0, d_vocab)


def directory_vocabulary(directory: Path) -> Vocabulary | None:
    """Token names from tokenizer.json, vocab.json or vocab.txt of a directory; None if none of them can be read."""
    return _read(directory)[0]


def _read(directory: Path) -> tuple[Vocabulary | None, str]:
    """The vocabulary of a directory, if it can be read, and what is wrong if it is there and cannot."""
    files = [directory / name for name in (*_READERS, *_ADDED_TOKENS)]
    try:
        stats = [(file.name, os.stat(file)) for file in files if file.exists()]
    except OSError as problem:
        return None, f"the folder of the tokenizer cannot be read ({problem.strerror})"
    return _cached(directory, tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))


@lru_cache(maxsize=8)
def _cached(directory: Path, stamps: tuple[tuple[str, int, int], ...]) -> tuple[Vocabulary | None, str]:
    try:
        for name in (name for name, _, _ in stamps if name in _READERS):
            vocabulary = _READERS[name](directory / name)
            if vocabulary:
                _added_tokens(directory)  # transformers reads these files too
                return vocabulary, ""
    except Unreadable as problem:
        return None, str(problem)
    return None, ""


def gguf_vocabulary(header: GGUFHeader) -> Vocabulary | None:
    """Token names of a GGUF file; None if it holds none."""
    pieces: list[str | None] = list(header.texts(_GGUF_TOKENS))
    if not pieces:
        return None
    # The converter fills ids that the tokenizer does not have with "[PAD<id>]", of the type for unused tokens.
    types = header.array(_GGUF_TYPES) or [None] * len(pieces)
    for token, (piece, kind) in enumerate(zip(pieces, types, strict=False)):
        if kind == _GGUF_UNUSED or piece == f"[PAD{token}]":
            pieces[token] = None
    return Vocabulary(pieces, _GGUF_STYLES.get(str(header.fields.get("tokenizer.ggml.model")), "plain"))


def gguf_token_count(header: GGUFHeader) -> int:
    """Tokens named in a GGUF file."""
    return header.count_texts(_GGUF_TOKENS)


def gguf_text_state(header: GGUFHeader, d_vocab: int) -> tuple[bool, str]:
    """Whether the tokenizer in a GGUF file serves a model of `d_vocab` tokens, and why not."""
    count = gguf_token_count(header)
    if not count and header.has_array(_GGUF_TOKENS):
        return False, f"its tokenizer cannot be used: {_GGUF_TOKENS} in its header is no list of texts"
    return text_state(count, d_vocab)


def _by_id(tokens: dict[str, int]) -> list[str | None]:
    pieces: list[str | None] = [None] * (max(tokens.values(), default=-1) + 1)
    for piece, token in tokens.items():
        pieces[token] = piece
    return pieces


def _read_json(path: Path, schema: Any) -> Any:
    return read_json(path, limit=LONGEST_BESIDE, what="the file", schema=schema)


def _read_fast(path: Path) -> Vocabulary:
    content = _read_json(path, _Fast)
    stored = content["model"].get("vocab")
    if isinstance(stored, list):
        check(stored, list[list[str | float]], path=path, what="the file")
        # A piece and its probability each.
        stored = {entry[0]: at for at, entry in enumerate(stored) if entry}
    check(stored, _Ids, path=path, what="the file")
    added = content.get("added_tokens") or []
    check(added, list[_Added], path=path, what="the file")
    tokens = stored | {one["content"]: one["id"] for one in added}
    # The steps that split and join text say which alphabet the pieces are written in.
    steps = json.dumps([content.get(key) for key in ("pre_tokenizer", "decoder", "normalizer")], ensure_ascii=False)
    style = "byte-level" if '"ByteLevel"' in steps else "sentencepiece" if "▁" in steps else "plain"
    return Vocabulary(_by_id(tokens), style)


def _read_bpe(path: Path) -> Vocabulary:
    tokens = _read_json(path, _Ids) | _added_tokens(path.parent)
    return Vocabulary(_by_id(tokens), "byte-level")


def _read_wordpiece(path: Path) -> Vocabulary:
    # Not splitlines: it takes characters for ends of lines that are tokens in multilingual vocabularies.
    text = read_text(path, limit=LONGEST_BESIDE, what="the file")
    lines = text.removesuffix("\n").split("\n")
    pieces: list[str | None] = [*lines] if lines != [""] else []
    for piece, token in _added_tokens(path.parent).items():
        pieces += [None] * (token + 1 - len(pieces))
        pieces[token] = piece
    return Vocabulary(pieces, "plain")


def _added_tokens(directory: Path) -> dict[str, int]:
    """Tokens that stand beside vocab.json or vocab.txt; tokenizer.json holds its own."""
    found: dict[str, int] = {}
    simple, config = (directory / name for name in _ADDED_TOKENS)
    if simple.exists():
        found |= _read_json(simple, _Ids)
    if config.exists():
        listed = _read_json(config, dict[str, Any]).get("added_tokens_decoder") or {}
        check(listed, dict[Annotated[str, Field(pattern=r"^\d{1,7}$")], _Decoded], path=config, what="the file")
        found |= {added["content"]: int(token) for token, added in listed.items()}
    return found


_READERS: dict[str, Callable[[Path], Vocabulary]] = {
    "tokenizer.json": _read_fast,
    "vocab.json": _read_bpe,
    "vocab.txt": _read_wordpiece,
}
