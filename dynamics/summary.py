"""Summaries of trainings of one kind: values over seeds, intervals, and the step from which a condition holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from scipy import stats

from dynamics.concepts import ALPHA, READING
from dynamics.grammar import PLACEBO
from dynamics.models import VARIANTS
from vsa_checks.judging.claim import load_claims
from vsa_checks.statistics import holm

Json = dict[str, Any]
LEVEL = 0.95
HALF_WAY = 0.5
"""An answer counts as learned from where its probability is beyond the middle of what guessing gives and 1."""
ALWAYS, NEVER, LOST = "from the start", "never", "lost"


@dataclass(frozen=True)
class Over:
    """Values of one thing over seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return mean(self.values)

    def interval(self) -> tuple[float, float] | None:
        """Student's interval of the mean; None of a single value."""
        if len(self.values) < 2:
            return None
        half = float(stats.t.ppf((1 + LEVEL) / 2, len(self.values) - 1)) * stdev(self.values) / len(self.values) ** 0.5
        return self.mean - half, self.mean + half


def difference(one: Over, other: Over) -> tuple[float, float] | None:
    """Welch's interval of the difference of two means; None where a side has a single value, or nothing varies."""
    if min(len(one.values), len(other.values)) < 2 or stdev(one.values) == stdev(other.values) == 0:
        return None
    # scipy's test warns where the values of one side are equal.
    first, second = (stdev(side.values) ** 2 / len(side.values) for side in (one, other))
    freedom = (first + second) ** 2 / (first**2 / (len(one.values) - 1) + second**2 / (len(other.values) - 1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * (first + second) ** 0.5
    return one.mean - other.mean - half, one.mean - other.mean + half


def of_kind(runs: Sequence[Json], language: str, variant: str) -> list[Json]:
    """The trainings of a language and variant, by seed."""
    return [one for one in runs if (one["language"], one["variant"]) == (language, variant)]


def present(runs: Sequence[Json], language: str) -> list[str]:
    """The variants that were trained on a language."""
    return [name for name in VARIANTS if of_kind(runs, language, name)]


def onset(steps: Sequence[int], so: Sequence[bool]) -> int | str:
    """The step from which a condition holds to the end; ALWAYS, NEVER, or LOST if it held but not at the end."""
    if not so[-1]:
        return LOST if any(so) else NEVER
    first = len(so) - list(reversed(so)).index(False) if False in so else 0
    return ALWAYS if first == 0 else steps[first]


def answer_onsets(runs: Sequence[Json], kind: str, guessing: float) -> list[int | str]:
    """From which step each training answers a kind of question, beyond half-way between guessing and knowing."""
    bar = guessing + HALF_WAY * (1 - guessing)
    return [onset(run["steps"], [value > bar for value in run["answers"][kind]]) for run in runs]


def concept_onsets(runs: Sequence[Json], score: str, kind: str) -> list[int | str]:
    """From which step each training has recovered at least half of the concepts of a kind."""
    found = [run["concepts"][score][kind] for run in runs]
    return [
        onset(run["steps"], [2 * count >= one["of"] for count in one["recovered"]])
        for run, one in zip(runs, found, strict=True)
    ]


def claim_onsets(runs: Sequence[Json], claim: str) -> list[int | str]:
    """From which step a claim holds for more than half of its subjects in each training."""
    found = [run["claims"][claim] for run in runs]
    return [
        onset(run["steps"], [2 * count > one["of"] for count in one["holds"]])
        for run, one in zip(runs, found, strict=True)
    ]


def measured_claims(runs: Sequence[Json]) -> list[str]:
    """Claims that were measured in every training given."""
    return [claim for claim in runs[0]["claims"] if all("value" in run["claims"][claim] for run in runs)]


def in_order(claims: Sequence[str]) -> list[str]:
    """Claims by section, and within one as they are listed."""
    records = load_claims()
    return sorted(claims, key=lambda claim: (records[claim].section, list(records).index(claim)))


def of_all(runs: Sequence[Json], which: str) -> list[str]:
    """Claims that in all seeds never hold, or are lost."""
    return [
        claim for claim in in_order(measured_claims(runs)) if all(one == which for one in claim_onsets(runs, claim))
    ]


def dated(runs: Sequence[Json]) -> list[tuple[str, list[int | str]]]:
    """Claims that come to hold in every training, after its beginning, and the steps from which they do."""
    onsets = [(claim, claim_onsets(runs, claim)) for claim in measured_claims(runs)]
    return [(claim, steps) for claim, steps in onsets if all(isinstance(one, int) for one in steps)]


def recovered(runs: Sequence[Json], score: str, at: int = -1) -> Over:
    """The share of the known concepts, placebos apart, that each training has recovered after a checkpoint."""
    shares = []
    for run in runs:
        kinds = [one for kind, one in run["concepts"][score].items() if kind != PLACEBO]
        shares.append(sum(one["recovered"][at] for one in kinds) / sum(one["of"] for one in kinds))
    return Over(tuple(shares))


def n_concepts(run: Json) -> int:
    """How many concepts the language has, placebos apart."""
    return sum(one["of"] for kind, one in run["concepts"][READING].items() if kind != PLACEBO)


def recovered_together(run: Json, score: str) -> int:
    """How many concepts are recovered at the last step where p is corrected over all of them and the placebos."""
    last = run["last"][score]
    corrected = holm([one["p"] for one in last])
    # placebos come last
    return int((corrected[: n_concepts(run)] <= ALPHA).sum())
