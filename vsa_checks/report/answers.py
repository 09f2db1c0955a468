"""The page's answers about a claim: what was measured, how chance compares, and what follows.

The sentences are built from the numbers, never from the verdict's reason, and name each null that decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from vsa_checks.report import formatting
from vsa_checks.report.escaping import visible
from vsa_checks.report.quantities import Quantity, chance_of
from vsa_checks.report.summary import beaten, lead

Result = Mapping[str, Any]
SHAPE_GIVES_IT = "An untrained network of the same shape meets this too, so it is given by the shape."


def joined(parts: Sequence[str]) -> str:
    """Parts as one phrase: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def decisive_nulls(result: Result, alpha: float | None) -> tuple[list[Any], list[Any]]:
    """The decisive nulls that a value beats, surely enough and by enough, and those that it does not."""
    decisive = [(beaten(result, null, alpha), null) for null in result["nulls"] if null["decisive"]]
    return [null for told, null in decisive if told], [null for told, null in decisive if not told]


def measured(worst: Result, where: str, peers: Sequence[Result], kind: Quantity) -> tuple[str, str]:
    """The worst subject's value, and in a second text its interval and the range of all subjects' values."""
    if worst["value"] is None:
        return "", ""
    ci = worst["ci"]
    interval = ""
    if ci:
        level, unit = f"{100 * ci['level']:g}%", visible(ci["unit"])
        interval = f" ({level} interval over {unit}: {kind.short(ci['low'])} to {kind.short(ci['high'])})"
    values = [one["value"] for one in peers if one["value"] is not None]
    rest = f"{interval}."
    if len(values) > 1:
        low, middle, high = (kind.short(one) for one in (min(values), _median(values), max(values)))
        rest = f" at the least favourable of {len(values)}, {where}{interval}. "
        rest += f"Over all {len(values)}: {low} to {high}, median {middle}."
    return kind.text(worst["value"], worst["threshold"]), rest


def chance(worst: Result, kind: Quantity) -> list[str]:
    """How chance compares with the worst subject, one sentence for each kind of comparison."""
    if worst["value"] is None:
        return []
    value, found = worst["value"], []
    decisive = [null for null in worst["nulls"] if null["decisive"]]
    if decisive:
        parts = [f"{visible(null['name'])}: {kind.text(null['value'], value)}" for null in decisive]
        found.append(
            f"{_capital(joined(parts))}. The value must beat {'this null' if len(parts) == 1 else 'each of these'}."
        )
    if reference := worst["reference"]:
        name, at = visible(reference["name"]), kind.text(reference["value"], value)
        note = "" if decisive else " The claim asks for a value like this, so a value close to it is not a failure."
        found.append(f"{_capital(name)}: {at}.{note}")
    if shown := [null for null in worst["nulls"] if not null["decisive"]]:
        parts = [f"{visible(null['name'])}: {kind.text(null['value'], value)}" for null in shown]
        found.append(f"For comparison only: {joined(parts)}.")
    return found or ["There is no null or reference here: the verdict depends only on the threshold."]


def follows(worst: Result, kind: Quantity, alpha: float | None) -> str:
    """What the worst subject's verdict means, with the nulls that decide it by name.

    `alpha` is that of the record by which it was judged.
    """
    value, verdict = worst["value"], worst["verdict"]
    if value is None:
        return f"This says nothing for or against the claim: {visible(worst['reason']).rstrip('.')}."
    left_behind, others = decisive_nulls(worst, alpha)
    asked = kind.asked(worst)
    if verdict == "chance":
        return f"The value meets the threshold, but so does chance: it {_not_beaten(worst, others, kind, alpha)}."
    if verdict == "holds":
        if left_behind:
            names = joined([visible(null["name"]) for null in left_behind])
            closest = min(left_behind, key=lambda null: lead(worst, null["value"]))
            by = kind.gap(lead(worst, closest["value"]))
            sentence = f"The claim holds, and better than chance: it beats {names}, the closest by {by}."
        else:
            sentence = f"The claim holds: it requires {asked}. It has no decisive null."
        return f"{sentence} {SHAPE_GIVES_IT}" if formatting.GIVEN in formatting.remarks(worst) else sentence
    sentence = f"The claim fails: it requires {asked}."
    if others:
        return f"{sentence} And the value {_not_beaten(worst, others, kind, alpha)}."
    if left_behind:
        names = joined([visible(null["name"]) for null in left_behind])
        return f"{sentence} Still, this is more than chance: the value beats {names}."
    reference = worst["reference"]
    if reference and lead({**worst, "value": reference["value"]}, worst["threshold"]) >= 0:
        return f"{sentence} {_capital(visible(reference['name']))} would meet it."
    return sentence


def against_null(result: Result, null: Mapping[str, Any], kind: Quantity) -> str:
    """How a value compares with one null: ahead or behind, by how much, and the required margin."""
    if result["value"] is None:
        return ""
    ahead = lead(result, null["value"])
    asked = ""
    if null["decisive"] and null["delta"]:
        asked = f" ({kind.gap(null['delta'])} needed to beat it)"
    if ahead == 0:
        return f"level with it{asked}"
    return f"{kind.gap(ahead)} {'ahead' if ahead > 0 else 'behind'}{asked}"


def _not_beaten(result: Result, nulls: Sequence[Mapping[str, Any]], kind: Quantity, alpha: float | None) -> str:
    """Why these nulls are not beaten: chance does better, or as well, or the value leads by too little."""
    groups: dict[str, list[str]] = {}
    for null in nulls:
        name = f"{visible(null['name'])} ({kind.short(null['value'], result['value'])}"
        name += f", {chance_of(null['p_value'])})" if null["p_value"] is not None else ")"
        ahead = lead(result, null["value"])
        if ahead < 0:
            groups.setdefault("is no better than {}", []).append(name)
        elif null["p_value"] is not None and alpha is not None and null["p_value"] > alpha:
            groups.setdefault("is not clearly different from {}", []).append(name)
        else:
            by, least = kind.gap(ahead), kind.gap(null["delta"] or 0.0)
            groups.setdefault(f"leads {{}} by only {by} ({least} required)", []).append(name)
    return ", and ".join(words.format(joined(names)) for words, names in groups.items())


def _median(values: Sequence[float]) -> float:
    return 2 * median(value / 2 for value in values)  # the sum of two may be beyond all numbers


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
