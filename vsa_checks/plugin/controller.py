"""The hooks of the process that hears every report and writes the results."""

# ruff: noqa: D102 - pytest says what its hooks do

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator
from types import FrameType
from typing import Any

import pytest

from vsa_checks.errors import VsaChecksError
from vsa_checks.models.memory import GB, most_taken
from vsa_checks.plugin import finish
from vsa_checks.plugin.progress import LiveProgress
from vsa_checks.plugin.run import CHOSEN_MODEL, ClaimsRun
from vsa_checks.plugin.tally import Tally


class Controller:
    """Hears every report of a run, and writes and tells what came of it."""

    def __init__(self, run: ClaimsRun, progress: LiveProgress) -> None:
        self.run, self.progress, self.tally, self.start = run, progress, Tally(), time.monotonic()
        self.document: dict[str, Any] | None = None
        self.trouble = ""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._expect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[CHOSEN_MODEL] = self.run.name

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._expect(ids)

    def _expect(self, node_ids: list[str]) -> None:
        self.tally.expect(node_ids)
        self.progress.estimate.expect(node_ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.tally.hear(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        self.tally.refused = exitstatus == pytest.ExitCode.USAGE_ERROR  # what it is told says why nothing was run
        stopped = session.shouldstop or session.shouldfail or exitstatus == pytest.ExitCode.INTERRUPTED
        self.tally.ended_early = bool(stopped and self.tally.collected - self.tally.done)
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
            try:
                self.document = finish.write_report(self.run, self.tally, time.monotonic() - self.start)
                if self.run.record and exitstatus == pytest.ExitCode.OK and not self.tally.missing:
                    finish.record(self.run, self.tally)
            except (VsaChecksError, OSError) as error:
                self.trouble = f"The report was not written: {error}"
            self.run.kept.prune()
        if exitstatus == pytest.ExitCode.OK and (self.tally.missing or self.trouble):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if exitstatus == pytest.ExitCode.TESTS_FAILED and self.tally.load_failures:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
        yield  # pytest's own list of failures first: the summary is what a reader should end on
        finish.tell(self.run, self.tally, self.document, terminalreporter)
        taken = most_taken()
        if (
            self.run.plan is not None
            and taken is not None
            and not terminalreporter.config.getoption("numprocesses", None)
        ):
            terminalreporter.write_line(f"Memory taken at most: {taken / GB:.1f} GB.")
        if self.trouble:
            terminalreporter.write_line(self.trouble, red=True)

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        report.title = f"Claims on {self.run.info.name}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        from vsa_checks.report import log_columns

        cells[1:1] = log_columns.headers()

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        from vsa_checks.plugin.tally import result_of
        from vsa_checks.report import log_columns

        cells[1:1] = log_columns.cells(result_of(report))


def end_on_sigterm(config: pytest.Config) -> None:
    """Let SIGTERM end this run as Ctrl-C does, so that its report is written; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt("SIGTERM")

    signal.signal(signal.SIGTERM, end)

    def restore() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    config.add_cleanup(restore)
