"""The run's output. If its reader goes away or the disk is full, the run continues and its report is written."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import pytest

from vsa_checks.printing import give_up


class Output:
    """The file that pytest prints to; after the first error, kept in `trouble`, nothing more is printed."""

    def __init__(self, file: Any) -> None:
        self._file, self.trouble = file, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Print, if still possible."""
        if not self.trouble:
            try:
                return int(self._file.write(text))
            except UnicodeEncodeError:  # a lone surrogate in a name, or a terminal that knows few characters
                return self.write(text.encode("ascii", "backslashreplace").decode())
            except (OSError, ValueError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush the output, if still possible."""
        if not self.trouble:
            try:
                self._file.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def _give_up(self, error: OSError | ValueError) -> None:
        self.trouble = getattr(error, "strerror", None) or str(error)
        with suppress(OSError, ValueError):
            give_up(self._file)


def guard(config: pytest.Config) -> Output | None:
    """Put an `Output` between pytest and its terminal; None without one."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return None
    output = reporter._tw._file = Output(reporter._tw._file)
    return output


def say_on_stderr(words: str) -> None:
    """Print to stderr what cannot be printed to stdout; silent if that fails too."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(words + "\n")
        sys.stderr.flush()
