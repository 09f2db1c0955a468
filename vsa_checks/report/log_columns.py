"""Columns for the test log of pytest-html: claim, metric, value, threshold, null, verdict.

pytest-html 4.2 sorts columns as text, so cells with numbers begin with a hidden key of fixed length. It takes cells as
finished HTML, so every cell is escaped here, and reads each as one line, so none holds a line break.
"""

import struct
from collections.abc import Mapping
from html import escape
from typing import Any

from vsa_checks.report import formatting
from vsa_checks.report.summary import hardest_null

COLUMNS = ("claim", "metric", "value", "threshold", "null", "verdict")


def headers() -> list[str]:
    """The header cells, one per column."""
    return [f'<th class="sortable" data-column-type="{name}">{name.capitalize()}</th>' for name in COLUMNS]


def cells(result: Mapping[str, Any] | None) -> list[str]:
    """The cells of one test's row, as many as headers(); empty ones for a test without a result."""
    if result is None:
        return [
            _cell(name, "", key)
            for name, key in zip(COLUMNS, ("", "", _key(None), _key(None), _key(None), "9"), strict=True)
        ]
    null = hardest_null(result)
    shown_null = "" if null is None else f"{null['name']}: {formatting.against(null['value'], result['value'])}"
    if null is None and result["reference"]:
        shown_null = f"none; reference {formatting.number(result['reference']['value'])}"
    rank = formatting.WORST_FIRST.index(result["verdict"])
    return [
        _cell("claim", result["claim"]),
        _cell("metric", result["metric"]),
        _cell("value", formatting.against(result["value"], result["threshold"]), _key(result["value"])),
        _cell(
            "threshold",
            f"{formatting.threshold_rule(result)} ({result['threshold_origin']})",
            _key(result["threshold"]),
        ),
        _cell("null", shown_null, _key(null["value"] if null else None)),
        _cell("verdict", ", ".join([result["verdict"], *formatting.remarks(result)]), str(rank)),
    ]


def _cell(name: str, shown: str, key: str = "") -> str:
    hidden = f'<span hidden="hidden">{key}</span>' if key else ""
    return f'<td class="col-{name}">{hidden}{escape(formatting.visible(shown))}</td>'


def _key(value: float | None) -> str:
    """Twenty digits that sort as text in the order of the numbers; None comes before all numbers."""
    if value is None:
        return "0" * 20
    bits = int(struct.unpack(">Q", struct.pack(">d", float(value) + 0.0))[0])
    # IEEE 754: positive numbers sort as their bits do, negative ones the other way round.
    ordered = bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63)
    return f"{ordered:020d}"
