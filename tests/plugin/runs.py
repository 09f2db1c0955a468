"""Whole runs of pytest from a test, and what they leave behind."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vsa_checks import report
from vsa_checks.paths import CACHE_OFF, CACHE_VARIABLE, ROOT

SERVER = Path(__file__).with_name("server.py")
SECONDS = 240
"""Far beyond what any run takes: one that hangs fails instead of holding up everything."""
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Small matrices: threads would only wait for each other.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    "COLUMNS": "200",
    "PYTEST_ADDOPTS": "",
    # pytest keeps the modules that it rewrote, hypothesis among them; without, each run would take seconds for them.
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "",
    CACHE_VARIABLE: CACHE_OFF,
}


QUICK = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--deselect=claims/test_2_bundling.py")
"""No cache: a run must not touch that of the run that its test is part of. The other plugin reads every module. Tests
of the premise, on random vectors alone, would take half of a small model's run; `make test` runs them by themselves."""


@dataclass(frozen=True)
class Run:
    """One run that has ended."""

    code: int
    output: str
    seconds: float
    report_dir: Path
    modules: frozenset[str]

    @cached_property
    def document(self) -> dict[str, Any]:
        """results.json, read and validated."""
        return report.read(self.report_dir)

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """Results by subject."""
        return {result["id"]: result for result in self.document["results"]}

    @cached_property
    def outcomes(self) -> dict[str, str]:
        """Word and subject of each line of `-rA`: {"claim.basis...": "PASSED"}, errors in their own right."""
        found = {}
        for line in self.output.splitlines():
            word, _, rest = line.partition(" ")
            if word in ("PASSED", "FAILED", "ERROR", "XFAIL", "XPASS") and "[" in rest:
                found[rest.split("[", 1)[1].split("]", 1)[0]] = word
        return found

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        """The rows of pytest.html as pytest-html hands them to its script."""
        blob = re.search(r'data-jsonblob="([^"]*)"', (self.report_dir / "pytest.html").read_text(encoding="utf-8"))
        assert blob is not None
        tests: dict[str, list[dict[str, Any]]] = json.loads(html.unescape(blob[1]))["tests"]
        return [row for rows in tests.values() for row in rows]

    @property
    def first_line(self) -> str:
        """The first line on the terminal that is not pytest's own heading."""
        lines = (line for line in self.output.splitlines() if line.strip() and not line.startswith("====="))
        return next(lines, "")


def arguments(args: tuple[str, ...], model: str | Path | None, report_dir: Path) -> list[str]:
    chosen = [] if model is None else ["--model", str(model)]
    return ["claims/", *chosen, "--report-dir", str(report_dir), *QUICK, *args]


class Server:
    """A process that forks a pytest run for each request."""

    def __init__(self, folder: Path, warm: Path | None = None) -> None:
        self.folder, self.runs = folder, 0
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(SERVER), *([] if warm is None else ["--warm", str(warm)])]
        with (folder / "server.log").open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the server ended: {(self.folder / 'server.log').read_text()}"
        return json.loads(line)

    def pytest(
        self,
        args: list[str],
        env: Mapping[str, str | None] | None = None,
        report_dir: Path | None = None,
        modules: bool = False,
        copies: int = 1,
    ) -> Run:
        """Run pytest with these arguments in the root of the project; with copies, as many at once."""
        listing = self.folder / f"modules-{self.runs + 1}.txt"
        output = self.folder / f"output-{self.runs + 1}.txt"
        self._start(args, env, str(output), str(listing) if modules else "", copies)
        answer = self._answer()
        loaded = frozenset(listing.read_text().split()) if modules else frozenset()
        assert {*answer["others"]} <= {answer["code"]}, "not all copies ended alike"
        return Run(
            answer["code"], output.read_text(errors="replace"), answer["seconds"], report_dir or self.folder, loaded
        )

    def on_terminal(self, args: list[str], env: Mapping[str, str | None], terminal: int) -> Callable[[], int]:
        """Run pytest on a terminal; returns a function that waits for the exit code."""
        self._start(args, env, os.ttyname(terminal))
        held = os.dup(terminal)  # until the run is over: it opens the terminal a little later
        codes: list[int] = []

        def answered() -> None:
            codes.append(self._answer()["code"])
            os.close(held)

        waiting = threading.Thread(target=answered)
        waiting.start()

        def code() -> int:
            waiting.join()
            return codes[0]

        return code

    def _start(
        self, args: list[str], env: Mapping[str, str | None] | None, output: str, modules: str = "", copies: int = 1
    ) -> None:
        if self.runs == 0:
            assert self._answer() == "ready"
        self.runs += 1
        request = {
            "args": args,
            "env": {**ENVIRONMENT, **(env or {})},
            "cwd": str(ROOT),
            "output": output,
            "modules": modules,
            "timeout": SECONDS,
            "copies": copies,
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def claims(
        self, model: str | Path | None, report_dir: Path, *args: str, env: Mapping[str, str] | None = None
    ) -> Run:
        """Run `pytest claims/` on a model."""
        return self.pytest(arguments(args, model, report_dir), env, report_dir)

    def close(self) -> None:
        """End the server; its runs have ended before."""
        self.process.kill()
        self.process.wait()


def cold(model: str | Path | None, report_dir: Path, *args: str, env: Mapping[str, str] | None = None) -> Run:
    """`python -m pytest claims/` started as a person starts it."""
    environment = {**os.environ, **ENVIRONMENT, **(env or {})}
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments(args, model, report_dir)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    return Run(done.returncode, done.stdout, time.monotonic() - start, report_dir, frozenset())
