"""The pytest hooks. Each delegates to the responsible module; without claims to run they do nothing."""

# ruff: noqa: D103 - pytest says what its hooks do

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import TYPE_CHECKING

import pytest

from vsa_checks import paths
from vsa_checks.errors import ModelError, UsageError, VsaChecksError, visible
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.plugin.options import add_options, listing
from vsa_checks.plugin.properties import CLAIM_PROPERTY
from vsa_checks.plugin.run import RUN, ClaimsRun, concerns_claims, make_run
from vsa_checks.plugin.verdicts import Verdict
from vsa_checks.printing import printing
from vsa_checks.workbench.kept_measurements import Loaded
from vsa_checks.workbench.loading import load, raised_for_the_model, unreadable, with_trace

if TYPE_CHECKING:
    from vsa_checks.models import Model

# What only a run needs is imported where that begins: a list of claims, or a name that is not known, is told at once.
_FIXTURES = "vsa_checks.plugin.check"


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    try:
        text = listing(config)
    except VsaChecksError as error:
        raise pytest.UsageError(str(error)) from None
    if text is None:
        return None
    try:
        with printing():
            print(text)
    except VsaChecksError as error:
        raise pytest.UsageError(str(error)) from None
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
    except Exception as error:
        if not raised_for_the_model(error):
            raise
        told = unreadable(config.option.model or "of this run", None, error)
        told.__cause__ = error
        raise pytest.UsageError(with_trace(told, config.option.fulltrace)) from None
    config.stash[RUN] = run
    config.pluginmanager.import_plugin(_FIXTURES)
    if run.twins is not None:
        config.add_cleanup(run.twins.close)
    if _is_worker(config) or config.option.collectonly:
        return
    from vsa_checks.plugin.controller import Controller
    from vsa_checks.plugin.interruption import Interruption
    from vsa_checks.plugin.log import Log
    from vsa_checks.plugin.progress import PROGRESS, LiveProgress

    config.pluginmanager.register(Interruption(config), "claims-interruption")
    if config.getoption("numprocesses", None):
        _settle_memory(run, run.subjects(), config.option.numprocesses)
        _load_unless_sound(run, config, run.subjects())  # here, since every worker would say it once per test
    progress = config.stash[PROGRESS] = LiveProgress(config)
    config.pluginmanager.register(progress, "claims-progress")
    log = Log(config, run.report_dir)
    config.pluginmanager.register(log, "claims-log")
    config.pluginmanager.register(Controller(run, progress, log), "claims-controller")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    run = session.config.stash.get(RUN, None)
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if run is not None and reporter is not None and not _is_worker(session.config):
        reporter.write_line(run.first_line())
        for caution in run.cautions:
            reporter.write_line(visible(caution), yellow=True)
        if run.announced:
            reporter.write_line(run.announced)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("claim")
    if mark is None or "subject" not in metafunc.fixturenames:
        return
    run = metafunc.config.stash.get(RUN, None)
    if run is None:
        raise pytest.UsageError("Claims run from their folder: pytest claims/, with -k or :: to select some of them.")
    if "check" not in metafunc.fixturenames:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid} takes a subject but not `check`: it would pass without measuring. "
            f"Make it call check(subject, measure)."
        )
    claim = load_claims().get(mark.args[0])
    if claim is None:
        run.faults.append(
            f"{metafunc.definition.nodeid} checks the claim {mark.args[0]!r}, which {paths.CLAIMS_FILE} does not have. "
            f"Add a record there, or correct the test's mark."
        )
        metafunc.parametrize("subject", [])
        return
    from vsa_checks.plugin.check import expectation_marks

    metafunc.parametrize(
        "subject",
        [
            pytest.param(subject, id=subject.test_id, marks=expectation_marks(run.known.get(subject.id)))
            for subject in enumerate_subjects(claim, run.info, run.bases)
        ],
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what --claims, --layers and --primary-only leave out; any of them also deselects tests of no claim."""
    run = config.stash.get(RUN, None)
    if run is not None and run.faults:
        raise pytest.UsageError(visible(run.faults[0]))
    if run is None or not run.selection:
        return
    subjects = {item: _subject(item) for item in items}
    chosen = [item for item, subject in subjects.items() if subject is not None and run.selection.takes(subject)]
    if any(subjects.values()) and not _is_worker(config):
        try:
            run.selection.require_any(subject for subject in subjects.values() if subject is not None)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen


def pytest_collection_finish(session: pytest.Session) -> None:
    """Load the model before the first test, so that bad weights give one message and not one per test.

    Skipped if an earlier run has loaded the same weights: then a subject that is not cached loads them when measured.
    """
    run = session.config.stash.get(RUN, None)
    claims = any(item.get_closest_marker("claim") for item in session.items)
    if run is None or run.faults or session.config.option.collectonly or not claims:
        return
    subjects = [subject for item in session.items if (subject := _subject(item)) is not None]
    _settle_memory(run, subjects, getattr(session.config, "workerinput", {}).get("workercount", 1))
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not _is_worker(session.config):
        reporter.write_line(run.announced)
    run.preloaded = _load_unless_sound(run, session.config, subjects)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show only the message of a verdict or of bad input: a traceback adds nothing."""
    said = call.excinfo is not None and isinstance(call.excinfo.value, Verdict | VsaChecksError)
    if said:  # rendering tracebacks that are not shown takes longer than reading all measurements from the cache
        item.repr_failure = lambda excinfo, style=None: str(excinfo.value)  # type: ignore[method-assign]
    report = yield
    mark = item.get_closest_marker("claim")
    if mark is not None:
        report.user_properties.append((CLAIM_PROPERTY, mark.args[0]))
    if call.when == "call":
        from vsa_checks.plugin.check import CALL_PASSED

        item.stash[CALL_PASSED] = report.passed
    if said and call.excinfo is not None and report.failed:
        report.longrepr = str(call.excinfo.value)
    return report


def _settle_memory(run: ClaimsRun, subjects: list[Subject], processes: int) -> None:
    """Divide the memory between processes. Raises UsageError if there is too little."""
    try:
        run.make_plan(subjects, processes)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _load_unless_sound(run: ClaimsRun, config: pytest.Config, subjects: Collection[Subject]) -> Model | None:
    """The model, in the first basis that can be loaded; None if an earlier run found the whole model sound.

    Raises UsageError if none can be loaded.
    """
    run.threads = run.kept.threads()
    reads_text = any("text" in load_claims()[subject.claim].needs for subject in subjects)
    # A run of a part reads no more: the other layers are read, and looked at, if a claim asks for them. Text is read by
    # the whole model.
    part = bool(run.selection) and not reads_text
    layers = {subject.layer for subject in subjects if subject.layer is not None} if part else None
    if run.threads is not None and run.kept.loaded(run.bases[0]) is not None:
        return None
    for basis in run.bases:
        try:
            model = load(run.name, basis, run.device, run.plan, layers)
            break
        except ModelError as error:
            run.unloadable[basis] = error
    else:
        if _is_worker(config):
            return None  # its tests say so
        raise pytest.UsageError(with_trace(run.unloadable[run.bases[0]], config.option.fulltrace))
    if run.device != "cpu" or reads_text:
        # Other runs do not wait for PyTorch. Here it must choose its threads before the first compiled loop of numba,
        # which would otherwise do so.
        import torch

        run.threads = torch.get_num_threads()
        run.kept.keep_threads(run.threads)
    if not part:  # what is kept says that the whole model was sound
        run.kept.keep_loaded(basis, Loaded(flags=model.effective_flags, note=model.note))
    return model


def _subject(item: pytest.Item) -> Subject | None:
    """The subject that a test of a claim checks; None for any other test."""
    found = item.callspec.params.get("subject") if hasattr(item, "callspec") else None
    return found if isinstance(found, Subject) else None


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
