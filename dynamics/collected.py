"""docs/dynamics.json: the measurements of each training over its steps, in as few numbers as the page needs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

from vsa_checks.judging.claim import load_claims
from vsa_checks.reading import MB, Unreadable, read_json

FILE, VERSION = "dynamics.json", 1
Json = dict[str, Any]
DIGITS = 4
MOST_BYTES = 64 * MB


def run_record(found: Json) -> Json:
    """One training: a list over its steps for each thing that was measured.

    Keys: language, variant, seed, text (of English), steps, loss, answers (kind -> list), concepts (score -> kind ->
    recovered, of, score and chance: means over the concepts of a kind), and (score, bar, p), last (score -> each
    concept at the last step), claims (id -> version, of, holds, value, least, largest, chance, threshold; verdicts at
    the last step, or a reason).
    """
    at = found["at"]
    record: Json = {name: found[name] for name in ("language", "variant", "seed", "text", "steps") if name in found}
    record["loss"] = _numbers(one["loss"] for one in at)
    if at[0]["answers"] is not None:
        record["answers"] = {kind: _numbers(one["answers"][kind] for one in at) for kind in at[0]["answers"]}
        scores = at[0]["concepts"]
        record["concepts"] = {score: _by_kind([one["concepts"][score] for one in at]) for score in scores}
        record["and"] = {name: _numbers(one["and"][name] for one in at) for name in ("score", "bar", "p")}
        record["last"] = {
            score: [
                {name: _number(value) for name, value in one.items() if name not in ("kind", "neuron")} for one in last
            ]
            for score, last in at[-1]["concepts"].items()
        }
    record["claims"] = {claim: _claim([one["claims"][claim] for one in at]) for claim in at[0]["claims"]}
    return record


def _by_kind(steps: list[list[Json]]) -> Json:
    kinds = dict.fromkeys(one["kind"] for one in steps[0])
    found: Json = {}
    for kind in kinds:
        some = [[one for one in step if one["kind"] == kind] for step in steps]
        found[kind] = {
            "of": len(some[0]),
            "recovered": [sum(one["recovered"] for one in step) for step in some],
            "score": _numbers(mean(one["score"] for one in step) for step in some),
            "chance": _numbers(mean(one["chance"] for one in step) for step in some),
        }
    return found


def _claim(steps: list[Json]) -> Json:
    """A claim over the steps; where nothing could be measured at any, only why (at the last)."""
    last: Counter[str] = Counter(steps[-1]["verdicts"])
    found: Json = {"version": steps[-1]["version"], "of": steps[-1]["of"], "verdicts": dict(last)}
    if not any("value" in one for one in steps):
        return found | {"reason": steps[-1]["reason"]}
    found["holds"] = [one["verdicts"].get("holds", 0) for one in steps]
    for name in ("value", "least", "largest", "threshold", "chance"):
        found[name] = _numbers(one.get(name) for one in steps)
    return found


def _numbers(values: Any) -> list[Any]:
    return [_number(value) for value in values]


def _number(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def known(folder: Path, settings: Json) -> list[Json]:
    """The trainings of a file that is there, if they have the same settings; none without one.

    Raises Unreadable for a file that is no such file.
    """
    try:
        found: Any = read_json(
            folder / FILE, limit=MOST_BYTES, what="The numbers of the trainings", schema=dict[str, Any]
        )
    except Unreadable as problem:
        if problem.missing:
            return []
        raise
    same = found.get("dynamics_version") == VERSION and found.get("settings") == settings
    return list(found["runs"]) if same else []


def earlier_versions(runs: list[Json]) -> dict[str, list[str]]:
    """Claims that were measured in another version than they have now, and in which trainings."""
    present = {claim.id: claim.version for claim in load_claims().values()}
    found: dict[str, list[str]] = {}
    for run in runs:
        for claim, one in run["claims"].items():
            if one.get("version") != present.get(claim):
                found.setdefault(claim, []).append(f"{run['variant']} {run['language']} {run['seed']}")
    return found


def merged(old: list[Json], new: list[Json], order: list[str]) -> list[Json]:
    """All trainings, new ones in the place of old ones of the same name, by language, variant and seed."""
    by_name = {(one["language"], one["variant"], one["seed"]): one for one in [*old, *new]}
    return [by_name[key] for key in sorted(by_name, key=lambda key: (key[0] != "grammar", order.index(key[1]), key[2]))]
