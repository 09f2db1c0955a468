"""docs/benchmarks.svg, drawn from docs/benchmarks.json: the same numbers give the same bytes."""

from __future__ import annotations

import io
from typing import Any


def draw(results: dict[str, Any]) -> str:
    """The figure as SVG text: seconds of the pursuit as each size grows, beside growth in proportion."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    curves = results["pieces"].get("growth", {}).get("curves", {})
    with plt.rc_context({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9, "path.simplify": False}):
        chart, axes = plt.subplots(1, max(len(curves), 1), figsize=(12, 3.4), layout="constrained", squeeze=False)
        for place, (name, points) in zip(axes[0], curves.items(), strict=False):
            sizes, seconds = [one["size"] for one in points], [one["seconds"] for one in points]
            place.loglog(sizes, seconds, color="#0072b2", marker="o", markersize=3, label="pursuit")
            place.loglog(sizes, [one["setup_seconds"] for one in points], color="#d55e00", marker="s", markersize=3,
                         label="Gram matrix, once")  # fmt: skip
            place.loglog(sizes, [seconds[-1] * one / sizes[-1] for one in sizes], color="grey", linewidth=0.8,
                         linestyle="--", label="in proportion")  # fmt: skip
            place.set(xlabel=name, ylabel="seconds")
            place.set_xticks(sizes, [f"{one:,}" for one in sizes])
            place.set_xticks([], minor=True)
            place.legend(fontsize=7)
        page = io.StringIO()
        chart.savefig(page, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(chart)
    return page.getvalue()
