"""Printing where the reader may go away, and the disk behind stdout be full."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from vsa_checks.errors import VsaChecksError


@contextmanager
def printing() -> Iterator[None]:
    """All that is printed within reaches stdout, or was not wanted any more (a pager, head).

    Raises VsaChecksError where it cannot be printed. Other files' errors are passed on.
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
                f"Not all could be printed ({getattr(problem.__cause__, 'strerror', problem)}). Make room where the "
                f"output goes, or let it go elsewhere."
            ) from problem
    finally:
        sys.stdout = before


def open_stdout() -> None:
    """Where a process was started without stdout, open it on nothing: else the next file would take its place."""
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")  # noqa: SIM115


def give_up(file: TextIO) -> None:
    """Let what is left go nowhere: Python flushes it when it ends, which would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


class _Unprinted(Exception):
    """What stdout raised."""


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
        except UnicodeEncodeError as problem:  # of a stdout in ASCII, say
            return self.write(str(text).encode(problem.encoding, "backslashreplace").decode(problem.encoding))
        except OSError as error:
            raise _Unprinted from error

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise _Unprinted from error
