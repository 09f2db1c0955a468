"""docs/benchmarks.md, written from docs/benchmarks.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from calibration.page import table

PAGE = Path(__file__).with_name("page.md.j2")


def render(results: dict[str, Any]) -> str:
    """The whole page in Markdown."""
    pieces = results["pieces"]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        small=results["small"],
        ratios=_ratios(pieces),
        machines=_machines(pieces),
        growth=_growth(pieces["growth"]["curves"]) if "growth" in pieces else "",
        base=pieces["growth"]["base"] if "growth" in pieces else {},
        claims=_claims(pieces["whole-run"]["claims"]) if "whole-run" in pieces else "",
        cost=pieces.get("cost"),
        fits=_fits(pieces["cost"]["measured"]) if "cost" in pieces else "",
        costs=_costs(pieces["cost"]) if "cost" in pieces else "",
        real=pieces.get("real-weights"),
        answers=_answers(pieces["real-weights"]["checks"]) if "real-weights" in pieces else "",
        disagree=[name for name, piece in pieces.items() if not piece["agrees"]],
        missing=[name for piece in pieces.values() for name in piece.get("not_installed", [])],
    )


def _ratios(pieces: dict[str, Any]) -> str:
    return table(
        ["what", "ratio (lowest, highest of single rounds)", "target", "how"],
        [
            [
                one["name"],
                f"{one['ratio']:.3g}" + (f" ({one['low']:.3g}, {one['high']:.3g})" if one["low"] < one["high"] else ""),
                one["target"],
                one["note"],
            ]
            for piece in pieces.values()
            for one in piece["rows"]
        ],
    )


def _machines(pieces: dict[str, Any]) -> str:
    return table(
        ["piece", "processor", "cores", "memory", "BLAS", "load at the end"],
        [
            [name, piece["machine"]["processor"], str(piece["machine"]["cores"]), f"{piece['machine']['memory_gb']} GB",
             piece["machine"]["blas"], str(piece["machine"]["load"])]
            for name, piece in pieces.items()
        ],
    )  # fmt: skip


def _claims(claims: list[dict[str, Any]]) -> str:
    whole = sum(one["seconds"] for one in claims)
    return table(
        ["claim", "subjects", "share of the run"],
        [[one["claim"], str(one["subjects"]), f"{one['seconds'] / whole:.1%}"] for one in claims],
    )


def _answers(checks: list[dict[str, Any]]) -> str:
    """One line for each kind of check: places, comparisons, how many differ, the largest difference."""
    lines = []
    for what in dict.fromkeys(one["what"] for one in checks):
        alike = [one for one in checks if one["what"] == what]
        sums = (sum(one[key] for one in alike) for key in ("compared", "different"))
        worst = max(one["largest_difference"] for one in alike)
        lines.append([what, str(len(alike)), *(f"{one:,}" for one in sums), f"{worst:.1e}"])
    return table(["what", "places", "compared", "different", "largest difference of a cosine"], lines)


def _fits(measured: list[dict[str, Any]]) -> str:
    return table(
        ["shape", "tokens", "d_model", "layers", "neurons", "time / estimate"],
        [
            [one["name"], f"{one['d_vocab']:,}", str(one["d_model"]), str(one["n_layers"]), f"{one['d_mlp']:,}",
             f"{one['seconds'] / one['expected_seconds']:.2f}"]
            for one in measured
        ],
    )  # fmt: skip


def _costs(cost: dict[str, Any]) -> str:
    speeds = (cost["speed"], 1e12, 1e13)
    return table(
        ["shape", "tokens", "d_model", "layers", "neurons", "memory at least", "multiplications", "most of them for",
         *(f"hours at {speed / 1e9:,.0f} 10^9/s" for speed in speeds)],
        [
            [one["name"], f"{one['d_vocab']:,}", f"{one['d_model']:,}", str(one["n_layers"]), f"{one['d_mlp']:,}",
             f"{one['least_memory_gb']:.1f} GB", f"{one['products']:.1e}",
             f"{one['most']} ({one['share_of_most']:.0%})",
             *(f"{one['seconds_at_1e12'] * 1e12 / speed / 3600:.2g}" for speed in speeds)]
            for one in cost["expected"]
        ],
    )  # fmt: skip


def _growth(curves: dict[str, Any]) -> str:
    return table(
        ["grows", "from", "to", "cost of the pursuit x", "cost of the Gram matrix x"],
        [
            [
                name,
                f"{points[0]['size']:,}",
                f"{points[-1]['size']:,}",
                f"{points[-1]['seconds'] / points[0]['seconds']:.1f}",
                f"{points[-1]['setup_seconds'] / points[0]['setup_seconds']:.1f}",
            ]
            for name, points in curves.items()
        ],
    )
