"""The only module that compares an intervention's losses: carries, does not carry, cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vsa_checks.interventions.crossed import Mean, Table, crossed_mean

Verdict = Literal["carries", "does not carry", "cannot tell"]
CARRIES: Verdict = "carries"
NOT: Verdict = "does not carry"
UNKNOWN: Verdict = "cannot tell"

KEPT = 0.5
"""Share of what mean ablation costs that an idealised part may cost (ours: more than half of its work is kept)."""
BESIDE = 0.25
"""Share of what each null costs that an idealised part may cost. Ours, from models where the answer is known
(tests/interventions): bundles that do all the work cost nearly nothing, those of random directions .37 and more."""
MARGIN = 0.1
"""What is spoiled must cost more than each null by this share of it (ours)."""
LEAST = 0.01
"""A change that costs less than this share of what ablation does is too small to tell anything (ours)."""
LEAST_UNITS = 8
"""With fewer windows or items than this there is no verdict (ours)."""
DRAWS = 5
"""How often each random change and each null is drawn. Fewer could agree by chance."""
RULE = (
    "Each comparison is a mean over windows (by their tokens) or items, and over the draws of what is random. It "
    "decides only if its 95% interval, a t interval with windows and draws as crossed random effects, lies on one side "
    "of zero, and the mean of every single draw lies on the same side. Else: cannot tell."
)


@dataclass(frozen=True)
class Ruling:
    """A verdict and its reason in words."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Sides:
    """The side of zero on which a mean over draws and units lies, with its interval and with every draw."""

    unit: str
    weights: Table

    def mean(self, values: Table) -> Mean:
        """The mean of a table (draws, units)."""
        return crossed_mean(values, self.weights, self.unit)

    def above(self, values: Table) -> bool:
        """Whether all of it is above zero."""
        return self.mean(values).above

    def below(self, values: Table) -> bool:
        """Whether all of it is below zero."""
        return self.mean(values).below


def judge_idealised(cost: Table, nulls: Mapping[str, Table], ablated: Table, skill: Table, within: Sides) -> Ruling:
    """Judge whether an idealised part does the work of the part.

    It carries if it costs less than KEPT of what mean ablation costs, and less than BESIDE of what each null of the
    same size costs. It does not if it costs more than one of these. All costs are paired differences of losses to the
    unchanged model, by window; how each comparison decides is RULE. It cannot tell if the model does no better than
    without the context, or if taking the part away costs nothing. Unless it costs more than KEPT of that, it cannot
    tell either if the change is so small that a null costs less than LEAST of that.

    Parameters
    ----------
    cost : array (draws, n), of the idealised part; one draw where it is not random
    nulls : arrays (draws, n) by name; at least one. Of a random change, draw i belongs to draw i of the change.
    ablated : array (1, n), of mean ablation
    skill : array (1, n), by how much the unchanged model's loss lies below that of a guess without the context
    within : the units

    Raises
    ------
    ValueError : no nulls, which could not fail, or fewer draws of one than DRAWS
    """
    _require(nulls)
    blocked = _cannot_tell(ablated, skill, within)
    if blocked:
        return blocked
    if within.below(KEPT * ablated - cost):
        return Ruling(NOT, f"it costs more than {KEPT:.0%} of what taking the part away costs")
    small = _too_small(ablated, nulls, within)
    if small:
        return small
    beaten = [name for name, null in nulls.items() if within.above(BESIDE * null - cost)]
    unbeaten = [name for name, null in nulls.items() if within.below(BESIDE * null - cost)]
    if unbeaten:
        return Ruling(
            NOT, f"it costs more than {BESIDE:.0%} of what another change of the same size costs: {', '.join(unbeaten)}"
        )
    if len(beaten) < len(nulls):
        unsure = ", ".join(name for name in nulls if name not in beaten)
        return Ruling(UNKNOWN, f"the comparison includes no difference, or hangs on the draw: {unsure}")
    if not within.above(KEPT * ablated - cost):
        return Ruling(UNKNOWN, f"its cost may or may not exceed {KEPT:.0%} of what taking the part away costs")
    return Ruling(
        CARRIES,
        f"it costs less than {BESIDE:.0%} of each change of the same size, and than {KEPT:.0%} of the part's absence",
    )


def judge_spoiled(cost: Table, nulls: Mapping[str, Table], ablated: Table, skill: Table, within: Sides) -> Ruling:
    """Judge whether what a change spoils does work: whether the loss rises more than by other changes of its size.

    It carries if the change costs, by MARGIN, more than each null; it does not if it costs no more than that than some
    null; it cannot tell otherwise, and where `judge_idealised` cannot, or if the change itself may cost less than LEAST
    of what taking the part away does. Parameters and errors are the same.
    """
    _require(nulls)
    blocked = _cannot_tell(ablated, skill, within) or _too_small(ablated, {"the change itself": cost}, within)
    if blocked:
        return blocked
    no_more = [name for name, null in nulls.items() if within.below(cost - (1 + MARGIN) * null)]
    if no_more:
        return Ruling(NOT, f"spoiling it costs no more than another change of the same size: {', '.join(no_more)}")
    if all(within.above(cost - (1 + MARGIN) * null) for null in nulls.values()):
        return Ruling(CARRIES, "spoiling it costs more than each change of the same size")
    return Ruling(UNKNOWN, "the comparison includes no difference, or hangs on the draw")


def _cannot_tell(ablated: Table, skill: Table, within: Sides) -> Ruling | None:
    units = ablated.shape[1]
    if units < LEAST_UNITS:
        return Ruling(UNKNOWN, f"there are only {units} {within.unit}; {LEAST_UNITS} are needed")
    if not within.above(skill):
        return Ruling(UNKNOWN, "the unchanged model does no better than a guess that knows no context")
    if not within.above(ablated):
        return Ruling(UNKNOWN, "taking the part away altogether costs nothing that could be told from zero")
    return None


def _too_small(ablated: Table, changes: Mapping[str, Table], within: Sides) -> Ruling | None:
    small = [name for name, cost in changes.items() if not within.above(cost - LEAST * ablated)]
    if small:
        least = f"{LEAST:.0%} of what taking the part away costs"
        return Ruling(UNKNOWN, f"so small a change cannot tell: less than {least} cannot be excluded ({small[0]})")
    return None


def _require(nulls: Mapping[str, Table]) -> None:
    few = [name for name, null in nulls.items() if len(null) < DRAWS]
    if few or not nulls:
        raise ValueError(f"an intervention without a null, or with fewer than {DRAWS} draws of it, cannot be judged")
