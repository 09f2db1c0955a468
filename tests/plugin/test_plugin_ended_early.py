"""Runs that are ended from outside: what was finished is reported, and is not measured again."""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.plugin.runs import Run, Server
from vsa_checks.paths import CACHE_VARIABLE

pytestmark = pytest.mark.slow

CHOICE = ("--basis", "raw", "--no-recorded", "--claims", "embedding-mean-zero,mlp-out-artifacts,mlp-out-near-*")
N_ALL, N_DONE = 5, 3
STUCK = """
import os
import time
from pathlib import Path

from vsa_checks.sections import mlp

measure = mlp.outputs_artifacts


def outputs_artifacts(bench, subject):
    place = Path(os.environ["AT_WORK"])
    place.with_suffix(".partial").write_text(str(os.getpid()))
    place.with_suffix(".partial").rename(place)
    time.sleep(600)


mlp.outputs_artifacts = outputs_artifacts
"""
"""The fourth check never ends: the first of mlp-out-artifacts."""


def ended(plain: Path, folder: Path, number: signal.Signals, warm: Server, *more: str) -> Run:
    """A run that gets this signal while its fourth check is at work."""
    (folder / "stuck.py").write_text(STUCK)
    at_work = folder / "at-work"
    env = {"PYTHONPATH": str(folder), "AT_WORK": str(at_work), CACHE_VARIABLE: str(folder / "cache")}
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(warm.claims, plain, folder / "report", *CHOICE, "-p", "stuck", *more, env=env)
        while not at_work.exists():
            assert not run.done(), run.result().output
            time.sleep(0.02)
        os.kill(int(at_work.read_text()), number)
        return run.result()


def resumed(plain: Path, folder: Path, warm: Server) -> Run:
    """The same command again; all checks end."""
    return warm.claims(plain, folder / "again", *CHOICE, env={CACHE_VARIABLE: str(folder / "cache")})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_what_was_finished_is_reported_as_a_part(
    number: signal.Signals, plain: Path, warm: Server, tmp_path: Path
) -> None:
    run = ended(plain, tmp_path, number, warm)
    assert run.code == 2, run.output
    assert len(run.results) == N_DONE and run.document["environment"]["interrupted"] is True
    assert f"Ended early: {N_DONE} of {N_ALL} checks were done." in run.output
    assert "the same command resumes from there" in run.output and "never reported" not in run.output
    page = (run.report_dir / "index.html").read_text(encoding="utf-8")
    for text in (run.output, page):
        assert re.search(r"This run is partial: 3 of \d+ subjects \(.*the run was ended before its last check\)", text)
    again = resumed(plain, tmp_path, warm)
    assert f"{N_DONE} of {N_ALL} results taken from the cache" in again.output
    assert "interrupted" not in again.document["environment"]
    for name, result in run.results.items():
        assert again.results[name] == result


def test_a_process_that_is_killed_loses_only_what_was_at_work(plain: Path, warm: Server, tmp_path: Path) -> None:
    run = ended(plain, tmp_path, signal.SIGKILL, warm)
    assert run.code == -signal.SIGKILL and not (run.report_dir / "results.json").exists()
    again = resumed(plain, tmp_path, warm)
    assert f"{N_DONE} of {N_ALL} results taken from the cache" in again.output


def test_nothing_is_promised_where_nothing_is_kept(plain: Path, warm: Server, tmp_path: Path) -> None:
    run = ended(plain, tmp_path, signal.SIGTERM, warm, "--no-cache")
    assert run.code == 2 and len(run.results) == N_DONE
    assert "Nothing is kept (no cache): the same command measures everything again." in run.output
    assert not (tmp_path / "cache").exists()
