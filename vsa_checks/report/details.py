"""A result's free-form details as tables, charts and, for what has neither form, as text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vsa_checks.report import formatting
from vsa_checks.report.charts import curve, histogram

LONGEST = 600  # characters of a value that is shown as text; the file has all of it
FIRST = ("neurons_per_token", "tokens", "layer", "neuron", "head")  # keys that name a row of a table


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
    known = {name for name, content in view.items() if content} | {"q_value"}
    rest = [(name, content) for name, content in sorted(details.items()) if name not in known]
    view["tables"] = [(_name(name), table) for name, content in rest if (table := _down(content))]
    view["values"] = [(_name(name), _inline(content)) for name, content in rest if not _rows(content)]
    view["q_value"] = details.get("q_value")
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
    return [(_name(key), [_inline(row.get(key)) for row in rows]) for key in _columns(rows)]


def _down(content: Any) -> dict[str, Any] | None:
    """A table with one row per entry, such as a step of a sweep."""
    if not (rows := _rows(content)):
        return None
    keys = _columns(rows)
    cells = [
        ["all" if key == "neurons_per_token" and row.get(key) is None else _inline(row.get(key)) for key in keys]
        for row in rows
    ]
    return {"columns": [_name(key) for key in keys], "rows": cells}


def _name(key: str) -> str:
    return formatting.visible(key).replace("_", " ")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [formatting.visible(value)]
    return [formatting.visible(item) for item in value] if isinstance(value, list) else []


def _inline(value: Any) -> str:
    """Any value on one line: numbers as the page writes them, a flat mapping as "name value", the rest as JSON."""
    if value is None or isinstance(value, int | float):
        return formatting.number(value)
    if isinstance(value, Mapping) and all(isinstance(v, int | float | str | None) for v in value.values()):
        written = "; ".join(f"{_name(key)} {_inline(item)}" for key, item in sorted(value.items()))
    elif isinstance(value, list) and all(isinstance(item, int | float | str) for item in value):
        written = ", ".join(_inline(item) for item in value)
    else:
        written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    written = formatting.visible(written)
    return written if len(written) <= LONGEST else written[:LONGEST] + " … (the rest is in results.json)"
