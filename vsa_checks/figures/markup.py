"""A picture as part of a page: SVG in the page's own colours, with names of its own, and small."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Collection
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

from vsa_checks.figures.style import INK, LINE, NULLS, REAL, SOFT, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THEME = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    REAL: "var(--fig-real)",
    **{colour: f"var(--fig-null{at})" for at, colour in enumerate(NULLS)},
}
"""What a colour becomes on the page, where the style sheet knows whether it is light or dark."""
_IMAGE = re.compile(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)")


def as_markup(figure: Figure, name: str, title: str, message: str) -> str:
    """A picture as SVG within a page: its colours are the page's, and its names are its own.

    Parameters
    ----------
    figure : Figure
    name : str
        Of letters, digits and dashes; no other picture of the page may have it.
    title, message : str
        What it shows, for those who cannot see it.
    """
    content = io.BytesIO()
    with styled(**{"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(content, format="svg", dpi=100, metadata={"Date": None}, transparent=True)
    svg = content.getvalue().decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert box is not None
    width, height = (round(float(size) * 4 / 3) for size in box.groups())
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" class="figure" '
        f'viewBox="{box[0][9:-1]}" width="{width}" height="{height}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(message)}</desc>"
    )
    rest = re.sub(r">\s+<", "><", svg.partition(">")[2]).strip()
    used = set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', rest))
    named = {one or other for one, other in used}
    # Within tags alone: what a token says stays as it is.
    return opening + re.sub(r"<[^>]*>", lambda found: _themed(found[0], name, named), rest)


def _themed(tag: str, name: str, named: Collection[str]) -> str:
    """One tag with the page's colours, no more digits than can be seen, and a name that no other picture has.

    It keeps a name only if it is among those that others of the picture call it by.
    """
    tag = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in named else "", tag)
    tag = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", tag)
    tag = re.sub("|".join(THEME), lambda found: THEME[found[0]], tag)
    tag = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--fig-font)", tag)
    tag = _IMAGE.sub(_in_few_colours, tag)
    tag = re.sub(r"(\d\.\d\d)\d+", r"\1", re.sub(r"\s+", " ", tag))
    return re.sub(r' d="([^"]*)"', lambda path: f' d="{_short(path[1])}"', tag)


def _short(path: str) -> str:
    """The same path to a tenth of a point, with level and upright strokes by their one number."""
    steps, x, y = [], "", ""
    for command, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        places = [f"{float(one):.1f}".removesuffix(".0") for one in numbers.split()]
        if command == "L" and len(places) == 2 and (places[0] == x or places[1] == y):
            if places != [x, y]:
                steps.append(f"V{places[1]}" if places[0] == x else f"H{places[0]}")
        else:
            steps.append(command + " ".join(places))
        x, y = places[-2:] if len(places) > 1 else (x, y)
    return "".join(steps)


def _in_few_colours(found: re.Match[str]) -> str:
    """A PNG with a table of its colours, where a table can hold them: exact, and a third of the size."""
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    table, places = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    if len(table) > 256:
        return re.sub(r"\s", "", found[0])
    small = Image.fromarray(places.reshape(pixels.shape[:2]).astype(np.uint8), "L").convert("P")
    small.putpalette(table[:, :3].ravel().tolist())
    content = io.BytesIO()
    small.save(content, "PNG", transparency=table[:, 3].tobytes(), optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def standalone(markup: str) -> str:
    """A picture from `as_markup` as a file of its own, with the colours of a light page."""
    back = {words: colour for colour, words in THEME.items()} | {"var(--fig-font)": "'DejaVu Sans', sans-serif"}
    pattern = "|".join(re.escape(words) for words in back)

    def themed(found: re.Match[str]) -> str:
        tag = re.sub(pattern, lambda inner: back[inner[0]], found[0])
        return tag if "'" in tag else tag.replace('"', "'")  # which an address need not write out

    return re.sub(r"<[^>]*>", themed, markup)
