"""Compare two runs of one model: what changed, by how much, and whether that is more than noise."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from vsa_checks.report.comparison.grid import link
from vsa_checks.report.comparison.runs import Json, Run
from vsa_checks.report.summary import hardest_null

ROUNDING, ROUNDING_OF_ZERO = 1e-6, 1e-12
"""Relative, and absolute near 0: other processors and libraries sum numbers in a different order."""
LISTED = ("verdict", "more than noise", "within noise")
"""Kinds whose subjects are listed one by one. The others are only counted; `gone` and `new` also give their ids."""
LEVEL = 0.05
"""A change with a larger q-value is no more than noise."""
KINDS = ("verdict", "more than noise", "within noise", "rounding", "same", "other version", "gone", "new")


def found_changes(runs: Sequence[Run]) -> list[Json]:
    """Compare all runs of each model with its first run, using `changes`."""
    first: dict[tuple[Any, ...], int] = {}
    found = []
    for at, run in enumerate(runs):
        before = first.setdefault(run.weights, at)
        if before != at:
            found.append({"before": before, "after": at, **changes(runs[before], run)})
    return found


def changes(before: Run, after: Run) -> Json:
    """What differs between two runs of the same weights.

    Parameters
    ----------
    before, after : Run

    Returns
    -------
    dict
        `circumstances`: differences between the runs themselves, name to the two values; `same_draws`: whether both
        have the same seed; `counts` by kind; `subjects`, one entry for each whose verdict or value differs, the most
        important first; `gone` and `new`, the ids that one run lacks; `other_versions`, the claims not compared.
        A value changed by *more than noise* if the interval for the difference of two independent measurements
        excludes 0, corrected for the number of values compared (Benjamini-Hochberg at .05). The half width of that
        interval follows from the two measurements' intervals (Zou and Donner 2008, "MOVER").
    """
    entries = []
    for subject in sorted(before.results.keys() | after.results.keys()):
        entries.append(_compared(subject, before, after))
    _tell_noise(entries)
    for entry in entries:
        entry["links"] = [link(run, entry["id"]) if entry["id"] in run.results else "" for run in (before, after)]
    counts = {kind: sum(entry["kind"] == kind for entry in entries) for kind in KINDS}
    told = [entry for entry in entries if entry["kind"] in LISTED]
    order = {kind: rank for rank, kind in enumerate(KINDS)}
    told.sort(key=lambda entry: (order[entry["kind"]], entry["q"] if entry["q"] is not None else 1.0, entry["id"]))
    circumstances = _circumstances(before, after)
    return {
        "circumstances": circumstances,
        "same_draws": "seed" not in circumstances,
        "counts": counts,
        "subjects": told,
        **{kind: [entry["id"] for entry in entries if entry["kind"] == kind] for kind in ("gone", "new")},
        "other_versions": sorted(
            {entry["id"].partition("/")[0] for entry in entries if entry["kind"] == "other version"}
        ),
    }


def _compared(subject: str, first: Run, second: Run) -> Json:
    before, after = first.results.get(subject), second.results.get(subject)
    entry: Json = {"id": subject, "kind": "same", "change": None, "half_width": None, "q": None, "unsettled": False}
    for when, run, result in (("before", first, before), ("after", second, after)):
        null = None if result is None else hardest_null(result, run.records[result["claim"]]["alpha"])
        entry[when] = result and {
            **{name: result[name] for name in ("verdict", "value", "threshold", "direction")},
            "null": null and {"name": null["name"], "value": null["value"]},
        }
    if before is None or after is None:
        entry["kind"] = "new" if before is None else "gone"
        return entry
    if before["claim_version"] != after["claim_version"]:
        entry["kind"] = "other version"
        return entry
    entry["unsettled"] = before["unsettled"] or after["unsettled"]
    if before["value"] is not None and after["value"] is not None:
        entry["change"] = _finite(after["value"] - before["value"])
        entry["half_width"] = _finite(half_width(before, after))
        if entry["change"]:
            entry["kind"] = "rounding" if is_rounding(entry) else "within noise"
    if before["verdict"] != after["verdict"]:
        entry["kind"] = "verdict"
    return entry


def is_rounding(entry: Json) -> bool:
    """Whether a subject's value changed by no more than a different processor or library could explain."""
    size = max(abs(entry["before"]["value"]), abs(entry["after"]["value"]))
    return bool(abs(entry["change"]) <= max(ROUNDING * size, ROUNDING_OF_ZERO))


def _finite(number: float) -> float:
    """Replace an infinite number, which JSON lacks, by the largest finite one."""
    return max(-sys.float_info.max, min(sys.float_info.max, number))


def half_width(before: Json, after: Json) -> float:
    """The largest difference expected between two independent measurements, at the level of their intervals.

    It uses the side of each interval that faces the other value (MOVER).
    """
    low, high = (before, after) if after["value"] >= before["value"] else (after, before)
    return math.hypot(low["ci"]["high"] - low["value"], high["value"] - high["ci"]["low"])


def _tell_noise(entries: Sequence[Json]) -> None:
    """Set the q-values of all compared values, and mark changes that are more than noise."""
    compared = [entry for entry in entries if entry["change"] is not None]
    if not compared:
        return
    from scipy.stats import false_discovery_control

    p_values = [1.0 if is_rounding(entry) else _p_value(entry["change"], entry["half_width"]) for entry in compared]
    for entry, q in zip(compared, false_discovery_control(p_values, method="bh"), strict=True):
        entry["q"] = float(q)
        if entry["kind"] == "within noise" and q <= LEVEL:
            entry["kind"] = "more than noise"


def _p_value(change: float, half: float) -> float:
    """Two-sided p-value of a change, taking `half` as the half width of a normal 95% interval."""
    if change == 0:
        return 1.0
    if half <= 0:
        return 0.0
    normal = NormalDist()
    return 2 * normal.cdf(-abs(change) / half * normal.inv_cdf(0.975))


def _circumstances(before: Run, after: Run) -> dict[str, list[Any]]:
    """Differences between the two runs themselves."""
    sides = []
    for run in (before, after):
        environment = run.environment
        text = environment.get("text")
        sides.append(
            {
                **{name: environment[name] for name in ("seed", "device", "threads")},
                "text": text and f"{text['name']}, {text['tokens']} tokens, sha256 {text['sha256'][:12]}",
                "part": run.partial or None,
                **{f"version of {name}": version for name, version in environment["versions"].items()},
            }
        )
    names = sides[0].keys() | sides[1].keys()
    different = {name: [side.get(name) for side in sides] for name in sorted(names)}
    return {name: pair for name, pair in different.items() if pair[0] != pair[1]} | _draws(before, after)


def _draws(before: Run, after: Run) -> dict[str, list[Any]]:
    """Nulls with different numbers of draws in the two runs, on subjects that both have, with those numbers."""
    found: dict[str, tuple[set[int | None], set[int | None]]] = {}
    for subject in before.results.keys() & after.results.keys():
        one, other = ({null["name"]: null["n"] for null in run.results[subject]["nulls"]} for run in (before, after))
        for name in one.keys() & other.keys():
            if one[name] != other[name]:
                for side, n in zip(found.setdefault(name, (set(), set())), (one[name], other[name]), strict=True):
                    side.add(n)

    def said(counts: set[int | None]) -> Any:
        known = sorted(n for n in counts if n is not None)
        words = ([] if len(known) == len(counts) else ["by a formula"]) + [f"{n:,}" for n in known]
        return known[0] if len(counts) == len(known) == 1 else " or ".join(words)

    return {f"draws of {name}": [said(side) for side in sides] for name, sides in sorted(found.items())}
