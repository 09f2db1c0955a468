"""The summary on the terminal."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from tests.report import factory
from tests.report.factory import INFO, PAPERS_OWN, Json, told
from vsa_checks.report import summary


def printed(
    document: Json, width: int = 80, terminal: bool = False, report: str | None = None, n_from_cache: int = 0
) -> str:
    stream = io.StringIO()
    summary(document, Console(file=stream, width=width, force_terminal=terminal), report, n_from_cache)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_one_line_per_claim_and_no_line_too_wide(width: int, large_document: Json) -> None:
    lines = printed(large_document, width, report="reports/smollm2-135m/index.html").splitlines()
    assert max(map(len, lines)) <= width
    for claim in large_document["summary"]["by_claim"]:
        assert len([line for line in lines if re.split(r"[ *]", line)[0] == claim]) == 1
    assert lines[-1] == "Report: reports/smollm2-135m/index.html"


def test_the_first_line_says_whether_it_is_the_papers_model() -> None:
    first = printed(factory.everything()).splitlines()[0]
    assert first == "Model: smollm2-135m. The paper's own model (GPT-2 small) was NOT checked."
    own = printed(factory.document(model=PAPERS_OWN)).splitlines()[0]
    assert own == "Model: gpt2. This is the paper's own model (GPT-2 small)."


def test_a_claims_line_holds_counts_value_threshold_and_null(large_document: Json) -> None:
    def line(claim: str, width: int = 80) -> str:
        (found,) = (one for one in printed(large_document, width).splitlines() if re.match(rf"{claim}[ *]", one))
        return " ".join(found.split())

    assert line("neurons-cos50") == "neurons-cos50 0 0 2 0 0 99.8% >= 80% 99.9%"
    assert line("neurons-cos50", 130) == "neurons-cos50 0 0 2 0 0 99.8% >= 80% (paper) 99.9% random directions"
    assert line("mlp-out-near-orthogonal").endswith(" r 0.0417")
    assert line("neurons-table1") == "neurons-table1 0 0 0 0 1 not checked"
    assert line("mlp-out-beyond-random").startswith("mlp-out-beyond-random* ")
    note = "* no primary subjects: counts and worst are those of exploratory subjects"
    assert note in printed(large_document) and note not in printed(factory.document())


def test_totals_equal_the_summary() -> None:
    found = " ".join(printed(factory.everything()).split())
    assert "Primary subjects: 1 met by chance, 1 holds (of which 1 is given by the shape), 1 not checked." in found
    assert "Exploratory subjects: 1 refuted, 2 hold (2 after Benjamini-Hochberg)." in found


def test_plain_where_it_is_no_terminal_and_coloured_where_it_is() -> None:
    assert "\x1b" not in printed(factory.everything())
    assert "\x1b[" in printed(factory.everything(), terminal=True)


def test_markup_and_control_characters_in_names_are_inert() -> None:
    claim = told(decisive=("[red]null[/red]",))
    name = "[bold]x[/bold] [link=http://evil.example]y[/link]\x1b[2J\u202e"
    document = factory.document([factory.result(claim, 0.9)], [claim], replace(INFO, name=name))
    found = printed(document, 160, report="[blink]dir[/blink]")
    assert "Model: [bold]x[/bold] [link=http://evil.example]y[/link]\\x1b[2J\\u202e." in found
    assert "20% [red]null[/red]" in found and "Report: [blink]dir[/blink]" in found
    assert "\x1b" not in found


def test_what_came_from_the_cache_and_what_crashed_is_one_short_line_each() -> None:
    document = factory.document(crashed=[{"test": "one", "message": "why"}])
    assert "4 of 4 results taken from the cache (--no-cache measures again).\n" in printed(document, n_from_cache=4)
    assert "1 tests failed without a verdict" in printed(document)
    assert not re.search("cache|without a verdict", printed(factory.document()))
