"""Many runs at once, a worker that is lost, a disk that is full: old files or new ones, and nothing unsaid."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.plugin.runs import Run, Server, arguments
from tests.plugin.test_plugin_cache import FEW, N_FEW, but_for_the_run, n_from_cache, results_of, with_cache
from tests.plugin.test_plugin_faults import plugin
from vsa_checks import report
from vsa_checks.figures.store import read_file
from vsa_checks.paths import ROOT

pytestmark = pytest.mark.slow

TOGETHER = 10
TWO = ("-k", "mean-zero or (mlp-out-near and L0)", *FEW[2:], "--no-twin")


def test_ten_runs_at_once_leave_one_whole_report(plain: Path, warm: Server, tmp_path: Path) -> None:
    """They write to one folder and one cache; the server sees that all end with the same code."""
    folder, cache = tmp_path / "report", tmp_path / "cache"
    many = warm.pytest(arguments(TWO, plain, folder), with_cache(cache), folder, copies=TOGETHER)
    assert many.code == 0 and len(many.results) == 2, many.output[-3000:]
    outputs = sorted(warm.folder.glob(f"output-{warm.runs}.txt*"))
    assert len(outputs) == TOGETHER
    for output in outputs:
        text = output.read_text()
        assert "Traceback" not in text and "INTERNALERROR" not in text and "could not be written" not in text
    assert {file.name for file in folder.iterdir()} == {"results.json", "figures.npz", "index.html", "pytest.html"}
    page = (folder / "index.html").read_text(encoding="utf-8")
    kept = read_file(folder, (folder / "results.json").read_text(encoding="utf-8"))
    assert not kept.why_none and page == report.render(many.document, kept)  # of the same run as results.json
    again = warm.claims(plain, tmp_path / "again", *TWO, env=with_cache(cache))
    assert n_from_cache(again) == 2 and results_of(again).keys() == results_of(many).keys()
    for name, one in results_of(again).items():
        assert one == results_of(many)[name]
    from_cache = read_file(again.report_dir, (again.report_dir / "results.json").read_text(encoding="utf-8")).arrays
    assert "gram/raw/L0/W_out/cosines" in from_cache and from_cache.keys() == kept.arrays.keys()
    assert all(np.array_equal(array, kept.arrays[name]) for name, array in from_cache.items())


LOSES = """
import os
import signal

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if "mlp-out-artifacts.raw.L1" in item.nodeid and hasattr(item.config, "workerinput"):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.thorough
def test_a_worker_that_is_lost_fails_the_run_and_the_rest_is_reported(
    whole: Run, plain: Path, warm: Server, cache_folder: Path, tmp_path: Path
) -> None:
    only = ("--basis", "raw", "--no-recorded", "--claims", "mlp-out-*")
    env = with_cache(cache_folder, **plugin(tmp_path, "loses", LOSES))
    env["PYTHONPATH"] += f":{ROOT}"  # the worker in its place is a process that starts anew
    run = warm.claims(plain, tmp_path / "report", *only, "-n", "1", "-p", "loses", env=env)
    assert run.code == 1 and "INTERNALERROR" not in run.output, run.output[-3000:]
    lost = "mlp-out-artifacts/raw/L1"
    expected = {name for name in whole.results if name.startswith("mlp-out-")} - {lost}
    assert run.results.keys() == expected and len(expected) >= 5
    assert "crashed while running" in run.output and "mlp-out-artifacts.raw.L1" in run.output
    assert any(lost.replace("/", ".") in one["test"] for one in run.document["environment"]["crashed"])


FULL = """
import resource
import signal

from vsa_checks import writing
from vsa_checks.plugin import finish

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
write = writing.write_together


def write_together(contents, **options):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        write(contents, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


writing.write_together = finish.write_together = write_together
"""
"""The system itself breaks each write off after 100 bytes, as it does where a disk is full."""


def test_a_full_disk_leaves_old_files_and_is_said(plain: Path, warm: Server, tmp_path: Path) -> None:
    folder, cache = tmp_path / "report", tmp_path / "cache"
    few, more = FEW[:2], ("-k", FEW[1].replace("table1", "copies"))
    warm.claims(plain, folder, *few, *FEW[2:], env=with_cache(cache))

    def files() -> dict[str, bytes]:
        places = [*folder.iterdir(), *(cache / "measurements").iterdir()]
        return {str(file): file.read_bytes() for file in places}

    before = files()
    env = with_cache(cache, **plugin(tmp_path, "full", FULL))
    run = warm.claims(plain, folder, *more, *FEW[2:], "-p", "full", env=env)
    assert run.code == 1 and "Traceback" not in run.output and "INTERNALERROR" not in run.output
    assert files() == before
    assert f"The report could not be written to {folder} (File too large)" in run.output
    assert "earlier files there are unchanged" in run.output, run.output[-1500:]
    assert "The log" in run.output, run.output[-1500:]
    after = warm.claims(plain, folder, *more, *FEW[2:], env=with_cache(cache))
    assert n_from_cache(after) == N_FEW - 1 and "embedding-copies/raw" in after.results
    assert json.loads(before[str(folder / "results.json")])["results"] != but_for_the_run(after.document)["results"]
