"""The pytest hooks of the process that receives every report and writes the results."""

# ruff: noqa: D102 - pytest says what its hooks do

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import pytest

from vsa_checks.errors import VsaChecksError, visible
from vsa_checks.models.memory import GB, most_taken
from vsa_checks.plugin import finish
from vsa_checks.plugin.log import Log
from vsa_checks.plugin.output import Output, guard, say_on_stderr
from vsa_checks.plugin.progress import LiveProgress
from vsa_checks.plugin.properties import in_plain_words
from vsa_checks.plugin.run import CHOSEN_MODEL, ClaimsRun
from vsa_checks.plugin.tally import Tally, result_of


class Controller:
    """Receives every report of a run, writes the results and prints the summary."""

    def __init__(self, run: ClaimsRun, progress: LiveProgress, log: Log) -> None:
        self.run, self.progress, self.log = run, progress, log
        self.tally, self.start = Tally(), time.monotonic()
        self.document: dict[str, Any] | None = None
        self.output: Output | None = None
        self.troubles: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.output = guard(session.config)

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

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.tally.hear(report)
        if report.when == "teardown":  # of this one JUnit XML takes its properties
            report.user_properties = in_plain_words(report.user_properties, result_of(report))

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        self.tally.refused = exitstatus == pytest.ExitCode.USAGE_ERROR  # what it is told says why nothing was run
        stopped = session.shouldstop or session.shouldfail or exitstatus == pytest.ExitCode.INTERRUPTED
        self.tally.ended_early = bool(stopped and self.tally.collected - self.tally.done)
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
            self._report(exitstatus)
            self.run.kept.prune()
        if not self.tally.claims_tried and exitstatus != pytest.ExitCode.OK:
            self.log.leave_out()
            self.run.remove_empty_folder()
        if exitstatus == pytest.ExitCode.OK and (self.tally.missing or self.troubles):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if exitstatus == pytest.ExitCode.TESTS_FAILED and self.tally.load_failures:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        yield
        if self.log.trouble:
            self.troubles.append(self.log.trouble)
        if self.output is not None:
            self.output.flush()
        if session.exitstatus == pytest.ExitCode.OK and (self.troubles or (self.output and self.output.trouble)):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _report(self, exitstatus: int) -> None:
        """Write results and page, and recorded verdicts if requested."""
        try:
            self.document = finish.write_report(self.run, self.tally, time.monotonic() - self.start)
        except (VsaChecksError, OSError) as error:
            self.troubles.append(finish.not_written("The report", self.run.report_dir, error, self.run))
        if self.run.record and exitstatus == pytest.ExitCode.OK and not self.tally.missing and not self.troubles:
            try:
                finish.record(self.run, self.tally)
            except (VsaChecksError, OSError) as error:
                file = self.run.recorded_file
                self.troubles.append(finish.not_written("The recorded verdicts", file, error, self.run))

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
            terminalreporter.write_line(f"Peak memory: {taken / GB:.1f} GB.")
        if lost := self.run.kept.lost():
            terminalreporter.write_line(visible(lost), yellow=True)
        for trouble in self.troubles:
            terminalreporter.write_line(trouble, red=True)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        if self.output is not None and self.output.trouble:
            where = f" The report is in {visible(self.run.report_dir)}." if self.document is not None else ""
            say_on_stderr(
                f"Part of the output could not be printed ({self.output.trouble}): the run counts as failed.{where}"
            )

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        report.title = f"Claims on {self.run.info.name}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        from vsa_checks.report import log_columns

        cells[1:1] = log_columns.headers()

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        from vsa_checks.report import log_columns

        result = result_of(report)
        cells[1:1] = log_columns.cells(result)
        if result is not None:
            cells[-1] = log_columns.link(result, self.log.to_page())

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_html(self, report: pytest.TestReport, data: list[str]) -> None:
        from vsa_checks.report import log_columns

        crash = getattr(getattr(report.longrepr, "reprcrash", None), "message", "")
        log_columns.put_reason_first(data, result_of(report), crash, told=bool(report.longreprtext))
