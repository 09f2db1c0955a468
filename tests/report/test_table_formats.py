"""Tables for papers and programs."""

import csv
import io
import json
import re
import sys
from pathlib import Path

import pandas
import pytest
from jsonschema import Draft202012Validator

from tests.report import factory
from tests.report.factory import Json, null, result, told
from vsa_checks.cli.main import main
from vsa_checks.report import claims_frame, table, write
from vsa_checks.report.table_formats import write_table


@pytest.fixture(scope="module")
def document() -> Json:
    """Two claims in two bases; one subject by chance, one refuted, small and negative numbers."""
    a, b = told("claim-b", section="2.2"), told("claim-a", section="2.1", primary="layer-0")
    results = [
        result(a, 0.7, basis="raw", nulls=[null(value=0.69, p_value=0.3), null(value=2e-6)]),
        result(a, -0.25),
        *(
            result(b, 0.9, layer=layer, matrix="W_in", nulls=[null(value=-3.1e-5, p_value=2e-9)])
            for layer in (0, 2, 10)
        ),
        result(b, None, layer=1, matrix="W_in"),
    ]
    return factory.document(results, [a, b])


def test_one_row_a_claim_and_basis_counts_the_verdicts_and_names_the_worst(document: Json) -> None:
    rows = claims_frame(document).set_index(["claim", "basis"])
    assert list(rows.index) == [("claim-a", "processed"), ("claim-b", "processed"), ("claim-b", "raw")]
    first = rows.loc["claim-a", "processed"]
    assert (first.counted, first.holds, first.not_checked) == ("primary", 1, 0), "the others are exploratory"
    by_chance = rows.loc["claim-b", "raw"]
    assert (by_chance.chance, by_chance.worst, by_chance.null_value, by_chance.p_value) == (1, "claim-b/raw", 0.69, 0.3)
    assert (rows.loc["claim-b", "processed"].refuted, rows.loc["claim-b", "processed"].verdict) == (1, "refuted")


def test_markdown_is_a_table_of_rounded_numbers_by_place(document: Json) -> None:
    lines = str(write_table(document, "markdown", subjects=True, claims=["claim-a"])).splitlines()
    assert lines[0] == "| Section | Claim | Layer | Matrix | Value | Threshold | Chance | p | Verdict |"
    assert lines[2] == r"| 2.1 | claim-a | 0 | W\_in | 90% | ≥ 50% | about 0% | \< 0.0001 | holds |"
    assert [line.split(" | ")[2] for line in lines[2:6]] == ["0", "1", "2", "10"]
    assert "NOT checked" in lines[-1]


def test_latex_has_booktabs_rules_and_numbers_as_mathematics(document: Json) -> None:
    text = str(write_table(document, "latex", subjects=True))
    assert r"% needs: \usepackage{booktabs}" in text and text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    assert r"claim-a & processed & 0 & W\_in & 90\% & $\geq$ 50\% & about 0\% & \textless{} 0.0001 & holds" in text
    assert "\\begin{table}[tbp]\n\\footnotesize" in text, "before the float it would change nothing"
    assert r"& $-$25\% & $\geq$ 50\% &" in text
    assert r"\caption{Model: smollm2-135m. The paper's own model (GPT-2 small) was NOT checked." in text


def test_readers_get_the_numbers_of_a_page_and_programs_plain_ones() -> None:
    claim = told(metric="median rank of the own token", direction="<=", threshold=10.0, delta=1.0)
    ranks = factory.document([result(claim, 44_653.0, nulls=[null(value=37_668.0, p_value=0.9996)])], [claim])
    assert "| 44,653rd | ≤ 10th | 37,668th | \\> 0.999 | refuted |" in str(write_table(ranks, "markdown"))
    assert r"44,653rd & $\leq$ 10th & 37,668th & \textgreater{} 0.999 & refuted" in str(write_table(ranks, "latex"))
    (row,) = json.loads(write_table(ranks, "json"))
    assert (row["value"], row["threshold"], row["null_value"], row["p_value"]) == (44_653.0, 10.0, 37_668.0, 0.9996)


def test_a_long_latex_table_goes_over_pages() -> None:
    claim = told("claim-b", primary="layer-0")
    long = factory.document([result(claim, 0.7, layer=layer, matrix="W_in") for layer in range(48)], [claim])
    text = str(write_table(long, "latex", subjects=True))
    assert r"\begin{longtable}" in text and r"\usepackage{booktabs,longtable}" in text and r"\begin{table}" not in text
    assert re.search(r"\n\{\\footnotesize.*\\LTcapwidth.*\n\\begin\{longtable\}", text) and text.endswith("}\n}\n")


def test_programs_get_all_columns_and_whole_numbers(document: Json) -> None:
    frame = table(document)
    packed = write_table(document, "parquet", subjects=True)
    assert isinstance(packed, bytes)
    again = pandas.read_parquet(io.BytesIO(packed))
    pandas.testing.assert_frame_equal(again, frame, check_dtype=False, check_categorical=False)
    from_json = json.loads(write_table(document, "json", subjects=True))
    from_csv = list(csv.DictReader(io.StringIO(str(write_table(document, "csv", subjects=True)))))
    assert [row["id"] for row in from_json] == [row["id"] for row in from_csv] == list(frame.id)
    for value, one, other in zip(frame.null_value, from_json, from_csv, strict=True):
        if pandas.isna(value):
            assert one["null_value"] is None and other["null_value"] == ""
        else:
            assert one["null_value"] == float(other["null_value"]) == value


def test_hostile_text_acts_in_no_form() -> None:
    words = '=HYPERLINK("//evil")|a\n\u202e\ud800\\input{x}<b>'
    claim = told(section=words, title=words, metric=words, decisive=(words,))
    document = factory.document([result(claim, 0.7, reason=words)], [claim])
    cells = [cell for row in csv.reader(io.StringIO(str(write_table(document, "csv", subjects=True)))) for cell in row]
    assert sum("evil" in cell for cell in cells) == 4
    assert not any(cell.startswith("=") or set(cell) & set("\n\u202e") for cell in cells)
    tex = str(write_table(document, "latex"))
    assert r"\input" not in tex and r"\textbackslash{}input\{x\}" in tex
    lines = str(write_table(document, "markdown")).splitlines()
    assert len(re.findall(r"(?<!\\)\|", lines[2])) == len(re.findall(r"(?<!\\)\|", lines[0])) and r"\<b\>" in lines[2]
    assert str(write_table(document, "json", subjects=True)).isascii()


def test_the_command_writes_what_is_asked_for(
    document: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(document, tmp_path)
    assert main(["table", str(tmp_path), "--claims", "*-a", "--layers", "0,10-10", "--format", "csv"]) == 0
    printed = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["id"] for row in printed] == ["claim-a/processed/L0/W_in", "claim-a/processed/L10/W_in"]
    assert main(["table", str(tmp_path), "--format", "parquet", "-o", str(tmp_path / "t.parquet")]) == 0
    assert list(pandas.read_parquet(tmp_path / "t.parquet").claim) == ["claim-a", "claim-b", "claim-b"]
    assert main(["table", str(tmp_path), "--claims", "claim-x"]) == 2
    assert "no claim is called 'claim-x'" in capsys.readouterr().err
    write(factory.everything(), tmp_path)
    assert main(["table", str(tmp_path), "--claims", "claim-never-run"]) == 2
    assert "has no result of these claims. It has claim-a, claim-b, claim-c." in capsys.readouterr().err


def test_the_command_prints_the_schema(document: Json, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(printed)
    assert Draft202012Validator(printed).is_valid(document)
    assert not Draft202012Validator(printed).is_valid(document | {"schema_version": 3})


@pytest.mark.parametrize("name", ["results.json", "figures.npz", "index.html", "pytest.html"])
def test_a_table_takes_the_place_of_no_part_of_a_report(
    document: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    write(document, tmp_path)
    before = (tmp_path / "results.json").read_bytes()
    (tmp_path / "elsewhere").symlink_to(tmp_path / name)
    for output in (name, "elsewhere"):
        assert main(["table", str(tmp_path), "-o", str(tmp_path / output)]) == 2
        assert "is part of a report" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_bytes() == before
    assert main(["table", str(tmp_path), "-o", str(tmp_path / "table.md")]) == 0


def test_the_table_is_printed_where_signs_or_room_are_missing(
    document: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(document, tmp_path)
    with (tmp_path / "printed").open("w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert main(["table", str(tmp_path)]) == 0
    assert r"\u2265 50%" in (tmp_path / "printed").read_text()
    if Path("/dev/full").exists():
        with open("/dev/full", "w") as full:
            monkeypatch.setattr(sys, "stdout", full)
            assert main(["table", str(tmp_path), "--format", "parquet"]) == 2
        assert "Part of the output could not be printed" in capsys.readouterr().err


def test_a_first_cell_in_brackets_is_no_option_of_a_rule_in_latex() -> None:
    claim = told(section="[9cm] x")
    text = str(write_table(factory.document([result(claim)], [claim]), "latex"))
    assert "{[}9cm] x & claim-a" in text and "\n[9cm]" not in text


def test_all_text_of_csv_is_quoted_and_no_number(document: Json) -> None:
    header, row, *_ = str(write_table(document, "csv")).splitlines()
    assert header.startswith('"claim","section"') and row.startswith('"claim-a","2.1",') and ",0.9," in row
