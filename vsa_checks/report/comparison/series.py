"""Checkpoints of one training run: the same model at several steps, and each claim's values over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median_high, median_low
from typing import Any

from vsa_checks.report.comparison.grid import in_the_paper
from vsa_checks.report.comparison.runs import Json, Run, last_parts
from vsa_checks.report.summary import hardest_null, worst

SHAPE = ("architecture", "n_layers", "d_model", "d_vocab")


def found_series(runs: Sequence[Run]) -> list[Json]:
    """The series among the runs.

    Returns
    -------
    list of dict
        For each: its `name`, the `runs` (numbers in the order given) and `steps`, and `curves`, one for each claim and
        basis that two steps or more have. Of several runs of one step that with the most results counts, then that with
        the lowest seed; the others are `left_out`.
    """
    groups: dict[tuple[Any, ...], dict[int, list[int]]] = {}
    for at, run in enumerate(runs):
        if run.step is not None:
            key = (run.series, *(run.model[name] for name in SHAPE))
            groups.setdefault(key, {}).setdefault(run.step, []).append(at)
    found: list[Json] = []
    for key, members in groups.items():
        steps = sorted(members)
        ranked = [sorted(members[step], key=lambda at: (-len(runs[at].results), _seed(runs[at]))) for step in steps]
        chosen = [same[0] for same in ranked]
        curves = _curves([(step, runs[at]) for step, at in zip(steps, chosen, strict=True)]) if len(steps) > 1 else []
        if curves:
            left_out = sorted(at for same in ranked for at in same[1:])
            name = last_parts(key[0])
            found.append({"name": name, "runs": chosen, "steps": steps, "left_out": left_out, "curves": curves})
    taken: Counter[str] = Counter()
    for series in found:
        taken[series["name"]] += 1
        if (number := taken[series["name"]]) > 1:
            series["name"] += f" #{number}"
    return found


def _seed(run: Run) -> int:
    return int(run.environment["seed"])


def _curves(checkpoints: Sequence[tuple[int, Run]]) -> list[Json]:
    of_claim: dict[tuple[str, str], list[Json]] = {}
    for step, run in checkpoints:
        groups: dict[tuple[str, str], list[Json]] = {}
        for result in run.results.values():
            groups.setdefault((result["claim"], result["basis"]), []).append(result)
        for key, results in groups.items():
            if (point := _point(step, results, run.records[key[0]]["alpha"])) is not None:
                of_claim.setdefault(key, []).append(point)
    sections = {claim: record["section"] for _, run in checkpoints for claim, record in run.records.items()}
    order = sorted(of_claim, key=lambda key: (*in_the_paper(sections[key[0]]), *key))
    found = []
    for claim, basis in order:
        points = of_claim[claim, basis]
        latest = points[-1]["claim_version"]  # values of another version are those of another measure
        points = [point for point in points if point["claim_version"] == latest]
        if len(points) > 1:
            same = len({point.pop("subjects") for point in points}) == 1
            names = {"claim": claim, "basis": basis, "section": sections[claim]}
            found.append({**names, "same_subjects": same, "points": points})
    return found


def _median(values: Sequence[float]) -> float:
    """The median, even if the sum of two values overflows."""
    return median_low(values) / 2 + median_high(values) / 2


def _point(step: int, results: list[Json], alpha: float | None) -> Json | None:
    """A claim at one step: the median, least and largest value of its primary subjects (or of all, if it has none)."""
    counted = [one for one in results if one["primary"]] or results
    measured = [one for one in counted if one["value"] is not None]
    if not measured:
        return None
    nulls = [null["value"] for one in measured if (null := hardest_null(one, alpha)) is not None and null["decisive"]]
    values = [one["value"] for one in measured]
    return {
        "step": step,
        "subjects": frozenset(one["id"] for one in measured),
        "median": _median(values),
        "least": min(values),
        "largest": max(values),
        "threshold": _median([one["threshold"] for one in measured]),
        "direction": measured[0]["direction"],
        "chance": _median(nulls) if nulls else None,
        "holds": sum(one["verdict"] == "holds" for one in counted),
        "of": len(counted),
        "verdict": worst(counted, alpha)["verdict"],
        "claim_version": measured[0]["claim_version"],
    }
