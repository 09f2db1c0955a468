"""Tables of docs/calibration.md on what can never be met or always is."""

from __future__ import annotations

from typing import Any

from calibration.tables import number, share, table
from vsa_checks import theory
from vsa_checks.sections.pairs import artifact_cut

COS = ("neurons-cos50", "neurons-cos30")
LEAST, MOVED = 0.95, 0.76
"""The threshold of the claims beyond random, and the same moved by the fifth that makes a verdict fragile."""


def context(figures: dict[str, Any]) -> dict[str, Any]:
    """What the page's last part is filled with."""
    reach = figures["reach"]
    real = reach["real_vocabulary"]
    trials = {(entry["claim"], trial["model"]): trial for entry in figures["thresholds"] for trial in entry["trials"]}
    pair = theory.cosine_tail(real["d_model"], artifact_cut(real["d_model"]))
    ov, few = "attention-ov-isometry", "neurons-beyond-chance"
    leads = [
        null["lead"]["percentile_99"]
        for entry in figures["calibration"]
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
        "floors": table(
            ["vectors per dimension", "least ratio", "`holds`"],
            [[f"{row['per_dimension']:g}", number(row["floor"]), _possible(row["floor"])]
             for row in reach["frame_floors"]],
        ),
        "tails": table(
            ["vectors", "first percentile", "`chance` possible"],
            [[str(row["vectors"]), number(row["percentile"]), "yes" if row["percentile"] <= LEAST else "hardly"]
             for row in reach["gaussian_tails"]],
        ),
        "possible": table(
            ["vectors", "d", "share of a tight frame", "ratio (judged now, <= .95)", "of what is possible (>= .10)"],
            [[str(row["vectors"]), str(row["d"]), f"{row['share']:g}", number(row["ratio"]), number(row["of_possible"])]
             for row in reach["share_of_possible"]],
        ),
        "duplicates": table(
            ["copies", "share of pairs, 300 tokens (judged now)", "share of tokens (proposed)",
             "share of pairs, 50,257 tokens"],
            [[str(row["copies"]), number(row["pairs"]), number(row["tokens"]), f"{row['pairs_of_real_vocabulary']:.2g}"]
             for row in reach["duplicates"]],
        ),
        "beta_pair": f"{pair:.1g}",
        "beta_token": f"{pair * (real['d_vocab'] - 1):.1g}",
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


def _possible(floor: float) -> str:
    if floor > LEAST:
        return "impossible"
    return "always fragile" if floor > MOVED else "can be firm"
