"""Runs in which something goes wrong: none of them may pass, and the report says what it was.

Faults are brought in by a plugin that stands in the way of the code under test, given with `-p`.
"""

from __future__ import annotations

import hashlib
import html
from pathlib import Path

import pytest

from tests.plugin.runs import Run, Server
from vsa_checks.judging.recorded import Known, write_recorded

pytestmark = pytest.mark.slow

FAULTS = '''
"""Measures that crash, look at nothing, or give what JSON cannot carry; a test that does not judge."""

from dataclasses import replace

import numpy as np

from vsa_checks.plugin import check
from vsa_checks.sections import attention, embeddings, mlp


def outputs_artifacts(bench, subject):
    return 1 / 0


def changed(measure, **fields):
    return lambda bench, subject, **options: replace(measure(bench, subject, **options), **fields)


mlp.outputs_artifacts = outputs_artifacts
embeddings.mean_zero = changed(embeddings.mean_zero, n_examined=0)
embeddings.component_mean = changed(embeddings.component_mean, details={"count": np.int64(3)})
embeddings.tokens_artifacts = changed(embeddings.tokens_artifacts, details={"share": float("nan")})
mlp.outputs_near_orthogonal = changed(mlp.outputs_near_orthogonal, value=float("nan"))

called = check.Check.__call__


def __call__(self, subject, measure, **options):
    if subject.claim != "attention-qk-isometry":
        called(self, subject, measure, **options)


check.Check.__call__ = __call__
'''
LOST = '''
"""Swallows the reports of one test, as a worker does that dies or cannot send them."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    return True if "mlp-out-artifacts.raw.L1" in item.nodeid else None
'''
CHOICE = (
    "mlp-out-artifacts or mean-zero or component-mean or (embedding-artifacts and not centered)"
    " or mlp-out-near or ((qk-isometry or ov-isometry) and not as-random)"
)
BROKEN = {
    "mlp-out-artifacts/raw/L0": ("refuted", "ZeroDivisionError"),
    "mlp-out-artifacts/raw/L1": ("chance", "ZeroDivisionError"),
    "embedding-mean-zero/raw": ("refuted", "examined nothing"),
    "embedding-component-mean/raw": (None, "int64 is not JSON serializable"),
    "embedding-artifacts/raw": ("refuted", "not JSON compliant"),
    "mlp-out-near-orthogonal/raw/L0": ("chance", "not a number to judge"),
    "mlp-out-near-orthogonal/raw/L1": (None, "not a number to judge"),
    "attention-qk-isometry/raw/L0": ("holds", "checked nothing"),
    "attention-qk-isometry/raw/L1": ("refuted", "XPASS(strict)"),
}
"""Subjects whose measure is broken, what is recorded of them, and what the report must say."""


def plugin(folder: Path, name: str, content: str) -> dict[str, str]:
    (folder / f"{name}.py").write_text(content)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def broken(plain: Path, warm: Server, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All faults at once, each on a claim of its own, with expected failures recorded of some of them."""
    folder = tmp_path_factory.mktemp("broken")
    known = {name: Known(verdict, "as before") for name, (verdict, _) in BROKEN.items() if verdict}
    sha256 = hashlib.sha256((plain / "model.safetensors").read_bytes()).hexdigest()
    write_recorded(folder / "f.toml", "plain", sha256, known)
    return warm.claims(
        plain,
        folder / "report",
        *("--basis", "raw", "-rA", "--no-twin", "-k", CHOICE, "-p", "faulty", "--recorded", str(folder / "f.toml")),
        env=plugin(folder, "faulty", FAULTS),
    )


@pytest.mark.parametrize("subject", BROKEN)
def test_a_broken_measure_fails_whatever_is_recorded(subject: str, broken: Run) -> None:
    assert broken.code == 1, broken.output[-3000:]
    assert broken.outcomes[subject.replace("/", ".")] in ("FAILED", "ERROR")
    assert subject not in broken.results, "there is no number to report"
    (entry,) = [one for one in broken.document["environment"]["crashed"] if subject.replace("/", ".") in one["test"]]
    assert BROKEN[subject][1] in entry["message"]


def test_the_log_tells_a_crash_from_the_measure_on(broken: Run) -> None:
    told = {row["testId"].split("[")[1].split("]")[0]: html.unescape(row["log"]) for row in broken.log}
    crash = told["mlp-out-artifacts.raw.L0"]
    assert crash.startswith("ZeroDivisionError: division by zero\n")
    assert "faulty.py" in crash and "check.py" not in crash and "outcome.py" not in crash


def test_what_is_sound_is_measured_beside_what_is_broken(broken: Run) -> None:
    assert sorted(broken.results) == ["attention-ov-isometry/raw/L0", "attention-ov-isometry/raw/L1"]
    assert len(broken.document["environment"]["crashed"]) == len(BROKEN)
    assert {broken.outcomes[name.replace("/", ".")] for name in broken.results} == {"PASSED"}


def test_the_report_of_an_earlier_run_does_not_stand_for_one_that_crashed(
    plain: Path, warm: Server, tmp_path: Path
) -> None:
    only = ("--basis", "raw", "-k", "mean-zero")
    before = warm.claims(plain, tmp_path, *only)
    assert list(before.results) == ["embedding-mean-zero/raw"]
    run = warm.claims(plain, tmp_path, *only, "-p", "faulty", env=plugin(tmp_path, "faulty", FAULTS))
    assert run.code == 1
    assert run.document["results"] == []
    (entry,) = run.document["environment"]["crashed"]
    assert "examined nothing" in entry["message"]
    assert "examined nothing" in (tmp_path / "index.html").read_text()


PROPERTY_FAILS = """
import vsa_checks.premise.operations


def bind(vectors, matrix):
    raise ZeroDivisionError("no binding today")


vsa_checks.premise.operations.bind = bind
"""


def test_a_property_test_alone_leaves_the_report_of_a_model_alone(plain: Path, warm: Server, tmp_path: Path) -> None:
    warm.claims(plain, tmp_path, "--basis", "raw", "-k", "mean-zero")
    before = (tmp_path / "results.json").read_bytes()
    environment = plugin(tmp_path, "unbound", PROPERTY_FAILS)
    run = warm.claims(plain, tmp_path, "-k", "test_2_2_binding", "-p", "unbound", env=environment)
    assert run.code == 1
    assert (tmp_path / "results.json").read_bytes() == before


UNMEASURED = """
import pytest


@pytest.mark.claim("embedding-mean-zero")
def test_unmeasured(subject):
    pass
"""


def test_a_claim_that_never_asks_to_be_checked_is_not_run(plain: Path, warm: Server, tmp_path: Path) -> None:
    module = tmp_path / "test_unmeasured.py"
    module.write_text(UNMEASURED)
    run = warm.claims(plain, tmp_path / "report", str(module), "-k", "mean-zero")
    assert run.code == 2, run.output[-3000:]
    assert "INTERNALERROR" not in run.output
    assert "test_unmeasured takes a subject but not `check`" in run.output
    assert not (tmp_path / "report" / "results.json").exists()


def test_nothing_is_recorded_from_a_run_with_a_crash(plain: Path, warm: Server, tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    chosen = ("--basis", "raw", "--no-twin", "--claims", "attention-ov-isometry,attention-qk-isometry")
    run = warm.claims(
        plain,
        tmp_path / "report",
        *(*chosen, "-p", "faulty", "--record", "--recorded", str(file)),
        env=plugin(tmp_path, "faulty", FAULTS),
    )
    assert run.code == 1
    assert not file.exists()
    assert f"{file} was NOT written" in run.output


def test_a_test_that_is_never_reported_fails_the_run_and_nothing_is_recorded(
    plain: Path, warm: Server, tmp_path: Path
) -> None:
    file = tmp_path / "f.toml"
    arguments = ("--basis", "raw", "-rA", "-k", "mean-zero or mlp-out-artifacts", "--record", "--recorded", str(file))
    run = warm.claims(plain, tmp_path, *arguments, "-p", "lossy", env=plugin(tmp_path, "lossy", LOST))
    assert set(run.outcomes.values()) == {"PASSED"}, "all that is reported is well"
    assert run.code == 1
    assert "1 of 3 collected tests were never reported" in run.output
    assert "mlp-out-artifacts.raw.L1" in run.output.split("never reported", 1)[1].splitlines()[0]
    assert not file.exists(), f"recorded all the same: {file.read_text()}"
