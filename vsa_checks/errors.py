"""Errors with messages for the person who ran the command."""

from __future__ import annotations

import unicodedata

# Unicode categories of invisible characters, some of which move or hide their neighbours.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: object) -> str:
    """Text with control and formatting characters escaped (ESC as \\x1b), so that none can affect a terminal."""
    return "".join(
        character
        if character == " " or unicodedata.category(character) not in _INVISIBLE
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in str(text)
    )


class VsaChecksError(Exception):
    """Bad input. The message is one paragraph that says what was looked for, where, and the remedy.

    Names in it may come from anywhere, so characters that could affect a terminal are escaped.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(_within_a_paragraph(visible(message)))


class UsageError(VsaChecksError):
    """An option or argument that cannot be used as given."""


class ModelError(VsaChecksError):
    """A model that cannot be found, read or trusted."""


class RecordedError(VsaChecksError):
    """A file of recorded verdicts that does not fit the model or the claims."""


_MOST_CHARACTERS = 300
_LONGEST_PARAGRAPH = 4000


def _within_a_paragraph(text: str) -> str:
    """Text without its middle if it is too long to read, for example a name of a million characters."""
    if len(text) <= _LONGEST_PARAGRAPH:
        return text
    half = _LONGEST_PARAGRAPH // 2
    return f"{text[:half]} ... ({len(text) - 2 * half:,} characters more) ... {text[-half:]}"


def first_line(error: BaseException) -> str:
    """Type and first line of an error, with its second line if the first ends with a colon; no full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    text = visible(text)[:_MOST_CHARACTERS].rstrip(".: ")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


MOST_SEED = 2**63 - 1


def require_seed(seed: int) -> None:
    """Raise UsageError for a number that is not a valid seed."""
    if not 0 <= seed <= MOST_SEED:
        raise UsageError(f"--seed {seed} cannot be used: seeds are whole numbers from 0 to {MOST_SEED}.")


class NotChecked(Exception):
    """The subject does not exist on this model, or would mean nothing there; the message says why."""
