"""Sentences generated from the results of interventions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vsa_checks.interventions.on_neurons import JUDGED
from vsa_checks.report.answers import joined
from vsa_checks.report.escaping import markdown

Result = Mapping[str, Any]
VERBS = {"idealise": "idealised", "spoil": "spoiled"}
VERDICTS = ("carries", "does not carry", "cannot tell")
BEGINS = "**In short.**"
STRONGEST = min(JUDGED)
"""Tokens in the bundles that change neurons most, of those judged."""
LEAD = (
    "An *idealised* part is changed towards the theory in one respect, a *spoiled* one away from it. Neurons are "
    "those of layer 0, heads those of all layers. What is idealised *carries* if it still does the part's work; "
    "what is spoiled *carries* if that costs more than nulls do, which are other changes of the same size. "
    "*Cannot tell* includes changes too small to judge. The table has the strongest dose of each kind of change, "
    f"for neurons the strongest that is judged (k = {STRONGEST}). Its numbers are rises of the loss in nats per token; "
    "where a part is gone, its mean replaces it, or zero for queries."
)
LESS, MORE = "less than", "more than"
NEITHER = "not clearly different from"
HEADS = ("model", "change", "aim", "loss rises by", "with nulls, means from lowest to highest", "part gone", "verdict")


def paragraphs(document: Mapping[str, Any]) -> list[str]:
    """All verdicts, then a list with an item for each part and aim, then one for the tasks; plain Markdown."""
    results = document["results"]
    judged = [one for one in results if one["verdict"]]
    said = [f"Verdicts on text, {len(judged)} in total: {counts(judged)}."] if judged else []
    items = []
    for part, aim in dict.fromkeys((one["part"], one["aim"]) for one in results):
        some = [one for one in results if (one["part"], one["aim"]) == (part, aim)]
        gone = some[0]["without"]["cost"]["value"]
        items.append(
            f"- **{part}**, {VERBS[aim]}. Without this part the loss rises by {gone:+.2f} nats per token. "
            + " ".join(_sentence(one, gone) for one in some)
        )
    tasks: dict[str, list[Result]] = {}
    for one in results:
        for task in one["tasks"]:
            tasks.setdefault(task["task"], []).append({**task, "id": one["id"]})
    items += [f"- **Task {task}**: {counts(some)}. {_named(some)}".rstrip() for task, some in tasks.items()]
    return [*said, "\n".join(items)] if items else said


def in_short(documents: Sequence[Mapping[str, Any]]) -> str:
    """A list of each model's verdicts and comparisons, and a table with one dose of each kind of change."""
    said, rows = [], []
    for document in documents:
        results = document["results"]
        name = document["model"]["name"].rsplit("/", 1)[-1]
        said.append(f"- {markdown(name)}. {' '.join([*_verdicts(results), *_beside_all(results)])}".rstrip())
        shown = [one for one in results if not one["part"].startswith("neurons/") or _dose(one) == f"k={STRONGEST}"]
        strongest = {one["id"].rpartition("/")[0]: one for one in shown}
        rows += [_row(name, one) for one in strongest.values()]
    table = ["| " + " | ".join(map(markdown, row)) + " |" for row in (HEADS, ("---",) * len(HEADS), *rows)]
    return "\n\n".join([f"{BEGINS} {LEAD}", "\n".join(said), *(["\n".join(table)] if rows else [])])


def _dose(result: Result) -> str:
    return str(result["id"]).rpartition("/")[2]


def _verdicts(results: Sequence[Result]) -> list[str]:
    """The verdicts on what is idealised, and on what is spoiled."""
    said = []
    for aim, verb in VERBS.items():
        judged = [one for one in results if one["verdict"] and one["aim"] == aim]
        if judged:
            said.append(f"{verb.capitalize()}: {len(judged)} judged, {counts(judged)}.")
    return said


def _beside_all(results: Sequence[Result]) -> list[str]:
    """How many changes of each kind of part clearly cost less, or more, than every null."""
    said = []
    for aim, part in dict.fromkeys((one["aim"], one["part"].partition("/")[0]) for one in results):
        some = [one for one in results if (one["aim"], one["part"].partition("/")[0]) == (aim, part)]
        less, more = (sum(all(_side(null) == side for null in one["nulls"]) for one in some) for side in (LESS, MORE))
        unjudged = sum(not one["verdict"] for one in some)
        beside = f" ({unjudged} of them not judged)" if unjudged else ""
        said.append(
            f"Of {len(some)} changes with {VERBS[aim]} {part}{beside}, {less} clearly cost less than every null and "
            f"{more} more than every null."
        )
    return said


def _row(name: str, result: Result) -> tuple[str, ...]:
    nulls = [null["cost"]["value"] for null in result["nulls"]]
    same_size = " to ".join(dict.fromkeys(f"{value:+.2f}" for value in (min(nulls), max(nulls))))
    cost, gone = (f"{one['cost']['value']:+.2f}" for one in (result, result["without"]))
    return name, result["id"], result["aim"], cost, same_size, gone, result["verdict"] or "–"


def counts(some: Sequence[Result]) -> str:
    """How many of some results have each verdict."""
    found = Counter(one["verdict"] for one in some)
    return ", ".join(f"{verdict} {found[verdict]}" for verdict in VERDICTS)


def beside(result: Result) -> str:
    """How a change compares with its nulls."""
    sides: dict[str, list[str]] = {LESS: [], MORE: [], NEITHER: []}
    for null in result["nulls"]:
        sides[_side(null)].append(null["name"])
    return "; ".join(f"{side} {joined(names)}" for side, names in sides.items() if names)


def _side(null: Result) -> str:
    """Whether a change costs less or more than a null: it counts where interval and draws lie on one side."""
    found = null["above_change"]
    drawn = found["draws"] or [found["value"]]
    if found["low"] > 0 and min(drawn) > 0:
        return LESS
    return MORE if found["high"] < 0 and max(drawn) < 0 else NEITHER


def _sentence(result: Result, gone: float) -> str:
    cost = result["cost"]["value"]
    share = f", {cost / gone:.0%} of that" if gone > 0 else ""
    verdict = f": *{result['verdict']}*" if result["verdict"] else ""
    dose = result["id"].removeprefix(f"{result['part']}/")
    return f"`{dose}` costs {cost:+.2f}{share}, {beside(result)}{verdict}."


def _named(some: Sequence[Result]) -> str:
    """Which changes carry in a task, and which do not."""
    said = []
    for verdict in VERDICTS[:2]:
        names = [f"`{one['id']}`" for one in some if one["verdict"] == verdict]
        if names:
            said.append(f"{verdict.capitalize()}: {', '.join(names)}.")
    return " ".join(said)
