"""Progress of a run: the current check, how many are done, and the time left.

On a terminal this is one line below pytest's own, rewritten in place; elsewhere a line now and then.
"""

# ruff: noqa: D102 - pytest says what its hooks do

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import nullcontext

import pytest
from rich.cells import cell_len, set_cell_size

from vsa_checks.errors import visible
from vsa_checks.plugin.estimate import Estimate, in_words
from vsa_checks.plugin.properties import CACHE_PROPERTY

LEAST_SECONDS = 0.2
"""Between two states of the line on a terminal, while one check works."""
PLAIN_SECONDS = 60.0
"""Between two lines where the output is no terminal."""
# Save the cursor, go to the start of the line below, and clear it. "\x1bD" makes room where there is no such line.
_BELOW = "\x1bD\x1b[A\x1b7\x1b[B\r\x1b[K"
_BACK = "\x1b8"


def fitted(text: str, width: int) -> str:
    """The text, cut to the available columns."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)) + "…"


class LiveProgress:
    """Shows the progress of a run, in the process that receives every report."""

    def __init__(self, config: pytest.Config, clock: Callable[[], float] = time.monotonic) -> None:
        self.estimate = Estimate()
        self._config, self._clock = config, clock
        self._capture = config.pluginmanager.get_plugin("capturemanager")
        self._processes = int(config.getoption("numprocesses", None) or 1)
        self._at_work, self._since = "", clock()
        self._shown_at = self._since
        self._drawn = False

    # --- what pytest tells --------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logstart(self, nodeid: str) -> Generator[None, None, None]:
        self._erase()
        yield
        self._at_work, self._since = nodeid, self._clock()
        self._show()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, None, None]:
        self._erase()
        yield
        if report.when == "call":
            kept = any(name == CACHE_PROPERTY for name, _ in report.user_properties)
            self.estimate.took(report.nodeid, report.duration, kept)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> Generator[None, None, None]:
        self._erase()
        yield
        self.estimate.ended(nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self._erase()

    # --- what the work itself tells -----------------------------------------------------------------------------

    def tracker(self, label: str) -> Callable[[int, int], None]:
        """A function to call with (steps done, steps in all) of a long piece of work."""

        def advance(done: int, total: int) -> None:
            if self._clock() - self._shown_at < (LEAST_SECONDS if self._on_terminal else PLAIN_SECONDS):
                return
            step = f"{label}, {100 * done // total}%" if total else label
            with self._capture.global_and_fixture_disabled() if self._capture is not None else nullcontext():
                self._show(step)

        return advance

    # --- the line -----------------------------------------------------------------------------------------------

    @property
    def _reporter(self) -> pytest.TerminalReporter | None:
        found: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        return found if found is not None and self._config.option.verbose >= 0 else None

    @property
    def _on_terminal(self) -> bool:
        reporter = self._reporter
        return reporter is not None and bool(reporter.isatty) and os.environ.get("TERM") != "dumb"

    def line(self, step: str = "") -> str:
        """The progress of the run, in one line without control characters."""
        seconds, whole = self.estimate.left_s(self._at_work, self._clock() - self._since)
        left = in_words(seconds / self._processes, whole)
        name = self._at_work.rsplit("::", 1)[-1]
        if "[" in name:
            name = name.split("[", 1)[1].removesuffix("]").replace(".", "/")
        done = f"{self.estimate.n_done} of {self.estimate.n_checks} checks done"
        return visible(f"{', '.join(filter(None, (done, left)))}: {name}{f' ({step})' if step else ''}")

    def _show(self, step: str = "") -> None:
        reporter = self._reporter
        if reporter is None or not self.estimate.n_checks:
            return
        width, now = reporter._tw.fullwidth, self._clock()
        if self._on_terminal:
            self._drawn, self._shown_at = _written(f"{_BELOW}{fitted(self.line(step), width - 1)}{_BACK}"), now
        elif now - self._shown_at >= PLAIN_SECONDS:
            reporter.ensure_newline()
            reporter.write_line(fitted(self.line(step), width - 1))
            self._shown_at = now

    def _erase(self) -> None:
        if self._drawn:
            _written(f"{_BELOW}{_BACK}")
            self._drawn = False


def _written(text: str) -> bool:
    """Write to the terminal; False if it is gone, which must not end the run."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError):
        return False
    return True


PROGRESS = pytest.StashKey[LiveProgress]()
"""Of the process that hears every report; those that xdist starts have none."""
