"""Text from models and files, safe and visible wherever it is shown: page, terminal, LaTeX, CSV, Markdown.

Whatever a token or a name holds, a reader sees that it is there, and no display, compiler or spreadsheet acts on it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from markupsafe import Markup

from vsa_checks.errors import visible as visible  # others take it from here

LONGEST = 40
"""Characters of a token that are shown; all of it where a page can show more on hover."""
_READ = 2000  # more than anyone reads on hover; a page of longer tokens would grow without bound
SPACE = "␣"
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters by their category, and drawn as nothing
_ESCAPE_LIKE = re.compile(r"\\(?=[\\nrtxuU])")
_EDGE_SPACES = re.compile(r"^ +| +$| {2,}")
_FORMULA = tuple("=+-@\t\r\n|＝＋－＠")
_AFTER_SEMICOLON = re.compile(r"(;[\s\"]*)(?=[=+\-@|＝＋－＠])")


def token(name: object) -> str:
    r"""A token as a reader sees all of it, and so that no two look alike by what is written out.

    Parameters
    ----------
    name : object
        The token's text, or any other name.

    Returns
    -------
    str
        Control and formatting characters, right-to-left marks among them, stand as escapes (a line break as ``\n``), as
        do blanks other than the space. Spaces at the ends, and several in a row, are ``␣``. A backslash that would look
        like the start of an escape is doubled. A mark that would be drawn on what stands before it has a circle of its
        own. The empty token is ``''``.
    """
    text = _ESCAPE_LIKE.sub(r"\\\\", str(name))
    if not text:
        return "''"
    shown = "".join(_written_out(one) if _is_blank(one) else one for one in visible(text))
    if unicodedata.category(shown[0]).startswith("M"):
        shown = "◌" + shown
    return _EDGE_SPACES.sub(lambda found: SPACE * len(found[0]), shown)


def quoted(name: object, longest: int = LONGEST) -> str:
    """A token between quotes, which show the spaces at its ends: for the terminal. Long ones are cut."""
    text = _ESCAPE_LIKE.sub(r"\\\\", cut(str(name), _READ))
    return f"'{cut(''.join(_written_out(one) if _is_blank(one) else one for one in visible(text)), longest)}'"


def cut(text: str, longest: int = LONGEST) -> str:
    """Text of at most `longest` characters: of a longer one its beginning, an ellipsis, and its end."""
    if len(text) <= longest:
        return text
    tail = longest // 4
    return f"{text[: longest - tail - 1]}…{text[len(text) - tail :]}"


def html_token(name: object, longest: int = LONGEST) -> Markup:
    """A token for a page: escaped, turning no neighbour's direction, cut where it is long and whole on hover."""
    whole = token(cut(str(name), _READ))
    shown = cut(whole, longest)
    if shown == whole:
        return Markup('<bdi class="token">{}</bdi>').format(shown)
    return Markup('<bdi class="token" title="{}">{}</bdi>').format(whole, shown)


def encodable(value: Any) -> Any:
    """Text that any file can hold: halves of a character, which JSON can carry, are written out. All else as it is."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


def latex(text: object) -> str:
    r"""Text for LaTeX: no character of it is a command, and signs that pdflatex lacks are written as mathematics.

    Letters beyond Latin stay as they are: XeLaTeX and LuaLaTeX set them in a font that has them.
    """
    signs = "".join(_LATEX.get(one, one) for one in visible(text))
    signs = re.sub(r"(?<=[-,])(?=[-,])", "{}", signs)  # two in a row would become a dash, or a quotation mark
    return re.sub(r"(?<=[^\W\d_])\\textquotesingle\{\}(?=[^\W\d_])", "'", signs)  # the model's


def csv_cell(value: Any) -> Any:
    """A cell for a file that a spreadsheet may open: text that it would run as a formula begins with an apostrophe,
    also behind a semicolon, where some split cells.

    Numbers, and None, stay as they are.
    """
    if not isinstance(value, str):
        return value
    text = visible(value)
    text = _AFTER_SEMICOLON.sub(r"\1'", text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) or value.startswith(_FORMULA) else text


def markdown(text: object) -> str:
    """Text for a cell of a Markdown table: it ends no cell, starts no markup and no HTML."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|~$#!&])", r"\\\1", visible(text))
    # Addresses and @names become links without any markup.
    return re.sub(r"(?i)(https?:|ftp:|www\.)", lambda found: found[0][:-1] + "\\" + found[0][-1], escaped).replace(
        "@", "&#64;"
    )


def _is_blank(character: str) -> bool:
    return character in _BLANK_LETTERS or (character != " " and unicodedata.category(character) == "Zs")


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "\u00a0": "~",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "√": r"$\surd$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": r"$-$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "·": r"$\cdot$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\dots{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    SPACE: r"\textvisiblespace{}",
    "◌": r"$\circ$",
}
