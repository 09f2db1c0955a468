"""Progress of a download, on stderr: a bar for each file on a terminal, plain lines otherwise."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LARGE = 50_000_000
"""From this size on, a file has a line for each tenth of it."""
_said: set[str] = set()


def say(line: str) -> None:
    """One line on stderr."""
    print(line, file=sys.stderr, flush=True)


def say_once(line: str, aloud: bool = True) -> None:
    """One line on stderr, unless this process has said it before; not `aloud`, it only counts as said."""
    if aloud and line not in _said and "PYTEST_XDIST_WORKER" not in os.environ:  # its controller has said it
        say(line)
    _said.add(line)


def in_bytes(size: int | None) -> str:
    """A size for people: 523 B, 4.98 GB."""
    if size is None:
        return "of unknown size"
    number, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 999.5 or unit == "TB":
            break
        number /= 1000
    return f"{size} B" if unit == "B" else f"{number:.3g} {unit}"


def bar_for(name: str, where: str) -> type:
    """The class that huggingface_hub shows the progress of a file's download with, once that begins."""
    if not sys.stderr.isatty():
        return type("Lines", (_Lines,), {"name": name, "where": where})
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, desc: str = "", **options: Any) -> None:
            # Its own words for a file are the end of the address, where the signature is.
            super().__init__(*args, desc=desc if desc.startswith(name) else name, **options)

    return Bar


class _Lines:
    """As much of tqdm as huggingface_hub uses: a line at the beginning, and one for each tenth of a large file."""

    name = where = ""

    def __init__(self, *_: Any, total: int | None = None, initial: int = 0, **__: Any) -> None:
        self.total, self.n = total, initial
        self._tenths = 0
        say(f"  {self.name}, {in_bytes(total)} {self.where}")

    def update(self, n: float | None = 1) -> None:
        """Count `n` more bytes that have arrived."""
        self.n += int(n or 0)
        tenths = 10 * self.n // self.total if self.total and self.total >= LARGE else 0
        if self._tenths < tenths < 10:
            say(f"  {self.name}: {tenths * 10} % of {in_bytes(self.total)}")
        self._tenths = max(self._tenths, tenths)

    def update_transfer(self, n: float | None = 1) -> None:
        """Bytes on the way that are not written yet: not shown."""

    def set_postfix_str(self, *_: Any, **__: Any) -> None:
        """A rate: not shown."""

    set_transfer_postfix_str = set_postfix_str

    def close(self) -> None:
        """Nothing to close."""

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def rewritten_log(rewrite: Callable[[str], str]) -> Iterator[None]:
    """Within it, what huggingface_hub logs (retries, with addresses) passes through `rewrite`."""

    def each(record: logging.LogRecord) -> bool:
        record.msg, record.args = rewrite(record.getMessage()), ()
        return True

    handlers = list(logging.getLogger("huggingface_hub").handlers)
    for handler in handlers:
        handler.addFilter(each)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(each)
