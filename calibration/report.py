"""docs/calibration.md, written from the figures of docs/calibration.json, and that file's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2

from calibration import reach_tables
from calibration.tables import counts, interval, judged_rate, number, share, table
from vsa_checks.errors import UsageError

DIGITS = 5
PAGE = Path(__file__).with_name("page.md.j2")
Entries = list[dict[str, Any]]


def as_json(figures: dict[str, Any]) -> str:
    """The figures as text, to five significant digits."""
    return json.dumps(_rounded(figures), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path) -> dict[str, Any]:
    """The figures of a file that this command wrote. Raises UsageError for one that cannot be read."""
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The calibration figures in {path} cannot be read ({error}). Run `make calibration` to write them anew."
        ) from error
    return figures


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def render(figures: dict[str, Any]) -> str:
    """The whole page in Markdown."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        seed=figures["seed"],
        models=figures["models"],
        power_models=figures["power_models"],
        rates=_rates(figures["calibration"]),
        p_values=_p_values(figures["calibration"]),
        records=_records(figures["calibration"]),
        power=_power(figures["power"]),
        support=[size | {"table": _support(size["rows"])} for size in figures["support"]],
        thresholds=_thresholds(figures["thresholds"]),
        **reach_tables.context(figures),
    )


def _rates(calibration: Entries) -> str:
    return table(
        ["claim", "null model", "mean value", "threshold", "verdicts", "rate of `holds`", "alpha", "at most alpha?"],
        [
            [
                f"`{entry['claim']}`",
                row["model"],
                number(row["value"]),
                number(entry["threshold"]),
                counts(row["verdicts"]),
                interval(row["holds"]),
                f"{entry['alpha']:g}",
                judged_rate(row["holds"], entry["alpha"]),
            ]
            for entry in calibration
            for row in entry["null_models"]
        ],
    )


def _p_values(calibration: Entries) -> str:
    levels = ("0.05", "0.1", "0.5")
    return table(
        ["claim", "null model", "null", "its mean value", "lead: mean, 99th percentile", "p <= alpha",
         *(f"p <= {level}" for level in levels), "at most alpha?"],
        [
            [
                f"`{entry['claim']}`",
                row["model"],
                null["name"],
                number(null["value"]),
                f"{null['lead']['mean']:.3f}, {null['lead']['percentile_99']:.3f}",
                interval(null["p_at_most_alpha"]),
                *(share(null["p_distribution"][level]) for level in levels),
                judged_rate(null["p_at_most_alpha"], entry["alpha"]) if null["obeyed"] else "not this null's law",
            ]
            for entry in calibration
            for row in entry["null_models"]
            for null in row["nulls"]
        ],
    )  # fmt: skip


def _records(calibration: Entries) -> str:
    return table(
        ["claim", "version", "threshold", "alpha", "delta", "decisive nulls"],
        [
            [f"`{entry['claim']}`", str(entry["version"]), number(entry["threshold"]), f"{entry['alpha']:g}",
             f"{entry['delta']:g}", ", ".join(entry["decisive"])]
            for entry in calibration
        ],
    )  # fmt: skip


def _power(powers: Entries) -> Entries:
    return [
        {
            "claim": entry["claim"],
            "model": signal["model"],
            "table": table(
                [signal["level"], "mean value", "rate of `holds`", "verdicts", "of these fragile"],
                [
                    [f"{row['level']:g}", number(row["value"]), interval(row["holds"]), counts(row["verdicts"]),
                     str(row["fragile"])]
                    for row in signal["rows"]
                ],
            ),
        }
        for entry in powers
        for signal in entry["signals"]
    ]  # fmt: skip


SEARCHES = (("pursuit", "pursuit of 5"), ("scan_all", "scan, K = all"), ("scan_few", "scan, K = 5"))


def _support(rows: Entries) -> str:
    columns = [(f"{key}_{what}", f"{name}: {what}") for key, name in SEARCHES for what in ("precision", "recall")]
    return table(
        ["noise", *(name for _, name in columns)],
        [
            [f"{row['noise']:g}", *(f"{row[key]['mean']:.3f} ({row[key]['error']:.3f})" for key, _ in columns)]
            for row in rows
        ],
    )


def _thresholds(thresholds: Entries) -> str:
    return table(
        ["claim", "models", "value", "threshold", "verdicts", "of these fragile"],
        [
            [
                f"`{entry['claim']}`" if place == 0 else "",
                trial["model"] + (" (sound)" if trial["sound"] else ""),
                number(trial["value"]),
                number(trial["threshold"]),
                counts(trial["verdicts"]),
                str(trial["fragile"] or ""),
            ]
            for entry in thresholds
            for place, trial in enumerate(entry["trials"])
        ],
    )
