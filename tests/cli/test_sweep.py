"""`vsa-checks sweep` on a scheduler and two workers that are killed, and on this machine alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.models import write_plain
from tests.plugin.runs import ENVIRONMENT, SECONDS
from vsa_checks.paths import CACHE_VARIABLE, ROOT

WATCH = """
import os
import time
from pathlib import Path

from vsa_checks.plugin import check

HERE = Path(__file__).parent
STALLS = {"mlp-out-near-orthogonal/raw/L1": 2, "neurons-kurtosis/raw/L1/W_in": 1}
measure = check.measure_subject


def measure_subject(bench, subject, *rest):
    for number in range(STALLS.get(subject.id, 0)):
        marker = HERE / f"{subject.claim}-{number}"
        if not marker.exists():
            (HERE / "new").write_text(str(os.getppid()))
            (HERE / "new").rename(marker)
            while not (HERE / f"{subject.claim}-go").exists():
                time.sleep(0.02)
    found = measure(bench, subject, *rest)
    with (HERE / "measured").open("a") as file:
        file.write(f"{subject.id}\\n")
    return found


check.measure_subject = measure_subject
"""
"""In each run: counts what was measured, and stops at these subjects in the first runs that come there."""
CHOICE = ("--basis", "raw", "--no-twin", "--claims", "mlp-out-near-*,neurons-kurtosis")
SUBJECTS = {f"{one}/L{layer}{matrix}" for one, matrix in (("mlp-out-near-orthogonal/raw", ""),
                                                          ("neurons-kurtosis/raw", "/W_in")) for layer in (0, 1)}  # fmt: skip


def without_times(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: without_times(value) for key, value in part.items() if key != "duration_s"}
    return [without_times(value) for value in part] if isinstance(part, list) else part


def text(report: Path) -> str:
    """results.json as it stands, but for times."""
    return json.dumps(without_times(json.loads((report / "results.json").read_text(encoding="utf-8"))))


class Machine:
    """The processes of a test, their environment, and what they print."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack, self.count = folder, stack, 0
        (folder / "watch.py").write_text(WATCH)
        more = {"PYTHONPATH": f"{folder}:{ROOT}", "PYTEST_ADDOPTS": "-p watch -p no:hypothesispytest"}
        self.environment = {**os.environ, **ENVIRONMENT, **more, CACHE_VARIABLE: str(folder / "cache")}

    def start(self, *words: str) -> tuple[subprocess.Popen[bytes], Path]:
        self.count += 1
        log = self.folder / f"log-{self.count}"
        with log.open("wb") as output:
            command = [sys.executable, "-m", *words]
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process, log

    def cluster(self, number: int) -> tuple[str, subprocess.Popen[bytes], dict[int, subprocess.Popen[bytes]]]:
        """A scheduler and two workers: its address, and all processes."""
        file = self.folder / f"scheduler-{number}.json"
        where = ("--scheduler-file", str(file), "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
        scheduler, _ = self.start("dask", "scheduler", "--port", "0", *where)
        workers = [self.start("dask", "worker", "--nthreads", "1", "--no-nanny", *where) for _ in range(2)]
        for _, log in workers:
            until(lambda log=log: b"Registered to:" in log.read_bytes(), log)
        return json.loads(file.read_text())["address"], scheduler, {one.pid: one for one, _ in workers}


def until(true: Callable[[], Any], log: Path) -> None:
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < SECONDS, log.read_text(errors="replace")
        time.sleep(0.02)


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    with ExitStack() as stack:
        yield Machine(folder, stack)


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_measured_twice_whatever_is_killed(tmp_path: Path) -> None:
    model, reports = write_plain(tmp_path / "plain"), tmp_path / "reports"
    sweep = ("vsa_checks", "sweep", "--models", str(model), "--report-dir", str(reports), *CHOICE)
    with machine(tmp_path) as here:
        address, scheduler, workers = here.cluster(1)
        first, log = here.start(*sweep, "--scheduler", address)
        markers = [tmp_path / name for name in ("mlp-out-near-orthogonal-0", "neurons-kurtosis-0")]
        until(lambda: all(marker.exists() for marker in markers) or first.poll() is not None, log)
        assert first.poll() is None, log.read_text()
        killed = int(markers[0].read_text())
        assert {killed, int(markers[1].read_text())} == set(workers), "both workers are at work"
        workers[killed].send_signal(signal.SIGKILL)
        (tmp_path / "neurons-kurtosis-go").touch()
        again = tmp_path / "mlp-out-near-orthogonal-1"  # the other worker takes over what the first was at
        until(again.exists, log)
        assert int(again.read_text()) != killed
        scheduler.send_signal(signal.SIGKILL)
        assert first.wait(SECONDS) == 2
        said = log.read_text()
        assert f"The scheduler at {address} does not answer any more. What was measured is kept" in said
        assert "claims of neurons: done" in said and "Traceback" not in said

        address, _, _ = here.cluster(2)
        second, log = here.start(*sweep, "--scheduler", address)
        assert second.wait(SECONDS) == 0, log.read_text()
        assert "claims of weights: done" in log.read_text() and "claims of neurons" not in log.read_text()
        assert Counter((tmp_path / "measured").read_text().split()) == dict.fromkeys(SUBJECTS, 1)
        (folder,) = (file.parent for file in reports.glob("*/results.json"))
        swept = json.loads((folder / "results.json").read_text())
        assert {result["id"] for result in swept["results"]} == SUBJECTS

        here.environment[CACHE_VARIABLE] = "off"
        alone, log = here.start("vsa_checks", "run", "--model", str(model), "--report-dir", str(tmp_path), *CHOICE)
        assert alone.wait(SECONDS) == 1, log.read_text()
        assert text(tmp_path) == text(folder)
