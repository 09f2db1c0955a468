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
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.models import tiny_gguf
from tests.plugin.runs import ENVIRONMENT, SECONDS, Server
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
SUBJECTS = {
    *("mlp-out-near-orthogonal/raw/L0", "mlp-out-near-orthogonal/raw/L1"),
    *("neurons-kurtosis/raw/L0/W_in", "neurons-kurtosis/raw/L1/W_in"),
}


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

    def cluster(self, n_workers: int) -> tuple[str, subprocess.Popen[bytes], dict[int, subprocess.Popen[bytes]]]:
        """A scheduler and its workers: its address, and all processes."""
        file = self.folder / f"scheduler-{self.count}.json"
        where = ("--scheduler-file", str(file), "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
        scheduler, _ = self.start("dask", "scheduler", "--port", "0", *where)
        workers = [self.start("dask", "worker", "--nthreads", "1", "--no-nanny", *where) for _ in range(n_workers)]
        for _, log in workers:
            until(partial(_registered, log), log)
        return json.loads(file.read_text())["address"], scheduler, {one.pid: one for one, _ in workers}


def _registered(log: Path) -> bool:
    return b"Registered to:" in log.read_bytes()


def until(true: Callable[[], Any], log: Path) -> None:
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < SECONDS, log.read_text(errors="replace")
        time.sleep(0.02)


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    with ExitStack() as stack:
        yield Machine(folder, stack)


@pytest.mark.thorough
@pytest.mark.slow
def test_nothing_is_lost_and_nothing_measured_twice_whatever_is_killed(warm: Server, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()  # of its own: what lies beside a GGUF file counts as the model
    model = tiny_gguf.write_gguf(tmp_path / "model" / "tiny.gguf", "gpt2", tokenizer=False)
    reports = tmp_path / "reports"
    sweep = ("vsa_checks", "sweep", "--models", str(model), "--report-dir", str(reports), *CHOICE)
    with machine(tmp_path) as here:
        address, scheduler, workers = here.cluster(2)
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
        assert f"The scheduler at {address} no longer answers. Finished measurements are kept" in said
        assert "claims of neurons: done" in said and "Traceback" not in said

        address, _, _ = here.cluster(1)
        second, log = here.start(*sweep, "--scheduler", address)
        assert second.wait(SECONDS) == 0, log.read_text()
        assert "[1 of 1]" in log.read_text()  # one worker takes the model as a whole
        assert Counter((tmp_path / "measured").read_text().split()) == dict.fromkeys(SUBJECTS, 1)
        (folder,) = (file.parent for file in reports.glob("*/results.json"))
        swept = json.loads((folder / "results.json").read_text())
        assert {result["id"] for result in swept["results"]} == SUBJECTS

        alone = warm.claims(model, tmp_path / "alone", *CHOICE)
        assert alone.code == 1 and text(alone.report_dir) == text(folder)
