"""One task of a sweep, on the worker that Dask gave it to: a run of `vsa-checks run` in a process of its own.

In and out go plain data only. The run is a process of its own so that it is the run that a person would start, and that
a run which is killed takes no worker with it.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from vsa_checks import paths
from vsa_checks.cli.sweep import ending
from vsa_checks.errors import VsaChecksError, visible
from vsa_checks.report import document
from vsa_checks.workbench.dependencies import NUMERICAL_VARIABLES, code_digest

STOP = threading.Event()
"""Set where the sweep and its worker are one process, and the sweep is ended: the runs end too."""
LOOK_S = 0.1
PATIENCE_S = 60.0
"""So long a run that is to end may take for the check at which it is."""
LOG_BYTES = 20_000
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Ended(Exception):
    """The sweep was ended while a task waited or ran."""


def do_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """Run one task.

    Parameters
    ----------
    task : mapping
        `model` and `words` (the other options of the run), `folder` (of its report), `scratch` (of the sweep's logs and
        locks), `token` (a file there), `log`, `model_lock`, `shares_model`, `group_lock`, `cwd`, `variables` (of the
        environment), `code` (digest of the package's source), `n_subjects` (how many results there must be).

    Returns
    -------
    dict
        `failed`, one paragraph, empty if all was measured; `seconds`.
    """
    start = time.monotonic()
    try:
        failed = _checked(task)
    except Ended:
        failed = "It was ended with the sweep. The same command goes on from there."
    except OSError as error:
        failed = f"Its run could not be started or watched ({error.strerror or error})."
    return {"failed": visible(failed), "seconds": time.monotonic() - start}


def _checked(task: Mapping[str, Any]) -> str:
    scratch = Path(task["scratch"])
    if not (scratch / task["token"]).is_file():
        return (
            f"The worker does not see {scratch}, the folder of this sweep. All workers must share the folders of "
            "reports, models and cache with the machine on which the sweep is called."
        )
    if code_digest() != task["code"]:
        return (
            "The worker has another version of this package than the machine on which the sweep is called. Start "
            "workers from the same environment."
        )
    # A run that was started before holds its locks until it ends, also where its worker is gone: nothing is measured
    # twice, and what it measures is found in the cache.
    model_lock, group_lock = scratch / task["model_lock"], scratch / task["group_lock"]
    with _locked(model_lock, shared=task["shares_model"]) as one, _locked(group_lock) as other:
        results = Path(task["folder"]) / document.FILE_NAME
        before = _identity(results)
        code = _run(task, scratch / task["log"], one.fileno(), other.fileno())
        if code in (0, 1) and _identity(results) not in (None, before):
            return _left_out(results, task["n_subjects"])
        return _said(code, scratch / task["log"])


def _run(task: Mapping[str, Any], log: Path, *locks: int) -> int:
    """The exit code of the run, which ends if this process does. Raises Ended."""
    reader, writer = os.pipe()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(NUMERICAL_VARIABLES)}
    environment |= task["variables"] | {ending.PIPE: str(reader)}
    if paths.IN_CHECKOUT:  # this package, whichever else is installed
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(paths.ROOT), *([before] if before else [])])
    command = [
        *(sys.executable, "-P", "-m", "vsa_checks", "run", "-p", ending.__name__, "-m", "claim"),
        *(f"--model={task['model']}", f"--report-dir={task['folder']}", *task["words"]),
    ]
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=task["cwd"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(reader, *locks),
                start_new_session=True,  # Ctrl-C is for the sweep, which ends its runs
            )
        os.close(reader)
        while process.poll() is None:
            if STOP.wait(LOOK_S):
                _end(process)
                raise Ended
        return process.returncode
    finally:
        os.close(writer)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _locked(path: Path, *, shared: bool = False) -> Iterator[IO[bytes]]:
    """Hold a lock, and wait for it. Raises Ended."""
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if STOP.wait(LOOK_S):
                    raise Ended from None
            except OSError:
                break  # a file system without locks
        yield file


def _identity(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_mtime_ns
    return None


def _left_out(results: Path, n_subjects: int) -> str:
    """What a report that was written lacks; empty if nothing."""
    try:
        found = document.read(results)
    except VsaChecksError as error:
        return str(error)
    crashed, n_results = found["environment"]["crashed"], len(found["results"])
    if crashed:
        return (
            f"{len(crashed)} of its checks failed to run, the first being {crashed[0]['test']}: "
            f"{crashed[0]['message'].rstrip('.')}. What the others measured is in its report."
        )
    if n_results < n_subjects:
        return f"Of {n_subjects} subjects only {n_results} were measured. The same command measures the others."
    return ""


def _said(code: int, log: Path) -> str:
    """Why a run left no report, from what it printed."""
    if code < 0:
        return (
            f"Its run was ended from outside (signal {-code}), as a system does that is short of memory. The same "
            "command goes on from there; --memory-limit sets how much all runs may take together."
        )
    with log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
        text = _COLOUR.sub("", file.read().decode("utf-8", "replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if errors:
        return " ".join(dict.fromkeys(errors))
    ended = "Its run was ended from outside" if code == 2 else f"Its run ended with exit code {code}"
    said = f" and these last words: {' '.join(lines[-3:])[-1000:]}" if lines else ""
    return f"{ended}{said}. All that it printed is in {log}."
