"""What goes wrong, in words for the person who ran the command."""


class VsaChecksError(Exception):
    """Bad input: the message is one paragraph that names what was looked for, where, and the remedy."""


class UsageError(VsaChecksError):
    """An option or argument that cannot be used as given."""


class ModelError(VsaChecksError):
    """A model that cannot be found, read or trusted."""


class RecordedError(VsaChecksError):
    """A file of recorded verdicts that does not fit the model or the claims."""


_MOST_CHARACTERS = 300


def first_line(error: BaseException) -> str:
    """Kind and first line of an error, and its second line where the first ends with a colon; without the full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)[:_MOST_CHARACTERS].rstrip(".: ")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class NotChecked(Exception):
    """The subject does not exist on this model, or cannot mean anything there; the message says why."""
