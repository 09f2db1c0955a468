"""A terminal of its own for a process, and what a person sees on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Callable

_TOKEN = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\x1b.|[^\x1b]", re.DOTALL)


class Screen:
    """Rows and columns as a terminal fills them; raises for what it does not know."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.lines = [""] * rows
        self.scrolled: list[str] = []
        self.row = self.column = 0
        self.saved = (0, 0)

    def write(self, text: str) -> None:
        for token in _TOKEN.findall(text):
            self._one(token)

    def _down(self) -> None:
        if self.row == self.rows - 1:
            self.scrolled.append(self.lines.pop(0))
            self.lines.append("")
        else:
            self.row += 1

    def _one(self, token: str) -> None:
        match token:
            case "\n" | "\x1bD":
                self._down()
            case "\r":
                self.column = 0
            case "\x1b7":
                self.saved = (self.row, self.column)
            case "\x1b8":
                self.row, self.column = self.saved
            case "\x1b[A":
                self.row = max(self.row - 1, 0)
            case "\x1b[B":
                self.row = min(self.row + 1, self.rows - 1)
            case "\x1b[K":
                self.lines[self.row] = self.lines[self.row][: self.column]
            case _ if token.startswith("\x1b[") and token.endswith("m"):
                pass
            case _ if len(token) == 1 and token.isprintable():
                if self.column == self.columns:
                    self.column = 0
                    self._down()
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + token + line[self.column + 1 :]
                self.column += 1
            case _:
                raise AssertionError(f"{token!r} on the terminal")


def watched(
    start: Callable[[int], Callable[[], int]], rows: int = 24, columns: int = 80
) -> tuple[int, Screen, list[str]]:
    """Start something on a terminal: its exit code, the last screen, and all states of the row below the cursor.

    start: is given the terminal's file descriptor, and returns a function that waits for the exit code.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    wait = start(theirs)
    os.close(theirs)
    screen, below, written = Screen(rows, columns), [], ""
    while True:
        try:
            more = os.read(ours, 65536).decode("utf-8", "replace")
        except OSError:  # nobody writes any more
            break
        if not more:
            break
        written += more
        while (end := written.find("\x1b8")) >= 0:
            screen.write(written[: end + 2])
            written = written[end + 2 :]
            below.append(screen.lines[min(screen.row + 1, rows - 1)])
    screen.write(written)
    os.close(ours)
    return wait(), screen, below
