"""Recorded verdicts: written and read again, and refused where they do not fit the model."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vsa_checks import paths
from vsa_checks.errors import RecordedError
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.judge import NOT_CHECKED, VERDICTS
from vsa_checks.judging.recorded import Known, read_recorded, recorded_path, write_recorded
from vsa_checks.workbench.twin_values import shipped_path

SHA = "ab" * 32
KNOWN = {
    "mlp-out-artifacts/raw/L15": Known("refuted", "0.3 does not meet <= 0.01"),
    "embedding-mean-zero/raw": Known("holds", "0.01 meets <= 0.05"),
    "neurons-cos50/raw/L0/W_in": Known("chance", "1 meets >= 0.8"),
    "neurons-table1/raw": Known("not-checked", "not this model"),
}
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def written(path: Path, known: dict[str, Known], model: str = "tiny") -> Path:
    write_recorded(path, model, SHA, known)
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path / "new folder" / "tiny.toml", KNOWN)
    assert read_recorded(path, SHA, KNOWN) == KNOWN
    assert [entry.name for entry in path.parent.iterdir()] == ["tiny.toml"], "no temporary file stays"
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line.startswith('"')]
    assert entries == sorted(entries) and len(entries) == 4, "one line each, sorted: a change is one line of a diff"
    again = written(tmp_path / "again.toml", dict(reversed(KNOWN.items())))
    assert again.read_bytes() == path.read_bytes()


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(reason=ANY_TEXT, name=ANY_TEXT, model=ANY_TEXT, verdict=st.sampled_from(VERDICTS))
@example(
    reason='"\'\' """ \\ \\n \\u0041',
    name="two\nlines\r\n\t\x00\x1b[31m\x7f\x80",
    model="\u2028 \u202e \ufeff",
    verdict="holds",
)
@example(reason="] = {verdict = 'holds'} # [verdicts]", name="", model="] = {verdict = 'holds'}", verdict="chance")
def test_any_reason_id_and_model_name_survives(
    reason: str, name: str, model: str, verdict: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A model given as a path may have any name, also one with a line break."""
    known = {"a/raw": Known(verdict, reason), f"b{name}/raw": Known("chance", "plain")}
    path = written(tmp_path_factory.getbasetemp() / "any-reason.toml", known, model=model)
    assert read_recorded(path, SHA, known) == known
    assert tomllib.loads(path.read_text(encoding="utf-8"))["model"] == model


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "f.toml", KNOWN)
    written(path, {"embedding-mean-zero/raw": Known("refuted", "new")})
    assert list(read_recorded(path, SHA, KNOWN)) == ["embedding-mean-zero/raw"]
    assert read_recorded(written(path, {}), SHA, KNOWN) == {}


def test_a_reason_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_text(f'sha256 = "{SHA}"\n[verdicts]\n"a/raw" = {{ verdict = "holds" }}\n')
    assert read_recorded(path, SHA, ["a/raw"]) == {"a/raw": Known("holds", "")}


def test_other_weights_are_an_error_that_names_both(tmp_path: Path) -> None:
    path = written(tmp_path / "f.toml", KNOWN)
    with pytest.raises(RecordedError, match="other weights") as caught:
        read_recorded(path, "cd" * 32, KNOWN)
    message = str(caught.value)
    assert SHA in message and "cd" * 32 in message and str(path) in message and "--record" in message


def test_weights_that_are_not_there_yet_cannot_differ(tmp_path: Path) -> None:
    assert read_recorded(written(tmp_path / "f.toml", KNOWN), None, KNOWN) == KNOWN


def test_an_id_that_matches_nothing_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = written(tmp_path / "f.toml", KNOWN | {"neurons-cos50/raw/L99/W_in": Known("holds", "")})
    with pytest.raises(RecordedError, match=r"records 1 subjects .* neurons-cos50/raw/L99/W_in\."):
        read_recorded(path, SHA, KNOWN)


HEAD = f'sha256 = "{SHA}"\n[verdicts]\n'
DAMAGED: dict[str, tuple[str | bytes, str]] = {
    "no TOML": ("verdicts = [", r"cannot be read as TOML"),
    "the same subject twice": (f'{HEAD}"a" = {{}}\n"a" = {{}}\n', r"cannot be read as TOML .*line 4"),
    "no sha256": ('[verdicts]\n"a/raw" = { verdict = "holds" }', "lacks sha256"),
    "a sha256 that is no text": ('sha256 = 12\n[verdicts]\n"a/raw" = { verdict = "holds" }', "line 1.*12 for sha256"),
    "a sha256 that is none": ('sha256 = "\\u001b[2J"\n[verdicts]\n', r"line 1.*'\\x1b\[2J' for sha256"),
    "no verdicts": (f'sha256 = "{SHA}"', "lacks verdicts"),
    "verdicts that are no table": (f'sha256 = "{SHA}"\nverdicts = ["holds"]', "line 2.*verdicts: .*valid dict"),
    "an entry that is no table": (f'{HEAD}"a/raw" = "holds"', "line 3.*'holds' for verdicts.a/raw"),
    "an unknown verdict": (f'{HEAD}"a/raw" = {{ verdict = "Holds" }}', "line 3.*'Holds' for verdicts.a/raw.verdict"),
    "a verdict that is no text": (f'{HEAD}"a/raw" = {{ verdict = ["holds"] }}', "line 3.*verdicts.a/raw.verdict"),
    "no verdict": (f'{HEAD}"a/raw" = {{ reason = "x" }}', "line 3.*lacks verdicts.a/raw.verdict"),
    "a reason that is a number": (
        f'{HEAD}"a/raw" = {{ verdict = "holds", reason = 3 }}',
        "3 for .*a/raw.reason",
    ),
    "an unknown other verdict": (f'{HEAD}"a/raw" = {{ verdict = "holds", also = ["no"] }}', "'no' for .*also.0"),
    "an unknown field": (f'{HEAD}"a/raw" = {{ verdict = "holds", why = "x" }}', "unknown verdicts.a/raw.why"),
    "lists without end": ("verdicts = " + "[" * 5000 + "]" * 5000, "levels of nested lists"),
    "no text": (b"\xff\xfe bytes", "is not UTF-8 text"),
    "half a character": (b'sha256 = "\xc3"', r"is not UTF-8 text \(line 1"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused_by_place_and_with_the_remedy(case: str, tmp_path: Path) -> None:
    content, message = DAMAGED[case]
    path = tmp_path / "f.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecordedError, match=message) as caught:
        read_recorded(path, SHA, ["a/raw", "a"])
    told = str(caught.value)
    assert str(path) in told and "--record" in told and told.isprintable() and len(told) < 600


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    found = {tmp_path / "none.toml": "cannot be read", tmp_path: "is a folder", tmp_path / "pipe.toml": "is a pipe"}
    for path, message in (found | {Path("/dev/zero"): "is a device"}).items():
        with pytest.raises(RecordedError, match=message) as caught:
            read_recorded(path, SHA, [])
        assert "--no-recorded" in str(caught.value)


def test_an_unknown_id_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    path = written(tmp_path / "f.toml", {"x\x1b[2J\u202e\n": Known("holds", "")})
    with pytest.raises(RecordedError, match=r"the first being x\\x1b\[2J\\u202e\\n") as caught:
        read_recorded(path, SHA, [])
    assert str(caught.value).isprintable()


def test_registered_models_have_their_file_in_fixtures() -> None:
    assert recorded_path("smollm2-135m") == paths.VERDICTS / "smollm2-135m.toml"


@pytest.mark.parametrize("model", sorted(path.stem for path in paths.VERDICTS.glob("*.toml")))
def test_the_twin_that_ships_has_each_checked_claim_in_its_present_version(model: str) -> None:
    """Otherwise each first run would measure it again."""
    recorded = tomllib.loads(recorded_path(model).read_text())
    text = shipped_path(model).read_text()
    assert recorded["twin"] == hashlib.sha256(text.encode()).hexdigest()
    values = json.loads(text)["values"]
    checked = {claim_and_basis(one) for one, known in recorded["verdicts"].items() if known["verdict"] != NOT_CHECKED}
    assert len(checked) > 20 and {claim_and_basis(one) for one in values} == checked
    versions = {one: load_claims()[one.split("/")[0]].version for one in values}
    assert {one: value["version"] for one, value in values.items()} == versions


def claim_and_basis(subject: str) -> tuple[str, ...]:
    return tuple(subject.split("/")[:2])
