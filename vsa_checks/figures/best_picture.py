"""The best-explained neurons of a layer with their tokens, and the cosine after each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vsa_checks.figures import kept
from vsa_checks.figures.picture import Choice, Picture, Place, Report, chosen
from vsa_checks.figures.style import GREY, INK, LINE, REAL, SOFT, canvas, drawn, styled
from vsa_checks.report.escaping import cut, token

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME, SECTION = "best-neurons", "3.2"


def best_by_place(report: Report, choice: Choice) -> dict[Place, Mapping[str, Any]]:
    """The best-explained neurons of each matching place. Raises NothingToDraw if there are none."""
    return dict(chosen(report, kept.BEST, choice))


def picture(report: Report, choice: Choice) -> Picture:
    """The best-explained neurons of one layer and matrix, by default the first.

    Raises NothingToDraw where the report holds none.
    """
    place, group = next(iter(best_by_place(report, choice).items()))
    title = f"The {len(group['neurons'])} neurons of {place.words} that bundles explain best"
    return Picture(NAME, title, message(place, group), SECTION, lambda: _draw(place, group, _bar(report, place)))


def message(place: Place, group: Mapping[str, Any]) -> str:
    """What the figure says: the best and the last of those shown."""
    first, last = float(group["cosines"][0].max()), float(group["cosines"][-1].max())
    tokens = ", ".join(f"“{cut(token(name))}”" for name in group["names"][0])
    n = len(group["neurons"])
    return (
        f"In {place.words}, neuron {int(group['neurons'][0])} is explained best: {tokens} together reach a cosine of "
        f"{first:.3f}. The last of the {n} shown, neuron {int(group['neurons'][-1])}, reaches {last:.3f}."
    )


def _bar(report: Report, place: Place) -> float | None:
    """The cosine that 99% of random directions stay below, as the results of the same neurons have it."""
    for one in report.results("neurons-beyond-chance", Choice(place.layer, None, place.matrix, place.basis)):
        found = one["details"].get("cosine_bar")
        if one["subject"].get("expert") == place.expert and isinstance(found, int | float):
            return float(found)
    return None


def _draw(place: Place, group: Mapping[str, Any], bar: float | None) -> Figure:
    n, k = group["cosines"].shape
    with styled():
        figure = canvas(8.6, 0.8 + 0.235 * n)
        axis, texts = figure.subplots(1, 2, width_ratios=[1, 2.3], sharey=True)
        tall = figure.get_figheight()
        figure.subplots_adjust(left=0.075, right=0.99, bottom=0.42 / tall, top=1 - 0.36 / tall, wspace=0.04)
        for at in range(n):
            cosines = [float(one) for one in group["cosines"][at][: len(group["names"][at])]]
            axis.plot(cosines, [at] * len(cosines), color=REAL, linewidth=0.8, alpha=0.5)
            for step, one in enumerate(cosines):
                axis.plot([one], [at], "o", color=REAL, ms=2 + 3 * (step + 1) / k, alpha=0.35 + 0.65 * (step + 1) / k)
            x = 0.0
            for name, one in zip(group["names"][at], cosines, strict=False):
                texts.text(x, at, drawn(name, 13), color=INK, fontsize=7.6, va="center", clip_on=True)
                texts.text(x + 1.0, at, f"{one:.2f}", color=SOFT, fontsize=6.6, va="center", ha="right", clip_on=True)
                x += 1.12
        if bar is not None:
            axis.axvline(bar, color=GREY, linewidth=1)
            axis.annotate(
                f"99% of random\ndirections: {bar:.2f}", (bar, 1), xycoords=("data", "axes fraction"), fontsize=7,
                color=SOFT, ha="center", va="bottom",
            )  # fmt: skip
        axis.set_yticks(range(n), [str(int(neuron)) for neuron in group["neurons"]])
        axis.set_ylim(n - 0.5, -0.5)
        axis.set_xlim(left=0)
        axis.set_ylabel(f"neuron of {place.words}")
        axis.set_xlabel(f"cosine after 1 to {k} tokens")
        axis.grid(axis="y", color=LINE, linewidth=0.5)
        texts.set_xlim(0, 1.12 * k)
        texts.set_title("tokens in order of inclusion, with the cosine after each", fontsize=8, color=SOFT)
        texts.axis("off")
    return figure
