"""One entry of results.json: a subject with its measurement and verdict, as plain JSON."""

from __future__ import annotations

from typing import Any

from vsa_checks.judging.claim import Claim
from vsa_checks.judging.judge import NOT_CHECKED, Judgement
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject


def result_record(
    claim: Claim,
    subject: Subject,
    flags: dict[str, bool],
    measurement: Measurement,
    judgement: Judgement,
    duration_s: float,
) -> dict[str, Any]:
    """One entry of results.json for a subject that was measured."""
    interval = measurement.interval
    return _record(claim, subject, flags, judgement.verdict, judgement.reason, duration_s) | {
        "value": float(measurement.value),
        "ci": {
            "low": float(interval.low),
            "high": float(interval.high),
            "level": interval.level,
            "unit": interval.unit,
        },
        "threshold": float(judgement.threshold),
        "reference": None
        if measurement.reference is None
        else {"name": measurement.reference.name, "value": float(measurement.reference.value)},
        "nulls": [
            {
                "name": null.name,
                "decisive": null.name in claim.decisive,
                "value": float(null.value),
                "spread": float(null.spread),
                "n": None if null.n is None else int(null.n),
                "p_value": float(null.p_value),
                "delta": claim.delta,
            }
            for null in measurement.nulls
        ],
        "n_examined": int(measurement.n_examined),
        "n_excluded": int(measurement.n_excluded),
        "fragile": judgement.fragile,
        "unsettled": judgement.unsettled,
        "details": measurement.details,
    }


def not_checked_record(
    claim: Claim, subject: Subject, flags: dict[str, bool], reason: str, duration_s: float
) -> dict[str, Any]:
    """One entry of results.json for a subject that was not checked, and why not."""
    return _record(claim, subject, flags, NOT_CHECKED, reason, duration_s)


def _record(
    claim: Claim, subject: Subject, flags: dict[str, bool], verdict: str, reason: str, duration_s: float
) -> dict[str, Any]:
    return {
        "id": subject.id,
        "claim": claim.id,
        "claim_version": claim.version,
        "section": claim.section,
        "subject": {
            "basis": subject.basis,
            "layer": subject.layer,
            "expert": subject.expert,
            "matrix": subject.matrix,
        },
        "primary": subject.primary,
        "basis": subject.basis,
        "effective_flags": flags,
        "metric": claim.metric,
        "value": None,
        "ci": None,
        "direction": claim.direction,
        "threshold": float(claim.threshold),
        "threshold_origin": claim.threshold_origin,
        "reference": None,
        "nulls": [],
        "n_examined": None,
        "n_excluded": 0,
        "verdict": verdict,
        "fragile": False,
        "unsettled": False,
        "twin": None,
        "reason": reason,
        "recorded": None,
        "details": {},
        "duration_s": duration_s,
    }
