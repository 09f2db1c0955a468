"""Histograms of cosines over all pairs on a logarithmic scale, with the law of chance on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks import theory
from vsa_checks.figures import kept
from vsa_checks.figures.picture import Choice, Picture, Place, Report, chosen, first_middle_last, only_expert, percent
from vsa_checks.figures.style import GREY, NULLS, REAL, SOFT, STYLES, legend, panels, styled
from vsa_checks.theory import artifact_cut

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME, SECTION = "histogram", "3.1"
LEAST_SHARE = 1e-9


def beta_shares(edges: NDArray[np.float64], d: int) -> NDArray[np.float64]:
    """Share of the cosines of random directions in d dimensions between each two edges: the Beta law, exactly."""
    import scipy

    half = (d - 1) / 2
    below = scipy.special.betainc(half, half, (edges + 1) / 2)
    above = scipy.special.betaincc(half, half, (edges + 1) / 2)
    # Far out on the right, only differences of upper tails keep their digits.
    shares: NDArray[np.float64] = np.where(edges[1:] <= 0, np.diff(below), -np.diff(above))
    return shares


def picture(report: Report, choice: Choice) -> Picture:
    """All pairs of each matrix by cosine, of the first, middle and last layer or of one.

    Raises NothingToDraw where the report holds none.
    """
    found = chosen(report, kept.HISTOGRAM, choice)
    layers = first_middle_last(place.layer for place in found if place.layer is not None)
    experts = [place.expert for place in found if place.expert is not None]
    shown = {
        place: group
        for place, group in found.items()
        if (place.layer is None or place.layer in layers) and place.expert in (None, min(experts, default=None))
    }
    by_matrix: dict[str, dict[Place, NDArray[np.int64]]] = {}
    for place, group in shown.items():
        by_matrix.setdefault(place.matrix, {})[place] = np.asarray(group["counts"], np.int64)
    cut = artifact_cut(report.d_model)
    beyond = [
        f"{place.words}: {percent(_tail(counts, cut))} of {counts.sum():,} pairs"
        for matrix in by_matrix.values()
        for place, counts in matrix.items()
    ]
    said = (
        f"which puts {percent(theory.cosine_tail(report.d_model, cut))} beyond 6/√d = {cut:.3f}. Measured beyond "
        f"it, to the nearest bin: {'; '.join(beyond)}."
        if cut < 1
        else f"which has nothing beyond 6/√d = {cut:.3f} in so few dimensions."
    )
    message = (
        f"Share of all pairs by cosine. Random directions follow the Beta law (grey), {said}{only_expert(experts)}"
    )
    title = "Cosines of all pairs, and the law of chance"
    return Picture(NAME, title, message, SECTION, lambda: _draw(by_matrix, report.d_model))


def power_of_ten(value: float, _: object = None) -> str:
    """A tick of a logarithmic axis: 10⁻⁴."""
    return f"10{str(round(math.log10(value))).translate(_RAISED)}" if value > 0 else ""


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _tail(counts: NDArray[np.int64], cut: float) -> float:
    """Share of pairs in bins that lie beyond the cut, either way, as a whole."""
    edges = np.linspace(-1, 1, len(counts) + 1)
    beyond = (edges[:-1] >= cut - 1e-12) | (edges[1:] <= -cut + 1e-12)
    return float(counts[beyond].sum() / counts.sum())


def _draw(by_matrix: Mapping[str, Mapping[Place, NDArray[np.int64]]], d: int) -> Figure:
    from matplotlib.ticker import NullLocator

    cut = artifact_cut(d)
    with styled():
        figure, axes = panels(
            len(by_matrix), columns=3 if len(by_matrix) > 2 else 2, width=7.6, height=1.65, below=0.8, gap=(0.5, 0.75)
        )
        for axis, (matrix, layers) in zip(axes, by_matrix.items(), strict=True):
            reach, low = cut * 1.5, 1.0
            for at, (place, counts) in enumerate(layers.items()):
                edges = np.linspace(-1, 1, len(counts) + 1)
                per = _merge(counts, d)
                shares = counts.reshape(-1, per).sum(axis=1) / counts.sum() / per
                wide = edges[::per]
                law = beta_shares(edges, d).reshape(-1, per).sum(axis=1) / per
                if at == 0:
                    axis.stairs(np.where(law > LEAST_SHARE, law, np.nan), wide, fill=True, color=GREY, alpha=0.35)
                filled = np.flatnonzero(shares)
                reach = max(reach, abs(wide[filled[0]]), abs(wide[filled[-1] + 1]))
                low = min(low, shares[filled].min())
                axis.stairs(
                    np.where(shares > 0, shares, np.nan),
                    wide,
                    baseline=None,
                    color=(REAL, *NULLS)[at % 6],
                    linestyle=STYLES[at % 6],
                    label="all pairs" if place.layer is None else f"layer {place.layer}",
                )
            for edge in (-cut, cut):
                axis.axvline(edge, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
            axis.set_yscale("log")
            axis.yaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_major_formatter(power_of_ten)
            axis.set_ylim(max(low / 3, LEAST_SHARE / 10), 1)
            axis.set_xlim(-min(reach * 1.05, 1), min(reach * 1.05, 1))
            axis.set_title(matrix.replace("-centered", ", centered"))
            axis.set_xlabel("cosine")
        for axis in axes[:: 3 if len(by_matrix) > 2 else 2]:
            axis.set_ylabel("share of pairs, per .005")
        legend(figure, _entries(axes), 5)
    return figure


def _entries(axes: list[Any]) -> dict[str, Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    found: dict[str, Any] = {}
    for axis in reversed(axes):
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found[label] = handle
    if any(label.startswith("layer") for label in found):
        found.pop("all pairs", None)
    found["chance: the Beta law"] = Patch(color=GREY, alpha=0.35)
    found["±6/√d"] = Line2D([], [], color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
    return found


def _merge(counts: NDArray[np.int64], d: int) -> int:
    """How many bins to draw as one: a divisor of their number, so that none is left over, by the width of chance."""
    most = max(1, min(len(counts) // 40, round(0.2 * d**-0.5 / (2 / len(counts)))))
    return next(per for per in range(most, 0, -1) if len(counts) % per == 0)
