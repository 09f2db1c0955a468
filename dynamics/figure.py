"""docs/dynamics.svg, drawn from docs/dynamics.json: the same numbers give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from calibration.figure import COLOURS
from dynamics import summary
from dynamics.concepts import BUNDLE, READING
from dynamics.grammar import QUESTIONS
from dynamics.summary import Json

SHARES = ("neurons-beyond-chance", "neurons-kurtosis", "neuron-or", "attention-next-token", "residual-keeps-token",
          "embedding-near-orthogonal-centered", "attention-ov-isometry")  # fmt: skip
"""Claims whose share of subjects that hold is drawn."""


def draw(document: Json) -> str:
    """The figure as SVG text: thin lines are seeds, thick ones their means."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    runs = document["runs"]
    style: Any = {"svg.hashsalt": "dynamics", "svg.fonttype": "none", "font.size": 9, "path.simplify": False}
    with plt.rc_context(style):
        panels = _panels(runs)
        columns = -(-len(panels) // 2)
        chart, axes = plt.subplots(2, columns, figsize=(4.4 * columns, 8), layout="constrained", squeeze=False)
        for place in axes.flat[len(panels) :]:
            place.set_axis_off()
        for place, panel in zip(axes.flat, panels, strict=False):
            panel(place)
        page = io.StringIO()
        chart.savefig(page, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(chart)
    return page.getvalue()


def _panels(runs: Sequence[Json]) -> list[Callable[[Any], None]]:
    """What is drawn of these trainings, each into axes of its own."""
    there, english = summary.present(runs, "grammar"), summary.of_kind(runs, "english", "plain")
    of_english: list[Callable[[Any], None]] = [partial(_holds, runs=english, name="English")] if english else []
    if not there:
        return of_english
    shown = summary.of_kind(runs, "grammar", "plain") or summary.of_kind(runs, "grammar", there[0])
    name = shown[0]["variant"]
    return [
        partial(_answers, runs=shown, name=name),
        *(partial(_kinds, runs=shown, score=score, name=name) for score in (READING, BUNDLE)),
        partial(_holds, runs=shown, name=name),
        *of_english,
        *(partial(_variants, runs=runs, there=there, score=score) for score in (READING, BUNDLE)),
    ]


def _lines(
    axes: Any, runs: Sequence[Json], curves: Sequence[tuple[str, Callable[[Json], Sequence[float]]]], title: str
) -> None:
    """One colour for each curve; a thin line for each training and a thick one for their mean."""
    for place, (label, values) in enumerate(curves):
        colour, line = COLOURS[place % len(COLOURS)], "-" if place < len(COLOURS) else "--"
        drawn = [values(run) for run in runs]
        for one in drawn if len(runs) > 1 else []:
            axes.plot(runs[0]["steps"], one, color=colour, linewidth=0.5, alpha=0.6, linestyle=line)
        middle = [sum(step) / len(step) for step in zip(*drawn, strict=True)]
        axes.plot(runs[0]["steps"], middle, color=colour, linewidth=1.6, linestyle=line, label=label)
    _by_step(axes, runs[0]["steps"])
    axes.set(title=title, xlabel="step", ylim=(-0.03, 1.03))
    axes.legend(fontsize=6.5)


def _by_step(axes: Any, steps: Sequence[int]) -> None:
    """Steps on an axis of powers, with the untrained network's at its left end."""
    axes.set_xscale("symlog", base=2, linthresh=steps[1], linscale=0.5)
    axes.set_xticks(steps, [str(step) for step in steps], fontsize=7)


def _answers(axes: Any, runs: Sequence[Json], name: str) -> None:
    curves = [(kind, lambda run, kind=kind: run["answers"][kind]) for kind in QUESTIONS]
    _lines(axes, runs, curves, f"{name}: probability of the right answer")


def _kinds(axes: Any, runs: Sequence[Json], score: str, name: str) -> None:
    def share(run: Json, kind: str) -> list[float]:
        found = run["concepts"][score][kind]
        return [count / found["of"] for count in found["recovered"]]

    curves = [(kind, lambda run, kind=kind: share(run, kind)) for kind in runs[0]["concepts"][score]]
    _lines(axes, runs, curves, f"{name}: share of concepts held, by {score}")


def _holds(axes: Any, runs: Sequence[Json], name: str) -> None:
    def share(run: Json, claim: str) -> list[float]:
        found = run["claims"][claim]
        return [count / found["of"] for count in found["holds"]]

    there = summary.measured_claims(runs)
    curves = [(claim, lambda run, claim=claim: share(run, claim)) for claim in SHARES if claim in there]
    if curves:
        _lines(axes, runs, curves, f"{name}: share of subjects where the claim holds")


def _variants(axes: Any, runs: Sequence[Json], there: Sequence[str], score: str) -> None:
    for place, name in enumerate(there):
        some = summary.of_kind(runs, "grammar", name)
        steps = some[0]["steps"]
        shares = [summary.recovered(some, score, at) for at in range(len(steps))]
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(steps, [one.mean for one in shares], color=colour, linewidth=1.6, label=name)
        axes.fill_between(steps, [min(one.values) for one in shares], [max(one.values) for one in shares], color=colour,
                          alpha=0.15, linewidth=0)  # fmt: skip
    _by_step(axes, runs[0]["steps"])
    axes.set(title=f"all concepts by {score}: mean and range of seeds", xlabel="step", ylim=(-0.03, 1.03))
    axes.legend(fontsize=7)
