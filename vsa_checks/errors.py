"""What goes wrong, in words for the person who ran the command."""

from __future__ import annotations

import unicodedata

# Unicode categories of invisible characters, some of which move or hide their neighbours.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: object) -> str:
    """Text with control and formatting characters written out (ESC as \\x1b), so that none can act on a display."""
    return "".join(
        character
        if character == " " or unicodedata.category(character) not in _INVISIBLE
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in str(text)
    )


class VsaChecksError(Exception):
    """Bad input: the message is one paragraph that names what was looked for, where, and the remedy.

    Names in it may come from anywhere, so whatever could act on a display is written out.
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
    """Text without its middle where that is too much for anyone to read, such as a name of a million characters."""
    if len(text) <= _LONGEST_PARAGRAPH:
        return text
    half = _LONGEST_PARAGRAPH // 2
    return f"{text[:half]} ... ({len(text) - 2 * half:,} characters more) ... {text[-half:]}"


def first_line(error: BaseException) -> str:
    """Kind and first line of an error, and its second line where the first ends with a colon; without the full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    text = visible(text)[:_MOST_CHARACTERS].rstrip(".: ")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


MOST_SEED = 2**63 - 1


def require_seed(seed: int) -> None:
    """Raise UsageError for a number that is no seed."""
    if not 0 <= seed <= MOST_SEED:
        raise UsageError(f"--seed {seed} cannot be used: seeds are whole numbers from 0 to {MOST_SEED}.")


class NotChecked(Exception):
    """The subject does not exist on this model, or cannot mean anything there; the message says why."""
