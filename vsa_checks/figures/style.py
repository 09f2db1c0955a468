"""How pictures look: one style for the page, where colours follow its own, and for files."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from vsa_checks.errors import UsageError
from vsa_checks.report.escaping import SPACE, cut, token

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, LINE = "#1b1f24", "#58606b", "#d9dce1"
REAL, NULLS = "#0b5394", ("#d35400", "#0d8a6a", "#b0508c", "#8a6d00", "#5f6f86")
"""Colours that are told apart with any kind of sight; each series has its own kind of line as well."""
STYLES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
GREY = "#808a99"
"""Seen on white and on black."""
FORMATS = ("svg", "pdf", "png")
_RC: dict[str, Any] = {
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "pdf.fonttype": 42,
    "savefig.transparent": False,
    "text.color": INK,
    "text.parse_math": False,  # a $ in a token is a dollar
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


@contextmanager
def styled(**more: Any) -> Iterator[None]:
    """Draw in this style, whatever style whoever called has set for himself."""
    import matplotlib

    settings: Any = {**_defaults(), **_RC, **more}
    with warnings.catch_warnings(), matplotlib.rc_context(rc=settings):
        warnings.simplefilter("ignore")  # a sign that the font lacks is written out beforehand
        yield


@cache
def _defaults() -> dict[str, Any]:
    import matplotlib

    return {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}


def canvas(width: float, height: float) -> Figure:
    """An empty picture of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def panels(
    n: int,
    *,
    columns: int,
    width: float,
    height: float,
    below: float,
    left: float = 0.6,
    gap: tuple[float, float] = (0.25, 0.65),
    shared: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A picture of n panels in rows of at most `columns`. All sizes are inches.

    `height` is that of a panel's frame, `below` the room under the last row, `left` that for the first column's labels,
    `gap` that between columns and between rows. With `shared` all have one vertical axis. Places are fixed, because to
    find them from the size of all texts takes longer than to draw.
    """
    columns = min(columns, n)
    rows = -(-n // columns)
    top, right = 0.32, 0.12
    tall = top + rows * height + (rows - 1) * gap[1] + below
    figure = canvas(width, tall)
    wide = (width - left - right - (columns - 1) * gap[0]) / columns
    found: list[Axes] = []
    for at in range(n):
        row, column = divmod(at, columns)
        x, y = left + column * (wide + gap[0]), tall - top - (row + 1) * height - row * gap[1]
        found.append(
            figure.add_axes(
                (x / width, y / tall, wide / width, height / tall), sharey=found[0] if shared and found else None
            )
        )
        if shared and column:
            found[-1].tick_params(labelleft=False)
    return figure, found


def legend(figure: Figure, entries: dict[str, Any], columns: int) -> None:
    """The key of a picture along its lower edge: what each line is called."""
    figure.legend(list(entries.values()), list(entries), loc="lower center", ncols=columns, borderaxespad=0.2)


def drawn(name: object, longest: int = 24) -> str:
    """A token as a picture can show it: as a reader sees it, and signs that the font lacks written out."""
    shown = re.sub(f"{SPACE}{{4,}}", lambda run: f"{SPACE}×{len(run[0])}", token(cut(str(name), 20 * longest)))
    glyphs = _glyphs()
    return cut("".join(one if _is_drawn(one, glyphs) else _written_out(one) for one in shown), longest)


def _is_drawn(character: str, glyphs: frozenset[int]) -> bool:
    # A letter that runs from right to left would turn its neighbours round.
    return ord(character) in glyphs and unicodedata.bidirectional(character) not in ("R", "AL", "AN")


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib import font_manager

    path = font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans"))
    return frozenset(font_manager.get_font(path).get_charmap())


def as_file(figure: Figure, form: str) -> bytes:
    """A picture as a file to be published: vectors with their letters, or 300 dots per inch."""
    if form not in FORMATS:
        raise UsageError(f"A picture cannot be written as {form!r}: name a file that ends in {', '.join(FORMATS)}.")
    content = io.BytesIO()
    with styled(**{"svg.fonttype": "path", "svg.hashsalt": "vsa-checks"}):
        dated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[form]
        figure.savefig(content, format=form, dpi=300, metadata=dated, facecolor="white", bbox_inches="tight")
    return content.getvalue()
