"""The only module that compares a measurement with its claim's threshold and nulls."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vsa_checks.judging.claim import Claim
from vsa_checks.judging.measurement import Measurement, NullMeasurement

HOLDS, CHANCE, REFUTED, NOT_CHECKED = "holds", "chance", "refuted", "not-checked"
VERDICTS = (HOLDS, CHANCE, REFUTED, NOT_CHECKED)
FRAGILE_MOVE = 0.2
"""A verdict is fragile if moving threshold or delta by this share of itself, either way, would change it."""
NEAR_THRESHOLD, NEAR_SPREADS, NEAR_MOVES = 0.05, 2.0, 5.0
"""Another draw might change a verdict if the value is this close to the threshold (as a share of it), or the lead over
a null is within this many of its standard deviations of delta. Once there are other draws: if the distance to the
threshold is at most this many times the change that they made."""
LEAST_P, MOST_P = 0.02, 0.5
"""Or if p is between this share of alpha and this p: among draws of one null, p varies by a factor of a hundred."""


class ExaminedNothing(Exception):
    """A measure that examined nothing or returned no finite number: an error, never a pass."""


@dataclass(frozen=True)
class Judgement:
    """A verdict, its reason, and the threshold that was applied.

    fragile: moving threshold or delta by a fifth would change it. unsettled: other random numbers change it.
    by_verdict: how many of all draws give each verdict.
    """

    verdict: str
    reason: str
    threshold: float
    fragile: bool
    unsettled: bool
    by_verdict: dict[str, int]


def judge(claim: Claim, measurement: Measurement, d_model: int, redrawn: Sequence[Measurement] = ()) -> Judgement:
    """Judge one measurement of a claim.

    `holds`: the threshold is met, and every decisive null is beaten at p <= alpha and by at least delta. `chance`: the
    threshold is met, but a decisive null is not beaten. `refuted`: the threshold is not met.

    Parameters
    ----------
    claim : Claim
        Gives direction, threshold, alpha, delta and the names of the decisive nulls.
    measurement : Measurement
        Has every decisive null of the claim, and the reference if the threshold is in units of it.
    d_model : int
        Width of the residual stream, for thresholds in units of 1/sqrt(d_model).
    redrawn : sequence of Measurement
        The same with other random numbers. They do not change the verdict, but show whether it is settled.

    Returns
    -------
    Judgement
        The verdict, its reason in words, and the threshold as a plain number.

    Raises
    ------
    ExaminedNothing
        If a measurement examined nothing, or its value or a null is not finite.
    ValueError
        If a decisive null or a needed reference was not measured.
    """
    for one in (measurement, *redrawn):
        _require_sound(claim, one)
    threshold = claim.threshold * _unit(claim, measurement, d_model)
    verdict = _verdict(claim, measurement, threshold)
    by_verdict = Counter(
        [verdict, *(_verdict(claim, one, claim.threshold * _unit(claim, one, d_model)) for one in redrawn)]
    )
    moved = {
        _verdict(replace(claim, delta=claim.delta * by_delta), measurement, threshold * by_threshold)
        for by_threshold, by_delta in (
            (1 - FRAGILE_MOVE, 1),
            (1 + FRAGILE_MOVE, 1),
            (1, 1 - FRAGILE_MOVE),
            (1, 1 + FRAGILE_MOVE),
        )
    }
    return Judgement(
        verdict,
        _reason(claim, measurement, threshold, verdict),
        threshold,
        moved != {verdict},
        len(by_verdict) > 1,
        dict(sorted(by_verdict.items())),
    )


def near_margin(claim: Claim, measurement: Measurement, d_model: int, redrawn: Sequence[Measurement] = ()) -> bool:
    """Whether other random numbers might change the verdict, so that measuring again is worthwhile.

    Parameters
    ----------
    claim, measurement, d_model, redrawn
        As in `judge`; without `redrawn`, nothing is known yet about other random numbers.

    Returns
    -------
    bool
        True if the value is near its threshold, or if it meets the threshold, narrowly beats or fails to beat some
        decisive nulls, and clearly beats all others.
    """
    threshold = claim.threshold * _unit(claim, measurement, d_model)
    distance = measurement.value - threshold
    near = NEAR_THRESHOLD * abs(threshold)
    if redrawn:
        moves = [one.value - claim.threshold * _unit(claim, one, d_model) - distance for one in redrawn]
        near = min(near, NEAR_MOVES * max(abs(move) for move in moves))
    if abs(distance) <= near:
        return True
    if not _met(claim.direction, measurement.value, threshold):
        return False
    decisive = _decisive(claim, measurement)
    return any(_narrow(claim, measurement.value, null) for null in decisive) and all(
        _narrow(claim, measurement.value, null) or _beaten(claim, measurement.value, null) for null in decisive
    )


def _narrow(claim: Claim, value: float, null: NullMeasurement) -> bool:
    """Whether another draw of a null could reverse whether it is beaten."""
    ahead, near = _lead(claim, value, null) - claim.delta, NEAR_SPREADS * null.spread
    if null.n is None or null.p_value >= MOST_P or ahead < -near:
        return False  # no seed moves a law
    # Where no draw is as extreme, p is as small as so many draws allow, and tells nothing about others.
    no_draw = null.p_value < claim.alpha and math.isclose(null.p_value, 1 / (null.n + 1))
    return ahead <= near or (null.p_value > claim.alpha * LEAST_P and not no_draw)


def can_be_judged(claim: Claim, measurement: Measurement) -> bool:
    """Whether a measurement has everything that `judge` needs."""
    try:
        _require_sound(claim, measurement)
        _unit(claim, measurement, 1)
    except (ExaminedNothing, ValueError):
        return False
    return True


def _require_sound(claim: Claim, measurement: Measurement) -> None:
    if measurement.n_examined < 1:
        raise ExaminedNothing(f"{claim.id} examined nothing")
    numbers = [measurement.value, *(null.value for null in measurement.nulls)]
    if not all(math.isfinite(number) for number in numbers):
        raise ExaminedNothing(f"{claim.id} measured {measurement.value}, which is not a number to judge")
    missing = set(claim.decisive) - {null.name for null in measurement.nulls}
    if missing:
        raise ValueError(f"{claim.id} was measured without its decisive null: {', '.join(sorted(missing))}")


def _unit(claim: Claim, measurement: Measurement, d_model: int) -> float:
    match claim.threshold_unit:
        case "1/sqrt(d_model)":
            return 1.0 / math.sqrt(d_model)
        case "reference":
            if measurement.reference is None:
                raise ValueError(f"{claim.id} is judged by its reference, which was not measured")
            return measurement.reference.value
        case _:
            return 1.0


def _verdict(claim: Claim, measurement: Measurement, threshold: float) -> str:
    if not _met(claim.direction, measurement.value, threshold):
        return REFUTED
    return HOLDS if all(_beaten(claim, measurement.value, null) for null in _decisive(claim, measurement)) else CHANCE


def _met(direction: str, value: float, threshold: float) -> bool:
    return value >= threshold if direction == ">=" else value <= threshold


def _beaten(claim: Claim, value: float, null: NullMeasurement) -> bool:
    return null.p_value <= claim.alpha and _lead(claim, value, null) >= claim.delta


def _lead(claim: Claim, value: float, null: NullMeasurement) -> float:
    """By how much a value beats a null in the claimed direction."""
    return value - null.value if claim.direction == ">=" else null.value - value


def _decisive(claim: Claim, measurement: Measurement) -> list[NullMeasurement]:
    return [null for null in measurement.nulls if null.name in claim.decisive]


def four_digits(number: float) -> str:
    """A number as reasons print it: four significant digits."""
    return f"{number:.4g}"


def _reason(claim: Claim, measurement: Measurement, threshold: float, verdict: str) -> str:
    said = f"{four_digits(measurement.value)} {{}} {claim.direction} {four_digits(threshold)}"
    if verdict == CHANCE:
        return f"{said.format('meets')}, but {_not_told(claim, measurement)}"
    beside = [
        f"{null.name}: {four_digits(null.value)}, p = {four_digits(null.p_value)}"
        for null in _decisive(claim, measurement)
    ]
    if measurement.reference is not None:
        times = f" x {claim.threshold:g}" if claim.threshold_unit == "reference" else ""
        beside.append(f"{measurement.reference.name}: {four_digits(measurement.reference.value)}{times}")
    stands = f" ({'; '.join(beside)})" if beside else ""
    if verdict == HOLDS:
        return said.format("meets") + stands
    return said.format("does not meet") + f": {_side(claim, measurement)}{stands}"


def _not_told(claim: Claim, measurement: Measurement) -> str:
    """Which decisive nulls rule out `holds`: those with p above alpha, and those beaten by less than delta."""
    level, close = [], []
    for null in _decisive(claim, measurement):
        at = f"{null.name} ({four_digits(null.value)}, p = {four_digits(null.p_value)})"
        ahead = _lead(claim, measurement.value, null)
        if null.p_value > claim.alpha:
            level.append(at)
        elif ahead < claim.delta:
            close.append(f"lies only {four_digits(ahead)} beyond {at}, less than {claim.delta:g}")
    return ", and ".join([f"is not told from {' and '.join(level)}"] * bool(level) + close)


def _side(claim: Claim, measurement: Measurement) -> str:
    """Whether a value that misses its threshold is above, at or below chance."""
    nulls = _decisive(claim, measurement) or measurement.nulls
    if nulls:
        hardest = max(nulls, key=lambda null: null.p_value)
        ahead, behind = hardest.p_value <= claim.alpha, hardest.p_opposite <= claim.alpha
        upward = claim.direction == ">="
        if ahead or behind:
            return f"{'above' if ahead == upward else 'below'} chance"
        return "at chance"
    if measurement.reference is None:
        return "nothing to set it against"
    chance, interval = measurement.reference.value, measurement.interval
    if interval.low <= chance <= interval.high:
        return "at chance"
    return f"{'above' if measurement.value > chance else 'below'} chance"
