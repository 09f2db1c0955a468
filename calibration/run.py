"""All measurements of the command, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from calibration import reach
from calibration.power import power, support
from calibration.rates import calibrate, mapper
from calibration.thresholds import claims_with_trials, threshold_table
from fixtures.cases import CASES
from vsa_checks.judging.claim import load_claims

SEED = 0
MODELS = 200
"""A rate of .01 then has an interval up to .036: more models narrow it, at a cost."""
POWER_MODELS = 30
SUPPORT_MODELS = 10


def measure(
    seed: int, models: int, power_models: int, support_models: int, workers: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Calibration, power and thresholds as plain numbers, in the order in which they are reported."""
    calibration, powers = [], []
    with mapper(workers) as map_jobs:
        for claim in claims_with_nulls():
            say(f"calibration: {claim}")
            calibration.append(calibrate(claim, models, seed, map_jobs))
        for claim in claims_with_nulls():
            say(f"power: {claim}")
            powers.append(power(claim, power_models, seed, map_jobs))
        say("power: tokens recovered")
        recovered = support(support_models, seed, map_jobs)
        say("thresholds")
        thresholds = threshold_table(seed, map_jobs)
        say("reach")
        limits = {
            "random": reach.random_reach(seed, map_jobs),
            "vocabularies": reach.vocabularies(seed, map_jobs),
            "real_vocabulary": reach.real_vocabulary(seed, map_jobs),
        }
    options = {"models": models, "power_models": power_models, "support_models": support_models}
    return {
        "seed": seed,
        **options,
        "calibration": calibration,
        "power": powers,
        "support": recovered,
        "thresholds": thresholds,
        "reach": limits,
    }


def measure_again(
    kept: dict[str, Any],
    claims: Sequence[str],
    workers: int,
    say: Callable[[str], None],
    models: int | None = None,
    power_models: int | None = None,
) -> dict[str, Any]:
    """Results measured before, with those of `claims` anew: what `measure` gives if the rest has not changed.

    models, power_models: other numbers of models than those kept, for these claims alone.
    """
    seed = kept["seed"]
    calibration, powers, thresholds = (
        {entry["claim"]: entry for entry in kept[part]} for part in ("calibration", "power", "thresholds")
    )
    with mapper(workers) as map_jobs:
        for claim in claims:
            say(claim)
            if claim in claims_with_nulls():
                calibration[claim] = calibrate(claim, models or kept["models"], seed, map_jobs)
                powers[claim] = power(claim, power_models or kept["power_models"], seed, map_jobs)
        thresholds |= {entry["claim"]: entry for entry in threshold_table(seed, map_jobs, claims)}
    named = claims_with_nulls()
    return kept | {
        "calibration": [calibration[claim] for claim in named if claim in calibration],
        "power": [powers[claim] for claim in named if claim in powers],
        "thresholds": [thresholds[claim] for claim in claims_with_trials() if claim in thresholds],
    }


def unmeasured(results: dict[str, Any]) -> list[str]:
    """Claims with a decisive null of which the results say nothing, or something of another version of the claim."""
    measured = {entry["claim"]: entry for entry in results["calibration"]}
    return [claim for claim in claims_with_nulls() if not _is_present(measured.get(claim), claim)]


def _is_present(entry: dict[str, Any] | None, claim: str) -> bool:
    return (
        entry is not None
        and entry["version"] == load_claims()[claim].version
        and tuple(entry["decisive"]) == load_claims()[claim].decisive
        and [row["model"] for row in entry["null_models"]] == [null.name for null in CASES[claim].nulls]
    )


def of_present_claims(results: dict[str, Any]) -> dict[str, Any]:
    """The results without what was measured of other versions of claims."""
    gone = set(unmeasured(results))
    return results | {
        part: [entry for entry in results[part] if entry["claim"] not in gone]
        for part in ("calibration", "power", "thresholds")
    }


def claims_with_nulls() -> list[str]:
    """The claims that name a decisive null, in the order of claims.toml."""
    return [claim.id for claim in load_claims().values() if claim.decisive]
