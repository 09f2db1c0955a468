"""intervene.svg: the cost of each dose of a change, compared with changes of the same size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vsa_checks.figures.style import GREY, NULLS, REAL, SOFT, STYLES, as_file, drawn, legend, panels, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILE_NAME = "intervene.svg"
CHANGE, ABSENT = "this change, with its 95% interval", "without the part"
SHARE = "neurons beyond chance, {} (right axis)"
Result = Mapping[str, Any]
_AXES = {"tokens": "tokens in the bundle", "degree": "degree", "dose": "dose"}
_RANK, _RANK_AXIS = "embeddings/low rank", "share of principal axes that stay"


def draw(document: Mapping[str, Any]) -> bytes | None:
    """The figure of intervene.json as SVG; None if nothing was tried. The same numbers give the same bytes."""
    return as_file(picture(document["results"]), "svg") if document["results"] else None


def picture(results: Sequence[Result]) -> Figure:
    """One panel for each kind of change: cost against dose, and of embeddings the share of neurons beyond chance."""
    kinds = by_kind(results)
    with styled():
        figure, axes = panels(len(kinds), columns=3, width=9.6, height=1.9, below=1.2, left=0.75, gap=(0.85, 0.75))
        key: dict[str, Any] = {}
        for axis, (kind, own) in zip(axes, kinds.items(), strict=True):
            key |= _panel(axis, kind, own)
        for axis in axes[::3]:
            axis.set_ylabel("rise of the loss, nats a token")
        legend(figure, key, 3)
    return figure


def by_kind(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each kind of change, in the order in which they were tried: an id less its last part names it."""
    found: dict[str, list[Result]] = {}
    for one in results:
        found.setdefault(one["id"].rpartition("/")[0], []).append(one)
    return found


def _dose(result: Result) -> tuple[str, float]:
    ((name, dose),) = result["dose"].items()
    return name, float(dose)


def _panel(axis: Axes, kind: str, results: Sequence[Result]) -> dict[str, Any]:
    """Draw one kind of change; returns its lines by what they are called."""
    doses = [_dose(one)[1] for one in results]
    name = _dose(results[0])[0]
    values = [one["cost"]["value"] for one in results]
    reach = [
        [max(0.0, one["cost"]["value"] - one["cost"]["low"]) for one in results],
        [max(0.0, one["cost"]["high"] - one["cost"]["value"]) for one in results],
    ]
    lines: dict[str, Any] = {}
    names = dict.fromkeys(null["name"] for one in results for null in one["nulls"])
    for at, null in enumerate(names):
        costs = [
            next((own["cost"]["value"] for own in one["nulls"] if own["name"] == null), math.nan) for one in results
        ]
        (lines[f"same size: {drawn(null, 60)}"],) = axis.plot(
            doses, costs, color=NULLS[at], linestyle=STYLES[at + 1], marker=".", linewidth=1.2
        )
    lines[ABSENT] = axis.axhline(results[0]["without"]["cost"]["value"], color=GREY, linewidth=1)
    lines[CHANGE] = axis.errorbar(doses, values, yerr=reach, color=REAL, marker="o", ms=3.5, elinewidth=0.8)
    axis.set_ylim(bottom=min(0.0, *axis.get_ylim()))
    lines |= _shares(axis, doses, results)
    if name == "tokens":
        axis.set_xscale("log")
    axis.set_xticks(doses, [f"{dose:g}" for dose in doses])
    axis.minorticks_off()
    if doses[-1] < doses[0]:
        axis.invert_xaxis()  # the strongest dose is on the right
    axis.set_xlabel(_RANK_AXIS if kind == _RANK else _AXES[name])
    axis.set_title(drawn(kind, 40))
    return lines


def _shares(axis: Axes, doses: Sequence[float], results: Sequence[Result]) -> dict[str, Any]:
    """Draw the share of layer-0 neurons beyond chance on an axis of its own, where it was measured at each dose."""
    matrices = dict.fromkeys(matrix for one in results if one["beside"] for matrix in one["beside"]["beyond_chance"])
    if not matrices:
        return {}
    right = axis.twinx()
    right.spines["right"].set_visible(True)
    right.set_ylim(0, 1)
    right.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    lines = {}
    for at, matrix in enumerate(matrices):
        shares = [(one["beside"] or {"beyond_chance": {}})["beyond_chance"].get(matrix, math.nan) for one in results]
        (lines[SHARE.format(matrix)],) = right.plot(
            doses, shares, color=SOFT, linestyle=STYLES[4 + at], marker="s", ms=3, linewidth=1.0
        )
    return lines
