"""The results as a table of pandas."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.factory import Json
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.judge import judge
from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import describe
from vsa_checks.report import assemble, read, table, write
from vsa_checks.report.result_record import not_checked_record, result_record
from vsa_checks.statistics import Interval

MODEL = "smollm2-135m"
SCANNED = Subject("neurons-cos50", "raw", 0, "W_gate")
ORTHOGONAL = Subject("mlp-out-near-orthogonal", "raw", 12)
UNCHECKED = Subject("embedding-component-mean", "raw")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """Three results as a run judges, records, writes and reads them."""
    claims, info = load_claims(), describe(MODEL)
    measured = {
        SCANNED: Measurement(
            0.9,
            Interval(0.88, 0.92, "neurons"),
            n_examined=1500,
            n_excluded=36,
            nulls=(
                NullMeasurement("random directions", 0.7, 0.01, 1500, p_value=0.001, p_opposite=1.0),
                NullMeasurement("covariance-matched neurons", 0.86, 0.01, 1500, p_value=0.2, p_opposite=0.9),
            ),
        ),
        ORTHOGONAL: Measurement(0.05, Interval(0.04, 0.06, "neurons"), 1536, reference=Reference("1/sqrt(d)", 0.04)),
    }
    results = [not_checked_record(claims[UNCHECKED.claim], UNCHECKED, {}, "RMSNorm subtracts no mean", 0.5)]
    for subject, measurement in measured.items():
        claim = claims[subject.claim]
        judgement = judge(claim, measurement, info.d_model)
        results.append(result_record(claim, subject, {}, measurement, judgement, 2.0))
    results[1]["recorded"] = {"verdict": "holds", "reason": "once"}
    results[1]["twin"] = {"value": 0.8, "met": True}
    environment = {"versions": {}, "device": "cpu", "threads": 2, "seed": 0, "duration_s": 4.5}
    folder: Path = tmp_path_factory.mktemp("report")
    write(assemble(info, environment, results, claims), folder)
    return read(folder)


def test_a_row_holds_the_result_and_the_decisive_null_that_comes_closest(document: Json) -> None:
    rows = table(document).set_index("id")
    scanned = rows.loc["neurons-cos50/raw/L0/W_gate"].drop("reason").dropna()
    assert scanned.to_dict() == {
        "claim": "neurons-cos50",
        "section": "3.2",
        "basis": "raw",
        "layer": 0,
        "matrix": "W_gate",
        "primary": True,
        "metric": "share of neurons with cosine >= .5",
        "value": 0.9,
        "ci_low": 0.88,
        "ci_high": 0.92,
        "direction": ">=",
        "threshold": 0.8,
        "threshold_origin": "paper",
        "null": "covariance-matched neurons",
        "null_value": 0.86,
        "p_value": 0.2,
        "n_examined": 1500,
        "n_excluded": 36,
        "verdict": "chance",
        "fragile": True,
        "unsettled": False,
        "twin_value": 0.8,
        "twin_met": True,
        "recorded_verdict": "holds",
        "duration_s": 2.0,
    }
    orthogonal = rows.loc["mlp-out-near-orthogonal/raw/L12"]
    assert (orthogonal.layer, orthogonal.reference, orthogonal.reference_value) == (12, "1/sqrt(d)", 0.04)
    assert orthogonal[["matrix", "null", "null_value", "p_value", "recorded_verdict"]].isna().all()


def test_what_was_not_checked_is_a_row_without_numbers(document: Json) -> None:
    row = table(document).set_index("id").loc["embedding-component-mean/raw"]
    assert (row.verdict, row.reason, row.n_excluded) == ("not-checked", "RMSNorm subtracts no mean", 0)
    assert (
        row[
            [
                "value",
                "twin_value",
                "twin_met",
                "ci_low",
                "ci_high",
                "layer",
                "matrix",
                "reference",
                "null",
                "n_examined",
            ]
        ]
        .isna()
        .all()
    )


def test_columns_can_be_sorted_compared_and_counted(document: Json) -> None:
    results = table(document)
    assert list(results.id) == ["embedding-component-mean/raw", "mlp-out-near-orthogonal/raw/L12", SCANNED.id]
    assert list(results.layer.dropna()) == [12, 0] and results.layer.dtype == "Int64"
    assert results.verdict.value_counts().to_dict() == {"holds": 1, "chance": 1, "refuted": 0, "not-checked": 1}
    assert results.value.dtype == results.p_value.dtype == "float64"


def test_a_run_without_results_has_the_same_columns(document: Json) -> None:
    empty = table(document | {"results": []})
    assert len(empty) == 0 and empty.dtypes.equals(table(document).dtypes)


@pytest.mark.slow
def test_reports_are_written_without_pandas() -> None:
    code = "import sys, vsa_checks.report; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
