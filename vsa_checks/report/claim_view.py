"""One claim as shown on the page: its answers in words, its drawings, and a row for each of its subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vsa_checks.report import answers, formatting
from vsa_checks.report.charts import bars_by_layer, lanes, lines_by_layer, named_places, places, shares
from vsa_checks.report.commands import claim_commands
from vsa_checks.report.details import details_view
from vsa_checks.report.paper_sections import heading, in_order
from vsa_checks.report.quantities import Quantity, quantity
from vsa_checks.report.room import leave_out
from vsa_checks.report.summary import largest_p, place, worst_first
from vsa_checks.report.thresholds import origin

OPEN_ROWS = 12  # longer tables start closed
LISTED = 6  # subjects named beside a claim where there are no layers to draw
SAME_LAYERS = 24  # characters of a list of layers; a longer one becomes their number
Result = Mapping[str, Any]


def section_views(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sections of the paper in order, each with its claims, worst first, and how many have which verdict."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for claim in claim_views(document):
        groups.setdefault(claim["record"]["section"], []).append(claim)
    return [
        {
            "name": section,
            "anchor": f"section-{at}",
            "heading": heading(section),
            "claims": groups[section],
            "counts": {
                verdict: n
                for verdict in formatting.WORST_FIRST
                if (n := sum(claim["verdict"] == verdict for claim in groups[section]))
            },
        }
        for at, section in enumerate(sorted(groups, key=in_order), 1)
    ]


def claim_views(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All claims of a document, worst first."""
    of_claim: dict[str, list[Result]] = {}
    for result in document["results"]:
        of_claim.setdefault(result["claim"], []).append(result)
    by_claim = document["summary"]["by_claim"]
    views = [_claim_view(claim, of_claim[claim], by_claim[claim], document) for claim in worst_first(by_claim)]
    leave_out(views)
    return views


def _claim_view(
    claim: str, results: Sequence[Result], entry: Mapping[str, Any], document: Mapping[str, Any]
) -> dict[str, Any]:
    results = sorted(results, key=place)
    record = entry["record"]
    kind = quantity(record["metric"], document["model"]["d_vocab"])
    worst = next(result for result in results if result["id"] == entry["worst"]["id"])
    primary = [result for result in results if result["primary"]]
    exploratory = [result for result in results if not result["primary"]]
    both_bases = len({result["basis"] for result in results}) > 1
    strips, charts = [], []
    for (basis, matrix), members in _by_matrix(results).items():
        name = " ".join(part for part in (matrix, f"({basis})" if both_bases else None) if part) or "all"
        title = f"{claim}, {name}, by layer"
        charts.append((name, lines_by_layer(members, title, kind, record["alpha"])))
        if basis == worst["basis"]:
            strips.append((name, bars_by_layer(members, title, kind, record["alpha"]), _where(members)))
    where = subject_place(worst, both_bases)
    rows = {result["id"]: _row(result, both_bases, kind) for result in results}
    notes = _in_all([row["details"]["notes"] for row in rows.values() if row["result"]["value"] is not None])
    for row in rows.values():
        row["notes"] = [note for note in row["details"]["notes"] if note not in notes]
    return {
        "id": claim,
        "record": record,
        "verdict": entry["verdict"],
        "exploratory_only": not primary,
        "worst": worst,
        "kind": kind,
        "worst_place": where,
        "measured": answers.measured(worst, where, primary or exploratory, kind),
        "chance": answers.chance(worst, kind),
        "follows": answers.follows(worst, kind, record["alpha"]),
        "origin": origin(claim, record),
        "effective": _effective(record, results),
        "lanes": lanes(worst, kind),
        "strips": strips,
        "listed": [
            (subject_place(one, both_bases), one["verdict"], None if one["value"] is None else kind.short(one["value"]))
            for one in results[:LISTED]
        ],
        "shares": shares(entry["primary"] if primary else entry["exploratory"]),
        "charts": charts,
        "counts": {"primary": entry["primary"], "exploratory": entry["exploratory"]},
        "n_exploratory": len(exploratory),
        "n_holds": entry["primary"]["holds"] + entry["exploratory"]["holds"],
        "n_given": entry["primary"]["given_by_shape"] + entry["exploratory"]["given_by_shape"],
        "corrected": entry.get("corrected_for_number"),
        "n_tested": sum("q_value" in result["details"] for result in results),
        "results": results,
        "tables": [
            (
                name,
                [rows[result["id"]] for result in members],
                len(members) <= OPEN_ROWS and name == "primary",
                _interval_of_all(members),
            )
            for name, members in (("primary", primary), ("exploratory", exploratory))
            if members
        ],
        "notes": notes,
        "commands": claim_commands(claim, results, document),
    }


def _effective(record: Mapping[str, Any], results: Sequence[Result]) -> float | None:
    """The threshold as a plain number, if the claim gives it in a unit; None if subjects have different ones."""
    thresholds = {result["threshold"] for result in results if result["verdict"] != "not-checked"}
    return thresholds.pop() if record["threshold_unit"] != "1" and len(thresholds) == 1 else None


def _by_matrix(results: Sequence[Result]) -> dict[tuple[str, str | None], list[Result]]:
    """Results of the subjects that stand at two or more layers or experts, by basis and matrix, in their order."""
    groups: dict[tuple[str, str | None], list[Result]] = {}
    for result in results:
        if result["subject"]["layer"] is not None:
            groups.setdefault((result["basis"], result["subject"]["matrix"]), []).append(result)
    return {key: members for key, members in groups.items() if len(members) > 1}


def _where(results: Sequence[Result]) -> str:
    """The verdicts shown in a strip, in few words: the rarer ones are named with their layers."""
    words = {"holds": "holds", "chance": "chance", "refuted": "refuted", "not-checked": "not checked"}
    by_verdict = {verdict: [r for r in results if r["verdict"] == verdict] for verdict in formatting.VERDICTS}
    found = {verdict: own for verdict, own in by_verdict.items() if own}
    given = sum(formatting.GIVEN in formatting.remarks(result) for result in results)
    shape = f"; the shape gives {'all' if given == len(found['holds']) else given} that hold" if given else ""
    if len(found) == 1:
        return f"{words[next(iter(found))]} at all {places(results)}{shape}"
    most = max(found, key=lambda verdict: len(found[verdict]))
    parts = [f"{words[one]} at {named_places(own, SAME_LAYERS)}" for one, own in found.items() if one != most]
    return "; ".join([*parts, f"{words[most]} at the other {len(found[most])}"]) + shape


def subject_place(result: Result, with_basis: bool) -> str:
    """Where in the model a subject is: "layer 3, W_Q"."""
    layer, matrix = result["subject"]["layer"], result["subject"]["matrix"]
    expert = result["subject"].get("expert")
    parts = [None if layer is None else f"layer {layer}", None if expert is None else f"expert {expert}", matrix]
    parts.append(result["basis"] if with_basis else None)
    return ", ".join(part for part in parts if part) or "the whole model"


def _row(result: Result, with_basis: bool, kind: Quantity) -> dict[str, Any]:
    """One row of a claim's table: a result, the words for its cells, and plain numbers to sort it by."""
    value, ci = result["value"], result["ci"]
    nulls = [
        {
            **null,
            "shown": kind.short(null["value"], value),
            "spread": null["spread"] and _spread(null["spread"], kind),
            "stands": answers.against_null(result, null, kind) if null["decisive"] else "",
        }
        for null in sorted(result["nulls"], key=lambda null: (not null["decisive"], null["name"]))
    ]
    recorded = result["recorded"]
    return {
        "result": result,
        "anchor": formatting.anchor(result["id"]),
        "place": subject_place(result, with_basis),
        "value": kind.short(value, result["threshold"]),
        "x": None if value is None else f"{value:.9g}",
        "interval": ci and f"{kind.short(ci['low'])} to {kind.short(ci['high'])}",
        "unit": ci and _interval(ci),
        "rule": "–" if value is None else kind.rule(result),
        "reference": result["reference"] and kind.short(result["reference"]["value"], value),
        "twin": result["twin"] and kind.short(result["twin"]["value"]),
        "nulls": nulls,
        "p": largest_p(result),
        "q": result["details"].get("q_value"),
        "differs": bool(recorded) and recorded["verdict"] != result["verdict"],
        "details": details_view(result),
        "left_out": False,
    }


def _interval(ci: Mapping[str, Any]) -> str:
    return f"{100 * ci['level']:g}% over {formatting.visible(ci['unit'])}"


def _interval_of_all(results: Sequence[Result]) -> str:
    """Level and unit of the intervals of several results, if they are the same: "95% over neurons"; else empty."""
    found = {_interval(result["ci"]) for result in results if result["ci"]}
    return found.pop() if len(found) == 1 and len(results) > 1 else ""


def _in_all(notes: Sequence[Sequence[str]]) -> list[str]:
    """The notes common to several subjects; a single subject keeps its own."""
    return [one for one in notes[0] if all(one in others for others in notes)] if len(notes) > 1 else []


def _spread(spread: float, kind: Quantity) -> str:
    if kind.kind == "rank":
        return kind.gap(spread)
    return kind.short(spread)
