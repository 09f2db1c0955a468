"""The text that models read: found, checked, and cut into windows of tokens."""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, AnyStr

import numpy as np
from numpy.typing import NDArray

from vsa_checks import paths
from vsa_checks.errors import NotChecked, UsageError, visible
from vsa_checks.reading import Unreadable, open_regular

LEAST_CHARACTERS = 1_000
"""A shorter text cannot fill the windows that any model needs."""
MOST_TOKENS = 4_096
"""No more of a text is read: time and memory stay bounded whatever its length."""
MOST_BYTES = 2**20
"""No more of a file is looked at: far beyond what so many tokens take."""
FIRST_CHARACTERS = 16 * MOST_TOKENS
"""So much of a passage is cut into tokens at first, and twice as much until there are enough."""
WINDOW_TOKENS = 128
LEAST_WINDOW = 16
LEAST_WINDOWS = 7
"""With fewer windows the p value of sign flips over windows cannot reach .01."""


@dataclass(frozen=True)
class Text:
    """Passages without a common context, under one name; sha256 of the file, or of "name sha256" lines of several.

    Of a file longer than MOST_BYTES all this is about its beginning, and the name says so.
    """

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
    """The windows of one text for one tokenizer; they hold n_tokens of the n_in_text tokens that were looked at."""

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
        with open_regular(path, what="The text") as file:
            content = file.read(MOST_BYTES + 1)
    except Unreadable as error:
        raise UsageError(f"{error}. {remedy}") from error
    except OSError as error:
        raise UsageError(f"The text {path} cannot be read ({error.strerror}). {remedy}") from error
    name = visible(path.name)
    if len(content) > MOST_BYTES:
        content = _whole_characters(_whole_words(content[:MOST_BYTES], b" ", b"\n"))
        name = f"{name} (its first {len(content):,} bytes)"
    try:
        passage = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The text {path} is not in UTF-8: byte {error.start} is none of its characters. {remedy}"
        ) from error
    length = len(passage.strip())
    if length < LEAST_CHARACTERS:
        raise UsageError(f"The text {path} is too short: it has {length:,} characters. {remedy}")
    return Text(name, (passage,), hashlib.sha256(content).hexdigest())


def cut(text: Text, tokenizer: Any, n_positions: int, d_vocab: int) -> Reading:
    """Cut a text into windows of about equal length, passage by passage, each with the tokens that the tokenizer adds.

    A window has at most WINDOW_TOKENS tokens, or n_positions if that is less. Windows shorter than LEAST_WINDOW are
    left out, and so is text beyond MOST_TOKENS. A model with fewer than LEAST_WINDOW positions gets no window. Raises
    NotChecked if the windows hold a token that is not among the model's d_vocab.
    """
    before, after = _special_tokens(tokenizer)
    room = min(WINDOW_TOKENS, n_positions) - len(before) - len(after)
    passages = [_beginning(one, tokenizer) for one in text.passages]
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


def _beginning(passage: str, tokenizer: Any) -> NDArray[np.int64]:
    """The tokens of a passage, or of its beginning where that has more than MOST_TOKENS."""
    n_characters = FIRST_CHARACTERS
    while True:
        part = passage if n_characters >= len(passage) else _whole_words(passage[:n_characters], " ", "\n")
        tokens = np.asarray(tokenizer.encode(part, add_special_tokens=False), np.int64)
        if len(tokens) > MOST_TOKENS or n_characters >= len(passage):
            return tokens
        n_characters *= 2


def _whole_words(beginning: AnyStr, *blanks: AnyStr) -> AnyStr:
    """The beginning of a text without the word that it ends in, which may be half a word; all of it without a blank."""
    last = max(beginning.rfind(blank) for blank in blanks)
    return beginning[:last] if last > 0 else beginning


def _whole_characters(content: bytes) -> bytes:
    """Bytes in UTF-8 without a character at the end whose last bytes are missing."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(content)
    missing = len(decoder.getstate()[0])
    return content[: len(content) - missing]


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
