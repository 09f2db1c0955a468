"""docs/nulls.md: what each null keeps and destroys, from claims/claims.toml, and how often claims hold by luck."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibration.page import interval, table
from vsa_checks.judging.claim import Claim, Null

INTRODUCTION = """# Nulls

A *null* is the same measurement after the claimed structure was destroyed. A value can also beat a null because of
something else that was destroyed along with it. So this page lists what each null keeps and destroys, and what would
still fool each claim. The records come from [claims/claims.toml](../claims/claims.toml).
[calibration.md](calibration.md) measures how often each claim holds on models without structure. `python -m
calibration --render` writes this page.

A claim without a decisive null asks for something that random vectors have too (near orthogonality, isometry). Random
vectors are VSA's own ideal, and the value is compared with them as a *reference*. The *twin*, the same architecture
before any training, shows whether the shape of the network is enough to meet the claim. It keeps sizes,
initialisation, tokenizer and text, and destroys everything that training did, including norms, tails and covariance.
It therefore decides no verdict.
"""


def render(claims: Mapping[str, Claim], nulls: Mapping[str, Null], results: Mapping[str, Any]) -> str:
    """The page. Raises KeyError for a decisive null without a record."""
    named = [claim for claim in claims.values() if claim.decisive]
    rates = {entry["claim"]: entry["null_models"] for entry in results["calibration"]}
    parts = [INTRODUCTION, "## What each null keeps and destroys\n", _nulls(named, nulls), "\n## Claim by claim\n"]
    for claim in named:
        parts.append(
            f"### {claim.id}\n\n{claim.title}. Decisive: {', '.join(claim.decisive)}; alpha {claim.alpha:g}, "
            f"delta {claim.delta:g}.\n\n**What would still fool it:** {claim.fooled_by}\n"
        )
        if claim.id in rates:
            parts.append(_rates(rates[claim.id]) + "\n")
    return "\n".join(parts)


def _nulls(claims: list[Claim], nulls: Mapping[str, Null]) -> str:
    used: dict[str, list[str]] = {name: [] for name in nulls}
    for claim in claims:
        for name in claim.decisive:
            used[name].append(f"`{claim.id}`")
    return table(
        ["null", "keeps", "destroys", "decides"],
        [[null.name, null.keeps, null.destroys, ", ".join(used[null.name]) or "nothing"] for null in nulls.values()],
    )


def _rates(null_models: list[dict[str, Any]]) -> str:
    return table(
        ["models without the structure", "rate of `holds`"],
        [[row["model"], interval(row["holds"])] for row in null_models],
    )
