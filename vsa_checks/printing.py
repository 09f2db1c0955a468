"""Printing to a stdout whose reader may go away or whose disk may be full."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from vsa_checks.errors import VsaChecksError


@contextmanager
def printing() -> Iterator[None]:
    """Make sure that all output printed inside reaches stdout, unless its reader stopped reading (a pager, head).

    Raises VsaChecksError if it cannot be printed. Errors of other files are passed on.
    """
    open_stdout()
    before: Any = sys.stdout
    guarded = _Guarded(before)
    sys.stdout = guarded
    try:
        yield
        guarded.flush()
    except _Unprinted as problem:
        give_up(before)
        if not isinstance(problem.__cause__, BrokenPipeError):
            raise VsaChecksError(
                f"Part of the output could not be printed ({getattr(problem.__cause__, 'strerror', problem)}). Free "
                f"some space where the output goes, or send it elsewhere."
            ) from problem
    finally:
        sys.stdout = before


def open_stdout() -> None:
    """If the process has no stdout, open it on /dev/null; otherwise the next opened file would become stdout."""
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")  # noqa: SIM115


def give_up(file: TextIO) -> None:
    """Discard the remaining output: Python flushes it at exit, which would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


class _Unprinted(Exception):
    """An error that stdout raised."""


class _Guarded:
    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    @property
    def buffer(self) -> _Guarded:
        return _Guarded(self._file.buffer)

    def write(self, text: str | bytes) -> int:
        try:
            return int(self._file.write(text))
        except UnicodeEncodeError as problem:  # for example, a stdout in ASCII
            return self.write(str(text).encode(problem.encoding, "backslashreplace").decode(problem.encoding))
        except OSError as error:
            raise _Unprinted from error

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise _Unprinted from error
