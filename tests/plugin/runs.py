"""Whole runs of pytest from a test, and what they leave behind."""

from __future__ import annotations

import fcntl
import html
import json
import os
import re
import socket
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


OTHERS = ("hypothesispytest", "anyio", "jaxtyping", "typeguard", "logging")
QUICK = ("-p", "no:cacheprovider", *(f"-pno:{name}" for name in OTHERS), "--deselect=claims/test_2_bundling.py")
"""No cache: a run must not touch that of the run that its test is part of. Plugins that no claim needs take as
long as many a run. Tests of the premise, on random vectors alone, would take half of a small model's run;
`make test` runs them by themselves."""


@dataclass(frozen=True)
class Run:
    """One run that has ended."""

    code: int
    output: str
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
    """A process that forks a pytest run for each request. One serves all that name the same `shared` folder.

    Callers hold a lock while they create it.
    """

    def __init__(self, folder: Path, shared: Path, warm: Path | None = None) -> None:
        self.folder, self.runs = folder, 0
        self._name, self._shared = ("light" if warm is None else "warm"), shared
        self._users = (shared / f"{self._name}.users").open("w")
        fcntl.flock(self._users, fcntl.LOCK_SH)  # the server stays as long as somebody holds it
        found = self._connected()
        if found is None:
            (shared / f"{self._name}.socket").unlink(missing_ok=True)  # of a server that was killed
            environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)}
            command = [sys.executable, str(SERVER), self._name, *([] if warm is None else ["--warm", str(warm)])]
            with self._log.open("w") as log:
                self.process = subprocess.Popen(
                    command, cwd=shared, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            while (found := self._connected()) is None:
                assert self.process.poll() is None, f"the server ended: {self._log.read_text()}"
                time.sleep(0.05)
        self._lines = found.makefile("rw")
        found.close()  # once the lines are closed

    @property
    def _log(self) -> Path:
        return self._shared / f"{self._name}.log"

    def _connected(self) -> socket.socket | None:
        """A connection; None if no server listens. The folder by number: the path of a socket must be short."""
        folder = os.open(self._shared, os.O_RDONLY)
        found = socket.socket(socket.AF_UNIX)
        try:
            found.connect(f"/proc/self/fd/{folder}/{self._name}.socket")
        except (FileNotFoundError, ConnectionRefusedError):
            found.close()
            return None
        finally:
            os.close(folder)
        return found

    def _answer(self) -> Any:
        line = self._lines.readline()
        assert line, f"the server ended: {self._log.read_text()}"
        return json.loads(line)

    def pytest(
        self,
        args: list[str],
        env: Mapping[str, str | None] | None = None,
        report_dir: Path | None = None,
        modules: bool = False,
        **request: Any,
    ) -> Run:
        """Run pytest with these arguments in the root of the project.

        What else can be asked for stands in `_start`; of a run with another `stdout` the output is what it says on
        stderr.
        """
        listing = self.folder / f"modules-{self.runs + 1}.txt"
        output = self.folder / f"output-{self.runs + 1}.txt"
        self._start(args, env, str(output), modules=str(listing) if modules else "", **request)
        answer = self._answer()
        loaded = frozenset(listing.read_text().split()) if modules else frozenset()
        assert {*answer["others"]} <= {answer["code"]}, "not all copies ended alike"
        return Run(answer["code"], output.read_text(errors="replace"), report_dir or self.folder, loaded)

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
        self,
        args: list[str],
        env: Mapping[str, str | None] | None,
        output: str,
        *,
        stdout: str = "",
        module: str = "pytest",
        cwd: Path = ROOT,
        modules: str = "",
        copies: int = 1,
    ) -> None:
        self.runs += 1
        request = {
            "args": args,
            "env": {**ENVIRONMENT, **(env or {})},
            "cwd": str(cwd),
            "module": module,
            "output": output,
            "stdout": stdout,
            "modules": modules,
            "timeout": SECONDS,
            "copies": copies,
        }
        self._lines.write(json.dumps(request) + "\n")
        self._lines.flush()

    def claims(
        self, model: str | Path | None, report_dir: Path, *args: str, env: Mapping[str, str] | None = None
    ) -> Run:
        """Run `pytest claims/` on a model."""
        return self.pytest(arguments(args, model, report_dir), env, report_dir)

    def close(self) -> None:
        """Let the server end if nobody else needs it; the runs have ended before."""
        self._lines.close()
        self._users.close()


def cold(model: str | Path | None, report_dir: Path, *args: str, env: Mapping[str, str] | None = None) -> Run:
    """`python -m pytest claims/` started as a person starts it."""
    environment = {**os.environ, **ENVIRONMENT, **(env or {})}
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
    return Run(done.returncode, done.stdout, report_dir, frozenset())
