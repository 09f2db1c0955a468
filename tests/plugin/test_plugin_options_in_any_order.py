"""In a checkout: the claims' options before or after the claims, and nothing taken from the folder of a model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models import tiny
from tests.plugin.runs import ENVIRONMENT, QUICK, Run, Server
from vsa_checks.paths import CLAIMS, ROOT
from vsa_checks.plugin.options import settled

pytestmark = pytest.mark.slow


def test_values_are_joined_to_their_options_and_nothing_else() -> None:
    given = ["--model", "D", "-k", "x", "--record", "--seed=3", "--basis", "raw", "claims/", "--text"]
    assert settled(given) == ["--model=D", "-k", "x", "--record", "--seed=3", "--basis=raw", "claims/", "--text"]


def collected(light: Server, words: list[str], folder: Path = ROOT) -> Run:
    """What `python -m` with these words collects in this folder."""
    module, *arguments = words
    arguments += [*QUICK, "--collect-only", "-q", "-k", "embedding-mean-zero"]
    return light.pytest(arguments, module=module, cwd=folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose folder holds what pytest would take for its configuration, and code that it would run."""
    folder = tiny.write_hf(tmp_path_factory.mktemp("hostile") / "model", "gpt2")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option more\nrequired_plugins = not-there\n")
    for place in (folder, folder / "more"):
        place.mkdir(exist_ok=True)
        (place / "conftest.py").write_text(f"open({str(folder.parent / 'ran')!r}, 'w').close()\n")
    return folder


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (ROOT, "--model MODEL claims/"),
        (ROOT, "--model MODEL --seed 3 claims/test_2_1_embeddings.py"),
        (ROOT, "--basis raw --model MODEL claims/"),
        (CLAIMS, "--model MODEL"),
    ],
    ids=["model first", "a module", "basis first", "in the folder of claims"],
)
def test_the_order_of_options_does_not_matter(folder: Path, words: str, model: Path, light: Server) -> None:
    run = collected(light, ["pytest", *words.replace("MODEL", str(model)).split()], folder)
    assert run.code == 0, run.output
    basis = "raw" if "raw" in words else "processed"
    line = f"claims/test_2_1_embeddings.py::test_embedding_mean_zero[embedding-mean-zero.{basis}]"
    assert line in run.output.splitlines()
    assert not (model.parent / "ran").exists(), "code in the model's folder was run"


def test_a_new_process_elsewhere_finds_the_package(model: Path, tmp_path: Path) -> None:
    chosen = ["--basis", "raw", "--model", str(model), str(CLAIMS), *QUICK, "--collect-only", "-q", "-k", "mean-zero"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *chosen],
        cwd=tmp_path,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and "[embedding-mean-zero.raw]" in done.stdout, done.stdout + done.stderr


HOSTILE = {
    "switches the plugin off": "addopts = -p no:vsa_checks",
    "switches all plugins off": "addopts = --disable-plugin-autoload",
    "names a module": "pythonpath = .\naddopts = -p beside_the_model",
    "asks for another pytest": "minversion = 99",
}


STARTED = {
    "claims first": "pytest claims/ --model MODEL",
    "model first": "pytest --model=MODEL claims/",
    "by the command": "vsa_checks run --model MODEL",
}


@pytest.mark.parametrize(
    ("case", "way"),
    [
        *(("names a module", way) for way in STARTED),
        ("switches the plugin off", "model first"),
        ("switches all plugins off", "claims first"),
        ("asks for another pytest", "by the command"),
    ],
)
def test_a_configuration_beside_a_model_is_not_read(
    case: str, way: str, model: Path, light: Server, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "model")
    folder, ran = tmp_path / "model", tmp_path / "ran"
    (folder / "pytest.ini").write_text(f"[pytest]\n{HOSTILE[case]}\n")
    for name in ("conftest.py", "beside_the_model.py"):
        (folder / name).write_text(f"open({str(ran)!r}, 'w').close()\n")
    run = collected(light, STARTED[way].replace("MODEL", str(folder)).split())
    assert run.code == 0 and "embedding-mean-zero.processed" in run.output, run.output
    assert not ran.exists()


def test_a_configuration_that_was_read_is_warned_of(model: Path, light: Server) -> None:
    run = collected(light, ["pytest", "--model", str(model), "claims/"])
    assert run.code == 0 and f"read {model / 'pytest.ini'} before the checks" in run.output
    assert "Warning: pytest took" not in collected(light, ["pytest", "claims/", "--model", str(model)]).output
