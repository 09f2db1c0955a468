"""The same model and seed give the same numbers, however they are measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fuzz.faults import FLOOR
from tests.plugin.runs import ENVIRONMENT, Server, cold
from vsa_checks.paths import ROOT

pytestmark = pytest.mark.slow

QUICK = "embedding-near-*,mlp-out-*,attention-ov-isometry,attention-beyond-random"
CHOICE = ("--basis", "raw", "--no-recorded", "--no-twin", "--claims", QUICK)
TURNED = "def pytest_collection_modifyitems(items):\n    items.reverse()\n"
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "2")
CORES = ("Haswell", "Nehalem")


def but_for_times(part: Any) -> Any:
    """The same without seconds, and without the number of threads, which is reported."""
    if isinstance(part, dict):
        return {key: but_for_times(value) for key, value in part.items() if key not in ("duration_s", "threads")}
    return [but_for_times(value) for value in part] if isinstance(part, list) else part


@pytest.mark.thorough
def test_threads_and_order_change_no_bit(plain: Path, warm: Server, tmp_path: Path) -> None:
    """One thread, in order, against two threads, in reverse, neither with a cache. Processes: test_plugin_whole_run."""
    (tmp_path / "turned.py").write_text(TURNED)
    one = warm.claims(plain, tmp_path / "one", *CHOICE)
    environment = {**THREADS, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    other = cold(plain, tmp_path / "other", *CHOICE, "-p", "turned", env=environment)
    assert len(one.results) > 15 and one.code == other.code == 1, other.output[-3000:]
    assert [run.document["environment"]["threads"] for run in (one, other)] == [1, 2]
    texts = [json.dumps(but_for_times(run.document), sort_keys=True) for run in (one, other)]
    assert texts[0] == texts[1]


def test_other_kernels_give_the_same_verdicts_and_nearly_the_same_numbers() -> None:
    """OpenBLAS has kernels for each kind of processor, which round differently. On the embedded model itself."""
    command = [sys.executable, "-m", "tests.plugin.measured_on_a_core", "smollm2-135m"]
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT), "OPENBLAS_CORETYPE": core},
            stdout=subprocess.PIPE,
            text=True,
        )
        for core in CORES
    ]
    one, other = (json.loads(process.communicate(timeout=600)[0]) for process in started)
    if one["cores"] == other["cores"]:
        pytest.skip(f"this NumPy has only one kind of kernels here: {one['cores']}")
    assert one["results"].keys() == other["results"].keys() and len(one["results"]) == 7
    differences = []
    for name, numbers in one["results"].items():
        for key, number in numbers.items():
            another = other["results"][name][key]
            if isinstance(number, float):
                assert another == pytest.approx(number, rel=FLOOR, abs=1e-12), f"{name}: {key}"
                differences.append(number != another)
            elif not numbers["near"]:  # where it rests on less, a verdict is measured with more seeds
                assert number == another, f"{name}: {key}"
    assert any(differences), "not even a last bit differs: the kernels were the same"
    for name, axes in one["axes"].items():
        assert np.abs(np.array(axes) - other["axes"][name]).max() < 1e-6, f"{name}: rounding is multiplied"
