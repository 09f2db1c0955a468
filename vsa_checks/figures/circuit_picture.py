"""Circuits as a graph: which layers' neurons write what those of later layers read, against chance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks import theory
from vsa_checks.figures import kept
from vsa_checks.figures.picture import Choice, Picture, Place, Report, chosen, percent
from vsa_checks.figures.style import INK, LINE, NULLS, REAL, SOFT, canvas, drawn, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME, SECTION = "circuits", "3.3"
ARCS = 40
"""How many of the strongest are drawn in each direction."""
NEURONS = 16


def picture(report: Report, choice: Choice) -> Picture:
    """Arcs between layers, forward above and backward below, and the neurons most closely linked.

    Raises NothingToDraw where the report holds none.
    """
    place, group = next(iter(chosen(report, kept.LINKS, Choice(None, None, choice.matrix, choice.basis)).items()))
    ahead = beyond_chance(group)
    forward, backward = ahead[np.triu_indices(len(ahead), 1)], ahead[np.tril_indices(len(ahead), -1)]
    cut = closest_by_chance(report, len(ahead))
    message = (
        f"{place.matrix}: each arc links a layer that writes to a layer that reads; its width is the share of the "
        "reader's neurons linked with the writer, minus the largest share of any null. Arcs above run forward (the "
        f"later layer reads), mean {percent(forward.mean())} beyond the nulls, {_strongest(np.triu(ahead, 1))}; arcs "
        "below run backward, where nothing can flow, mean "
        f"{percent(backward.mean())}, {_strongest(np.tril(ahead, -1))}."
    )
    strongest = group["strongest"]
    if len(strongest):
        i, neuron, j, reader = (int(one) for one in strongest[0])
        message += (
            f" The closest pair of neurons: {neuron} of layer {i} writes what {reader} of layer {j} reads, cosine "
            f"{float(group['strongest_cosines'][0]):.2f}; the closest of as many random pairs would reach "
            f"{cut:.2f}. Between neurons, blue lines are positive cosines and orange dashes negative ones."
        )
    title = "Which layers write what later layers read"
    return Picture(NAME, title, re.sub(r"-(?=\d)", "−", message), SECTION, lambda: _draw(place, group, ahead, cut))


def _strongest(one_way: NDArray[np.float64]) -> str:
    """The largest share in one direction. `one_way` (layers, layers) is zero for the other direction."""
    i, j = np.unravel_index(np.argmax(one_way), one_way.shape)
    return f"strongest {percent(one_way[i, j])} from layer {i} to {j}" if one_way[i, j] > 0 else "no pair beyond them"


def beyond_chance(group: Mapping[str, Any]) -> NDArray[np.float64]:
    """Shares of linked readers (layers, layers) less the largest of any null."""
    shares = np.asarray(group["shares"], np.float64)
    return shares[0] - (shares[1:].max(axis=0) if len(shares) > 1 else 0.0)


def closest_by_chance(report: Report, n_layers: int) -> float:
    """The largest |cos| that as many random pairs as there are neurons and later neurons would show: its median."""
    n_pairs = max(int(report.document["model"]["d_mlp"]), 1) ** 2 * n_layers * (n_layers - 1) / 2
    return theory.cosine_quantile(report.d_model, float(-np.expm1(np.log(0.5) / n_pairs)))


def _draw(place: Place, group: Mapping[str, Any], ahead: NDArray[np.float64], cut: float) -> Figure:
    with styled():
        figure = canvas(7.6, 6.4 if len(group["strongest"]) else 3.6)
        if len(group["strongest"]):
            arcs, links = figure.subplots(2, 1, height_ratios=[1.15, 1])
            figure.subplots_adjust(left=0.05, right=0.98, bottom=0.08, top=0.95, hspace=0.32)
            _draw_neurons(links, group, len(ahead), cut)
        else:
            arcs = figure.subplots()
            figure.subplots_adjust(left=0.05, right=0.98, bottom=0.14, top=0.92)
        _draw_arcs(arcs, place, ahead)
    return figure


def _draw_arcs(axis: Axes, place: Place, ahead: NDArray[np.float64]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Arc

    n, most = len(ahead), max(float(ahead.max()), 1e-9)
    height = max(2.0, 0.5 * n)
    for sign, table, colour in ((1, np.triu(ahead, 1), REAL), (-1, np.tril(ahead, -1), NULLS[0])):
        order = np.argsort(-table, axis=None)[:ARCS]
        for i, j in zip(*np.unravel_index(order, table.shape), strict=True):
            share = float(table[i, j]) / most
            if share > 0.02:
                span = abs(int(j) - int(i))
                axis.add_patch(
                    Arc(
                        ((i + j) / 2, 0), span, sign * span, theta1=0, theta2=180, color=colour, linewidth=4 * share,
                        alpha=0.25 + 0.6 * share,
                    )
                )  # fmt: skip
    axis.plot(range(n), [0] * n, "o", color=INK, ms=3 if n > 16 else 5, zorder=3)
    axis.set_xlim(*_reach(n))
    axis.set_ylim(-height * 1.02, height * 1.02)
    axis.set_yticks([height * 0.6, -height * 0.6], ["forward", "backward"], rotation=90, va="center")
    axis.tick_params(axis="y", length=0)
    step = 1 if n <= 16 else 5
    axis.set_xticks(range(0, n, step))
    axis.set_xlabel("layer")
    axis.set_title(f"W_out to {place.matrix}: up to {ARCS} strongest in each direction, beyond every null")
    sizes = [share for share in (1.0, 0.5, 0.1) if share * most > 0]
    axis.legend(
        [Line2D([], [], color=REAL, linewidth=4 * share, alpha=0.25 + 0.6 * share) for share in sizes],
        [f"{percent(share * most)} of readers beyond chance" for share in sizes],
        loc="upper right",
    )


def _reach(n_layers: int) -> tuple[float, float]:
    """Both drawings have their layers at the same places, with room for labels beside them."""
    return -0.07 * n_layers - 0.3, 1.13 * n_layers + 0.2


def _draw_neurons(axis: Axes, group: Mapping[str, Any], n_layers: int, cut: float) -> None:
    strongest, cosines = group["strongest"][:NEURONS], group["strongest_cosines"][:NEURONS]
    size = float(np.abs(cosines).max()) or 1.0
    for at, ((i, neuron, j, reader), cosine) in enumerate(zip(strongest.tolist(), cosines.tolist(), strict=True)):
        share = abs(cosine) / size
        axis.annotate(
            "", (j, at), (i, at), arrowprops={
                "arrowstyle": "-|>", "color": REAL if cosine > 0 else NULLS[0], "linewidth": 0.6 + 2 * share,
                "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8, "linestyle": "-" if cosine > 0 else (0, (4, 1.5)),
            },
        )  # fmt: skip
        axis.text(i - 0.15, at, str(neuron), ha="right", va="center", fontsize=7)
        axis.text(j + 0.15, at, f"{reader}   cos {cosine:.2f}".replace("-", "−"), ha="left", va="center", fontsize=7)
    axis.set_xlim(*_reach(n_layers))
    axis.set_ylim(len(strongest) - 0.4, -0.6)
    axis.set_yticks([])
    axis.set_xticks(range(0, n_layers, 1 if n_layers <= 16 else 5))
    axis.grid(axis="x", color=LINE, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_xlabel("layer")
    axis.set_title(
        drawn(
            f"Most closely linked neurons: writer's number → reader's; closest of as many random ones: {cut:.2f}", 120
        )
    )
    axis.spines["left"].set_visible(False)
    axis.spines["bottom"].set_color(SOFT)
