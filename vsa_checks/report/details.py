"""A result's free-form details as tables and charts, and everything else as text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from vsa_checks.report import formatting
from vsa_checks.report.charts import curve, histogram
from vsa_checks.report.escaping import html_token
from vsa_checks.report.quantities import percent, plain

LONGEST = 600  # characters of a value that is shown as text; the file has all of it
FIRST = ("neurons_per_token", "tokens", "layer", "neuron", "head")  # keys that name a row of a table
MOST_TOKENS = 50  # of a bundle that is shown; the file has all of it
ELSEWHERE = ("q_value", "twin")  # what has a column of its own
TOKENS = ("at", "attends_to", "token", "tokens", "bundle", "members")  # keys of text that is the model's
SHARES = re.compile(r"(^|_)shares?(_|$)|^attention(_|$)")
NAMES = {
    "by_head": "by head",
    "excluded": "left out of the vocabulary",
    "seeds": "measured with several seeds",
    "sweep": "by the number of neurons that a token lists",
    "share_30": "share with cosine ≥ .3",
    "share_50": "share with cosine ≥ .5",
    "null_share_30": "same for random directions, ≥ .3",
    "null_share_50": "same for random directions, ≥ .5",
    "matched_share_30": "same for covariance-matched neurons, ≥ .3",
    "matched_share_50": "same for covariance-matched neurons, ≥ .5",
    "share_by_tokens": "share beyond chance by the number of tokens",
    "null_share": "same for the closest null",
    "max_abs": "largest |cosine|",
    "rms": "rms cosine",
    "rms_of_random": "rms cosine of random vectors",
    "least_rms": "smallest possible rms cosine",
    "cut": "counted as an artifact from |cosine|",
    "within_heads_median": "median of pairs within a head",
    "n_pairs": "pairs",
    "n_pairs_closer": "pairs this close",
    "n_tokens": "tokens",
    "n_queries": "tokens looked for",
    "n_sinks": "attention sinks left out",
    "n_windows": "windows of text",
    "at": "at the token",
    "attends_to": "attends to",
    "cos_squared": "cos² with what it attends to",
    "value_as_read": "value, as read",
    "largest_cosine_of_random_vectors": "largest cosine that random vectors would have",
    "cosine_bar": "cosine that 1% of random directions reach",
    "kurtosis_bar": "kurtosis that 1% of random directions reach",
    "most_tokens": "tokens at most",
    "clusters": "distinct clusters of neurons",
    "rms_cosine": "rms cosine",
}
"""For the keys whose own words say little."""


def details_view(result: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of details as the page shows them. A part without one of the known forms is shown as text."""
    details = result["details"]
    title = result["id"]
    view: dict[str, Any] = {
        "by_head": _across(details.get("by_head")),
        "curve": curve(details.get("curve"), title),
        "histogram": histogram(details.get("histogram"), f"{title}: histogram"),
        "notes": _texts(details.get("notes")),
    }
    known = {name for name, content in view.items() if content} | set(ELSEWHERE)
    rest = [(name, content) for name, content in sorted(details.items()) if name not in known]
    view["tables"] = [(_name(name), table) for name, content in rest if (table := _down(content))]
    view["values"] = [(_name(name), _inline(content, name)) for name, content in rest if not _rows(content)]
    view["any"] = any(view[name] for name in ("by_head", "curve", "histogram", "tables", "values"))
    return view


def _rows(content: Any) -> list[Mapping[str, Any]] | None:
    if isinstance(content, list) and content and all(isinstance(row, Mapping) and row for row in content):
        return content
    return None


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All keys: those that name the row, then plain values, then values of nulls, whose names are longer."""
    keys = {key for row in rows for key in row}
    first = [key for key in FIRST if key in keys]
    return first + sorted(keys - set(first), key=lambda key: (key.count("_"), key))


def _across(content: Any) -> list[tuple[str, list[str]]] | None:
    """Rows of a table with one column per head: name and cells."""
    if not (rows := _rows(content)):
        return None
    return [(_name(key), [_inline(row.get(key), key) for row in rows]) for key in _columns(rows)]


def _down(content: Any) -> dict[str, Any] | None:
    """A table with one row per entry, such as a step of a sweep."""
    if not (rows := _rows(content)):
        return None
    keys = _columns(rows)
    cells = [
        ["all" if key == "neurons_per_token" and row.get(key) is None else _inline(row.get(key), key) for key in keys]
        for row in rows
    ]
    return {"columns": [_name(key) for key in keys], "rows": cells}


def _name(key: str) -> str:
    return NAMES.get(key) or formatting.visible(key).replace("_", " ")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [formatting.visible(value)]
    return [formatting.visible(item) for item in value] if isinstance(value, list) else []


def _inline(value: Any, key: str = "") -> str:
    """Any value on one line: numbers and shares as the page writes them, tokens so that all of each is seen, a flat
    mapping as "name value", the rest as JSON.
    """
    if isinstance(value, float):
        return percent(value, words=False) if SHARES.search(key) and 0 <= value <= 1 else plain(value)
    if value is None or isinstance(value, int):
        return formatting.number(value)
    if key in TOKENS and (tokens := _tokens(value)):
        return tokens
    if isinstance(value, Mapping) and all(isinstance(v, int | float | str | None) for v in value.values()):
        parts = [Markup("{} {}").format(_name(one), _inline(item, one)) for one, item in sorted(value.items())]
        return Markup("; ").join(parts)
    if isinstance(value, list) and all(isinstance(item, int | float | str) for item in value):
        written = ", ".join(_inline(item, key) for item in value)
    else:
        written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    written = formatting.visible(written)
    return written if len(written) <= LONGEST else written[:LONGEST] + " … (the rest is in results.json)"


def _tokens(value: Any) -> Markup | None:
    """The tokens of a bundle, or one token; None for what is neither."""
    if isinstance(value, str):
        return html_token(value)
    if not (isinstance(value, list) and value and all(isinstance(item, str) for item in value)):
        return None
    shown = Markup(" ").join(html_token(item) for item in value[:MOST_TOKENS])
    more = len(value) - MOST_TOKENS
    return shown + f" … and {more} more in results.json" if more > 0 else shown
