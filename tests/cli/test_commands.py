"""What the command line lists, and what it needs for that."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.models import tiny
from vsa_checks.cli.main import main
from vsa_checks.models.registry import read_registry

HEAVY = ("torch", "transformer_lens", "transformers", "numba")
LISTINGS = {
    "--help": "explain",
    "--version": metadata.version("vsa-checks"),
    "models": "smollm2-135m",
    "schema": "schema_version",
    "explain --help": "--max-tokens",
    "intervene --help": "--interventions",
    "run --help": "--report-dir",
    "run --list-claims": "neurons-cos50",
}


@pytest.mark.slow
@pytest.mark.parametrize("words", LISTINGS)
def test_listings_need_no_library_of_models(words: str) -> None:
    code = (
        "import sys; from vsa_checks.cli.main import main\n"
        f"try: sys.exit(main({words.split()}))\n"
        f"finally: print('loaded:', *(name for name in {HEAVY} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert LISTINGS[words] in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_each_model_has_a_line_with_source_id_licence_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(read_registry())
    gpt2 = next(line for line in lines if line.startswith("gpt2 "))
    assert gpt2.split()[1:4] == ["hub", "openai-community/gpt2", "MIT"] and gpt2.endswith("the model of the paper.")


def test_models_says_what_a_model_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny.write_hf(tmp_path / "tiny", "mixtral", tokenizer=False)
    assert main(["models", str(folder)]) == 0
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert said["experts"] == "3 in 2 of 2 layers"
    assert said["d_mlp"].endswith(", gated")
    assert said["text"].startswith("not read: ")
