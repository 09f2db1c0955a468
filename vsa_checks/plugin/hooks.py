"""The pytest hooks. Each hands on to the module that knows; with no claims to run they do nothing."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import pytest

from vsa_checks.errors import VsaChecksError
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import enumerate_subjects
from vsa_checks.models import Model
from vsa_checks.plugin import finish
from vsa_checks.plugin.check import CALL_PASSED, CLAIM_PROPERTY, bench_fixture, check_fixture, expectation_marks
from vsa_checks.plugin.options import add_options, listing
from vsa_checks.plugin.run import CHOSEN_MODEL, RUN, ClaimsRun, concerns_claims, make_run
from vsa_checks.plugin.tally import Tally
from vsa_checks.plugin.verdicts import Verdict

__all__ = ["bench_fixture", "check_fixture"]  # fixtures, for pytest to find here


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    try:
        text = listing(config)
    except VsaChecksError as error:
        raise pytest.UsageError(str(error)) from None
    if text is None:
        return None
    print(text)
    return 0


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "claim(id): the claim of claims.toml that this test judges, on each subject")
    if config.option.help or not concerns_claims(config):
        return
    try:
        run = make_run(config)
    except VsaChecksError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[RUN] = run
    if _is_worker(config) or config.option.collectonly:
        return
    if config.getoption("numprocesses", None):
        _load_unless_sound(run)  # here, since every worker would say it once per test
    config.pluginmanager.register(Controller(run), "claims-controller")
    if config.pluginmanager.hasplugin("html") and not config.option.htmlpath:
        config.option.htmlpath = str(run.report_dir / "pytest.html")
        config.option.self_contained_html = True


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    run = session.config.stash.get(RUN, None)
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if run is not None and reporter is not None and not _is_worker(session.config):
        reporter.write_line(run.first_line())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("claim")
    if mark is None or "subject" not in metafunc.fixturenames:
        return
    run = metafunc.config.stash.get(RUN, None)
    if run is None:
        raise pytest.UsageError("Claims are run by their folder: pytest claims/, with -k or :: to choose among them.")
    if "check" not in metafunc.fixturenames:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid} takes a subject and never asks for `check`: it would pass unmeasured. "
            f"Let it call check(subject, measure)."
        )
    claim = load_claims()[mark.args[0]]
    metafunc.parametrize(
        "subject",
        [
            pytest.param(subject, id=subject.test_id, marks=expectation_marks(run.known.get(subject.id)))
            for subject in enumerate_subjects(claim, run.info, run.bases)
        ],
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Load the model before the first test, so that bad weights are one message and not one per test.

    Not where the same weights were loaded before: what is not in the cache loads them when it comes to be measured.
    """
    run = session.config.stash.get(RUN, None)
    claims = any(item.get_closest_marker("claim") for item in session.items)
    if run is None or session.config.option.collectonly or not claims:
        return
    run.preloaded = _load_unless_sound(run)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A verdict, or bad input, is its own message: no traceback says more."""
    said = call.excinfo is not None and isinstance(call.excinfo.value, Verdict | VsaChecksError)
    if said:  # to render tracebacks that are not shown takes longer than to read all measurements from the cache
        item.repr_failure = lambda excinfo, style=None: str(excinfo.value)  # type: ignore[method-assign]
    report = yield
    mark = item.get_closest_marker("claim")
    if mark is not None:
        report.user_properties.append((CLAIM_PROPERTY, mark.args[0]))
    if call.when == "call":
        item.stash[CALL_PASSED] = report.passed
    if said and call.excinfo is not None and report.failed:
        report.longrepr = str(call.excinfo.value)
    return report


class Controller:
    """The hooks of the process that hears every report and writes the results."""

    def __init__(self, run: ClaimsRun) -> None:
        self.run, self.tally, self.start = run, Tally(), time.monotonic()
        self.document: dict[str, Any] | None = None
        self.trouble = ""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.tally.expect(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[CHOSEN_MODEL] = self.run.name

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self.tally.expect(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.tally.hear(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
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
        yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
        yield  # pytest's own list of failures first: the summary is what a reader should end on
        finish.tell(self.run, self.tally, self.document, terminalreporter)
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


def _load_unless_sound(run: ClaimsRun) -> Model | None:
    from vsa_checks.models import load

    run.threads = run.kept.threads()
    if run.threads is not None and run.kept.flags(run.bases[0]) is not None:
        return None
    try:
        model = load(run.name, basis=run.bases[0], device=run.device)
    except VsaChecksError as error:
        raise pytest.UsageError(str(error)) from None
    import torch

    run.threads = torch.get_num_threads()  # now: numba's compiled loops set it for the rest of the process
    run.kept.keep_threads(run.threads)
    run.kept.keep_flags(run.bases[0], model.effective_flags)
    return model


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
