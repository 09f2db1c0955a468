"""results.json: what a document must be, how it is written, how damage is told."""

import copy
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.report import factory
from tests.report.factory import FakeClaim, Json
from vsa_checks.report import ReportError, assemble, read, validate, write
from vsa_checks.report.document import schema

Damage = Callable[[Json], Any]
VERDICTS = ["holds", "chance", "refuted", "not-checked"]


def test_a_full_document_is_valid() -> None:
    document = factory.everything()
    validate(document)
    assert {result["verdict"] for result in document["results"]} == set(VERDICTS)


def test_a_document_as_large_as_a_real_run_is_valid(large_document: Json) -> None:
    validate(large_document)
    assert len(large_document["results"]) > 500


def test_results_stand_sorted_by_id() -> None:
    results = factory.everything()["results"]
    assert [result["id"] for result in results] == sorted(result["id"] for result in results)


def test_assembling_leaves_its_arguments_alone() -> None:
    claim = FakeClaim("claim-a", primary="none")
    results = [factory.result(claim, 0.7, layer=layer) for layer in (2, 0)]
    before = copy.deepcopy(results)
    assemble(factory.FakeModelInfo(), factory.environment(), results, {claim.id: claim})
    assert results == before


def test_claims_and_models_may_be_objects_or_mappings() -> None:
    claim = FakeClaim("claim-a")
    results = [factory.result(claim)]
    as_objects = assemble(
        SimpleNamespace(**vars(factory.FakeModelInfo()), unheard_of=1),
        factory.environment(),
        results,
        {"claim-a": claim},
    )
    as_mappings = assemble(vars(factory.FakeModelInfo()), factory.environment(), results, {"claim-a": vars(claim)})
    assert as_objects == as_mappings
    validate(as_objects)


def test_numpy_numbers_become_plain_ones(tmp_path: Path) -> None:
    details = {
        "array": np.arange(3),
        "by_head": [{"head": np.int64(1), "value": np.float32(0.5)}],
        "pair": (1, 2),
    }
    result = factory.result(FakeClaim("claim-a"), np.float64(0.75), details=details, n_examined=np.int64(7))
    written = read(write(factory.document([result], [FakeClaim("claim-a")]), tmp_path))["results"][0]
    assert written["value"] == 0.75
    assert written["n_examined"] == 7
    assert written["details"]["array"] == [0, 1, 2]
    assert written["details"]["by_head"] == [{"head": 1, "value": 0.5}]
    assert written["details"]["pair"] == [1, 2]


def test_a_result_of_an_unknown_claim_is_refused() -> None:
    with pytest.raises(ReportError, match=r"claim-a/processed belongs to the claim 'claim-a'"):
        assemble(factory.FakeModelInfo(), factory.environment(), [factory.result(FakeClaim("claim-a"))], {})


def test_an_incomplete_claim_record_is_refused() -> None:
    record = {key: value for key, value in vars(FakeClaim("claim-a")).items() if key != "statement"}
    with pytest.raises(ReportError, match="record of claim 'claim-a' has no statement"):
        assemble(factory.FakeModelInfo(), factory.environment(), [], {"claim-a": record})


def _first(document: Json) -> Json:
    found: Json = document["results"][0]
    return found


def _checked(document: Json) -> Json:
    found: Json = next(result for result in document["results"] if result["id"] == "claim-a/raw")
    return found


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no model": (lambda d: d.pop("model"), "'model' is a required property"),
    "another paper": (lambda d: d.update(paper="arXiv:1706.03762"), "paper"),
    "another schema version": (lambda d: d.update(schema_version=2), "schema_version"),
    "an extra key": (lambda d: d.update(comment="hello"), "comment"),
    "no width": (lambda d: d["model"].pop("d_model"), "'d_model' is a required property"),
    "a layer count in words": (lambda d: d["model"].update(n_layers="thirty"), "model.n_layers"),
    "neither sha256 nor revision": (lambda d: d["model"].update(sha256=None), "neither sha256 nor revision"),
    "a short sha256": (lambda d: d["model"].update(sha256="abc"), "model.sha256"),
    "an unknown source": (lambda d: d["model"].update(source="torrent"), "model.source"),
    "an extra key of the model": (lambda d: d["model"].update(colour="red"), "colour"),
    "no seed": (lambda d: d["environment"].pop("seed"), "'seed' is a required property"),
    "a version that is no text": (lambda d: d["environment"]["versions"].update(torch=2), "versions.torch"),
    "a wrong verdict": (lambda d: _checked(d).update(verdict="passed"), "claim-a/raw: verdict: 'passed'"),
    "a wrong direction": (lambda d: _checked(d).update(direction=">"), "claim-a/raw: direction"),
    "a result without value": (lambda d: _checked(d).pop("value"), "claim-a/raw: .*'value' is a required"),
    "null value, yet it holds": (
        lambda d: _checked(d).update(value=None),
        "claim-a/raw: value: None is not of type",
    ),
    "null interval, yet it holds": (
        lambda d: _checked(d).update(ci=None),
        "claim-a/raw: ci: None is not of type",
    ),
    "null count, yet it holds": (lambda d: _checked(d).update(n_examined=None), "claim-a/raw: n_examined"),
    "nothing examined": (
        lambda d: _checked(d).update(n_examined=0),
        "claim-a/raw: n_examined: 0 is less than",
    ),
    "a negative exclusion": (lambda d: _checked(d).update(n_excluded=-1), "claim-a/raw: n_excluded"),
    "an empty reason": (lambda d: _checked(d).update(reason=""), "claim-a/raw: reason"),
    "a value in words": (lambda d: _checked(d).update(value="0.9"), "claim-a/raw: value"),
    "true for a value": (lambda d: _checked(d).update(value=True), "claim-a/raw: value"),
    "an extra key of a result": (lambda d: _checked(d).update(colour="red"), "claim-a/raw: .*colour"),
    "a flag in words": (
        lambda d: _checked(d)["effective_flags"].update(fold_ln="yes"),
        "effective_flags.fold_ln",
    ),
    "a null without p": (
        lambda d: _checked(d)["nulls"][0].pop("p_value"),
        "claim-a/raw: nulls.0.: 'p_value'",
    ),
    "p above one": (
        lambda d: _checked(d)["nulls"][0].update(p_value=1.5),
        r"claim-a/raw: nulls\[0\].p_value: 1.5",
    ),
    "an interval without unit": (lambda d: _checked(d)["ci"].pop("unit"), "claim-a/raw: ci: 'unit'"),
    "a recorded verdict of its own": (
        lambda d: _checked(d).update(recorded={"verdict": "ok", "reason": ""}),
        "claim-a/raw: recorded.verdict",
    ),
    "q above one": (lambda d: _checked(d)["details"].update(q_value=2.0), "claim-a/raw: details.q_value"),
    "an id of another subject": (lambda d: _checked(d)["subject"].update(layer=3), "make it claim-a/raw/L3"),
    "another basis in the subject": (
        lambda d: _checked(d)["subject"].update(basis="processed"),
        "make it claim-a/raw",
    ),
    "an id with markup": (lambda d: _checked(d).update(id="<b>/raw"), "<b>/raw: id"),
    "the same id twice": (
        lambda d: d["results"].insert(1, copy.deepcopy(d["results"][0])),
        "two results with the id claim-a/processed",
    ),
    "results out of order": (lambda d: d["results"].reverse(), "not sorted"),
    "a wrong count": (lambda d: d["summary"]["primary"].update(holds=99), r"summary.primary.holds: 99"),
    "a wrong count of a claim": (
        lambda d: d["summary"]["by_claim"]["claim-a"]["primary"].update(refuted=1),
        "summary.by_claim.claim-a.primary.refuted: 1",
    ),
    "another worst subject": (
        lambda d: d["summary"]["by_claim"]["claim-a"]["worst"].update(id="claim-a/processed"),
        "summary.by_claim.claim-a.worst.id",
    ),
    "a claim left out of the summary": (
        lambda d: d["summary"]["by_claim"].pop("claim-a"),
        "claim-a stands in",
    ),
    "NaN for a value": (
        lambda d: _checked(d).update(value=math.nan),
        "claim-a/raw: value: nan is not a number",
    ),
    "infinity deep in the details": (
        lambda d: _checked(d)["details"]["curve"]["x"].append(math.inf),
        r"claim-a/raw: details.curve.x\[3\]: inf is not a number",
    ),
    "an object that is no JSON": (lambda d: _checked(d)["details"].update(path=Path("x")), "is no JSON type"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=[name.replace(" ", "-") for name in DAMAGES])
def test_each_damage_is_found_and_named(damage: Damage, message: str, tmp_path: Path) -> None:
    document = factory.everything()
    damage(document)
    with pytest.raises(ReportError, match=message):
        write(document, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", schema()["$defs"]["result"]["required"])
def test_every_key_of_a_result_is_required(key: str) -> None:
    document = factory.everything()
    del _first(document)[key]
    with pytest.raises(ReportError, match=key):
        validate(document)


def test_null_figures_are_fine_where_nothing_was_checked() -> None:
    document = factory.everything()
    unchecked = [result for result in document["results"] if result["verdict"] == "not-checked"]
    assert unchecked
    assert all(result["value"] is result["ci"] is result["n_examined"] is None for result in unchecked)
    validate(document)


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    first = write(factory.everything(), tmp_path / "first").read_bytes()
    second = write(factory.everything(), tmp_path / "second").read_bytes()
    assert first == second


def test_the_order_of_results_and_keys_does_not_matter(tmp_path: Path) -> None:
    claims = [FakeClaim("claim-a"), FakeClaim("claim-b")]
    results = [factory.result(claim, 0.7, layer=layer) for claim in claims for layer in (0, 1, 10)]
    turned = [dict(reversed(result.items())) for result in reversed(results)]
    first = write(factory.document(results, claims), tmp_path / "first").read_bytes()
    second = write(factory.document(turned, claims[::-1]), tmp_path / "second").read_bytes()
    assert first == second


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    document = factory.everything()
    assert read(write(document, tmp_path / "new" / "directory")) == document
    assert read(tmp_path / "new" / "directory") == document


def test_odd_token_names_survive(tmp_path: Path) -> None:
    names = ["\u202e", "\ud800", "😀", "\x00", "line\nbreak"]
    result = factory.result(FakeClaim("claim-a"), details={"tokens": names})
    document = factory.document([result], [FakeClaim("claim-a")])
    assert read(write(document, tmp_path))["results"][0]["details"]["tokens"] == names


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(factory.everything(), tmp_path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(factory.document(), tmp_path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


def test_a_reader_never_sees_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the one call that replaces it, the old file is whole."""
    path = write(factory.everything(), tmp_path)
    before = path.read_bytes()
    seen: list[bytes] = []
    replace = os.replace

    def watched(old: Path, new: Path) -> None:
        seen.append(path.read_bytes())
        replace(old, new)

    monkeypatch.setattr(os, "replace", watched)
    write(factory.document(), tmp_path)
    assert seen == [before]
    assert path.read_bytes() != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no valid JSON"),
        (b'{"schema_version": 1, "results": [', "no valid JSON"),
        (b"\xff\xfe\x00", "no valid JSON"),
        (b"[1, 2]", "holds list"),
        (b"{}", "schema version None"),
        (b'{"schema_version": 7}', "schema version 7"),
        (b'{"schema_version": 1}', "'paper' is a required property"),
        (b'{"schema_version": NaN}', "NaN stands where a number should"),
    ],
    ids=["empty", "cut-off", "binary", "a-list", "no-version", "newer", "bare", "nan"],
)
def test_damaged_files_are_told(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(ReportError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "Run the claims again" in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="There is no results file"):
        read(tmp_path / "nowhere" / "results.json")


def test_a_changed_figure_in_the_file_is_found(tmp_path: Path) -> None:
    """A verdict edited by hand no longer fits the summary."""
    path = write(factory.everything(), tmp_path)
    content = json.loads(path.read_text())
    changed = next(result for result in content["results"] if result["verdict"] == "refuted")
    changed["verdict"] = "holds"
    path.write_text(json.dumps(content))
    with pytest.raises(ReportError, match="is damaged"):
        read(path)
