"""The page of a comparison, from what compare.json holds: self-contained, whole without script, which filters it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from vsa_checks.report import formatting
from vsa_checks.report.comparison.changes import LEVEL, is_rounding
from vsa_checks.report.comparison.charts import LINES, over_steps, over_thresholds
from vsa_checks.report.escaping import cut, visible
from vsa_checks.report.quantities import Quantity, chance_of, quantity
from vsa_checks.report.rendering import page_environment
from vsa_checks.report.summary import lead

FILE_NAME = "index.html"
SHOWN_CHANGES = 200
LONGEST_NAME = 60
Json = dict[str, Any]
KIND_WORDS = {
    "verdict": "another verdict",
    "more than noise": "same verdict, value changed by more than noise",
    "within noise": "same verdict, value changed within noise",
    "rounding": "same except for rounding",
    "same": "the same",
    "other version": "different version of the claim: not compared",
    "gone": "only in the first run",
    "new": "only in the second run",
}


def render(comparison: Mapping[str, Any]) -> str:
    """The page of a comparison as `vsa_checks.report.comparison.compare` makes it: no network, all escaped."""
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return str(
        _template().render(
            comparison=comparison,
            runs=comparison["runs"],
            columns=[_column(comparison, at) for at in range(len(comparison["columns"]))],
            claims=[_claim(claim, comparison) for claim in comparison["claims"]],
            sections=sorted(
                {claim["section"] for claim in comparison["claims"]}, key=lambda s: (not s[:1].isdigit(), s)
            ),
            series=[_series(one, comparison) for one in comparison["series"]],
            swept=_swept(comparison),
            diffs=[_diff(one, comparison) for one in comparison["diffs"]],
            verdicts=formatting.WORST_FIRST,
            script=Markup(script),
            script_hash=f"'sha256-{digest}'",
            kinds=KIND_WORDS,
        )
    )


@cache
def _script() -> str:
    return files("vsa_checks.report").joinpath("templates", "compare.js").read_text(encoding="utf-8")


@cache
def _template() -> Any:
    filters = {
        "number": formatting.number,
        "visible": visible,
        "name": lambda text: cut(visible(text), LONGEST_NAME),
        "in_words": formatting.counts_in_words,
    }
    return page_environment(filters).get_template("compare.html.j2")


def _column(comparison: Mapping[str, Any], at: int) -> Json:
    column = comparison["columns"][at]
    run = comparison["runs"][column["run"]]
    several = len({one["basis"] for one in comparison["columns"]}) > 1
    return {**column, "at": at, "run": run, "title": run["name"] + (f", {column['basis']}" if several else "")}


def _kind(comparison: Mapping[str, Any], claim: str, run: int) -> Quantity:
    """The kind of a claim's numbers on the model of a run."""
    metric = next((one["metric"] for one in comparison["claims"] if one["id"] == claim), "")
    return quantity(metric, comparison["runs"][run]["model"]["d_vocab"])


def _claim(claim: Json, comparison: Mapping[str, Any]) -> Json:
    kinds = [_kind(comparison, claim["id"], column["run"]) for column in comparison["columns"]]
    cells = [cell and _cell(cell, kind) for cell, kind in zip(claim["cells"], kinds, strict=True)]
    return {**claim, "cells": cells, "found": " ".join(sorted({cell["verdict"] for cell in cells if cell}))}


def _cell(cell: Json, kind: Quantity) -> Json:
    """A cell with its words, and with keys by which script sorts: verdict, then how far the threshold is missed."""
    value, threshold = cell["value"], cell["threshold"]
    slack = 0.0 if value is None else lead(cell, threshold) / (abs(threshold) or 1.0)
    null, reference = cell["null"], cell["reference"]
    beside = ""
    if value is not None and null is not None:
        p = "" if null["p_value"] is None else f" ({chance_of(null['p_value'])})"
        beside = f"chance {kind.short(null['value'], value)}{p}"
    elif value is not None and reference is not None:
        beside = f"reference {kind.short(reference['value'], value)}"
    counts = cell["counts"]
    return {
        **cell,
        "rank": formatting.WORST_FIRST.index(cell["verdict"]),
        "slack": f"{slack:.6g}",
        "shown": kind.short(value, threshold),
        "rule": kind.rule(cell),
        "beside": beside,
        "counted": f"{counts['holds']} of {cell['of']} hold" if cell["of"] > 1 else "",
        "where": cell["id"].partition("/")[2].partition("/")[2].replace("/", ", "),
    }


def _series(series: Json, comparison: Mapping[str, Any]) -> Json:
    runs, first = comparison["runs"], series["runs"][0]
    drawn = [
        {**curve, "drawing": over_steps(curve, series["steps"], _kind(comparison, curve["claim"], first))}
        for curve in series["curves"]
    ]
    return {
        **series,
        "curves": drawn,
        "members": [runs[at] for at in series["runs"]],
        "left_out": [runs[at] for at in series["left_out"]],
    }


def _swept(comparison: Mapping[str, Any]) -> Json | None:
    """The figure over thresholds with the name of each line; None where no matrices were measured."""
    entries = comparison["thresholds"]
    if not entries:
        return None
    several = len({entry["basis"] for entry in entries}) > 1
    names = [
        cut(comparison["runs"][entry["run"]]["name"], LONGEST_NAME) + (f", {entry['basis']}" if several else "")
        for entry in entries
    ]
    lines = [
        {"style": at % LINES, "name": name, "matrices": entry["matrices"], "neurons": entry["neurons"]}
        for at, (entry, name) in enumerate(zip(entries, names, strict=True))
    ]
    asked = " or ".join(f"{one:g}" for one in sorted({one for entry in entries for one in entry["asked"]}))
    return {"drawing": over_thresholds(entries, names), "lines": lines, "asked": asked}


def _diff(diff: Json, comparison: Mapping[str, Any]) -> Json:
    runs = comparison["runs"]
    told = [
        {**entry, "said": _change(entry, _kind(comparison, entry["id"].partition("/")[0], diff["before"]))}
        for entry in diff["subjects"][:SHOWN_CHANGES]
    ]
    return {
        **diff,
        "before": runs[diff["before"]],
        "after": runs[diff["after"]],
        "telling": [entry for entry in told if entry["kind"] != "within noise"],
        "within": [entry for entry in told if entry["kind"] == "within noise"],
        "left": len(diff["subjects"]) - len(told),
        "counted": [(KIND_WORDS[kind], n) for kind, n in diff["counts"].items() if n],
    }


def _change(entry: Json, kind: Quantity) -> Json:
    """The words for one subject: both values with enough digits to tell them apart, the change, and what it means."""
    before, after = entry["before"], entry["after"]
    nulls = [side["null"] and side["null"]["value"] for side in (before, after)]
    change, noise = "", ""
    if entry["change"]:
        (_, unit), (noise, other_unit) = (kind.gap_and_unit(entry[name]) for name in ("change", "half_width"))
        change = f"{'+' if entry['change'] > 0 else '−'}{kind.gap(entry['change'])}"
        noise = f"± {noise}{'' if unit.rstrip('s') == other_unit.rstrip('s') else f' {other_unit}'}"
    return {
        "values": _pair(before["value"], after["value"], kind),
        "chance": "" if nulls == [None, None] else _pair(nulls[0], nulls[1], kind),
        "change": change,
        "noise": noise,
        "meaning": _meaning(entry),
    }


def _pair(before: float | None, after: float | None, kind: Quantity) -> str:
    if before == after:
        return kind.short(before)
    return f"{kind.short(before, after)} → {kind.short(after, before)}"


def _meaning(entry: Json) -> str:
    if entry["kind"] != "verdict":
        return KIND_WORDS[entry["kind"]]
    unsettled = ", but unsettled: the random seed changes it too" if entry["unsettled"] else ""
    if entry["q"] is None:
        return f"different verdict{unsettled}{'; ' if unsettled else ': '}measured in one run only"
    if not entry["change"]:
        return f"different verdict for the same value: threshold or chance changed{unsettled}"
    if is_rounding(entry):
        return f"different verdict{unsettled}; the value changed by no more than rounding"
    how = "more" if entry["q"] <= LEVEL else "no more"
    return f"different verdict{unsettled}; the value changed by {how} than noise"
