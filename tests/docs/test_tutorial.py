"""The README and the tutorial do what they say, block by block, on a small model in place of the one that they name."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fixtures.planted import planted_model
from fixtures.small_models import Sizes
from tests.plugin.runs import ENVIRONMENT, QUICK
from vsa_checks.cli.main import main
from vsa_checks.paths import DOCS, README

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
NAMED = "smollm2-135m"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SIZES = Sizes(n_layers=2, n_kv_heads=2, d_head=12, d_mlp=744, gated=True)
"""Gated as the named model is, and as many neurons as the page speaks of."""


def _run(arguments: list[str]) -> str:
    """What the command prints. A run of pytest gets a process of its own."""
    if arguments[0] != "run":
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert main(arguments) == 0
        return printed.getvalue()
    environment = os.environ | ENVIRONMENT | {"PYTEST_ADDOPTS": " ".join(QUICK)}
    command = [sys.executable, "-m", "vsa_checks", *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[str]]:
    """The folder in which all blocks were run in turn, the names that they left, and what commands printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    model = planted_model(folder / "model", SIZES).path
    names: dict[str, Any] = {}
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MPLBACKEND", "Agg")
        text = "".join(page.read_text(encoding="utf-8") for page in (README, DOCS / "tutorial.md"))
        for language, code in BLOCK.findall(text):
            here = code.replace(NAMED, str(model))
            if language == "python":
                exec(compile(here, "page.md", "exec"), names)
                continue
            program, *arguments = shlex.split(here)
            assert program == "vsa-checks"
            printed.append(_run(arguments))
    return folder, names, printed


def test_the_planted_neurons_are_told_from_chance(done: tuple[Path, dict[str, Any], list[str]]) -> None:
    _, names, _ = done
    above = {name: (bundles.cosine_at(5) > names["bar"]).mean() for name, bundles in names["found"].items()}
    assert above["neurons"] > 0.95 and above["random directions"] == pytest.approx(0.01)
    assert above["covariance-matched"] < 0.2


def test_the_commands_explain_a_neuron_and_measure_every_layer(done: tuple[Path, dict[str, Any], list[str]]) -> None:
    folder, names, (explained, _) = done
    assert "layer 0, neuron 741, W_gate (processed basis)" in explained
    results = names["results"].set_index("id")
    assert list(results.groupby("matrix").layer.apply(list)) == [[0, 1], [0, 1]]
    first, second = (results.loc[f"neurons-beyond-chance/processed/L{layer}/W_gate"] for layer in (0, 1))
    assert (first.verdict, second.verdict) == ("holds", "refuted") and first.value > 0.95
    assert (folder / "beyond-chance.png").read_bytes().startswith(b"\x89PNG")
