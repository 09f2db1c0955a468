"""Sentences generated from the results of interventions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vsa_checks.report.answers import joined
from vsa_checks.report.escaping import markdown

Result = Mapping[str, Any]
VERDICTS = ("carries", "does not carry", "cannot tell")
BEGINS = "**In short.**"
LEAD = (
    "Idealised parts fit the theory better, spoiled ones worse. The table has the strongest dose of each kind of "
    "change, and for neurons bundles of five tokens. Costs are in nats per token: of the change, of other changes of "
    "the same size, and of the part's absence."
)
LESS, MORE = "less than", "more than"
HEADS = ("model", "change", "aim", "cost", "same size", "part gone", "verdict")


def paragraphs(document: Mapping[str, Any]) -> list[str]:
    """All verdicts, then a list with an item for each part and aim, then one for the tasks; plain Markdown."""
    results = document["results"]
    judged = [one for one in results if one["verdict"]]
    said = [f"Verdicts on text, {len(judged)} in total: {counts(judged)}."] if judged else []
    items = []
    for part, aim in dict.fromkeys((one["part"], one["aim"]) for one in results):
        some = [one for one in results if (one["part"], one["aim"]) == (part, aim)]
        gone = some[0]["without"]["cost"]["value"]
        verb = "idealised" if aim == "idealise" else "spoiled"
        items.append(
            f"- **{part}**, {verb}. Without this part the loss rises by {gone:+.2f} nats per token. "
            + " ".join(_sentence(one, gone) for one in some)
        )
    tasks: dict[str, list[Result]] = {}
    for one in results:
        for task in one["tasks"]:
            tasks.setdefault(task["task"], []).append({**task, "id": one["id"]})
    items += [f"- **Task {task}**: {counts(some)}. {_named(some)}".rstrip() for task, some in tasks.items()]
    return [*said, "\n".join(items)] if items else said


def in_short(documents: Sequence[Mapping[str, Any]]) -> str:
    """How many changes of each model have each verdict, and a table with one dose of each kind of change."""
    said, rows = [], []
    for document in documents:
        results = document["results"]
        judged = [one for one in results if one["verdict"]]
        name = document["model"]["name"].rsplit("/", 1)[-1]
        said.append(f"- {markdown(name)}: {len(judged)} changes were judged: {counts(judged)}. {_beside_all(results)}")
        fives = [one for one in results if not one["part"].startswith("neurons/") or one["id"].endswith("/k=5")]
        strongest = {one["id"].rpartition("/")[0]: one for one in fives}
        rows += [_row(name, one) for one in strongest.values()]
    table = ["| " + " | ".join(map(markdown, row)) + " |" for row in (HEADS, ("---",) * len(HEADS), *rows)]
    return "\n\n".join(["\n".join([f"{BEGINS} {LEAD}", *said]), "\n".join(table)])


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
    sides: dict[str, list[str]] = {LESS: [], MORE: [], "not clearly different from": []}
    for null in result["nulls"]:
        sides[_side(null)].append(null["name"])
    return "; ".join(f"{side} {joined(names)}" for side, names in sides.items() if names)


def _side(null: Result) -> str:
    """Whether a change costs less or more than a null: it counts where interval and draws lie on one side."""
    found = null["above_change"]
    drawn = found["draws"] or [found["value"]]
    if found["low"] > 0 and min(drawn) > 0:
        return LESS
    return MORE if found["high"] < 0 and max(drawn) < 0 else "not clearly different from"


def _beside_all(results: Sequence[Result]) -> str:
    """How many changes of each kind of part clearly cost less, or more, than each of their nulls."""
    said = []
    for aim, part in dict.fromkeys((one["aim"], one["part"].partition("/")[0]) for one in results):
        some = [one for one in results if (one["aim"], one["part"].partition("/")[0]) == (aim, part)]
        less, more = (sum(all(_side(null) == side for null in one["nulls"]) for one in some) for side in (LESS, MORE))
        said.append(f"of {len(some)} that {aim} {part} {less} cost less and {more} more")
    return f"Compared with each other change of the same size, {'; '.join(said)}."


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
