"""docs/calibration.svg, drawn from the numbers of docs/calibration.json."""

from __future__ import annotations

import io
from typing import Any

from calibration.rates import P_LEVELS

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, told apart by the colour-blind."""
MARKS = "os^DvPX"


def draw(results: dict[str, Any]) -> str:
    """The figure as SVG text: how p is distributed on null models, power by signal, and the tokens recovered."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    with plt.rc_context(
        {"svg.hashsalt": "calibration", "svg.fonttype": "none", "font.size": 9, "path.simplify": False}
    ):
        chart, axes = plt.subplots(2, 2, figsize=(11, 8.5), layout="constrained")
        _p_values(axes[0][0], results["calibration"])
        _recovered(axes[0][1], results["support"])
        _power(axes[1][0], results["power"], "noise beside the sum")
        _power(axes[1][1], results["power"], "share of a tight frame")
        page = io.StringIO()
        chart.savefig(page, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(chart)
    return page.getvalue()


def _p_values(axes: Any, calibration: list[dict[str, Any]]) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--", label="uniform")
    for place, entry in enumerate(calibration):
        obeyed = [null["p_distribution"] for row in entry["null_models"] for null in row["nulls"] if null["obeyed"]]
        for number, shares in enumerate(obeyed):
            axes.plot(P_LEVELS, [shares[str(level)] for level in P_LEVELS], linewidth=1,
                      color=COLOURS[place % len(COLOURS)], label=None if number else entry["claim"])  # fmt: skip
    axes.set(title="Null models: share with p at most x (below the line: conservative)", xlabel="x", ylabel="share")
    axes.legend(fontsize=7)


def _recovered(axes: Any, support: list[dict[str, Any]]) -> None:
    curves = (("pursuit_recall", "pursuit, precision = recall"), ("scan_all_recall", "scan (K = all), recall"),
              ("scan_all_precision", "scan (K = all), precision"))  # fmt: skip
    for size, style in zip(support, ("-", "--"), strict=False):
        noises = [row["noise"] for row in size["rows"]]
        for place, (key, name) in enumerate(curves):
            axes.errorbar(noises, [row[key]["mean"] for row in size["rows"]],
                          yerr=[row[key]["error"] for row in size["rows"]], linestyle=style, linewidth=1,
                          color=COLOURS[place], marker=MARKS[place], markersize=3,
                          label=f"{name}; {size['d_vocab']} tokens, d = {size['d_model']}")  # fmt: skip
    axes.set(title="Planted sums of 5 tokens: tokens recovered", xlabel="noise beside the sum", ylabel="share",
             ylim=(-0.03, 1.03))  # fmt: skip
    axes.legend(fontsize=6.5)


def _power(axes: Any, powers: list[dict[str, Any]], level: str) -> None:
    place = 0
    for entry in powers:
        for signal in entry["signals"]:
            if signal["level"] != level:
                continue
            rows = signal["rows"]
            rates = [row["holds"]["rate"] for row in rows]
            below = [max(row["holds"]["rate"] - row["holds"]["low"], 0.0) for row in rows]
            above = [max(row["holds"]["high"] - row["holds"]["rate"], 0.0) for row in rows]
            axes.errorbar([row["level"] for row in rows], rates, yerr=[below, above], linewidth=1, capsize=2,
                          color=COLOURS[place % len(COLOURS)], marker=MARKS[place % len(MARKS)], markersize=3,
                          label=f"{entry['claim']}: {signal['model']}")  # fmt: skip
            place += 1
    if level.startswith("share"):
        axes.invert_xaxis()
    axes.set(title="Planted models: rate of `holds`, signal falling to the right", xlabel=level, ylabel="rate",
             ylim=(-0.03, 1.03))  # fmt: skip
    axes.legend(fontsize=6.5)
