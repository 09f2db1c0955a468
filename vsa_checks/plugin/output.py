"""What the run prints, where the reader may go away or the disk be full: the run goes on, and its report is written."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import pytest

from vsa_checks.printing import give_up


class Output:
    """The file that pytest prints to; nothing more is printed after the first error, which `trouble` tells."""

    def __init__(self, file: Any) -> None:
        self._file, self.trouble = file, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Print, if that still can be done."""
        if not self.trouble:
            try:
                return int(self._file.write(text))
            except UnicodeEncodeError:  # a lone surrogate in a name, or a terminal that knows few characters
                return self.write(text.encode("ascii", "backslashreplace").decode())
            except (OSError, ValueError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Hand on what was printed, if that still can be done."""
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
    """Tell what cannot be told on stdout; silent where that cannot be done either."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(words + "\n")
        sys.stderr.flush()
