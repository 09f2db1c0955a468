"""The command itself: from the options to the cluster, and from the reports to their comparison."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from vsa_checks import paths
from vsa_checks.cli import compare
from vsa_checks.cli.sweep.memory import share
from vsa_checks.cli.sweep.state import MOST_AT_ONCE, State
from vsa_checks.cli.sweep.work import Job, Settings, jobs, names
from vsa_checks.errors import UsageError, VsaChecksError, require_seed, visible
from vsa_checks.judging.claim import load_claims
from vsa_checks.models.memory import GB, free_memory
from vsa_checks.plugin.selection import selection
from vsa_checks.report import document
from vsa_checks.workbench.dependencies import NUMERICAL_VARIABLES
from vsa_checks.workbench.kept_measurements import KeptMeasurements
from vsa_checks.workbench.resources import SHARE
from vsa_checks.writing import require_writable

DONE, FAILED, INTERRUPTED = 0, 1, 2
CORES_EACH = 4
"""Cores for each run, where nothing is said of how many run at once."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def run(options: argparse.Namespace) -> int:
    """Measure the claims on all models and revisions, and compare them.

    Returns
    -------
    int
        0 if every model was measured whole, 1 if one was not, 2 if the sweep was interrupted.

    Raises
    ------
    VsaChecksError
        For options that cannot be used, a folder that cannot be written, and a scheduler that does not answer.
    """
    require_seed(options.seed)
    settings = Settings(
        options.claims, options.layers, options.primary_only, options.basis, options.seed, options.no_twin
    )
    if options.claims is not None:
        selection(options.claims, None, False, load_claims(), 0)  # raises for a claim that there is not
    if options.workers is not None and not 1 <= options.workers <= MOST_AT_ONCE:
        raise UsageError(
            f"--workers {options.workers} cannot be used: it sets how many runs go on at once, 1 to {MOST_AT_ONCE:,}."
        )
    if options.scheduler is not None and options.workers is not None:
        raise UsageError("--workers is only for a sweep on this machine; on a cluster, the number of workers decides.")
    models = names(options.models, options.revisions)
    where = Path(options.report_dir).absolute() if options.report_dir else paths.reports()
    with _folder(where), _ending():
        try:
            return _sweep(options, settings, models, where)
        except KeyboardInterrupt:
            kept = "What was measured is kept" if paths.cache_folder() else "Models that were done are kept (no cache)"
            print(f"Interrupted. {kept}{_elsewhere(options)}; the same command goes on from there.", file=sys.stderr)
            return INTERRUPTED


def _sweep(options: argparse.Namespace, settings: Settings, models: Sequence[str], where: Path) -> int:
    # Dask takes most of a second to import, and is needed here alone.
    from vsa_checks.cli.sweep import cluster, course, task

    task.STOP.clear()
    state = State(where)
    if state.trouble:
        say(state.trouble)
    found, failed = jobs(models, settings, where)
    for name, reason in failed.items():
        say(f"{name}: failed. {reason}")
    kept = paths.cache_folder() is not None and not KeptMeasurements(paths.cache_folder()).not_ours()
    variables = _variables()
    shares: dict[str, int] = {}
    at_once, allowed = 1, 0
    if options.scheduler is None:
        cores = _cores()
        usual = max(1, cores // CORES_EACH)
        at_once = options.workers or state.at_once or usual
        if options.workers is None and at_once != usual:
            say(f"As in an earlier sweep of this folder {at_once} at once; --workers N names another number.")
        state.at_once = at_once  # another number of threads is another measurement: a sweep that goes on keeps it
        allowed = int(SHARE * free_memory() if options.memory_limit is None else options.memory_limit * GB)
        if at_once > 1 and not any(name in variables for name in THREADS):
            variables |= dict.fromkeys(THREADS, str(max(1, cores // at_once)))
        found, shares = _shares(found, failed, settings, allowed, at_once)
    elif options.memory_limit is not None:
        shares = dict.fromkeys((job.name for job in found), int(options.memory_limit * GB))
    asked = course.Asked(
        settings,
        where,
        variables,
        shares,
        tell_limit=options.memory_limit is not None or at_once > 1,
        may_split=kept,
    )
    try:
        state.write()
        left, prints = course.unfinished(found, settings, state, failed, say)
        if left:
            with (
                cluster.existing(options.scheduler) if options.scheduler else cluster.local(at_once, allowed) as engine
            ):
                say(_beginning(left, engine.at_once, allowed, engine.dashboard))
                try:
                    course.Course(asked, engine, state, say, failed).run(left, prints)
                except BaseException:
                    task.STOP.set()  # the runs of this process end, before the cluster that waits for them is closed
                    raise
    except course.SchedulerLost:
        raise UsageError(
            f"The scheduler at {options.scheduler} no longer answers. Finished measurements are kept: start it "
            "again, and the same command resumes from there."
        ) from None
    except OSError as error:
        raise UsageError(f"The sweep cannot write to {where} ({error.strerror or error}). Make room there.") from error
    return _end(found, failed, where)


def _shares(
    found: list[Job], failed: dict[str, str], settings: Settings, allowed: int, at_once: int
) -> tuple[list[Job], dict[str, int]]:
    """The jobs that memory has room for, and how much each may take; what has none is noted in `failed`."""
    shares: dict[str, int] = {}
    for job in found:
        try:
            shares[job.name] = share(job.info, job.subjects, not settings.no_twin, allowed, at_once)
        except VsaChecksError as error:
            failed[job.name] = str(error)
            say(f"{job.name}: failed. {error}")
    return [job for job in found if job.name in shares], shares


def _end(found: Sequence[Job], failed: dict[str, str], where: Path) -> int:
    measured = sum(job.name not in failed for job in found)
    if any((job.folder / document.FILE_NAME).is_file() for job in found):
        compare.write([where], where)
    say(f"{measured} of {measured + len(failed)} models were measured whole.")
    for name, reason in failed.items():
        print(visible(f"{name}: {reason}"), file=sys.stderr)
    return FAILED if failed else DONE


def _beginning(found: Sequence[Job], at_once: int, allowed: int, dashboard: str) -> str:
    memory = f", in {allowed / GB:.1f} GB of memory" if allowed else ""
    link = f" Dashboard: {dashboard}" if dashboard else ""
    how = f"at most {at_once} at once{memory}" if at_once else "which waits for the scheduler's first worker"
    return f"Sweep of {len(found)} model{'s' * (len(found) != 1)}, {how}.{link}"


def say(words: str) -> None:
    """Print a line at once, with nothing in it that could act on a terminal."""
    print(visible(words), flush=True)


def _elsewhere(options: argparse.Namespace) -> str:
    return ", runs that workers of the cluster have begun go on to their end" if options.scheduler else ""


def _variables() -> dict[str, str]:
    """What of this environment a run takes with it to wherever it is: it chooses threads, kernels and the cache."""
    found = {name: value for name, value in os.environ.items() if name.startswith(NUMERICAL_VARIABLES)}
    cache = paths.cache_folder()
    return {**found, paths.CACHE_VARIABLE: paths.CACHE_OFF if cache is None else str(cache.absolute())}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _folder(where: Path) -> Iterator[None]:
    """Hold the folder for this sweep alone. Raises UsageError where it cannot be written, or is taken."""
    from vsa_checks.cli.sweep.course import SCRATCH

    if os.path.lexists(where / document.FILE_NAME):
        raise UsageError(
            f"{where} is the folder of a report, whose page the comparison would replace. Name another "
            "folder for the sweep with --report-dir DIR."
        )
    try:
        require_writable(where / "index.html")
        (where / SCRATCH).mkdir(exist_ok=True)
        file = (where / SCRATCH / "sweep.lock").open("ab")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The sweep cannot write to {where} ({getattr(error, 'strerror', None) or error}). Name a folder that can "
            "be made or written with --report-dir DIR."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another sweep is running in {where}. Wait for its end, or name another folder with --report-dir DIR."
            ) from None
        except OSError:
            pass  # a file system without locks
        yield


@contextmanager
def _ending() -> Iterator[None]:
    """Let SIGTERM end the sweep as Ctrl-C does.

    It takes a while until all runs have ended. Further signals change nothing then, up to the end of the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Of a process in the background a shell lets Ctrl-C be ignored.
    heeded = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]

    def end(number: int, frame: FrameType | None) -> Any:
        for one in heeded:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {one: signal.signal(one, end) for one in heeded}
    try:
        yield
    finally:
        for one, handler in before.items():
            if signal.getsignal(one) is end:
                signal.signal(one, handler)
