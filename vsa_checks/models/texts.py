"""The text that models read: found, checked, and cut into windows of tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks import paths
from vsa_checks.errors import NotChecked, UsageError

LEAST_CHARACTERS = 1_000
"""A shorter text cannot fill the windows that any model needs."""
MOST_TOKENS = 4_096
"""No more of a text is read: time and memory stay bounded whatever its length."""
WINDOW_TOKENS = 128
LEAST_WINDOW = 16
LEAST_WINDOWS = 7
"""With fewer windows the p value of sign flips over windows cannot reach .01."""


@dataclass(frozen=True)
class Text:
    """Passages without a common context, under one name; sha256 of the file, or of "name sha256" lines of several."""

    name: str
    passages: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class Window:
    """Token ids (n,) that a model reads at once: text at first:last, around it the tokens that the tokenizer adds."""

    tokens: NDArray[np.int64]
    first: int
    last: int


@dataclass(frozen=True)
class Reading:
    """The windows of one text for one tokenizer; they hold n_tokens of the text's n_in_text tokens."""

    windows: tuple[Window, ...]
    n_tokens: int
    n_in_text: int


def shipped_text() -> Text:
    """The passages of fixtures/texts/, by file name. Raises UsageError if they are not there."""
    files = sorted(paths.TEXTS.glob("*.txt"))
    if not files:
        raise UsageError(f"There are no texts in {paths.TEXTS}. Restore them, or name one by --text.")
    lines = [f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in files]
    passages = tuple(file.read_text(encoding="utf-8") for file in files)
    return Text("fixtures/texts", passages, hashlib.sha256("".join(lines).encode()).hexdigest())


def read_text(path: Path) -> Text:
    """One file as one passage. Raises UsageError for a file that is unreadable, not in UTF-8 or too short."""
    remedy = f"Give --text a file of at least {LEAST_CHARACTERS:,} characters in UTF-8, or leave the option out."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"The text {path} cannot be read ({error.strerror}). {remedy}") from error
    try:
        passage = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The text {path} is not in UTF-8: byte {error.start} is none of its characters. {remedy}"
        ) from error
    length = len(passage.strip())
    if length < LEAST_CHARACTERS:
        raise UsageError(f"The text {path} is too short: it has {length:,} characters. {remedy}")
    return Text(path.name, (passage,), hashlib.sha256(content).hexdigest())


def cut(text: Text, tokenizer: Any, n_positions: int, d_vocab: int) -> Reading:
    """Cut a text into windows of about equal length, passage by passage, each with the tokens that the tokenizer adds.

    A window has at most WINDOW_TOKENS tokens, or n_positions if that is less. Windows shorter than LEAST_WINDOW are
    left out, and so is text beyond MOST_TOKENS. A model with fewer than LEAST_WINDOW positions gets no window. Raises
    NotChecked if the windows hold a token that is not among the model's d_vocab.
    """
    before, after = _special_tokens(tokenizer)
    room = min(WINDOW_TOKENS, n_positions) - len(before) - len(after)
    passages = [np.asarray(tokenizer.encode(one, add_special_tokens=False), np.int64) for one in text.passages]
    windows: list[Window] = []
    for passage in passages if room > 0 else []:
        for part in np.array_split(passage, max(1, -(-len(passage) // room))):
            tokens = np.concatenate([before, part, after])
            if len(tokens) >= LEAST_WINDOW and _length(windows) + len(part) <= MOST_TOKENS:
                windows.append(Window(tokens, len(before), len(before) + len(part)))
    highest = max((int(window.tokens.max()) for window in windows), default=0)
    if highest >= d_vocab:
        place = "around every text" if highest in (*before, *after) else f"in {text.name}"
        raise NotChecked(
            f"the tokenizer gives token {highest} {place}, and the model has only the tokens 0 to {d_vocab - 1}"
        )
    return Reading(tuple(windows), _length(windows), sum(map(len, passages)))


def _length(windows: list[Window]) -> int:
    return sum(window.last - window.first for window in windows)


def _special_tokens(tokenizer: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tokens that the tokenizer adds before and after a text, such as a beginning-of-text token."""
    plain, dressed = tokenizer.encode("a", add_special_tokens=False), tokenizer.encode("a")
    for start in range(len(dressed) - len(plain) + 1):
        if dressed[start : start + len(plain)] == plain:
            break
    else:
        start = len(dressed)
    return np.asarray(dressed[:start], np.int64), np.asarray(dressed[start + len(plain) :], np.int64)
