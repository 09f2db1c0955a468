"""The values of the untrained twin: which layer stands for which, and where they come from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.claims_at_hand import a_claim
from tests.models import tiny
from vsa_checks.errors import NotChecked
from vsa_checks.judging.claim import Claim
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import ModelInfo, describe
from vsa_checks.models.texts import shipped_text
from vsa_checks.statistics import Interval
from vsa_checks.workbench import twin_values as module
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.kept_measurements import KeptMeasurements
from vsa_checks.workbench.twin import NoTwin, TwinBench
from vsa_checks.workbench.twin_values import Beside, TwinValues, read_values, stand_ins, values_text

ON_WEIGHTS = a_claim("on-weights", subjects="mlp-in", primary="all")
ON_TEXT = a_claim("on-text", subjects="attention-layers", primary="all", needs=("text",))
ON_ALL = a_claim("on-all", subjects="embeddings", primary="all")
CLAIMS = {claim.id: claim for claim in (ON_WEIGHTS, ON_TEXT, ON_ALL)}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_hf(tmp_path_factory.mktemp("models") / "llama", "llama", num_hidden_layers=3)


@pytest.fixture(scope="module")
def info(path: Path) -> ModelInfo:
    return describe(str(path))


class Measured:
    """A measure that takes down which subjects of which bench it measured, and gives this value."""

    def __init__(self, value: float = 0.7, lacking: tuple[int, ...] = (), text: bool = False) -> None:
        self.value, self.lacking, self.text = value, lacking, text
        self.subjects: list[str] = []

    def __call__(self, bench: Workbench, subject: Subject, **options: Any) -> Measurement:
        assert isinstance(bench, TwinBench) and bench.model(subject.basis).info.name == "untrained twin"
        self.subjects.append(subject.id)
        if subject.layer in self.lacking:
            raise NotChecked(f"layer {subject.layer} has none")
        if self.text:
            assert bench.text
        return Measurement(self.value, Interval(self.value, self.value, "neurons"), 5, details={"much": [1] * 99})


def on(claim: Claim, layer: int | None = None, matrix: str | None = None) -> Subject:
    return Subject(claim.id, "raw", layer, matrix)


def beside(values: TwinValues, trained: Workbench, claim: Claim, subject: Subject, measure: Any) -> Beside:
    return values.beside(trained, claim, subject, measure, {})


# --- which layer stands for which -----------------------------------------------------------------------------


def test_one_layer_stands_for_all_where_weights_are_measured(path: Path, info: ModelInfo) -> None:
    values, measure, trained = TwinValues(info), Measured(), Workbench(str(path))
    found = [beside(values, trained, ON_WEIGHTS, on(ON_WEIGHTS, layer, "W_in"), measure) for layer in (2, 0, 1)]
    assert measure.subjects == ["on-weights/raw/L0/W_in"]
    assert [one.twin for one in found] == [{"value": 0.7, "met": True}] * 3
    assert found[0].details["subject"] == "on-weights/raw/L0/W_in" and found[0].details["verdict"] == "holds"
    beside(values, trained, ON_WEIGHTS, on(ON_WEIGHTS, 1, "W_gate"), measure)
    assert measure.subjects[1:] == ["on-weights/raw/L0/W_gate"]
    values.close()


def test_the_first_layer_that_has_the_matrix_is_measured(path: Path, info: ModelInfo) -> None:
    values, measure, trained = TwinValues(info), Measured(lacking=(0, 1)), Workbench(str(path))
    found = beside(values, trained, ON_WEIGHTS, on(ON_WEIGHTS, 0, "W_in"), measure)
    assert found.details["subject"] == "on-weights/raw/L2/W_in"
    none = Measured(lacking=(0, 1, 2))
    lacking = beside(TwinValues(info), trained, ON_WEIGHTS, on(ON_WEIGHTS, 1, "W_in"), none)
    assert (lacking.twin, lacking.details) == (None, {"not_measured": "layer 0 has none"})
    values.close()


def test_text_is_measured_layer_by_layer_and_what_has_no_layer_once(path: Path, info: ModelInfo) -> None:
    values, measure, trained = TwinValues(info), Measured(), Workbench(str(path))
    for layer in (0, 2, 2):
        beside(values, trained, ON_TEXT, on(ON_TEXT, layer), measure)
    beside(values, trained, ON_ALL, on(ON_ALL), measure)
    assert measure.subjects == ["on-text/raw/L0", "on-text/raw/L2", "on-all/raw"]
    values.close()


@pytest.mark.parametrize(("by_layer", "met"), [((0.49, 0.52, 0.53), True), ((0.51, 0.3, 0.4), False)])
def test_near_the_margin_most_of_the_layers_decide(
    by_layer: tuple[float, ...], met: bool, path: Path, info: ModelInfo
) -> None:
    """The threshold is .5: the first layer alone would mislead."""

    def measure(bench: Workbench, subject: Subject) -> Measurement:
        assert subject.layer is not None
        value = by_layer[subject.layer]
        return Measurement(value, Interval(value, value, "neurons"), 5)

    values = TwinValues(info)
    found = beside(values, Workbench(str(path)), ON_WEIGHTS, on(ON_WEIGHTS, 0, "W_in"), measure)
    values.close()
    assert found.twin == {"value": by_layer[1], "met": met} and len(found.looked_at) == 3
    assert found.details["verdicts_of_layers"] == ("2 holds, 1 refuted" if met else "2 refuted, 1 holds")


def test_experts_stand_for_experts_and_dense_layers_for_dense_ones(info: ModelInfo) -> None:
    mixture = replace(info, n_experts=2, expert_layers=(1, 2))
    expert = Subject(ON_WEIGHTS.id, "raw", 2, "W_in", expert=1)
    found = [(one.layer, one.expert) for one in stand_ins(ON_WEIGHTS, expert, mixture)]
    assert found == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert [one.layer for one in stand_ins(ON_WEIGHTS, on(ON_WEIGHTS, 0, "W_in"), mixture)] == [0]


def test_it_is_met_where_the_judge_says_holds(path: Path, info: ModelInfo) -> None:
    claim = a_claim("on-weights", subjects="mlp-in", primary="all", decisive=("chance",), alpha=0.01, delta=0.05)
    trained, subject = Workbench(str(path)), on(claim, 0, "W_in")

    def against(value: float, null: float, p: float) -> Any:
        def measure(bench: Workbench, subject: Subject) -> Measurement:
            drawn = NullMeasurement("chance", null, 0.01, 999, p, 1 - p)
            return Measurement(value, Interval(value, value, "neurons"), 5, nulls=(drawn,))

        values = TwinValues(info)
        found = beside(values, trained, claim, subject, measure)
        values.close()
        return found.twin, found.details["verdict"]

    assert against(0.7, 0.2, 0.001) == ({"value": 0.7, "met": True}, "holds")
    assert against(0.7, 0.68, 0.4) == ({"value": 0.7, "met": False}, "chance")
    assert against(0.1, 0.0, 0.001) == ({"value": 0.1, "met": False}, "refuted")


def test_a_measure_that_is_broken_is_not_hidden(path: Path, info: ModelInfo) -> None:
    def broken(bench: Workbench, subject: Subject) -> Measurement:
        return 1 / 0  # type: ignore[return-value]

    values = TwinValues(info)
    with pytest.raises(ZeroDivisionError):
        beside(values, Workbench(str(path)), ON_ALL, on(ON_ALL), broken)
    values.close()


# --- where there is none --------------------------------------------------------------------------------------


def test_why_there_is_no_twin_is_found_out_once(path: Path, info: ModelInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refuse(*given: Any) -> None:
        tried.append(given)
        raise NoTwin("it is too large")

    monkeypatch.setattr("vsa_checks.workbench.twin.write_twin", refuse)
    values, trained = TwinValues(info), Workbench(str(path))
    for layer in range(3):
        assert beside(values, trained, ON_WEIGHTS, on(ON_WEIGHTS, layer, "W_in"), Measured()) == Beside(None, {}, {})
    assert (values.why_not, len(tried)) == ("it is too large", 1)
    assert values.to_measure(CLAIMS, [on(ON_ALL)]) == []


def test_where_it_is_not_wanted_nothing_is_measured(path: Path, info: ModelInfo) -> None:
    measure = Measured()
    values = TwinValues(info, why_not="not wanted")
    assert beside(values, Workbench(str(path)), ON_ALL, on(ON_ALL), measure) == Beside(None, {}, {})
    assert not measure.subjects


# --- where values come from -----------------------------------------------------------------------------------


def shipped(path: Path, info: ModelInfo, claim: Claim, subject: Subject, **how: Any) -> dict[str, Any]:
    """What is written of one subject after it was measured."""
    values = TwinValues(info)
    found = beside(values, Workbench(str(path)), claim, subject, Measured(**how))
    values.close()
    return json.loads(json.dumps(found.looked_at))


def test_what_ships_is_not_measured(path: Path, info: ModelInfo) -> None:
    known = shipped(path, info, ON_WEIGHTS, on(ON_WEIGHTS, 1, "W_in"), lacking=(0,))
    assert list(known) == ["on-weights/raw/L0/W_in", "on-weights/raw/L1/W_in"]
    values, measure = TwinValues(info, shipped=known), Measured()
    found = beside(values, Workbench(str(path)), ON_WEIGHTS, on(ON_WEIGHTS, 2, "W_in"), measure)
    assert found.twin == {"value": 0.7, "met": True} and not measure.subjects
    assert found.looked_at == known and "much" not in json.dumps(known)
    assert values.to_measure(CLAIMS, [on(ON_WEIGHTS, 2, "W_in")]) == []


def test_what_ships_of_another_version_or_text_is_measured_anew(path: Path, info: ModelInfo) -> None:
    known = shipped(path, info, ON_TEXT, on(ON_TEXT, 1), text=True)
    assert known["on-text/raw/L1"]["text"] == shipped_text().sha256
    other = shipped_text().__class__("other", ("words",), "12" * 32)
    for changed, text in ((ON_TEXT, None), (replace(ON_TEXT, version=9), None)):
        measure, values = Measured(), TwinValues(info, shipped=known, text=text)
        beside(values, Workbench(str(path)), changed, on(ON_TEXT, 1), measure)
        assert bool(measure.subjects) is (changed is not ON_TEXT)
        values.close()
    measure, values = Measured(), TwinValues(info, shipped=known, text=other)
    assert values.to_measure(CLAIMS, [on(ON_TEXT, 1)]) == [on(ON_TEXT, 1)]


def test_what_ships_is_judged_anew(path: Path, info: ModelInfo) -> None:
    known = shipped(path, info, ON_ALL, on(ON_ALL))
    stricter = replace(ON_ALL, threshold=0.8)
    found = TwinValues(info, shipped=known).beside(Workbench(str(path)), stricter, on(ON_ALL), Measured(), {})
    assert found.twin == {"value": 0.7, "met": False}


def test_what_was_measured_is_kept_for_the_next_run(path: Path, info: ModelInfo, tmp_path: Path) -> None:
    from vsa_checks.sections import embeddings

    def run(**depends_on: Any) -> tuple[dict[str, Any] | None, bool]:
        values = TwinValues(info, KeptMeasurements(tmp_path, depends_on))
        found = beside(values, Workbench(str(path)), ON_ALL, on(ON_ALL), embeddings.mean_zero)
        made = values._bench is not None
        values.close()
        return found.twin, made

    first, again, other = run(content="a"), run(content="a"), run(content="b")
    assert first[1] and other[1] and not again[1]
    assert first[0] == again[0] == other[0]


def test_only_first_layers_are_announced_to_be_measured(info: ModelInfo) -> None:
    subjects = [on(ON_WEIGHTS, layer, matrix) for layer in range(3) for matrix in ("W_gate", "W_in")]
    subjects += [on(ON_TEXT, layer) for layer in (0, 1)]
    assert [one.id for one in TwinValues(info).to_measure(CLAIMS, subjects)] == [
        "on-text/raw/L0",
        "on-text/raw/L1",
        "on-weights/raw/L0/W_gate",
        "on-weights/raw/L0/W_in",
    ]


# --- the file -------------------------------------------------------------------------------------------------


def test_the_file_is_of_one_shape_and_seed_and_keeps_what_still_fits(tmp_path: Path) -> None:
    file = tmp_path / "twins" / "model.json"
    ids = {"on-all/raw", "on-text/raw/L0"}
    one, other = {"version": 1, "n": 1}, {"version": 1, "n": 2}

    def write_values(*given: Any) -> None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(values_text(file, *given))

    write_values("ab", 0, {"on-all/raw": one, "on-text/raw/L7": one}, CLAIMS, ids)
    assert read_values(file, "ab", 0) == {"on-all/raw": one}
    assert read_values(file, "cd", 0) == read_values(file, "ab", 1) == {}
    write_values("ab", 0, {"on-text/raw/L0": other}, CLAIMS, ids)
    assert read_values(file, "ab", 0) == {"on-all/raw": one, "on-text/raw/L0": other}
    newer = {**CLAIMS, "on-all": replace(ON_ALL, version=2)}
    write_values("ab", 0, {}, newer, ids)
    assert read_values(file, "ab", 0) == {"on-text/raw/L0": other}
    write_values("cd", 0, {"on-all/raw": one}, CLAIMS, ids)
    assert read_values(file, "cd", 0) == {"on-all/raw": one} and read_values(file, "ab", 0) == {}


@pytest.mark.parametrize("content", ["", "[]", '{"shape": "ab"}', '{"shape": "ab", "seed": 0, "values": 7}', "\udcff"])
def test_a_damaged_file_counts_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content, errors="surrogateescape")
    assert read_values(tmp_path / "a.json", "ab", 0) == read_values(tmp_path / "b.json", "ab", 0) == {}


def test_files_lie_among_the_fixtures() -> None:
    from vsa_checks.paths import FIXTURES

    assert module.shipped_path("smollm2-135m") == FIXTURES / "twins" / "smollm2-135m.json"
