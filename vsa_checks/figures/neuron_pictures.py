"""Neurons beyond chance: their share by layer, and their cosines against the size of a bundle, with every null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vsa_checks.figures import kept
from vsa_checks.figures.picture import (
    Choice,
    NothingToDraw,
    Picture,
    Place,
    Report,
    chosen,
    first_middle_last,
    only_expert,
    percent,
)
from vsa_checks.figures.style import GREY, INK, NULLS, REAL, STYLES, drawn, legend, panels, styled
from vsa_checks.report.formatting import layer_ranges

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEYOND, SIZE, SECTION = "beyond-chance", "bundle-size", "3.2"
CLAIM = "neurons-beyond-chance"
LOW, MIDDLE, HIGH = 0, 2, 4
"""Of bundle_arrays.PERCENTILES."""
Result = Mapping[str, Any]


def beyond_by_layer(report: Report, choice: Choice) -> Picture:
    """Share of neurons beyond chance by layer, each null with the band of its standard error.

    Raises NothingToDraw where the report has no such results.
    """
    results = report.results(CLAIM, choice)
    if not results:
        raise NothingToDraw(f"The report has no matching results of {CLAIM}.")
    experts = [one["subject"].get("expert") for one in results]
    first = min((one for one in experts if one is not None), default=None)
    by_matrix: dict[str, list[Result]] = {}
    for one in results:
        if one["subject"].get("expert") in (None, first):
            by_matrix.setdefault(str(one["subject"]["matrix"]), []).append(one)
    parts = []
    for matrix, own in by_matrix.items():
        best = max(own, key=lambda one: one["value"])
        clear = [one["subject"]["layer"] for one in own if all(one["value"] > _top(null) for null in one["nulls"])]
        where = f"layer{'s' if len(clear) > 1 else ''} {layer_ranges(clear)}" if clear else "no layer"
        above = f"above the band of every null at {where}"
        parts.append(
            f"{matrix}: from {percent(min(one['value'] for one in own))} to {percent(best['value'])} (layer "
            f"{best['subject']['layer']}), {above}"
        )
    message = (
        "Share of a layer's neurons whose best bundle of five tokens comes closer than those of 99% of random "
        "directions; for random directions the share is 1% by construction. Bands are ± two standard errors of each "
        f"null. {'; '.join(parts)}.{only_expert(experts)}"
    )
    title = "Neurons that are sums of five tokens beyond chance, by layer"
    return Picture(BEYOND, title, message, SECTION, lambda: _draw_beyond(by_matrix))


def _top(null: Mapping[str, Any]) -> float:
    return float(null["value"] + 2 * (null["spread"] or 0.0))


def _draw_beyond(by_matrix: Mapping[str, Sequence[Result]]) -> Figure:
    from matplotlib.ticker import MaxNLocator

    with styled():
        figure, axes = panels(len(by_matrix), columns=2, width=7.6, height=2.3, below=1.45, shared=True)
        for axis, (matrix, own) in zip(axes, by_matrix.items(), strict=True):
            layers = [one["subject"]["layer"] for one in own]
            names = list(dict.fromkeys(null["name"] for one in own for null in one["nulls"]))
            for at, name in enumerate(names):
                nulls = [next((null for null in one["nulls"] if null["name"] == name), None) for one in own]
                middle = np.array([np.nan if null is None else null["value"] for null in nulls], float)
                band = 2 * np.array([np.nan if null is None else null["spread"] or 0 for null in nulls], float)
                colour = NULLS[at % len(NULLS)]
                style = STYLES[(at + 1) % len(STYLES)]
                if len(own) > 1:
                    axis.fill_between(layers, middle - band, middle + band, color=colour, alpha=0.16, linewidth=0)
                else:
                    axis.errorbar(layers, middle, yerr=band, color=colour, fmt="none", capsize=3)
                axis.plot(
                    layers,
                    middle,
                    color=colour,
                    linestyle=style,
                    linewidth=1.2,
                    marker="." if len(own) < 12 else None,
                    ms=3,
                    label=drawn(name, 60),
                )
            low = [one["value"] - one["ci"]["low"] for one in own]
            high = [one["ci"]["high"] - one["value"] for one in own]
            values = [one["value"] for one in own]
            axis.errorbar(
                layers, values, yerr=[np.maximum(low, 0), np.maximum(high, 0)], color=REAL, marker="o", ms=3.5,
                elinewidth=0.8, label="this model's neurons, with their interval",
            )  # fmt: skip
            axis.axhline(0.01, color=GREY, linewidth=1, label="random directions: 1% by construction")
            axis.axhline(
                own[0]["threshold"], color=INK, linewidth=1, linestyle=(0, (1, 1)), label="the claim's threshold"
            )
            axis.set_title(drawn(matrix))
            axis.set_xlabel("layer")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
            axis.set_ylim(bottom=0)
        axes[0].set_ylabel("share of neurons")
        _key(figure, axes[0])
    return figure


def by_bundle_size(report: Report, choice: Choice) -> Picture:
    """Cosines after each token, of neurons, of each null and of random directions, as medians with bands.

    Of the first, middle and last layer, or of one. Raises NothingToDraw where the report holds none.
    """
    found = chosen(report, kept.BUNDLES, choice)
    layers = first_middle_last(place.layer for place in found if place.layer is not None)
    first = min((place.expert for place in found if place.expert is not None), default=None)
    shown = {place: group for place, group in found.items() if place.layer in layers and place.expert in (None, first)}
    parts = []
    for place, group in shown.items():
        last = np.asarray(group["percentiles"], float)[:, :, -1]
        k = group["percentiles"].shape[2]
        others = last[1:, [MIDDLE, HIGH]] if len(last) > 1 else last[:, [MIDDLE, HIGH]]
        parts.append(
            f"{place.words}, {k} tokens: median {last[0, MIDDLE]:.3f} against {_range(others[:, 0])} by chance, "
            f"highest 5% from {last[0, HIGH]:.3f} against {_range(others[:, 1])}"
        )
    message = (
        "Cosine of a neuron with the best bundle that pursuit finds, by the number of tokens allowed. Lines are "
        f"medians, bands reach from the 5th to the 95th percentile. {'. '.join(parts)}."
        f"{only_expert(place.expert for place in found)}"
    )
    return Picture(SIZE, "Cosine against the size of the bundle", message, SECTION, lambda: _draw_sizes(shown))


def _range(values: Any) -> str:
    return f"{values.min():.3f} to {values.max():.3f}"


def _draw_sizes(shown: Mapping[Place, Mapping[str, Any]]) -> Figure:
    with styled():
        columns = min(3, len(shown))
        figure, axes = panels(len(shown), columns=columns, width=7.6, height=1.8, below=1.15, shared=True)
        order = sorted(shown, key=lambda place: (place.matrix, place.layer or 0)) if len(shown) > 3 else list(shown)
        for axis, place in zip(axes, order, strict=True):
            percentiles = np.asarray(shown[place]["percentiles"], float)
            steps = np.arange(1, percentiles.shape[2] + 1)
            for at in reversed(range(len(percentiles))):
                colour = REAL if at == 0 else GREY if at == len(percentiles) - 1 else NULLS[(at - 1) % len(NULLS)]
                low, middle, high = (percentiles[at, one] for one in (LOW, MIDDLE, HIGH))
                axis.fill_between(steps, low, high, color=colour, alpha=0.2 if at == 0 else 0.1, linewidth=0)
                axis.plot(
                    steps, middle, color=colour, linestyle=STYLES[at % len(STYLES)], marker="o" if at == 0 else None,
                    ms=3, linewidth=1.8 if at == 0 else 1.1, label=drawn(shown[place]["names"][at], 60),
                    zorder=3 - (at > 0),
                )  # fmt: skip
            axis.set_title(place.words)
            axis.set_xticks(steps)
        axes[0].set_ylim(0, 1.05 * max(float(np.max(group["percentiles"])) for group in shown.values()))
        for axis in axes[-columns:]:
            axis.set_xlabel("tokens in the bundle")
        for axis in axes[::columns]:
            axis.set_ylabel("cosine with the neuron")
        _key(figure, axes[0])
    return figure


def _key(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda at: not labels[at].startswith(("this", "neurons")))
    legend(figure, {labels[at]: handles[at] for at in order}, 2)
