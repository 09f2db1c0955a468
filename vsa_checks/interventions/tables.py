"""The results of interventions as tables, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = tuple[str, ...]
LOSS_HEADS = (
    "change",
    "cosine",
    "cost",
    "95% interval",
    "same size: random",
    "sign-flipped",
    "covariance",
    "part gone",
    "verdict",
)
TASK_HEADS = ("change", "task", "accuracy", "random", "part gone", "cost", "95% interval", "verdict")
DOSE_HEADS = ("change", "rms cosine", "centered", "neurons beyond chance", "cost", "same size: random")
NOTHING = "–"
_NULLS = ("random direction", "bundles of sign-flipped neurons", "bundles of covariance-matched neurons")


def loss_rows(document: Mapping[str, Any]) -> list[Row]:
    """The cost of each change on text, in nats per token, compared with its nulls and the part's absence."""
    return [
        (
            one["id"],
            f"{one['cosine']:.3f}",
            _signed(one["cost"]["value"]),
            _interval(one["cost"]),
            *_null_costs(one),
            _signed(one["without"]["cost"]["value"]),
            one["verdict"] or NOTHING,
        )
        for one in document["results"]
    ]


def task_rows(document: Mapping[str, Any]) -> list[Row]:
    """The effect of changes on tasks: the share of right answers, and the cost in nats."""
    before = {one["task"]: one for one in (document["unchanged"] or {"tasks": []})["tasks"]}
    rows: list[Row] = [
        ("none", task, f"{one['accuracy']:.0%}", NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
        for task, one in before.items()
    ]
    for result in document["results"]:
        for one in result["tasks"]:
            random = next(null for null in one["nulls"] if null["name"] == _NULLS[0])
            rows.append(
                (
                    result["id"],
                    one["task"],
                    f"{one['accuracy']:.0%}",
                    f"{random['accuracy']:.0%}",
                    f"{one['without']['accuracy']:.0%}",
                    _signed(one["cost"]["value"]),
                    _interval(one["cost"]),
                    one["verdict"] or NOTHING,
                )
            )
    return rows


def dose_rows(document: Mapping[str, Any]) -> list[Row]:
    """How nearly orthogonal embeddings are at each dose, and the share of layer-0 neurons beyond chance."""
    rows: list[Row] = []
    for one in document["results"]:
        beside = one["beside"]
        if beside:
            shares = ", ".join(f"{matrix} {share:.1%}" for matrix, share in beside["beyond_chance"].items())
            rows.append(
                (
                    one["id"],
                    f"{beside['rms_cosine']:.3f}",
                    f"{beside['rms_cosine_centered']:.3f}",
                    shares or NOTHING,
                    _signed(one["cost"]["value"]),
                    _null_costs(one)[0],
                )
            )
    return rows


def markdown(heads: Row, rows: list[Row]) -> str:
    """A table in Markdown; characters that would end a cell are escaped."""

    def line(cells: Row) -> str:
        return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(heads), line(("---",) * len(heads)), *(line(row) for row in rows)])


def _null_costs(result: Mapping[str, Any]) -> list[str]:
    costs = {null["name"]: null["cost"]["value"] for null in result["nulls"]}
    return [_signed(costs[name]) if name in costs else NOTHING for name in _NULLS]


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['low']:+.3f} to {found['high']:+.3f}"
