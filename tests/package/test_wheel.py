"""The wheel where no checkout is: every file is in it, its commands work, and other runs of pytest do not notice it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.models import tiny
from tests.plugin.runs import ENVIRONMENT
from vsa_checks import report
from vsa_checks.paths import ROOT

pytestmark = pytest.mark.slow

FOLDERS = {"vsa_checks": "vsa_checks", "claims": "vsa_checks/claims", "fixtures": "vsa_checks/fixtures"}
"""Where the folders of the checkout lie in the wheel."""
HIDDEN = re.compile(r"(^|/)(\.|__pycache__)")
WATCH = """
import atexit, sys

names = set()
sys.addaudithook(lambda event, given: names.add(str(given[0])) if event == "open" else None)
atexit.register(lambda: open({log!r}, "a").write("".join(f"{{name}}\\n" for name in list(names))))
"""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, beside the libraries of the one that the tests run in."""

    folder: Path
    packages: Path

    def run(self, *words: str, cwd: Path, code: int = 0) -> str:
        """What the command prints; the first word is a program of the environment."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(
            [self.folder / "bin" / words[0], *words[1:]],
            cwd=cwd,
            env={**environment, **ENVIRONMENT, "NUMBA_DISABLE_JIT": "1"},  # compiling takes longer than all else here
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def pytest(self, *words: str, cwd: Path) -> str:
        """What pytest prints; without the current folder on Python's path, as its own program would be."""
        return self.run("python", "-P", "-m", "pytest", *words, cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: what an earlier build left in the checkout would go into it."""
    source = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(source / "dist")]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", *options, wheel], check=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    # A folder that a .pth file names is searched, and its own .pth files, the editable install's, are not obeyed.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    (packages / "sitecustomize.py").write_text(WATCH.format(log=str(folder / "opened")))
    return Installed(folder, packages)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose folder has a configuration for pytest that loads a plugin from there."""
    folder = tiny.write_hf(tmp_path_factory.mktemp("model") / "tiny", "gpt2")
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\naddopts = -p hostile\n")
    for name in ("hostile", "conftest"):
        (folder / f"{name}.py").write_text(f"open({str(folder.parent / 'ran')!r}, 'w').close()\n")
    return folder


def assert_reported(installed: Installed, folder: Path, claim: str) -> None:
    """One valid report in the current folder, of this claim alone; and nothing was read from the checkout."""
    (file,) = folder.glob("reports/*/results.json")
    assert [result["claim"] for result in report.read(file.parent)["results"]] == [claim]
    opened = set((installed.folder / "opened").read_text().splitlines())
    assert str(installed.packages / "vsa_checks/claims/claims.toml") in opened, "the watch saw what was read"
    libraries = sysconfig.get_path("purelib")
    assert not [name for name in opened if name.startswith(f"{ROOT}/") and not name.startswith(libraries)]


def test_the_wheel_holds_every_file_but_trained_models(wheel: Path) -> None:
    expected = {
        f"{inside}/{path.relative_to(ROOT / folder)}"
        for folder, inside in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and path.suffix != ".md"
        and "trained" not in path.parts
        and not HIDDEN.search(str(path.relative_to(ROOT)))
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected


@pytest.mark.thorough
def test_the_command_runs_claims_and_nothing_of_the_models_folder(
    installed: Installed, model: Path, tmp_path: Path
) -> None:
    output = installed.run("vsa-checks", "run", "--model", str(model), "-k", "embedding-mean-zero", cwd=tmp_path)
    assert "1 passed" in output and "warning" not in output
    assert_reported(installed, tmp_path, "embedding-mean-zero")
    assert not (model.parent / "ran").exists()


@pytest.mark.thorough
def test_pytest_runs_the_claims_by_their_name(installed: Installed, model: Path, tmp_path: Path) -> None:
    (model / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    words = ("--model", str(model), "--basis", "raw", "--pyargs", "vsa_checks.claims", "-k", "component_mean")
    assert "1 passed" in installed.pytest(*words, cwd=tmp_path)
    assert_reported(installed, tmp_path, "embedding-component-mean")


@pytest.mark.thorough
def test_models_are_listed_and_a_neuron_is_explained(installed: Installed, model: Path, tmp_path: Path) -> None:
    assert "smollm2-135m" in installed.run("vsa-checks", "models", cwd=tmp_path)
    output = installed.run("vsa-checks", "explain", str(model), "0", "3", "--max-tokens", "2", cwd=tmp_path)
    assert "layer 0, neuron 3, W_in (processed basis)" in output
    assert "installed package" in installed.run("vsa-checks", "readme", cwd=tmp_path, code=2)


def test_a_project_with_options_of_the_same_names_is_left_alone(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("def pytest_addoption(parser):\n    parser.addoption('--model')\n")
    (tmp_path / "test_own.py").write_text(
        "import sys\n\n"
        "def test_own(pytestconfig):\n"
        "    assert pytestconfig.getoption('--model') == 'theirs'\n"
        "    assert pytestconfig.getoption('--basis', None) is None\n"
        "    assert 'vsa_checks.plugin.entry' in sys.modules and 'vsa_checks.plugin.hooks' not in sys.modules\n"
    )
    for words in (("--model", "theirs"), (".", "--model=theirs"), ("--model", "theirs", "test_own.py")):
        assert "1 passed" in installed.pytest(*words, cwd=tmp_path)
