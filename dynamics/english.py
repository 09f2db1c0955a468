"""Public-domain English: a text, tokenized by byte-level BPE trained on it.

The texts that ship are some 11,000 characters: enough to see a network begin, which then learns them by heart. A larger
text is named by `--text`, such as that of the Debian packages bible-kjv and bible-kjv-text, in the public domain nearly
everywhere: `bible -l200 gen1:1-rev22:21 > FILE`. The last part of a text is held out.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dynamics.language import Language
from dynamics.tokenizers_of import pieces_of, save
from vsa_checks.errors import UsageError
from vsa_checks.models.texts import MOST_TOKENS, Text, shipped_text

HELD_OUT_SHARE = 0.1
MOST_CHARACTERS = 20_000_000


def of_english(path: Path | None, n_pieces: int, n_positions: int) -> Language:
    """The language of a text in a file, or of the texts that ship.

    A training reads windows of it in an order of its own, again and again. Raises UsageError for a file that cannot be
    read, or is too short.
    """
    text = _read(path)
    cut = int(len(text) * (1 - HELD_OUT_SHARE))
    cut = text.find(" ", cut)
    known, held_out = text[:cut], text[cut:]
    tokenizer = pieces_of(known, n_pieces)
    ids = np.array(tokenizer.encode(known).ids, np.int64)
    rest = np.array(tokenizer.encode(held_out).ids[:MOST_TOKENS], np.int64)
    if len(rest) < n_positions or len(ids) <= n_positions:
        raise UsageError(
            f"The text is too short to train on: it has {len(text):,} characters. Name a longer one by --text."
        )

    def training(seed: int, n: int) -> NDArray[np.int64]:
        rng = np.random.default_rng(seed)
        starts = rng.integers(0, len(ids) - n_positions, -(-n // n_positions))
        return ids[starts[:, None] + np.arange(n_positions)].ravel()[:n]

    name = "the texts that ship (11,000 characters, learned by heart)" if path is None else path.name
    parts = tuple(held_out[at : at + 4000] for at in range(0, min(len(held_out), 40_000), 4000))
    read = Text(name, parts, hashlib.sha256("\n".join(parts).encode()).hexdigest())
    return Language("english", tokenizer.get_vocab_size(), training, rest, read, lambda folder: save(tokenizer, folder))


def _read(path: Path | None) -> str:
    if path is None:
        return "\n".join(shipped_text().passages)
    try:
        return path.read_text(encoding="utf-8-sig")[:MOST_CHARACTERS]
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"The text {path} cannot be read ({problem}). Give --text a file in UTF-8.") from problem
