"""Recorded verdicts: written and read again, and refused where they do not fit the model."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vsa_checks import paths
from vsa_checks.errors import RecordedError
from vsa_checks.judging.judge import VERDICTS
from vsa_checks.judging.recorded import Known, read_recorded, recorded_path, write_recorded

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


DAMAGED = {
    "no TOML": ("verdicts = [", "damaged"),
    "the same subject twice": (f'sha256 = "{SHA}"\n[verdicts]\n"a" = {{}}\n"a" = {{}}\n', "damaged"),
    "no sha256": ('[verdicts]\n"a/raw" = { verdict = "holds" }', "not a file of recorded verdicts"),
    "a sha256 that is no text": ('sha256 = 12\n[verdicts]\n"a/raw" = { verdict = "holds" }', "not a file"),
    "no verdicts": (f'sha256 = "{SHA}"', "not a file of recorded verdicts"),
    "verdicts that are no table": (f'sha256 = "{SHA}"\nverdicts = ["holds"]', "not a file of recorded verdicts"),
    "an entry that is no table": (f'sha256 = "{SHA}"\n[verdicts]\n"a/raw" = "holds"', "gives a/raw no verdict"),
    "an unknown verdict": (
        f'sha256 = "{SHA}"\n[verdicts]\n"a/raw" = {{ verdict = "Holds" }}',
        "gives a/raw no verdict",
    ),
    "a verdict that is no text": (f'sha256 = "{SHA}"\n[verdicts]\n"a/raw" = {{ verdict = ["holds"] }}', "gives a/raw"),
    "no verdict": (f'sha256 = "{SHA}"\n[verdicts]\n"a/raw" = {{ reason = "x" }}', "gives a/raw no verdict"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused_with_the_remedy(case: str, tmp_path: Path) -> None:
    content, message = DAMAGED[case]
    path = tmp_path / "f.toml"
    path.write_text(content)
    with pytest.raises(RecordedError, match=message) as caught:
        read_recorded(path, SHA, ["a/raw", "a"])
    assert str(path) in str(caught.value) and "--record" in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe bytes", b'sha256 = "\xc3"'])
def test_a_file_that_is_no_text_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes(content)
    with pytest.raises(RecordedError, match="damaged"):
        read_recorded(path, SHA, [])


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(RecordedError, match="cannot be read") as caught:
            read_recorded(path, SHA, [])
        assert "--no-recorded" in str(caught.value)


def test_registered_models_have_their_file_in_fixtures() -> None:
    assert recorded_path("smollm2-135m") == paths.VERDICTS / "smollm2-135m.toml"
