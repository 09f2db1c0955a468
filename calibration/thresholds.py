"""What each of our thresholds separates: values on planted and null models, and the damage needed to miss it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from calibration.rates import Mapper, judged_drawn, model_seed
from fixtures.cases import CASES
from fixtures.cases.entry import Trial
from vsa_checks.judging.claim import load_claims

MODELS = 5
"""Seeded models behind each row of the table of thresholds."""


def claims_with_trials() -> list[str]:
    """The claims whose threshold is ours, in the order of claims.toml."""
    return [claim for claim in load_claims() if CASES[claim].trials]


def threshold_table(seed: int, map_jobs: Mapper, claims: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """For each claim with trials, or those of `claims` alone: the threshold applied, and value and verdicts on each."""
    trials = {claim: CASES[claim].trials for claim in claims_with_trials() if claims is None or claim in claims}
    jobs = [
        partial(judged_drawn, claim, "trials", place, model_seed(seed, "thresholds", claim, place, number))
        for claim in trials
        for place in range(len(trials[claim]))
        for number in range(MODELS)
    ]
    found = iter(map_jobs(jobs))
    return [
        {"claim": claim, "trials": [_row(trial, [next(found) for _ in range(MODELS)]) for trial in rows]}
        for claim, rows in trials.items()
    ]


def _row(trial: Trial, found: list[Any]) -> dict[str, Any]:
    values = [one.value for one in found if one.value is not None]
    thresholds = [one.threshold for one in found if one.threshold is not None]
    return {
        "model": trial.name,
        "sound": trial.sound,
        "value": float(np.median(values)) if values else None,
        "threshold": float(np.median(thresholds)) if thresholds else None,
        "verdicts": dict(sorted(Counter(one.verdict for one in found).items())),
        "fragile": sum(one.fragile for one in found),
    }
