"""The summary on the terminal."""

import io
import re

import pytest
from rich.console import Console

from tests.report import factory
from tests.report.factory import FakeClaim, FakeModelInfo, Json
from vsa_checks.report import summary


def _printed(
    document: Json, width: int = 80, terminal: bool = False, report: str | None = None, n_from_cache: int = 0
) -> str:
    stream = io.StringIO()
    summary(document, Console(file=stream, width=width, force_terminal=terminal), report, n_from_cache)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_one_line_per_claim_and_no_line_too_wide(width: int, large_document: Json) -> None:
    printed = _printed(large_document, width, report="reports/smollm2-135m/index.html")
    lines = printed.splitlines()
    assert max(map(len, lines)) <= width
    for claim in large_document["summary"]["by_claim"]:
        assert len([line for line in lines if re.split(r"[ *]", line)[0] == claim]) == 1
    assert lines[-1] == "Report: reports/smollm2-135m/index.html"


def test_the_first_line_says_whether_it_is_the_papers_model() -> None:
    first = _printed(factory.everything()).splitlines()[0]
    assert first == "Model: smollm2-135m. The paper's own model (GPT-2 small) was NOT checked."
    own = _printed(factory.document(model=FakeModelInfo(name="gpt2", is_paper_model=True))).splitlines()[0]
    assert own == "Model: gpt2. This is the paper's own model (GPT-2 small)."


def _line(document: Json, claim: str, width: int = 80) -> str:
    return next(line for line in _printed(document, width).splitlines() if line.startswith(claim))


def test_a_claims_line_holds_counts_value_threshold_and_null(large_document: Json) -> None:
    narrow = _line(large_document, "neurons-cos50")
    assert narrow.split() == ["neurons-cos50", "0", "2", "0", "0", "0.998", ">=", "0.8", "0.999"]
    wide = " ".join(_line(large_document, "neurons-cos50", 120).split())
    assert wide == "neurons-cos50 0 2 0 0 0.9984 >= 0.8 (paper) 0.9994 random directions"
    reference = _line(large_document, "mlp-out-near-orthogonal")
    assert reference.split()[-2:] == ["r", "0.0417"]


def test_claims_without_primary_subjects_are_marked(large_document: Json) -> None:
    printed = _printed(large_document)
    assert "mlp-out-beyond-random*" in printed
    assert "* no primary subjects: counts and worst are of the exploratory ones" in printed


def test_unchecked_claims_say_so(large_document: Json) -> None:
    assert _line(large_document, "neurons-table1").split() == [
        "neurons-table1",
        "0",
        "0",
        "0",
        "1",
        "not",
        "checked",
    ]


def test_totals_equal_the_summary() -> None:
    printed = _printed(factory.everything())
    assert "Primary subjects: 1 met by chance, 1 holds, 1 not checked." in printed
    assert "Exploratory subjects: 1 refuted, 2 hold (2 after Benjamini-Hochberg)." in printed


def test_plain_where_it_is_no_terminal_and_coloured_where_it_is() -> None:
    assert "\x1b" not in _printed(factory.everything())
    assert "\x1b[" in _printed(factory.everything(), terminal=True)


def test_markup_and_control_characters_in_names_are_inert() -> None:
    claim = FakeClaim("claim-a", decisive=("[red]null[/red]",))
    name = "[bold]x[/bold] [link=http://evil.example]y[/link]\x1b[2J\u202e"
    document = factory.document([factory.result(claim, 0.9)], [claim], FakeModelInfo(name=name))
    printed = _printed(document, 160, report="[blink]dir[/blink]")
    assert "Model: [bold]x[/bold] [link=http://evil.example]y[/link]\\x1b[2J\\u202e." in printed
    assert "0.2 [red]null[/red]" in printed
    assert "Report: [blink]dir[/blink]" in printed
    assert "\x1b" not in printed


def test_what_came_from_the_cache_is_one_short_line() -> None:
    document = factory.document()
    (line,) = (line for line in _printed(document, n_from_cache=4).splitlines() if "cache" in line)
    assert line == "4 of 4 results taken from the cache (--no-cache measures anew)."
    assert "cache" not in _printed(document)
