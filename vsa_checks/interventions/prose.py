"""Sentences generated from the results of interventions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vsa_checks.report.answers import joined
from vsa_checks.report.escaping import markdown

Result = Mapping[str, Any]
VERDICTS = ("carries", "does not carry", "cannot tell")


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


def in_short(document: Mapping[str, Any]) -> str:
    """One model's verdicts, and the cost of replacing layer-0 neurons by bundles of five tokens."""
    name = document["model"]["name"].rsplit("/", 1)[-1]
    judged = [one for one in document["results"] if one["verdict"]]
    said = [f"{markdown(name)}: {len(judged)} changes were judged: {counts(judged)}."]
    for one in document["results"]:
        if one["part"].startswith("neurons/") and one["id"].endswith("/k=5"):
            others = sorted(null["cost"]["value"] for null in one["nulls"])
            said.append(
                f"Replacing {one['part'].removeprefix('neurons/')} of layer 0 by bundles of five tokens costs "
                f"{one['cost']['value']:+.2f} nats per token; other changes of the same size cost {others[0]:+.2f} to "
                f"{others[-1]:+.2f}, and its absence costs {one['without']['cost']['value']:+.2f}."
            )
    return " ".join(said)


def counts(some: Sequence[Result]) -> str:
    """How many of some results have each verdict."""
    found = Counter(one["verdict"] for one in some)
    return ", ".join(f"{verdict} {found[verdict]}" for verdict in VERDICTS)


def beside(result: Result) -> str:
    """How a change compares with its nulls: a comparison counts where interval and draws lie on one side."""
    sides: dict[str, list[str]] = {"less than": [], "more than": [], "not clearly different from": []}
    for null in result["nulls"]:
        found = null["above_change"]
        drawn = found["draws"] or [found["value"]]
        if found["low"] > 0 and min(drawn) > 0:
            sides["less than"].append(null["name"])
        elif found["high"] < 0 and max(drawn) < 0:
            sides["more than"].append(null["name"])
        else:
            sides["not clearly different from"].append(null["name"])
    return "; ".join(f"{side} {joined(names)}" for side, names in sides.items() if names)


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
