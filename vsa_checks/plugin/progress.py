"""Progress of long work on a terminal; silence anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LEAST_SECONDS = 0.2


class LiveProgress:
    """One bar under pytest's own output, gone when its work is done."""

    def __init__(self, config: pytest.Config) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        worker = hasattr(config, "workerinput")
        self._capture = config.pluginmanager.get_plugin("capturemanager")
        self._watched = not worker and reporter is not None and reporter.isatty and config.option.verbose >= 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last = 0.0

    def tracker(self, label: str) -> Callable[[int, int], None] | None:
        """A function to call with (done, total), or None when nobody watches."""
        if not self._watched:
            return None

        def advance(done: int, total: int) -> None:
            now = time.monotonic()
            if now - self._last < LEAST_SECONDS and done < total:
                return
            self._last = now
            if self._capture is None:
                self._show(label, done, total)
            else:
                with self._capture.global_and_fixture_disabled():
                    self._show(label, done, total)

        return advance

    def _show(self, label: str, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                console=Console(file=sys.__stderr__),
                transient=True,
                auto_refresh=False,
            )
            sys.__stderr__.write("\n")  # type: ignore[union-attr]
            self._bar.start()
            self._task = self._bar.add_task(label, total=total)
        assert self._task is not None
        self._bar.update(self._task, description=label, completed=done, total=total)
        self._bar.refresh()
        if done >= total:
            self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
