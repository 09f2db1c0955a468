"""The end of a run on the terminal: the model, one line per claim, the totals, where the report is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from vsa_checks.report import formatting
from vsa_checks.report.summary import worst_first

STYLES = {"holds": "green", "chance": "yellow", "refuted": "red", "not-checked": "dim"}
WIDE = 110  # columns from which a line has room for words
_WORDS = {"holds": "hold", "chance": "chance", "refuted": "refuted", "not-checked": "not chk"}
_WIDTHS = {"holds": 5, "chance": 7, "refuted": 8, "not-checked": 8}


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
    width = max(map(len, by_claim), default=0)
    if by_claim:
        _say(console, "")
        _header(console, wide, width)
    for claim in worst_first(by_claim):
        _say(console, _claim_line(claim, by_claim[claim], console, wide, width))
    if any(not entry["worst"]["primary"] for entry in by_claim.values()):
        _say(console, "* no primary subjects: counts and worst are of the exploratory ones", "dim")
    _say(console, "")
    _totals(console, document["summary"], " in this part" if partial else "")
    if n_from_cache:
        n_results = len(document["results"])
        _say(console, f"{n_from_cache} of {n_results} results taken from the cache (--no-cache measures anew).", "dim")
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


def _header(console: Console, wide: bool, width: int) -> None:
    if wide:
        counts = "".join(f"{word:>{_WIDTHS[verdict]}}" for verdict, word in _WORDS.items())
        heading = f"{'claim':<{width + 1}} {counts}  {'worst':<9} {'threshold':<18} null or reference"
    else:
        _say(console, "primary subjects: H hold, C by chance, R refuted, N not checked; r reference", "dim")
        heading = f"{'claim':<{width + 1}}    H   C   R   N  {'worst':<7} {'limit':<9} null/r"
    _say(console, heading, "dim")


def _claim_line(claim: str, entry: Mapping[str, Any], console: Console, wide: bool, width: int) -> Text:
    worst = entry["worst"]
    counts = entry["primary" if worst["primary"] else "exploratory"]
    line = Text(f"{claim}{'' if worst['primary'] else '*'}".ljust(width + 1) + " ")
    for verdict in formatting.VERDICTS:
        shown = f"{counts[verdict]:>{_WIDTHS[verdict] if wide else 4}}"
        line.append(shown, style=STYLES[verdict] if counts[verdict] else "dim")
    if worst["value"] is None:
        return line.append("  not checked", style="dim")
    digits = 4 if wide else 3
    value = formatting.against(worst["value"], worst["threshold"], digits)
    rule = f"{worst['direction']} {formatting.number(worst['threshold'], digits)}"
    line.append(f"  {value:<{9 if wide else 7}}", style=STYLES[worst["verdict"]])
    line.append(f" {rule} ({worst['threshold_origin']})".ljust(20) if wide else f" {rule:<9} ")
    room = console.width - len(line.plain)
    return line.append(_beside(worst, digits, room if wide else None))


def _beside(worst: Mapping[str, Any], digits: int, room: int | None) -> str:
    """The value of the null, or else of the reference, and as much of its name as there is room for."""
    null, reference = worst["null"], worst["reference"]
    if null is None and reference is None:
        return ""
    value = null["value"] if null else reference["value"]
    shown = formatting.against(value, worst["value"], digits)
    if room is None:
        return shown if null else f"r {shown}"
    name = null["name"] if null else "ref. " + reference["name"]
    named = f"{shown} {formatting.visible(name)}"
    return named if len(named) <= room else named[: max(room - 1, len(shown))] + "…"


def _totals(console: Console, totals: Mapping[str, Any], of_what: str) -> None:
    for kind in ("primary", "exploratory"):
        counts = totals[kind]
        line = Text(f"{kind.capitalize()} subjects{of_what}: ", style="bold")
        line.append(formatting.counts_in_words(counts))
        if kind == "exploratory" and counts["holds"]:
            line.append(f" ({counts['holds_after_bh']} after Benjamini-Hochberg)")
        _say(console, line + Text("."))
