"""The standing of a claim on a subject, beyond its verdict: structure, shape, chance, or not as claimed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vsa_checks.report.answers import decisive_nulls
from vsa_checks.report.formatting import layer_ranges
from vsa_checks.report.quantities import Quantity, quantity
from vsa_checks.report.summary import hardest_null

Result = Mapping[str, Any]
STRUCTURE, SHAPE, NO_TWIN = "structure", "given by the shape", "no twin"
LESS, CHANCE, FAILS, NOT_CHECKED = "less than claimed", "chance", "fails", "not checked"


def standing(result: Result, alpha: float | None) -> str:
    """What a subject's result says: `structure` where the claim holds and the untrained twin does not meet it.

    `less than claimed` is what misses the threshold, but beats each decisive null. Of exploratory subjects neither is
    said where their p, corrected for their number, is above alpha.
    """
    told_apart = alpha is None or result["details"].get("q_value", 0.0) <= alpha
    match result["verdict"]:
        case "holds" if not told_apart:
            return CHANCE
        case "holds" if result["twin"] is None or result["twin"]["met"] is None:
            return NO_TWIN
        case "holds":
            return SHAPE if result["twin"]["met"] else STRUCTURE
        case "chance":
            return CHANCE
        case "refuted":
            beaten, others = decisive_nulls(result, alpha)
            return LESS if beaten and not others and told_apart else FAILS
        case _:
            return NOT_CHECKED


@dataclass(frozen=True)
class OnModel:
    """One claim on one model. results: of all its subjects in one basis."""

    claim: str
    model: str
    record: Mapping[str, Any]
    results: Sequence[Result]
    d_vocab: int | None

    @cached_property
    def counts(self) -> Counter[str]:
        """How many subjects stand how."""
        return Counter(self.standing(result) for result in self.results)

    def standing(self, result: Result) -> str:
        """How one of its subjects stands."""
        return standing(result, self.record["alpha"])

    @property
    def kind(self) -> Quantity:
        """How its numbers are written."""
        return quantity(self.record["metric"], self.d_vocab)

    def those(self, *standings: str) -> list[Result]:
        """The subjects that stand so."""
        return [result for result in self.results if self.standing(result) in standings]

    def null_value(self, result: Result) -> float | None:
        """What the null that decides gives in a subject's place; without a null, its reference."""
        beside = hardest_null(result, self.record["alpha"]) or result["reference"]
        return None if beside is None else float(beside["value"])

    @staticmethod
    def twin_value(result: Result) -> float | None:
        """What the untrained twin gives in a subject's place."""
        return None if result["twin"] is None else result["twin"]["value"]

    def span(self, numbers: Iterable[float | None]) -> str:
        """Smallest to largest of some of the claim's numbers, in words of its kind."""
        known = sorted(number for number in numbers if number is not None)
        if not known:
            return "–"
        low, high = self.kind.short(known[0]), self.kind.short(known[-1])
        return low if low == high else f"{low} to {high}"


def places(results: Sequence[Result], of: Sequence[Result]) -> str:
    """Where subjects lie, by matrix: "W_gate in layers 0, 22–29; W_in in layer 0", against all there are."""
    matrices = list(dict.fromkeys(result["subject"]["matrix"] for result in of))
    parts = []
    for matrix in matrices:
        here = {r["subject"]["layer"] for r in results if r["subject"]["matrix"] == matrix}
        if not here:
            continue
        every = {r["subject"]["layer"] for r in of if r["subject"]["matrix"] == matrix}
        if here == {None}:
            parts.append(matrix or "the whole model")
            continue
        layers = [layer for layer in here if layer is not None]
        where = f"layer{'s' * (len(layers) > 1)} {layer_ranges(layers)}"
        if here == every and len(every) > 1:
            where = f"all {len(every)} layers"
        parts.append(f"{matrix} in {where}" if matrix else where)
    return "; ".join(parts) or "–"


def on_model(found: Mapping[str, Any], basis: str) -> dict[str, OnModel]:
    """Every claim of a document in one basis."""
    groups: dict[str, list[Result]] = {}
    for result in found["results"]:
        if result["basis"] == basis:
            groups.setdefault(result["claim"], []).append(result)
    model, by_claim = found["model"], found["summary"]["by_claim"]
    return {
        claim: OnModel(claim, model["name"], by_claim[claim]["record"], results, model["d_vocab"])
        for claim, results in groups.items()
    }
