"""The benchmarks' pieces at tiny size: their answers agree, and the page holds them. Speed is not asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import command, growth, other_ways
from benchmarks.pieces import PIECES
from benchmarks.sizes import SMALL
from vsa_checks.bundles import greedy_pursuit

TINY = replace(SMALL, rounds=1)


@pytest.mark.parametrize("name", [name for name in PIECES if name != "memory"])
def test_every_piece_runs_and_its_answers_agree(name: str) -> None:
    found = PIECES[name](TINY, 0, lambda line: None)
    assert found["agrees"]
    assert all(one["ours_s"] > 0 and one["other_s"] > 0 and one["ratio"] > 0 for one in found["rows"])
    assert bool(found["rows"]) == (name != "growth")


def test_budgets_give_the_same_answers() -> None:
    digests = {growth.under_budget(SMALL, budget)[2] for budget in (2 * 10**8, 2 * 10**9)}
    assert len(digests) == 1


def test_the_obvious_pursuit_is_ours() -> None:
    neurons, table = SMALL.paper.layer(0)[:12], SMALL.paper.dictionary()
    tokens, cosines, seconds = other_ways.obvious_pursuit(neurons, table, 9)
    found = greedy_pursuit(neurons, table, 9)
    np.testing.assert_array_equal(found.token_ids.reshape(12, 9), tokens)
    np.testing.assert_allclose(found.cosines.reshape(12, 9), cosines, rtol=0, atol=1e-5)
    assert len(seconds) == 9


def test_the_command_writes_page_figure_and_figures_without_naming_the_host(tmp_path: Path) -> None:
    settings = os.environ | {"OPENBLAS_CORETYPE": "Nonsense", "OPENBLAS_L2_SIZE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--small", "--only", "pairs", "--only", "scan", "--out", str(tmp_path)],
        capture_output=True, text=True, env=settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "benchmarks.json").read_text())
    assert list(figures["pieces"]) == ["scan", "pairs"]
    page = (tmp_path / "benchmarks.md").read_text()
    assert "figures of `--small`" in page and figures["pieces"]["scan"]["machine"]["processor"] in page
    assert os.uname().nodename not in page and str(Path.home()) not in page
    again = (tmp_path / "benchmarks.svg").read_bytes()
    assert command.run(["--render", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "benchmarks.svg").read_bytes() == again


def test_rendering_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.run(["--render", "--out", str(tmp_path)])
    assert "run the command without --render first" in capsys.readouterr().err
