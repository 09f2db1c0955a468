"""The one place where an intervention's losses are compared: carries, does not carry, cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vsa_checks.statistics import Interval, bootstrap, stream

Losses = NDArray[np.float64]
Verdict = Literal["carries", "does not carry", "cannot tell"]
CARRIES: Verdict = "carries"
NOT: Verdict = "does not carry"
UNKNOWN: Verdict = "cannot tell"

KEPT = 0.5
"""Share of what mean ablation costs that an idealised part may cost (ours: more than half of its work is kept)."""
BESIDE = 0.5
"""Share of what each null costs that an idealised part may cost. Ours, from models where the answer is known
(tests/interventions): bundles that do all the work cost nearly nothing, those of random directions .55 and more."""
MARGIN = 0.1
"""What is spoiled must cost more than each null by this share of it (ours)."""
LEAST = 0.01
"""A change that costs less than this share of what ablation does is too small to tell anything (ours)."""
LEAST_UNITS = 8
"""With fewer windows or items than this a bootstrap interval of their mean says little (ours)."""


@dataclass(frozen=True)
class Ruling:
    """A verdict and its reason in words."""

    verdict: Verdict
    reason: str


def difference(changed: Losses, unchanged: Losses, unit: str, seed: int) -> tuple[float, Interval]:
    """The mean paired difference of two losses over units (n,), and its bootstrap interval over them."""
    found = changed - unchanged
    return float(found.mean()), bootstrap(found, unit, stream(seed, "intervention"))


def judge_idealised(
    cost: Losses, nulls: Mapping[str, Losses], ablated: Losses, skill: Losses, unit: str, seed: int
) -> Ruling:
    """Judge whether an idealised part does the work of the part.

    It carries if it costs less than KEPT of what mean ablation costs, and less than BESIDE of what each null of the
    same size costs. It does not if it costs more than one of these. All costs are paired differences of losses to the
    unchanged model, by window, and each comparison is a 95% bootstrap interval over windows that must lie on one side.
    It cannot tell if the model does no better than an even guess, if taking the part away costs nothing, or if the
    change is so small that a null costs less than LEAST of that.

    Parameters
    ----------
    cost : array (n,), of the idealised part
    nulls : arrays (n,) by name; at least one
    ablated : array (n,), of mean ablation
    skill : array (n,), by how much the unchanged model's loss lies below that of an even guess

    Raises
    ------
    ValueError : no nulls, which could not fail
    """
    if not nulls:
        raise ValueError("an intervention without a null cannot be judged")
    within = Sides(unit, seed)
    blocked = _cannot_tell(ablated, skill, nulls, within)
    if blocked:
        return blocked
    if within.below(KEPT * ablated - cost):
        return Ruling(NOT, f"it costs more than {KEPT:.0%} of what taking the part away costs")
    beaten = [name for name, null in nulls.items() if within.above(BESIDE * null - cost)]
    unbeaten = [name for name, null in nulls.items() if within.below(BESIDE * null - cost)]
    if unbeaten:
        return Ruling(
            NOT, f"it costs more than {BESIDE:.0%} of what another change of the same size costs: {', '.join(unbeaten)}"
        )
    if len(beaten) < len(nulls):
        unsure = ", ".join(name for name in nulls if name not in beaten)
        return Ruling(UNKNOWN, f"the interval of the comparison includes no difference: {unsure}")
    if not within.above(KEPT * ablated - cost):
        return Ruling(UNKNOWN, f"the interval of its cost includes {KEPT:.0%} of what taking the part away costs")
    return Ruling(
        CARRIES,
        f"it costs less than {BESIDE:.0%} of each change of the same size, and than {KEPT:.0%} of the part's absence",
    )


def judge_spoiled(
    cost: Losses, nulls: Mapping[str, Losses], ablated: Losses, skill: Losses, unit: str, seed: int
) -> Ruling:
    """Judge whether what a change spoils does work: whether the loss rises more than by other changes of its size.

    It carries if the change costs, by MARGIN, more than each null; it does not if it costs no more than that than some
    null; it cannot tell otherwise, and where `judge_idealised` cannot. Parameters and errors are the same.
    """
    if not nulls:
        raise ValueError("an intervention without a null cannot be judged")
    within = Sides(unit, seed)
    blocked = _cannot_tell(ablated, skill, {"the change itself": cost}, within)
    if blocked:
        return blocked
    no_more = [name for name, null in nulls.items() if within.below(cost - (1 + MARGIN) * null)]
    if no_more:
        return Ruling(NOT, f"spoiling it costs no more than another change of the same size: {', '.join(no_more)}")
    if all(within.above(cost - (1 + MARGIN) * null) for null in nulls.values()):
        return Ruling(CARRIES, "spoiling it costs more than each change of the same size")
    return Ruling(UNKNOWN, "the interval of the comparison includes no difference")


def _cannot_tell(ablated: Losses, skill: Losses, nulls: Mapping[str, Losses], within: Sides) -> Ruling | None:
    if len(ablated) < LEAST_UNITS:
        return Ruling(UNKNOWN, f"there are only {len(ablated)} {within.unit}; {LEAST_UNITS} are needed")
    if not within.above(skill):
        return Ruling(UNKNOWN, "the unchanged model does no better than an even guess")
    if not within.above(ablated):
        return Ruling(UNKNOWN, "taking the part away altogether costs nothing that could be told from zero")
    small = [name for name, null in nulls.items() if not within.above(null - LEAST * ablated)]
    if small:
        least = f"{LEAST:.0%} of what taking the part away costs"
        return Ruling(UNKNOWN, f"so small a change cannot tell: less than {least} cannot be excluded ({small[0]})")
    return None


@dataclass(frozen=True)
class Sides:
    """On which side of zero the interval of a mean over units lies."""

    unit: str
    seed: int

    def above(self, values: Losses) -> bool:
        """Whether all of it is above zero."""
        return self._interval(values).low > 0

    def below(self, values: Losses) -> bool:
        """Whether all of it is below zero."""
        return self._interval(values).high < 0

    def _interval(self, values: Losses) -> Interval:
        return bootstrap(values, self.unit, stream(self.seed, "intervention"))
