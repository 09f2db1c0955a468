"""The end of a run on the terminal: the model, one line per claim, the totals, where the report is."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from vsa_checks.report import formatting
from vsa_checks.report.quantities import Quantity, quantity
from vsa_checks.report.summary import worst_first

STYLES = {"holds": "green", "chance": "yellow", "refuted": "red", "not-checked": "dim"}
WIDE = 110  # columns from which a line has room for words
_COLUMNS = {
    "holds": "hold",
    "given_by_shape": "shape",
    "chance": "chance",
    "refuted": "refuted",
    "not-checked": "not chk",
}
"""What is counted of a claim's subjects, with the column's name; its first letter where there is little room."""


def summary(
    document: Mapping[str, Any], console: Console, report: str | Path | None = None, n_from_cache: int = 0
) -> None:
    """Print the summary of a valid document, worst claims first, and at its end `report`, the page's path.

    n_from_cache: how many of the results an earlier run measured. It is in no report, because both runs' are equal.

    Names are never read as markup; control characters in them are written out.
    """
    wide = console.width >= WIDE
    _say(console, _model_line(document["model"]))
    partial = formatting.partial_line(document)
    if partial:
        _say(console, partial, "bold yellow")
    by_claim = document["summary"]["by_claim"]
    width, widths = max(map(len, by_claim), default=0), _widths(by_claim, wide)
    if by_claim:
        _say(console, "")
        _header(console, wide, width, widths)
    for claim in worst_first(by_claim):
        _say(console, _claim_line(claim, by_claim[claim], console, width, widths))
    if any(not entry["worst"]["primary"] for entry in by_claim.values()):
        _say(console, "* no primary subjects: counts and worst are those of exploratory subjects", "dim")
    _say(console, "")
    _totals(console, document["summary"], " in this part" if partial else "")
    if n_from_cache:
        n_results = len(document["results"])
        _say(console, f"{n_from_cache} of {n_results} results taken from the cache (--no-cache measures again).", "dim")
    if why := document["environment"].get("no_twin"):
        _say(console, f"The results have no untrained twin: {formatting.visible(why)}.", "dim")
    crashed = document["environment"].get("crashed", [])
    if crashed:
        _say(console, f"{len(crashed)} tests failed without a verdict, and are not among these results.", "bold red")
    if report is not None:
        _say(console, f"Report: {formatting.visible(report)}")


def _say(console: Console, line: str | Text, style: str = "") -> None:
    """Print one line, which rich neither wraps nor reads as markup."""
    console.print(line if isinstance(line, Text) else Text(line, style=style), soft_wrap=True, highlight=False)


def _model_line(model: Mapping[str, Any]) -> Text:
    line = Text(f"Model: {formatting.visible(model['name'])}. ", style="bold")
    line.append(formatting.paper_line(model), style="" if model["is_paper_model"] else "bold red")
    return line


def _widths(by_claim: Mapping[str, Any], wide: bool) -> dict[str, int]:
    """Columns that each count takes, with a space before it."""
    if wide:
        return {name: 1 + len(word) for name, word in _COLUMNS.items()}
    counted = [entry[kind] for entry in by_claim.values() for kind in ("primary", "exploratory")]
    return {name: 1 + len(str(max((counts[name] for counts in counted), default=0))) for name in _COLUMNS}


def _header(console: Console, wide: bool, width: int, widths: Mapping[str, int]) -> None:
    counts = "".join(f"{word if wide else word[0].upper():>{widths[name]}}" for name, word in _COLUMNS.items())
    if wide:
        heading = f"{'claim':<{width + 1}} {counts}  {'worst':<10} {'threshold':<18} null or reference"
    else:
        _say(console, "primary: H hold, S by the shape, C by chance, R refuted, N not chk; r reference", "dim")
        heading = f"{'claim':<{width + 1}} {counts}  {'worst':<8} {'limit':<9} null/r"
    _say(console, heading, "dim")


def _claim_line(claim: str, entry: Mapping[str, Any], console: Console, width: int, widths: Mapping[str, int]) -> Text:
    worst, wide = entry["worst"], console.width >= WIDE
    counts = entry["primary" if worst["primary"] else "exploratory"]
    line = Text(f"{claim}{'' if worst['primary'] else '*'}".ljust(width + 1) + " ")
    for name in _COLUMNS:
        line.append(f"{counts[name]:>{widths[name]}}", style=STYLES.get(name, "dim") if counts[name] else "dim")
    if worst["value"] is None:
        return line.append("  not checked", style="dim")
    digits = 4 if wide else 3
    kind = quantity(entry["record"]["metric"])
    unit = "" if wide else " sd"  # where there is no room for it
    value = kind.short(worst["value"], worst["threshold"], digits=digits).removesuffix(unit)
    rule = f"{worst['direction']} {kind.short(worst['threshold'], digits=digits).removesuffix(unit)}"
    line.append(f"  {value:<{10 if wide else 8}}", style=STYLES[worst["verdict"]])
    line.append(f" {rule} ({worst['threshold_origin']})".ljust(20) if wide else f" {rule:<9} ")
    room = console.width - len(line.plain)
    return line.append(_beside(worst, kind, digits, room, named=wide))


def _beside(worst: Mapping[str, Any], kind: Quantity, digits: int, room: int, named: bool) -> str:
    """The value of the null, or else of the reference, and as much of its name as there is room for."""
    null, reference = worst["null"], worst["reference"]
    if null is None and reference is None:
        return ""
    value = null["value"] if null else reference["value"]
    shown = kind.short(value, worst["value"], digits=digits)
    if not named:
        shown = shown.removesuffix(" sd")
        return shown if null else f"r {shown}"
    name = null["name"] if null else "ref. " + reference["name"]
    whole = f"{shown} {formatting.visible(name)}"
    return whole if len(whole) <= room else whole[: max(room - 1, len(shown))] + "…"


def _totals(console: Console, totals: Mapping[str, Any], of_what: str) -> None:
    for kind in ("primary", "exploratory"):
        counts = totals[kind]
        heading, words = f"{kind.capitalize()} subjects{of_what}:", formatting.counts_in_words(counts)
        if kind == "exploratory" and counts["holds"]:
            words += f" ({counts['holds_after_bh']} after Benjamini-Hochberg)"
        first, *rest = textwrap.wrap(f"{heading} {words}.", console.width, subsequent_indent="  ")
        line = Text(first)
        line.stylize("bold", 0, len(heading))
        _say(console, line)
        for one in rest:
            _say(console, one)
    given = any(totals[kind]["given_by_shape"] for kind in ("primary", "exploratory"))
    unsettled = sum(totals[kind]["unsettled"] for kind in ("primary", "exploratory"))
    if given:
        _say(console, "Given by the shape: an untrained network of the same shape meets it too.", "dim")
    if unsettled:
        _say(console, f"Unsettled: {unsettled} of all subjects get another verdict with other random numbers.", "dim")
