"""A part of the checks, chosen with --claims, --layers and --primary-only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.plugin.runs import Server
from tests.plugin.test_plugin_bad_input import assert_refused
from tests.plugin.test_plugin_recorded import write
from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.recorded import read_recorded
from vsa_checks.judging.subjects import Subject
from vsa_checks.plugin.selection import selection

KNOWN = ("embedding-mean-zero", "mlp-out-artifacts", "mlp-out-beyond-random", "neurons-cos50", "neurons-cos30")


def layers(text: str, n_layers: int = 30) -> list[int]:
    chosen = selection(None, text, False, KNOWN, n_layers).layers
    assert chosen is not None
    return sorted(chosen)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", [0]),
        ("0,3,10-14", [0, 3, 10, 11, 12, 13, 14]),
        (" 3 , 0-1,1 ", [0, 1, 3]),
        ("-1", [29]),
        ("-30", [0]),
        ("27--1", [27, 28, 29]),
        ("-3--1", [27, 28, 29]),
        ("5-5", [5]),
    ],
)
def test_layers_are_numbers_and_ranges_counted_from_either_end(text: str, expected: list[int]) -> None:
    assert layers(text) == expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("30", "no layer 30"),
        ("28-30", "no layer 30"),
        ("-31", "no layer -31"),
        ("9-3", "ends before it starts"),
        ("-1-0", "ends before it starts"),
        ("1,", "an empty entry between two commas"),
        ("", "an empty entry between two commas"),
        ("1.5", "'1.5' is neither a layer"),
        ("²", "'²' is neither a layer"),
        ("\x1b[2J", r"'\x1b[2J' is neither a layer"),
        ("9" * 5000, "neither a layer"),
    ],
)
def test_what_is_no_list_of_this_models_layers_is_refused(text: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        layers(text)
    assert word in str(caught.value)


def test_claims_are_named_as_files_are() -> None:
    def claims(text: str) -> list[str]:
        return sorted(selection(text, None, False, KNOWN, 2).claims or ())

    assert claims("neurons-*") == ["neurons-cos30", "neurons-cos50"]
    assert claims("neurons-cos?0, embedding-mean-zero") == ["embedding-mean-zero", "neurons-cos30", "neurons-cos50"]
    assert claims("*-out-artifacts") == ["mlp-out-artifacts"]
    for text, word in {
        "neuron-cos50": "Did you mean neurons-cos50",
        "mlp-out-artefacts*": "Did you mean mlp-out-artifacts",
        "NEURONS-COS50,": "an empty entry between two commas",
        "xyzzy": "'xyzzy'. --list-claims",
    }.items():
        with pytest.raises(UsageError) as caught:
            claims(text)
        assert word in str(caught.value)


def test_subjects_without_a_layer_stay_and_all_options_hold_together() -> None:
    chosen = selection("neurons-*,embedding-*", "1", False, KNOWN, 2)
    assert chosen.takes(Subject("embedding-mean-zero", "raw"))
    assert chosen.takes(Subject("neurons-cos50", "raw", 1, "W_in"))
    assert not chosen.takes(Subject("neurons-cos50", "raw", 0, "W_in"))
    assert not chosen.takes(Subject("mlp-out-artifacts", "raw", 1))
    primary = selection(None, None, True, KNOWN, 2)
    assert primary.takes(Subject("a", "raw")) and not primary.takes(Subject("a", "raw", primary=False))
    everything = selection(None, None, False, KNOWN, 2)
    assert not everything and everything.takes(Subject("a", "raw", 9, primary=False))


# --- whole runs -----------------------------------------------------------------------------------------------

REFUSED = {
    "an unknown claim": (["--claims", "neurons-cos5*,bundle-recal"], ("'bundle-recal'", "bundle-recall")),
    "a layer too many": (["--layers", "0-2"], ("no layer 2", "0 to 1")),
    "nothing left": (
        ["--claims", "neurons-cos50", "--layers", "1", "--primary-only"],
        ("--claims neurons-cos50 --layers 1 --primary-only leaves nothing to check",),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_a_selection_that_cannot_be_used_is_one_message(case: str, plain: Path, light: Server, tmp_path: Path) -> None:
    arguments, words = REFUSED[case]
    assert_refused(light.claims(plain, tmp_path / "report", *arguments), *words)
    assert not (tmp_path / "report").exists()


@pytest.mark.slow
def test_a_selection_with_nothing_of_it_in_the_modules_named_is_refused(
    plain: Path, light: Server, tmp_path: Path
) -> None:
    arguments = ["claims/test_2_recall.py", "--model", str(plain), "--report-dir", str(tmp_path), "-p", "no:html"]
    run = light.pytest([*arguments, "-p", "no:cacheprovider", "--claims", "neurons-cos50"], report_dir=tmp_path)
    assert_refused(run, "--claims neurons-cos50 leaves nothing to check")


@pytest.mark.slow
def test_every_test_that_is_left_out_is_counted_as_deselected(plain: Path, light: Server, tmp_path: Path) -> None:
    everything = light.claims(plain, tmp_path, "--collect-only", "-q", "--basis", "both")
    found = re.search(r"(\d+)/(\d+) tests collected", everything.output)
    assert found is not None and int(found[1]) == sum("::" in line for line in everything.output.splitlines())
    n_all = int(found[2])
    arguments = ("--collect-only", "-q", "--basis", "both", "--claims", "neurons-beyond-*,bundle-recall")
    run = light.claims(plain, tmp_path, *arguments, "--layers", "-2,-1", "--primary-only")
    names = [line.split("[")[1].rstrip("]") for line in run.output.splitlines() if "[" in line]
    assert sorted(names) == sorted(
        f"{claim}.{basis}{place}"
        for basis in ("processed", "raw")
        for claim, place in (("neurons-beyond-chance", ".L0.W_in"), ("bundle-recall", ""))
    )
    assert f"4/{n_all} tests collected ({n_all - 4} deselected)" in run.output


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(), ("-n", "1")], ids=["alone", "another process"])
def test_the_report_of_a_part_says_so(processes: tuple[str, ...], plain: Path, warm: Server, tmp_path: Path) -> None:
    arguments = ("--basis", "raw", "--claims", "mlp-out-art*,embedding-mean-zero", "--layers", "1", "-rA")
    run = warm.claims(plain, tmp_path, *arguments, *processes)
    assert sorted(run.results) == ["embedding-mean-zero/raw", "mlp-out-artifacts/raw/L1"]
    environment = run.document["environment"]
    assert environment["selection"] == "--claims mlp-out-art*,embedding-mean-zero --layers 1"
    assert environment["n_subjects"] > 60 and "interrupted" not in environment
    assert len(run.document["summary"]["not_run"]) == len(load_claims()) - 2
    sentence = (
        f"This run is partial: 2 of {environment['n_subjects']} subjects (chosen with {environment['selection']})."
    )
    assert sentence in run.output and sentence in (tmp_path / "index.html").read_text(encoding="utf-8")
    held = run.results["embedding-mean-zero/raw"], run.results["mlp-out-artifacts/raw/L1"]
    (met,) = (one["twin"]["met"] for one in held if one["verdict"] == "holds")
    shape = " (of which 1 is given by the shape)" if met else ""
    assert f"Primary subjects in this part: 1 refuted, 1 holds{shape}." in " ".join(run.output.split())
    assert f"Only a part of the claims is checked: {environment['selection']}." in run.first_line


@pytest.mark.slow
def test_recording_a_part_keeps_the_rest(plain: Path, warm: Server, tmp_path: Path) -> None:
    before = {"embedding-mean-zero/raw": "refuted", "mlp-out-artifacts/raw/L0": "chance", "neurons-table1/raw": "holds"}
    file = write(tmp_path / "f.toml", plain, before)
    part = ("--basis", "raw", "--claims", "embedding-mean-zero", "--record", "--recorded", str(file))
    run = warm.claims(plain, tmp_path / "report", *part)
    assert run.code == 0, run.output
    known = read_recorded(file, run.document["model"]["sha256"], before)
    assert {name: one.verdict for name, one in known.items()} == before | {"embedding-mean-zero/raw": "holds"}


@pytest.mark.slow
def test_a_part_is_not_recorded_over_a_file_that_does_not_fit(plain: Path, light: Server, tmp_path: Path) -> None:
    file = write(tmp_path / "f.toml", plain, {"embedding-mean-zero/raw": "holds"}, sha256="ab" * 32)
    content = file.read_bytes()
    part = ("--primary-only", "--record", "--recorded", str(file))
    run = light.claims(plain, tmp_path / "report", *part)
    assert_refused(run, str(file), "other weights", "leave --primary-only out")
    assert file.read_bytes() == content


@pytest.mark.slow
def test_the_whole_recorded_file_is_checked_before_a_part_is_chosen(plain: Path, light: Server, tmp_path: Path) -> None:
    file = write(tmp_path / "f.toml", plain, {"mlp-out-artifacts/raw/L2": "holds"})
    run = light.claims(plain, tmp_path / "report", "--claims", "embedding-mean-zero", "--recorded", str(file))
    assert_refused(run, "mlp-out-artifacts/raw/L2")
