"""Text of any kind in each place where it is shown."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.factory import HOSTILE
from tests.report.parsed_page import Page
from vsa_checks.report.escaping import csv_cell, cut, html_token, latex, markdown, quoted, token

SHOWN = {
    " the": "␣the",
    "a  b ": "a␣␣b␣",
    "a b": "a b",
    "\n": r"\n",
    "\\n": r"\\n",
    r"\frac": r"\frac",
    "\u202eabc": r"\u202eabc",
    "\u200f": r"\u200f",
    "\x1b[31m": r"\x1b[31m",
    "\xa0": r"\xa0",
    "\u3164": r"\u3164",
    "\u0301": "◌\u0301",
    "": "''",
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_token_is_shown_whole(name: str) -> None:
    assert token(name) == SHOWN[name]


@given(st.text(), st.text())
def test_no_two_tokens_are_shown_alike_and_none_is_blank_or_acts(one: str, other: str) -> None:
    marks = "␣◌'"  # a text that holds these signs itself may look like one whose blanks are shown by them
    if one != other and not set(marks) & set(one + other):
        assert token(one) != token(other)
    shown = token(one)
    assert shown.strip() == shown != ""
    assert not any(unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for sign in shown)


def test_between_quotes_spaces_stay_and_all_else_is_written_out() -> None:
    assert quoted(" the ") == "' the '" and quoted("\\n\n\xa0\u200f") == r"'\\n\n\xa0\u200f'"
    assert len(quoted("y" * 10**5)) == 42


def test_a_long_token_is_cut_and_whole_on_hover() -> None:
    long = "x" * 30 + "<y>" * 30
    assert cut(long, 40) == "x" * 29 + "…>" + "<y>" * 3
    page = Page(html_token(long))
    assert [attributes["title"] for _, attributes in page.tags] == [long] and "…" in page.text
    assert len(html_token("y" * 10**6)) < 3000


def test_hostile_text_stays_text_on_a_page() -> None:
    page = Page(html_token(HOSTILE, 10**4))
    assert page.text == HOSTILE and [tag for tag, _ in page.tags] == ["bdi"]


def test_no_sign_is_a_command_in_latex() -> None:
    assert latex("50% of $x_1$ & {y}^2 \\input{f} #~") == (
        r"50\% of \$x\_1\$ \& \{y\}\textasciicircum{}2 \textbackslash{}input\{f\} \#\textasciitilde{}"
    )
    assert latex("≥ 2/√d, a--b \n") == r"$\geq$ 2/$\surd$d, a-{}-b \textbackslash{}n"


@given(st.text())
def test_latex_of_any_text_has_no_command_of_its_own(text: str) -> None:
    known = r"\\(text[a-z]+\{\}|symbol\{34\}|dots\{\}|[&%$#_{}])|\$\\?[a-z−-]+\$"
    known += r"|(?<=\w)'(?=\w)"
    left = re.sub(known, "", latex(text)).replace("{}", "").replace("~", "")
    assert not set(left) & set("\\$&%#_{}^\"'`<>|")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\r\n=1", "＝1", "|cmd"])
def test_no_text_is_a_formula_in_a_spreadsheet(text: str) -> None:
    cell = csv_cell(text)
    assert cell.startswith("'") and not set(cell) & set("\t\r\n")


def test_no_text_behind_a_semicolon_is_a_formula_where_cells_are_split_there() -> None:
    assert [csv_cell(one) for one in ("a;=1+1", 'a; "=1;-2', "a; b=1")] == ["a;'=1+1", "a; \"'=1;'-2", "a; b=1"]


def test_numbers_and_plain_text_stay_as_they_are_in_csv() -> None:
    assert [csv_cell(one) for one in (-0.5, None, 3, "W_Q, raw")] == [-0.5, None, 3, "W_Q, raw"]


def test_no_address_is_a_link_in_markdown() -> None:
    assert markdown("ftp://h _www.h xhttp://h") == r"ftp\://h \_www\.h xhttp\://h"


def test_no_sign_starts_markup_in_markdown() -> None:
    assert markdown("a|b *c* <d> `e` [f](g) https://h www.i @j\n") == (
        r"a\|b \*c\* \<d\> \`e\` \[f\](g) https\://h www\.i &#64;j\\n"
    )
