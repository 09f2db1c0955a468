"""docs/calibration.md, written from the numbers of docs/calibration.json, and that file's form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from calibration.rates import pooled
from vsa_checks.errors import UsageError

DIGITS = 5
PAGE = Path(__file__).with_name("page.md.j2")
Entries = list[dict[str, Any]]
COS = ("neurons-cos50", "neurons-cos30")


def as_json(results: dict[str, Any]) -> str:
    """The results as text, to five significant digits."""
    return json.dumps(_rounded(results), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path) -> dict[str, Any]:
    """The results of a file that this command wrote. Raises UsageError for one that cannot be read."""
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The calibration results in {path} cannot be read ({error}). Run `make calibration` to write them anew."
        ) from error
    return results


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def render(results: dict[str, Any], unmeasured: Sequence[str] = ()) -> str:
    """The whole page in Markdown; unmeasured: claims that the results do not include."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        seed=results["seed"],
        unmeasured=unmeasured,
        models=results["models"],
        power_models=results["power_models"],
        all_rates=_all_rates(results["calibration"]),
        rates=_rates(results["calibration"]),
        p_values=_p_values(results["calibration"]),
        records=_records(results["calibration"]),
        power=_power(results["power"]),
        support=[size | {"table": _support(size["rows"])} for size in results["support"]],
        thresholds=_thresholds(results["thresholds"]),
        **_limits(results),
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


def _all_rates(calibration: Entries) -> str:
    return table(
        ["claim", "kinds of null models", "rate of `holds`", "alpha", "at most alpha?"],
        [
            [
                f"`{entry['claim']}`",
                str(len(entry["null_models"])),
                interval(rate),
                f"{entry['alpha']:g}",
                judged_rate(rate, entry["alpha"]),
            ]
            for entry in calibration
            for rate in [pooled([row["holds"] for row in entry["null_models"]])]
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


def _limits(results: dict[str, Any]) -> dict[str, Any]:
    """What the page's last part is filled with."""
    reach = results["reach"]
    real = reach["real_vocabulary"]
    trials = {(entry["claim"], trial["model"]): trial for entry in results["thresholds"] for trial in entry["trials"]}
    ov, few = "attention-ov-isometry", "neurons-beyond-chance"
    leads = [
        null["lead"]["percentile_99"]
        for entry in results["calibration"]
        if entry["claim"] == few
        for row in entry["null_models"]
        for null in row["nulls"]
    ]
    return {
        "largest_lead": share(max(leads)),
        "real": real,
        "random_reach": _random_reach(reach["random"]),
        "vocabularies": _vocabularies(reach["vocabularies"]),
        "real_vocabulary": _vocabularies([real]),
        "listed": table(
            ["K", "planted, noise 1", "random directions"],
            [[str(row["neurons_per_token"]), share(row["planted"]), share(row["random"])] for row in real["listed"]],
        ),
        "value": lambda claim, model: number(trials[claim, model]["value"]),
        "isometry": {
            "random": f"{trials[ov, 'random initialisation']['value']:.2f}",
            "threshold": f"{trials[ov, 'random initialisation']['threshold']:.2f}",
            "weighed": f"{trials[ov, 'directions weighed by powers of 0.95']['value']:.2f}",
        },
        "beyond": {
            "random": number(trials[few, "random initialisation"]["value"]),
            "planted": number(trials[few, "planted"]["value"]),
            "large": number(trials[few, "sums of 50 tokens, no noise"]["value"]),
        },
    }  # fmt: skip


def _random_reach(rows: list[dict[str, Any]]) -> str:
    return table(
        ["d", "tokens", "tokens per dimension", "share >= .5", "share >= .3"],
        [
            [str(row["d_model"]), str(row["d_vocab"]), number(row["d_vocab"] / row["d_model"]), share(row["0.5"]),
             share(row["0.3"])]
            for row in rows
        ],
    )  # fmt: skip


def _vocabularies(rows: list[dict[str, Any]]) -> str:
    return table(
        ["tokens", "claim", "planted", "random directions", "covariance-matched", "holds, of models"],
        [
            [str(row["d_vocab"]), f"`{claim}`", share(row[claim]["planted"]), *map(share, row[claim]["nulls"].values()),
             f"{row[claim]['holds']}/{row[claim]['models']}"]
            for row in rows
            for claim in COS
        ],
    )  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown."""
    return "\n".join([_line(head), _line(["---"] * len(head)), *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def number(value: float | None) -> str:
    """A number to four significant digits; nothing where there is none; 0 for what rounding left over."""
    if value is None:
        return ""
    return "0" if abs(value) < 1e-6 else f"{value:.4g}"


def share(value: float) -> str:
    """A share to three decimals."""
    return f"{value:.3f}"


def interval(rate: dict[str, Any]) -> str:
    """A rate with its counts and interval."""
    return f"{rate['count']}/{rate['n']} = {rate['rate']:.4g} [{rate['low']:.4f}, {rate['high']:.4f}]"


def counts(verdicts: dict[str, int]) -> str:
    """How often each verdict came out."""
    return ", ".join(f"{name} {count}" for name, count in verdicts.items())


def judged_rate(rate: dict[str, Any], alpha: float) -> str:
    """What a rate's interval says of an alpha."""
    if rate["low"] > alpha:
        return "**no**"
    return "yes, shown" if rate["high"] <= alpha else "not contradicted"
