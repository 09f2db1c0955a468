"""results.json: what a document must be, how it is written, how damage is told."""

import copy
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.report import factory
from tests.report.factory import ENVIRONMENT, INFO, Json, told
from vsa_checks.judging.judge import VERDICTS
from vsa_checks.report import ReportError, assemble, read, validate, write

Damage = Callable[[Json], Any]
Path_ = tuple[str | int, ...]


def whole() -> Json:
    """Every part that a document can have."""
    text = {"name": "a text", "sha256": "ab" * 32, "tokens": 7}
    document = factory.everything()
    document["environment"] |= {"text": text, "n_subjects": 6, "crashed": [{"test": "a", "message": "b"}]}
    return document


def checked(document: Json) -> Json:
    found: Json = document["results"][1]
    return found


def test_documents_are_valid_and_sorted(large_document: Json) -> None:
    for document in (whole(), large_document):
        validate(document)
        ids = [result["id"] for result in document["results"]]
        assert ids == sorted(ids)
        assert {result["verdict"] for result in document["results"]} == set(VERDICTS)
    assert len(ids) > 500 and checked(whole())["id"] == "claim-a/raw"
    for result in whole()["results"]:
        if result["verdict"] == "not-checked":
            assert result["value"] is result["ci"] is result["n_examined"] is None


def test_claims_and_models_may_be_objects_or_mappings_and_stay_as_they_are() -> None:
    claim = told(primary="none")
    results = [factory.result(claim, 0.7, layer=layer) for layer in (2, 0)]
    before = copy.deepcopy(results)
    as_objects = assemble(SimpleNamespace(**vars(INFO), unheard_of=1), ENVIRONMENT, results, {"claim-a": claim})
    assert as_objects == assemble(vars(INFO), ENVIRONMENT, results, {"claim-a": vars(claim)})
    assert results == before
    validate(as_objects)


def test_numpy_numbers_become_plain_ones(tmp_path: Path) -> None:
    details = {"array": np.arange(3), "by_head": [{"head": np.int64(1), "value": np.float32(0.5)}], "pair": (1, 2)}
    result = factory.result(told(), 0.7, details=details) | {"value": np.float64(0.75), "n_examined": np.int64(7)}
    written = read(write(factory.document([result], [told()]), tmp_path))["results"][0]
    assert (written["value"], written["n_examined"]) == (0.75, 7)
    assert written["details"]["array"] == [0, 1, 2] and written["details"]["pair"] == [1, 2]
    assert written["details"]["by_head"] == [{"head": 1, "value": 0.5}]


def test_results_and_records_that_do_not_fit_the_specification_are_refused() -> None:
    with pytest.raises(ReportError, match=r"claim-a/processed belongs to the claim 'claim-a'"):
        assemble(INFO, ENVIRONMENT, [factory.result(told())], {})
    record = {key: value for key, value in vars(told()).items() if key != "statement"}
    with pytest.raises(ReportError, match="record of claim 'claim-a' has no statement"):
        assemble(INFO, ENVIRONMENT, [], {"claim-a": record})


# --- damage ---------------------------------------------------------------------------------------------------

OPTIONAL = {
    "no_twin",
    *("location", "gated", "norm", "causal", "licence", "notes", "text", "text_reason"),
    "n_subjects",
    "expert",
    "crashed",
}
FREE = ("details", "versions", "effective_flags", "by_claim")
"""Mappings whose keys are not settled."""


def inside(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every part of a document and where it is; of results that of one, and of details the q-value."""
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            if "details" not in path:
                yield from inside(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if path != ("results",) or index == 1:
                yield from inside(item, (*path, index))


def putting(value: Any) -> Callable[[Any, Any], None]:
    return lambda part, key: part.__setitem__(key, value)


def refused(change: Callable[[Any, Any], object], path: Path_, name: object) -> None:
    """A document whose part at this path is changed, given what it is part of, is refused by name."""
    document = whole()
    part: Any = document
    for step in path[:-1]:
        part = part[step]
    change(part, path[-1])
    with pytest.raises(ReportError) as caught:
        validate(document)
    assert str(name) in str(caught.value), path


@pytest.mark.slow
def test_every_key_is_settled() -> None:
    tried = 0
    for path, value in inside(whole()):
        if isinstance(value, dict) and path[-1:] not in [(name,) for name in FREE]:
            refused(putting(1), (*path, "unheard_of"), "unheard_of")
            for key in value.keys() - OPTIONAL:
                refused(dict.pop, (*path, key), key)
                tried += 1
    assert tried > 100


WRONG: dict[type, tuple[Any, ...]] = {
    **dict.fromkeys((bool, dict, list), ("words",)), **dict.fromkeys((float, int), ("words", True)),
    str: ([7],), type(None): ([7],),
}  # fmt: skip


@pytest.mark.thorough
@pytest.mark.slow
def test_every_part_has_its_type() -> None:
    tried = 0
    for path, value in inside(whole()):
        if path and "details" not in path:
            for wrong in WRONG[type(value)]:
                refused(putting(wrong), path, path[-1] if isinstance(path[-1], str) else "")
                tried += 1
    assert tried > 100


DAMAGES: dict[str, tuple[Damage, str]] = {
    "another paper": (lambda d: d.update(paper="arXiv:1706.03762"), "paper"),
    "another schema version": (lambda d: d.update(schema_version=1), "schema_version"),
    "neither sha256 nor revision": (lambda d: d["model"].update(sha256=None), "neither sha256 nor revision"),
    "a short sha256": (lambda d: d["model"].update(sha256="abc"), "model.sha256"),
    "an unknown source": (lambda d: d["model"].update(source="torrent"), "model.source"),
    "a version that is no text": (lambda d: d["environment"]["versions"].update(torch=2), "versions.torch"),
    "a wrong verdict": (lambda d: checked(d).update(verdict="passed"), 'claim-a/raw: verdict: "passed"'),
    "a twin that is no object": (lambda d: checked(d).update(twin=0.5), "claim-a/raw: twin: 0.5"),
    "more given by the shape than holds": (
        lambda d: d["summary"]["primary"].update(given_by_shape=9),
        "summary.primary.given_by_shape: 9",
    ),
    "a wrong direction": (lambda d: checked(d).update(direction=">"), "claim-a/raw: direction"),
    "null value, yet it holds": (lambda d: checked(d).update(value=None), "claim-a/raw: value: null is not of type"),
    "null interval, yet it holds": (lambda d: checked(d).update(ci=None), "claim-a/raw: ci: null is not of type"),
    "null count, yet it holds": (lambda d: checked(d).update(n_examined=None), "claim-a/raw: n_examined"),
    "nothing examined": (lambda d: checked(d).update(n_examined=0), "claim-a/raw: n_examined: 0 is less than"),
    "more excluded than can be counted": (
        lambda d: checked(d).update(n_excluded=1 << 53),
        "raw: n_excluded: .* greater",
    ),
    "a negative exclusion": (lambda d: checked(d).update(n_excluded=-1), "claim-a/raw: n_excluded"),
    "an empty reason": (lambda d: checked(d).update(reason=""), "claim-a/raw: reason"),
    "a flag in words": (lambda d: checked(d)["effective_flags"].update(fold_ln="yes"), "effective_flags.fold_ln"),
    "p above one": (lambda d: checked(d)["nulls"][0].update(p_value=1.5), r"claim-a/raw: nulls\[0\].p_value: 1.5"),
    "an unknown recorded verdict": (lambda d: checked(d)["recorded"].update(verdict="ok"), "raw: recorded.verdict"),
    "q above one": (lambda d: checked(d)["details"].update(q_value=2.0), "claim-a/raw: details.q_value"),
    "an id of another subject": (lambda d: checked(d)["subject"].update(layer=3), "make it claim-a/raw/L3"),
    "another basis": (lambda d: checked(d)["subject"].update(basis="processed"), "make it claim-a/raw"),
    "an id with markup": (lambda d: checked(d).update(id="<b>/raw"), "<b>/raw: id"),
    "the same id twice": (lambda d: d["results"].insert(1, copy.deepcopy(d["results"][0])), "two results with the id"),
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
    "a claim left out of the summary": (lambda d: d["summary"]["by_claim"].pop("claim-a"), "claim-a is in"),
    "NaN for a value": (lambda d: checked(d).update(value=math.nan), "claim-a/raw: value: nan is not a number"),
    "infinity deep in the details": (
        lambda d: checked(d)["details"]["curve"]["x"].append(math.inf),
        r"claim-a/raw: details.curve.x\[3\]: inf is not a number",
    ),
    "an object that is no JSON": (lambda d: checked(d)["details"].update(path=Path("x")), "is not a JSON type"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_each_damage_is_found_and_named_and_nothing_written(case: str, tmp_path: Path) -> None:
    damage, message = DAMAGES[case]
    document = whole()
    damage(document)
    with pytest.raises(ReportError, match=message):
        write(document, tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- files ----------------------------------------------------------------------------------------------------


def test_the_order_of_results_and_keys_does_not_matter(tmp_path: Path) -> None:
    claims = [told("claim-a"), told("claim-b")]
    results = [factory.result(claim, 0.7, layer=layer) for claim in claims for layer in (0, 1, 10)]
    turned = [dict(reversed(result.items())) for result in reversed(results)]
    first = write(factory.document(results, claims), tmp_path / "first").read_bytes()
    second = write(factory.document(turned, claims[::-1]), tmp_path / "second").read_bytes()
    assert first == second


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    names = ["\u202e", "\ud800", "😀", "\x00", "line\nbreak"]
    document = factory.document([factory.result(told(), details={"tokens": names})], [told()])
    assert read(write(document, tmp_path / "new" / "directory")) == document == read(tmp_path / "new" / "directory")
    assert document["results"][0]["details"]["tokens"] == [names[0], "\\ud800", *names[2:]]


def test_a_reader_never_sees_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the one call that replaces it, the old file is whole; a crash before leaves it."""
    path = write(whole(), tmp_path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write(factory.document(), tmp_path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]
    seen: list[bytes] = []
    replace = os.replace

    def watched(old: Path, new: Path) -> None:
        seen.append(path.read_bytes())
        replace(old, new)

    monkeypatch.setattr(os, "replace", watched)
    write(factory.document(), tmp_path)
    assert seen == [before] and path.read_bytes() != before


FILES = {
    "empty": (b"", "cannot be read as JSON"),
    "cut off": (b'{"schema_version": 1, "results": [', "cannot be read as JSON"),
    "binary": (b"\xff\xfe\x00", "cannot be read as JSON"),
    "a list": (b"[1, 2]", "contains list"),
    "no version": (b"{}", "schema version None"),
    "newer": (b'{"schema_version": 7}', "schema version 7"),
    "bare": (b'{"schema_version": 2}', '"paper" is a required property'),
    "bare, of an earlier version": (b'{"schema_version": 1}', '"paper" is a required property'),
    "earlier, with parts of other kinds": (
        b'{"schema_version": 1, "paper": "a", "model": 1, "environment": 2, "summary": 3, "results": [4]}',
        "environment",
    ),
    "true for a version": (b'{"schema_version": true}', "schema version True"),
    "a number beyond all": (
        b'{"schema_version": 2, "paper": 1' + b"0" * 400 + b"}",
        "not a number that can be reported",
    ),
    "nan": (b'{"schema_version": NaN}', "schema version nan"),
    "too deep": (b"[" * 100_000, "more than 64 levels"),
    "half a character": (b'{"schema_version": 2, "paper": "\\ud800"}', "half a character"),
}


@pytest.mark.parametrize("case", FILES)
def test_damaged_files_are_told(case: str, tmp_path: Path) -> None:
    content, message = FILES[case]
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(ReportError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value) and "Run the claims again" in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "results.json")
    with pytest.raises(ReportError, match="only regular files are read"):
        read(tmp_path / "results.json")


def test_a_missing_file_and_a_verdict_edited_by_hand_are_told(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="There is no results file"):
        read(tmp_path / "nowhere" / "results.json")
    path = write(whole(), tmp_path)
    content = json.loads(path.read_text())
    next(result for result in content["results"] if result["verdict"] == "refuted")["verdict"] = "holds"
    path.write_text(json.dumps(content))
    with pytest.raises(ReportError, match="is damaged"):
        read(path)
