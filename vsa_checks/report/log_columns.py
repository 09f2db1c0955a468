"""What the test log of pytest-html says of claims: claim, metric, value, threshold, null, verdict; reason and link.

pytest-html 4.2 sorts columns as text, so cells with numbers begin with a hidden key of fixed length. It takes cells as
finished HTML, so every cell is escaped here, and reads each as one line, so none holds a line break.
"""

import re
import struct
from collections.abc import Mapping
from html import escape
from typing import Any

from vsa_checks.judging.claim import load_claims
from vsa_checks.report import formatting
from vsa_checks.report.quantities import quantity
from vsa_checks.report.summary import hardest_null

NO_LOG = "No log output captured."
WORKER = re.compile(r"^\[gw\d+\] .* -- Python .*\n")
"""The line with which xdist begins its account: a path of this machine."""
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
    claim = load_claims().get(result["claim"])
    kind, null = quantity(result["metric"]), hardest_null(result, None if claim is None else claim.alpha)
    shown_null = "" if null is None else f"{null['name']}: {kind.short(null['value'], result['value'])}"
    if null is None and result["reference"]:
        shown_null = f"none; reference {kind.short(result['reference']['value'])}"
    rank = formatting.WORST_FIRST.index(result["verdict"])
    return [
        _cell("claim", result["claim"]),
        _cell("metric", result["metric"]),
        _cell("value", kind.short(result["value"], result["threshold"]), _key(result["value"])),
        _cell(
            "threshold",
            f"{kind.rule(result)} ({result['threshold_origin']})",
            _key(result["threshold"]),
        ),
        _cell("null", shown_null, _key(null["value"] if null else None)),
        _cell("verdict", ", ".join([result["verdict"], *formatting.remarks(result)]), str(rank)),
    ]


def link(result: Mapping[str, Any], page: str) -> str:
    """The last cell of a row: where the result stands on our page, whose address is given."""
    address = f"{page}#{formatting.anchor(result['id'])}"
    return f'<td class="col-links"><a href="{escape(address)}">on the page</a></td>'


def put_reason_first(log: list[str], result: Mapping[str, Any] | None, crash: str, *, told: bool) -> None:
    """Let the log of one test begin with why its outcome is what it is; the log is changed in place.

    Parameters
    ----------
    log : list of str
        Escaped lines of pytest-html; the first is pytest's own account of the test, if it is `told`.
    result : mapping or None
        The result of the test; pytest's account, places in the code, is left out beside it.
    crash : str
        What the test raised, if that was no verdict: then the account stays.
    told : bool
        Whether pytest has an account of the test.
    """
    account, rest = (log[:1], log[1:]) if told else ([], [one for one in log if one != NO_LOG])
    lines = []
    if result is not None:
        lines.append(f"{result['verdict']}: {result['reason']}")
        if result["recorded"] and result["recorded"]["verdict"] != result["verdict"]:
            lines.append(f"on record: {result['recorded']['verdict']} ({result['recorded']['reason']})")
        account = account if crash else []
    if crash:
        lines.append(crash)
    account = [WORKER.sub("", one) for one in account]
    found = [escape(formatting.visible(line)) + "\n" for line in lines]
    log[:] = [*found, *(one for one in account if one.strip()), *rest] or [NO_LOG]


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
