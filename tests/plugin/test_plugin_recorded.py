"""What is recorded of a model, and what a run makes of it when it measures something else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.plugin.runs import Server
from vsa_checks.judging.recorded import Known, read_recorded, write_recorded

pytestmark = pytest.mark.slow

# One subject of each verdict on the small model (see models.py), none of which takes long.
HOLDS, CHANCE, REFUTED, NOT_CHECKED = SUBJECTS = (
    "embedding-mean-zero/raw",
    "neurons-cos50/raw/L0/W_in",
    "mlp-out-artifacts/raw/L1",
    "neurons-table1/raw",
)
MEASURED = dict(zip(SUBJECTS, ("holds", "chance", "refuted", "not-checked"), strict=True))
CHOICE = (
    *("--basis", "raw", "-rA", "--no-twin", "--claims"),
    "embedding-mean-zero,neurons-cos50,mlp-out-artifacts,neurons-table1",
)


def write(path: Path, model: Path, verdicts: dict[str, str], sha256: str | None = None) -> Path:
    sha256 = sha256 or hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    known = {name: Known(verdict, f"what was {verdict} before") for name, verdict in verdicts.items()}
    write_recorded(path, "plain", sha256, known)
    return path


def test_what_is_as_recorded_passes(plain: Path, warm: Server, tmp_path: Path) -> None:
    file = write(tmp_path / "f.toml", plain, MEASURED)
    run = warm.claims(plain, tmp_path / "report", *CHOICE, "--recorded", str(file))
    assert run.code == 0, run.output
    assert run.outcomes == {
        "embedding-mean-zero.raw": "PASSED",
        "neurons-cos50.raw.L0.W_in": "XFAIL",
        "mlp-out-artifacts.raw.L0": "PASSED",  # nothing recorded of it
        "mlp-out-artifacts.raw.L1": "XFAIL",
    }
    assert {name: run.results[name]["verdict"] for name in SUBJECTS} == MEASURED
    assert run.results[REFUTED]["recorded"] == {"verdict": "refuted", "reason": "what was refuted before"}
    assert run.results["mlp-out-artifacts/raw/L0"]["recorded"] is None
    assert "Nothing is recorded" not in run.output


@pytest.mark.parametrize(
    "recorded",
    [
        dict(zip(SUBJECTS, ("refuted", "holds", "chance", "holds"), strict=True)),
        dict(zip(SUBJECTS, ("chance", "refuted", "holds", "refuted"), strict=True)),
    ],
    ids=["one", "another"],
)
def test_any_other_verdict_fails_a_better_one_too(
    recorded: dict[str, str], plain: Path, warm: Server, tmp_path: Path
) -> None:
    file = write(tmp_path / "f.toml", plain, recorded)
    run = warm.claims(plain, tmp_path / "report", *CHOICE, "--recorded", str(file))
    assert run.code == 1
    assert "Traceback" not in run.output
    for name in SUBJECTS:
        assert run.outcomes[name.replace("/", ".")] == "FAILED", name
        message = f"{name}: measured {MEASURED[name]} ({run.results[name]['reason']}), recorded {recorded[name]}"
        assert message in run.output
        assert run.results[name]["verdict"] == MEASURED[name], "the report says what was measured"
    assert run.outcomes["mlp-out-artifacts.raw.L0"] == "PASSED"


def test_recording_a_part_keeps_the_rest(plain: Path, warm: Server, tmp_path: Path) -> None:
    before = {HOLDS: "refuted", CHANCE: "holds", "mlp-out-artifacts/processed/L0": "holds"}
    file = write(tmp_path / "f.toml", plain, before)
    run = warm.claims(
        plain, tmp_path / "report", "--basis", "raw", "-k", "mean-zero", "--record", "--recorded", str(file)
    )
    assert run.code == 0, run.output
    known = read_recorded(file, run.document["model"]["sha256"], before)
    assert {name: one.verdict for name, one in known.items()} == before | {HOLDS: "holds"}
    assert known[HOLDS].reason == run.results[HOLDS]["reason"]


REFUSED = {
    "a layer that this model has not": (
        {HOLDS: "holds", "mlp-out-artifacts/raw/L2": "holds"},
        None,
        "artifacts/raw/L2",
    ),
    "other weights": ({HOLDS: "holds"}, "ab" * 32, "other weights"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_does_not_fit_the_model_is_refused_before_anything_is_measured(
    case: str, plain: Path, light: Server, tmp_path: Path
) -> None:
    """Also where the entry belongs to a basis or a claim that this run leaves out."""
    verdicts, sha256, message = REFUSED[case]
    file = write(tmp_path / "f.toml", plain, verdicts, sha256)
    run = light.claims(plain, tmp_path / "report", "--basis", "processed", "-k", "table1", "--recorded", str(file))
    assert run.code == 4, run.output
    assert message in run.output and str(file) in run.output
    assert "Traceback" not in run.output and "INTERNALERROR" not in run.output
    assert not (tmp_path / "report").exists()
