"""Listing and collecting need no model libraries, and runs of other tests are left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin.runs import Server, arguments
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import enumerate_subjects
from vsa_checks.models import describe
from vsa_checks.paths import ROOT

HEAVY = ("torch", "transformer_lens", "transformers")
BUDGET = (*HEAVY, "scipy.stats", "numba", "pandas", "sklearn")
"""Each takes from a third of a second to several seconds to import."""


def listed(option: str, light: Server, model: Path | None, folder: Path, *more: str) -> str:
    """What a listing prints; it needs none of the libraries of models and writes no report."""
    run = light.pytest(arguments((option, *more), model, folder / "report"), report_dir=folder, modules=True)
    assert run.code == 0, run.output
    assert "numpy" in run.modules, "the list of modules is one"
    assert [name for name in HEAVY if name in run.modules] == []
    assert not (folder / "report").exists()
    return run.output


@pytest.mark.slow
def test_the_list_of_claims_names_each_with_its_threshold(light: Server, tmp_path: Path) -> None:
    lines = listed("--list-claims", light, None, tmp_path).splitlines()
    assert [line.split()[0] for line in lines] == list(load_claims())
    (line,) = [line for line in lines if line.startswith("neurons-cos50 ")]
    assert ">= 0.8 (paper)" in line and "section 3.2" in line


def test_the_list_of_models_names_each_with_its_source(light: Server, tmp_path: Path) -> None:
    lines = listed("--list-models", light, None, tmp_path).splitlines()
    assert [line.split()[:2] for line in lines][:2] == [["gpt2", "hub"], ["smollm2-135m", "package"]]


def test_help_tells_the_options(light: Server, tmp_path: Path) -> None:
    output = listed("--help", light, None, tmp_path)
    names = "model basis report-dir device seed text record recorded no-recorded no-cache claims layers primary-only"
    assert [name for name in names.split() if f"\n  --{name}" not in output] == []


@pytest.mark.slow
@pytest.mark.parametrize("given", [("--list-claims",), ("--model", "nosuch"), ("--model", ".", "--claims", "nosuch")])
def test_lists_and_unknown_names_are_told_before_anything_large_is_imported(
    given: tuple[str, ...], plain: Path, tmp_path: Path
) -> None:
    """In a process of its own: those that other tests start runs from have imported some of it beforehand."""
    words = [str(plain) if word == "." else word for word in given]
    code = f"import sys, pytest; print(int(pytest.main(sys.argv[1:])), sorted({set(BUDGET)!r} & set(sys.modules)))"
    command = [sys.executable, "-c", code, *arguments(tuple(words), None, tmp_path / "report")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == f"{0 if given == ('--list-claims',) else 4} []"
    assert given == ("--list-claims",) or "nosuch" in done.stderr


@pytest.mark.slow
def test_collecting_names_every_subject(plain: Path, light: Server, tmp_path: Path) -> None:
    output = listed("--collect-only", light, plain, tmp_path, "-q", "--basis", "both", "-m", "claim")
    assert output.splitlines()[0].startswith(f"Model checked: {plain}")
    names = sorted(line.split("[")[1].rstrip("]") for line in output.splitlines() if "[" in line)
    info = describe(plain)
    assert names == sorted(s.test_id for claim in load_claims().values() for s in enumerate_subjects(claim, info))


def test_a_run_of_other_tests_is_left_alone(light: Server, tmp_path: Path) -> None:
    """No model is chosen, nothing is said, no report is written, no library of models is imported."""
    before = sorted(path.name for path in (ROOT / "reports").iterdir())
    test = "tests/judging/test_subject_ids.py::test_ids_are_those_of_the_contract"
    run = light.pytest([test, "-p", "no:cacheprovider"], env={"HF_HUB_OFFLINE": "0"}, modules=True)
    assert run.code == 0, run.output
    assert "1 passed" in run.output
    assert "Model checked" not in run.output and "claims" not in run.output.replace("claims.toml", "")
    assert "torch" not in run.modules
    assert sorted(path.name for path in (ROOT / "reports").iterdir()) == before
