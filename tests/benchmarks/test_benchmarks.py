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
import torch

from benchmarks import command, growth, on_device, other_ways
from benchmarks.answers import against_every_token, agree
from benchmarks.pieces import PIECES
from benchmarks.sizes import SMALL
from fixtures.small_models import GATED, gaussian_weights, save
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.judging.claim import load_claims

pytestmark = pytest.mark.slow

TINY = replace(SMALL, rounds=1)


QUICK = [name for name in PIECES if name not in ("memory", "real-weights", "whole-run", "cost")]


@pytest.mark.parametrize("name", [*QUICK, pytest.param("cost", marks=pytest.mark.thorough)])
def test_every_piece_runs_and_its_answers_agree(name: str) -> None:
    found = PIECES[name](TINY, 0, lambda line: None)
    assert found["agrees"]
    assert all(one["ours_s"] > 0 and one["other_s"] > 0 and one["ratio"] > 0 for one in found["rows"])
    assert bool(found["rows"]) == (name not in ("growth", "cost"))


def test_pieces_on_a_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["--small", "--device", "cpu", "--out", str(tmp_path)]) == 0
    pieces = json.loads((tmp_path / "benchmarks.json").read_text())["pieces"]
    assert [len(pieces[name]["rows"]) for name in ("device-pursuit", "device-scan-and-pairs")] == [4, 2]
    assert all(one["ours_s"] > 0 and one["ratio"] > 0 for piece in pieces.values() for one in piece["rows"])
    assert "pursuit of 16, a layer of 96, after the first" in (tmp_path / "benchmarks.md").read_text()
    neurons, table = SMALL.paper.layer(0)[:6], SMALL.paper.dictionary()
    obvious = on_device.obvious_pursuit(neurons, table, 4, torch.device("cpu"))[0]
    assert obvious.ravel().tolist() == greedy_pursuit(neurons, table, 4).token_ids.tolist()
    capsys.readouterr()
    assert command.run(["--small", "--device", "nowhere"]) == 2
    assert "the device 'nowhere' cannot be used" in capsys.readouterr().err


def test_answers_on_any_models_weights_are_held_against_brute_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    model.mkdir()
    save(model, GATED, gaussian_weights(GATED, np.random.default_rng(1)))
    asked = ["--small", "--only", "real-weights", "--out", str(out), "--model"]
    assert command.run([*asked, str(model)]) == 0
    checks = json.loads((out / "benchmarks.json").read_text())["pieces"]["real-weights"]["checks"]
    assert {one["what"] for one in checks} == {
        "pursuit of 16", "pursuit of 16, all rows of the Gram matrix", "pursuit of 5",
        "pursuit of 5, all rows of the Gram matrix", "scan, K = all", "pairs",
    }  # fmt: skip
    assert all(one["compared"] > 0 for one in checks)
    assert "## Answers on real weights" in (out / "benchmarks.md").read_text()
    assert command.run([*asked, str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.run(["--only", "scan", "--model", str(model)])


def test_a_wrong_token_and_a_wrong_cosine_are_noticed() -> None:
    neurons, table = SMALL.paper.layer(0)[:6], SMALL.paper.dictionary()
    found = greedy_pursuit(neurons, table, 4)
    missed, worst = against_every_token(found, neurons, table)
    assert missed == 0 and worst < 1e-6
    tokens, cosines = found.token_ids.copy(), found.cosines.copy()
    tokens[9] = next(token for token in range(len(table)) if token not in found.tokens(2))
    cosines[0] += 0.01
    missed, worst = against_every_token(replace(found, token_ids=tokens), neurons, table)
    assert missed >= 1 and worst > 0.001
    missed, worst = against_every_token(replace(found, cosines=cosines), neurons, table)
    assert missed == 0 and worst == pytest.approx(0.01, abs=1e-6)


@pytest.mark.parametrize(
    ("what", "compared", "different", "worst", "agrees"),
    [
        ("pursuit of 5", 1000, 0, 1e-9, True),
        ("pursuit of 5", 1000, 1, 1e-9, False),
        ("pursuit of 5", 1000, 0, 1e-3, False),
        ("scan, K = all", 100, 10, 1.0, True),
        ("scan, K = all", 100, 11, 1e-9, False),
        ("pairs", 10**6, 10, 1e-7, True),
        ("pairs", 10**6, 11, 1e-7, False),
        ("pairs", 10**6, 0, 1e-3, False),
    ],
)
def test_answers_on_real_weights_agree_but_for_rounding(
    what: str, compared: int, different: int, worst: float, agrees: bool
) -> None:
    fine = {"at": "", "what": "pursuit of 64", "compared": 9, "different": 0, "largest_difference": 0.0}
    one = {"at": "", "what": what, "compared": compared, "different": different, "largest_difference": worst}
    assert agree([fine, one]) == agrees


@pytest.mark.thorough
def test_every_claim_is_timed(tmp_path: Path) -> None:
    save(tmp_path, GATED, gaussian_weights(GATED, np.random.default_rng(1)))
    found = PIECES["whole-run"](replace(TINY, model=str(tmp_path)), 1, lambda line: None)
    assert [one["claim"] for one in found["claims"]] == [
        claim.id for claim in sorted(load_claims().values(), key=lambda one: one.section)
    ]
    assert all(one["seconds"] >= 0.0 for one in found["claims"])


def test_budgets_give_the_same_answers() -> None:
    digests = {growth.under_budget(SMALL, budget)[2] for budget in (2 * 10**8, 2 * 10**9)}
    assert len(digests) == 1


@pytest.mark.thorough
def test_the_peak_of_a_budget_is_that_of_its_own_process() -> None:
    held = np.ones(10**8)  # 800 MB: a process begun by this one is not to count them
    asked = [sys.executable, "-m", "benchmarks.growth", "small", str(2 * 10**9)]
    peak = int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[1])
    assert 10**6 < peak < held.nbytes // 2


def test_the_obvious_pursuit_is_ours() -> None:
    neurons, table = SMALL.paper.layer(0)[:12], SMALL.paper.dictionary()
    tokens, cosines, seconds = other_ways.obvious_pursuit(neurons, table, 9)
    found = greedy_pursuit(neurons, table, 9)
    np.testing.assert_array_equal(found.token_ids.reshape(12, 9), tokens)
    np.testing.assert_allclose(found.cosines.reshape(12, 9), cosines, rtol=0, atol=1e-5)
    assert len(seconds) == 9


@pytest.mark.thorough
def test_the_command_writes_page_figure_and_numbers_without_naming_the_host(tmp_path: Path) -> None:
    settings = os.environ | {"OPENBLAS_CORETYPE": "Nonsense", "OPENBLAS_L2_SIZE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--small", "--only", "pairs", "--only", "scan", "--out", str(tmp_path)],
        capture_output=True, text=True, env=settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "benchmarks.json").read_text())
    assert list(numbers["pieces"]) == ["scan", "pairs"]
    page = (tmp_path / "benchmarks.md").read_text()
    assert "numbers from `--small`" in page and numbers["pieces"]["scan"]["machine"]["processor"] in page
    assert os.uname().nodename not in page and str(Path.home()) not in page
    (tmp_path / "benchmarks.svg").unlink()
    assert command.run(["--render", "--out", str(tmp_path)]) == 0
    assert "</svg>" in (tmp_path / "benchmarks.svg").read_text()


def test_rendering_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.run(["--render", "--out", str(tmp_path)])
    assert "run the command without --render first" in capsys.readouterr().err
