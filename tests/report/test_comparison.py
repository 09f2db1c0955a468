"""Several reports beside one another: the grid, series of checkpoints, two runs of one model."""

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.report import factory
from tests.report.factory import HOSTILE, INFO, Json, null, plain, result, told
from tests.report.parsed_page import Page
from vsa_checks.cli.main import main
from vsa_checks.errors import UsageError
from vsa_checks.report import write, write_page
from vsa_checks.report.comparison import compare, read_runs, render, write_comparison
from vsa_checks.report.document import ReportError

Reports = Callable[..., Path]
SHA = "0" * 63


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    """Writes a report with a page into a folder of its own, and returns that folder."""

    def put(folder: str, results: list[Json], claims: Any, **model: Any) -> Path:
        changes = model.pop("environment", {})
        document = factory.document(results, claims, replace(INFO, **model), **changes)
        write_page(document, tmp_path / folder)
        return write(document, tmp_path / folder).parent

    return put


def test_a_cell_is_the_worst_primary_subject_of_its_basis_and_leads_to_its_row(
    reports: Reports, tmp_path: Path
) -> None:
    a, b = told("claim-a", section="3.2"), plain("claim-b", section="2.1", primary="layer-0")
    reports(
        "one",
        [
            result(a, 0.9),
            result(a, 0.4, basis="raw"),
            result(b, 0.7, layer=0, matrix="W_in"),
            result(b, 0.1, layer=1, matrix="W_in"),
        ],
        [a, b],
    )
    reports("two", [result(a, 0.9, nulls=[null(value=0.89, p_value=0.4)])], [a, b], name="other", sha256=SHA + "1")
    found = compare(*read_runs([tmp_path], tmp_path))
    assert [run["name"] for run in found["runs"]] == ["other", "smollm2-135m"]
    assert [(column["run"], column["basis"]) for column in found["columns"]] == [
        (0, "processed"),
        (1, "processed"),
        (1, "raw"),
    ]
    cells = {claim["id"]: claim["cells"] for claim in found["claims"]}
    assert list(cells) == ["claim-b", "claim-a"], "the order of the paper's sections"
    assert [cell and cell["verdict"] for cell in cells["claim-a"]] == ["chance", "holds", "refuted"]
    assert cells["claim-b"][0] is None and cells["claim-b"][2] is None
    assert (cells["claim-b"][1]["verdict"], cells["claim-b"][1]["of"]) == ("holds", 1), "layer 1 is exploratory"
    assert [claim["differs"] for claim in found["claims"]] == [False, True]
    for claim in found["claims"]:
        for cell in filter(None, claim["cells"]):
            page, _, anchor = cell["link"].partition("#")
            assert f'id="{anchor}"' in (tmp_path / page).read_text() and anchor == f"s-{cell['id'].replace('/', '.')}"


def test_the_page_is_whole_without_script_and_escaped(reports: Reports, tmp_path: Path) -> None:
    claim = told("claim-a", section=HOSTILE, title=HOSTILE, statement=HOSTILE, decisive=(HOSTILE,))
    changed = {
        "environment": {
            "seed": 1,
            "device": HOSTILE,
            "versions": {HOSTILE: "1"},
            "no_twin": HOSTILE,
            "selection": HOSTILE,
        }
    }
    reports("a", [result(claim, 0.9, layer=0, matrix="W_in")], [claim], name=HOSTILE, sha256=SHA + "1")
    reports("b", [result(claim, 0.3, layer=0, matrix="W_in")], [claim], name=HOSTILE, sha256=SHA + "1", **changed)
    reports(
        "step5-" + "x" * 90,
        [result(claim, 0.3, layer=0, matrix="W_in")],
        [claim],
        location="step5 " + HOSTILE,
        sha256=SHA + "2",
    )
    reports(
        "step9", [result(claim, 0.3, layer=0, matrix="W_in")], [claim], location="step9 " + HOSTILE, sha256=SHA + "3"
    )
    text = render(compare(*read_runs([tmp_path], tmp_path)))
    page = Page(text)
    assert text.count("<script") == 1 and "<img" not in text and "onerror=" not in text.replace("onerror=&#34;", "")
    assert all(
        str(attributes.get("href", "#")).startswith(("#", "a/", "b/", "step", "https://arxiv.org/", "data:,"))
        for _, attributes in page.tags
    )
    assert "tiny" not in page.text and page.text.count("refuted") > 2 and "Over training" in page.text


def test_checkpoints_become_curves_over_their_steps(reports: Reports, tmp_path: Path) -> None:
    claim = told("claim-a", primary="layer-0")
    for number, (step, value) in enumerate({"step1k": 0.9, "step0": 0.2, "step500": 0.6}.items()):
        rows = [result(claim, value + more, layer=0, matrix=matrix) for more, matrix in ((0, "W_in"), (0.05, "W_gate"))]
        reports(f"c{number}", rows, [claim], name=f"org/model@{step}", sha256=SHA + str(number))
    reports("again", [result(claim, 0.1, layer=0, matrix="W_in")], [claim], name="org/model@step0", sha256=SHA + "1")
    reports("final", [result(claim, 0.9, layer=0, matrix="W_in")], [claim], name="org/model", sha256=SHA + "9")
    reports(
        "other-step7",
        [result(claim, 0.9, layer=0, matrix="W_in")],
        [claim],
        name="a@step7",
        sha256=SHA + "8",
        n_layers=3,
    )
    (series,) = compare(*read_runs([tmp_path], tmp_path))["series"]
    assert (series["name"], series["steps"]) == ("org/model@*", [0, 500, 1000])
    assert len(series["left_out"]) == 1, "of two runs of step 0 the one with fewer results"
    (curve,) = series["curves"]
    assert [point["median"] for point in curve["points"]] == pytest.approx([0.225, 0.625, 0.925])
    assert [(point["verdict"], point["holds"], point["of"]) for point in curve["points"]] == [
        ("refuted", 0, 2),
        ("holds", 2, 2),
        ("holds", 2, 2),
    ]
    assert curve["points"][0]["chance"] == 0.2 and curve["points"][0]["threshold"] == 0.5


def test_a_curve_does_not_join_versions_of_a_claim(reports: Reports, tmp_path: Path) -> None:
    for step, version in ((1, 1), (2, 2), (3, 2)):
        claim = told("claim-a", version=version)
        reports(f"s{step}", [result(claim, 0.6)], [claim], name=f"m-step{step}", sha256=SHA + str(step))
    found = compare(*read_runs([tmp_path], tmp_path))
    assert [point["step"] for point in found["series"][0]["curves"][0]["points"]] == [2, 3]
    assert found["claims"][0]["versions"] == [1, 2]


def test_a_diff_tells_what_is_more_than_noise(reports: Reports, tmp_path: Path) -> None:
    claim, other = told("claim-a", primary="all"), told("claim-b")
    at: list[Json] = [{"layer": layer, "matrix": "W_in"} for layer in range(6)]
    # Intervals reach 3% of the value down and up.
    before = [0.7, 0.7, 0.7, 0.7, 0.7, 0.52]
    after = [0.7, 0.7 * (1 + 1e-9), 0.71, 0.8, None, 0.49]
    first = [result(claim, value, **spot) for value, spot in zip(before, at, strict=True)]
    second = [result(claim, value, **spot) for value, spot in zip(after, at, strict=True)]
    one = reports("one", [*first, result(other, 0.7)], [claim, other])
    newer = told("claim-b", version=2)
    two = reports(
        "two", [*second, result(newer, 0.9)], [claim, newer], environment={"seed": 1, "versions": {"torch": "9"}}
    )
    (diff,) = compare(*read_runs([one, two], tmp_path))["diffs"]
    kinds = {entry["id"].split("/L")[1][0]: entry["kind"] for entry in diff["subjects"]}
    assert kinds == {"2": "within noise", "3": "more than noise", "4": "verdict", "5": "verdict"}
    assert {kind: n for kind, n in diff["counts"].items() if n} == {
        "verdict": 2,
        "more than noise": 1,
        "within noise": 1,
        "rounding": 1,
        "same": 1,
        "other version": 1,
    }
    assert diff["other_versions"] == ["claim-b"] and diff["same_draws"] is False
    assert diff["circumstances"] == {"seed": [0, 1], "version of torch": ["2.13.0", "9"]}
    (larger,) = (entry for entry in diff["subjects"] if entry["kind"] == "more than noise")
    assert larger["half_width"] == pytest.approx((0.021**2 + 0.024**2) ** 0.5), "each interval on the side of the other"
    assert larger["change"] == pytest.approx(0.1) and larger["q"] < 0.001


def test_many_values_do_not_make_a_chance_change_more_than_noise(reports: Reports, tmp_path: Path) -> None:
    """One of forty values lies just beyond its own interval, as luck lets two do."""
    claim = told("claim-a", primary="all")
    at: list[Json] = [{"layer": layer, "matrix": "W_in"} for layer in range(40)]
    one = reports("one", [result(claim, 0.7, **spot) for spot in at], [claim])
    half = (0.021**2 + 0.021**2) ** 0.5
    moved = [result(claim, 0.7 + (1.1 * half if not spot["layer"] else 0), **spot) for spot in at]
    two = reports("two", moved, [claim])
    (diff,) = compare(*read_runs([one, two], tmp_path))["diffs"]
    assert diff["counts"]["more than noise"] == 0 and diff["counts"]["within noise"] == 1
    alone = compare(
        *read_runs([reports("x", moved[:1], [claim]), reports("y", [result(claim, 0.7, **at[0])], [claim])], tmp_path)
    )
    assert alone["diffs"][0]["counts"]["more than noise"] == 1


def test_a_damaged_report_is_left_out_of_a_folder_and_an_error_by_itself(reports: Reports, tmp_path: Path) -> None:
    claim = told("claim-a")
    reports("good", [result(claim, 0.7)], [claim])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "results.json").write_text("{")
    found = write_comparison([tmp_path], tmp_path)
    assert [one["report"] for one in found["unreadable"]] == ["bad"] and str(tmp_path) not in json.dumps(found)
    assert re.search(
        r"bad: The results file results\.json cannot be read as JSON \(.+line 1 column 2.+\)\. Run the claims again",
        Page((tmp_path / "index.html").read_text()).text,
    )
    assert json.loads((tmp_path / "compare.json").read_text()) == found
    with pytest.raises(ReportError, match=r"results\.json cannot be read as JSON \(.+\)\. Run the claims again"):
        read_runs([tmp_path / "bad"], tmp_path)
    with pytest.raises(UsageError, match="nothing to compare"):
        read_runs([], tmp_path)


def test_the_command_says_what_it_compared(
    reports: Reports, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = told("claim-a")
    folders = [reports(f"r{seed}", [result(claim, 0.7)], [claim], environment={"seed": seed}) for seed in (0, 1)]
    out = tmp_path / "out"
    assert main(["compare", *map(str, folders), "-o", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "smollm2-135m (r0) (processed): 1 holds, 0 chance, 0 refuted, of 1 claims"
    assert printed[2] == "smollm2-135m (r0) and smollm2-135m (r1): 1 same"
    assert 'href="../r0/index.html' in (out / "index.html").read_text()
    page = (folders[0] / "index.html").read_bytes()
    assert main(["compare", *map(str, folders), "-o", str(folders[0])]) == 2
    assert "is the folder of a report" in capsys.readouterr().err and (folders[0] / "index.html").read_bytes() == page
    assert main(["compare", str(tmp_path / "nothing")]) == 2
    assert "There is no results file" in capsys.readouterr().err


def test_trainings_whose_checkpoints_have_equal_names_are_two_series(reports: Reports, tmp_path: Path) -> None:
    claim = told("claim-a")
    for training, value in (("runA", 0.6), ("runB", 0.9)):
        for step in (500, 1000):
            name = f"/home/alice/secret/{training}/checkpoint-{step}"
            sha256 = SHA[:-4] + training[-1].lower() + f"{step:04}"
            model = {"name": name, "location": name, "source": "path", "sha256": sha256}
            reports(f"{training}-{step}", [result(claim, value)], [claim], **model)
    found = compare(*read_runs([tmp_path], tmp_path))
    curves = {one["name"]: [point["median"] for point in one["curves"][0]["points"]] for one in found["series"]}
    assert curves == {"runA/*": [0.6, 0.6], "runB/*": [0.9, 0.9]}
    assert {run["model"]["name"] for run in found["runs"]} >= {"runA/checkpoint-500", "runB/checkpoint-1000"}
    assert "alice" not in json.dumps(found) + render(found) and "secret" not in json.dumps(found) + render(found)


def test_a_curve_over_other_subjects_says_so(reports: Reports, tmp_path: Path) -> None:
    claim = told("claim-a", primary="all")
    for step in (1, 2):
        rows = [result(claim, 0.6, layer=layer, matrix="W_in") for layer in range(step)]
        reports(f"s{step}", rows, [claim], name=f"m-step{step}", sha256=SHA + str(step))
    found = compare(*read_runs([tmp_path], tmp_path))
    assert found["series"][0]["curves"][0]["same_subjects"] is False
    assert "not the same subjects at every step (1, 2)" in Page(render(found)).text


def test_a_null_drawn_more_often_is_a_circumstance(reports: Reports, tmp_path: Path) -> None:
    claim = told("claim-a")
    one = reports("one", [result(claim, 0.7)], [claim])
    two = reports("two", [result(claim, 0.7, nulls=[replace(null(), n=384)])], [claim])
    found = compare(*read_runs([one, two], tmp_path))
    assert found["diffs"][0]["circumstances"] == {"draws of random directions": [2000, 384]}
    assert "Both have the same seed (0)." in Page(render(found)).text


@pytest.mark.parametrize(
    ("before", "after", "unsettled", "meaning"),
    [
        (0.6, 0.4, True, "but unsettled: the random seed changes it too; the value changed by more than noise"),
        (0.5, 0.5 * (1 - 1e-9), False, "different verdict; the value changed by no more than rounding"),
        (0.501, 0.499, False, "different verdict; the value changed by no more than noise"),
    ],
)
def test_another_verdict_says_what_the_value_did(
    reports: Reports, tmp_path: Path, before: float, after: float, unsettled: bool, meaning: str
) -> None:
    claim = plain("claim-a")
    rows = [result(claim, value, unsettled=unsettled) for value in (before, after)]
    if abs(before - after) < 1e-6:  # a width of 0 makes every other change more than noise
        for row in rows:
            row["ci"].update(low=row["value"], high=row["value"])
    one, two = (reports(name, [row], [claim]) for name, row in zip("ab", rows, strict=True))
    found = compare(*read_runs([one, two], tmp_path))
    assert found["diffs"][0]["counts"]["verdict"] == 1 and meaning in Page(render(found)).text


def test_a_change_near_zero_is_rounding(reports: Reports, tmp_path: Path) -> None:
    claim = plain("claim-a")
    one, two = (reports(name, [result(claim, value)], [claim]) for name, value in (("a", 1e-17), ("b", 3e-17)))
    (diff,) = compare(*read_runs([one, two], tmp_path))["diffs"]
    assert diff["counts"]["rounding"] == 1


def test_a_change_beyond_all_numbers_is_the_largest_one(reports: Reports, tmp_path: Path) -> None:
    claim = plain("claim-a", primary="all")
    folders: list[Path] = []
    for step, sign in ((1, 1), (2, -1), (2, 1)):
        spots: list[Json] = [{"layer": layer, "matrix": "W_in"} for layer in range(2)]
        rows = [result(claim, sign * 1.7e308, **spot) for spot in spots]
        for row in rows:
            row["ci"].update(low=row["value"], high=row["value"])
        folders.append(reports(f"r{len(folders)}", rows, [claim], name=f"m-step{step}", sha256=SHA + str(step)))
    found = write_comparison(folders, tmp_path)
    assert [one["change"] for one in found["diffs"][0]["subjects"]] == [sys.float_info.max] * 2
    assert found["series"][0]["curves"][0]["points"][0]["median"] == pytest.approx(1.7e308)


def test_paths_that_lead_nowhere_are_one_paragraph(
    reports: Reports, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (str(loop), "x" * 5000):
        for words in (["compare", path, "-o", str(tmp_path / "out")], ["table", path]):
            assert main(words) == 2
            error = capsys.readouterr().err
            assert "cannot be read (" in error and "Run the claims again" in error and error.count("\n") == 1
    folder = reports("good", [result(told(), 0.7)], [told()])
    assert main(["compare", str(folder), "-o", "y" * 5000]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_folder_whose_name_is_no_text_is_linked(reports: Reports, tmp_path: Path) -> None:
    folder = reports("good", [result(told(), 0.7)], [told()])
    try:
        folder = folder.rename(tmp_path / os.fsdecode(b"rep\xfe"))
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    found = write_comparison([folder], tmp_path / "out")
    assert found["runs"][0]["page"] == "../rep%FE/index.html"


def test_every_threshold_tells_what_passes_and_what_is_explained_there(reports: Reports, tmp_path: Path) -> None:
    """Rms cosines of 1, 2 and 3 over sqrt(d): W_out of layer 0 passes first, then W_Q, then W_out of layer 1."""
    attention, out = plain("attention-near-orthogonal"), plain("mlp-out-near-orthogonal")
    beyond, unit = told("neurons-beyond-chance"), INFO.d_model**-0.5
    results = [
        result(out, 1 * unit, layer=0),
        result(attention, 2 * unit, layer=0, matrix="W_Q"),
        result(out, 3 * unit, layer=1),
        result(attention, None, layer=1, matrix="W_Q"),
        result(beyond, 0.5, layer=0, matrix="W_in", n_examined=100, nulls=[null(value=0.1)]),
        result(beyond, 0.1, layer=1, matrix="W_in", n_examined=300, nulls=[null(value=0.02)]),
    ]
    reports("a", results, [attention, out, beyond])
    reports("b", results[1:2], [attention, out, beyond], name=HOSTILE, sha256=SHA + "1")
    found = compare(*read_runs([tmp_path], tmp_path))
    whole, part = sorted(found["thresholds"], key=lambda one: -one["matrices"])
    assert whole["thresholds"] == pytest.approx([1, 2, 3]) and whole["passing"] == pytest.approx([1 / 3, 2 / 3, 1])
    assert whole["explained"] == pytest.approx([0.5, 0.5, 0.2]) and whole["chance"] == pytest.approx([0.1, 0.1, 0.04])
    assert (whole["matrices"], whole["neurons"]) == (3, 400)
    assert part["passing"] == [1.0] and part["explained"] == [None] and part["neurons"] == 0
    text = render(found)
    section = text[text.index('<section id="thresholds">') :]
    drawn = re.findall(r'class="(line line\d|chance-line)" d="(M[^"]*)"', section[section.index("<figure>") :])
    assert [kind for kind, _ in drawn].count("chance-line") == 1 and len(drawn) == 4
    assert "<script>alert" not in text and Page(text)
