"""What each threshold of ours tells apart: the figure on planted models, on null models, and the damage it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.kinds import Trial
from calibration.rates import Mapper, judged, model_seed
from calibration.threshold_cases import THRESHOLD_CASES

MODELS = 5
"""Seeded models behind each row of the table of thresholds."""


@dataclass(frozen=True)
class ThresholdJob:
    """One trial of one claim, with one seed."""

    claim: str
    place: int
    seed: int


def threshold_table(seed: int, map_jobs: Mapper, claims: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """For each claim of THRESHOLD_CASES, or of `claims` alone: the threshold applied, and value and verdicts on each
    of its trials.
    """
    cases = {claim: case for claim, case in THRESHOLD_CASES.items() if claims is None or claim in claims}
    jobs = [
        ThresholdJob(claim, place, model_seed(seed, "thresholds", claim, place, number))
        for claim, case in cases.items()
        for place in range(len(case.trials))
        for number in range(MODELS)
    ]
    found = iter(map_jobs(jobs, _judged_trial))
    return [
        {"claim": claim, "trials": [_row(trial, [next(found) for _ in range(MODELS)]) for trial in case.trials]}
        for claim, case in cases.items()
    ]


def _judged_trial(job: ThresholdJob) -> Any:
    case = THRESHOLD_CASES[job.claim]
    return judged(job.claim, case.trials[job.place].draw(job.seed), case.layer, case.matrix)


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
