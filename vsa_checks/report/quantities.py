"""How numbers of a metric are shown to a reader: a share in percent, a rank in the vocabulary, a count with its unit.

results.json has plain numbers; here they become words, the same on the page, the terminal and in the log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vsa_checks.report.formatting import NOTHING, number

_KINDS = (
    ("deviations", re.compile(r"in standard deviations of")),
    ("possible", re.compile(r"lies below random, of what is possible")),
    ("share", re.compile(r"^(mean |median over heads of the )?share\b|relative rank|^\|mean e\||^mean of \(1\.e\)")),
    ("rank", re.compile(r"\brank\b")),
    ("layers", re.compile(r"layers .*per neuron$")),
    ("squared cosine", re.compile(r"\bcos\^2")),
    ("cosine", re.compile(r"\bcosines?\b")),
)
_MOST_DECIMALS = 12
_RAREST = 1e-12
_ROUNDING = 1e-9
_SCALES = ((1e12, "million million"), (1e9, "billion"), (1e6, "million"))


@dataclass(frozen=True)
class Quantity:
    """How the numbers of one metric are written.

    kind: share, rank, possible, deviations, layers, cosine, squared cosine or plain. of: for a rank, among how many;
    None if not known.
    """

    kind: str = "plain"
    of: int | None = None

    def text(self, value: float | None, *others: float | None) -> str:
        """A number as a sentence has it: "44,638th of 49,152", "98.2%", "350.2 standard deviations below".

        `others` are numbers that it must not look like, unless it is equal to them (79.996% beside 80%).
        """
        if value is None:
            return NOTHING
        match self.kind:
            case "share":
                return percent(value, *others)
            case "rank":
                return f"{ordinal(value, *others)}{f' of {self.of:,}' if self.of else ''}"
            case "possible":
                return _of_what_is_possible(value, others)
            case "deviations":
                side = "above" if value > 0 else "below"
                known = [abs(other) for other in others if other is not None and (other > 0) == (value > 0)]
                size = plain(abs(value), *known)
                return "0 standard deviations" if size == "0" else f"{size} standard deviations {side}"
            case "layers":
                return f"{plain(value, *others)} layers a neuron"
            case _:
                return plain(value, *self._limits(value), *others)

    def short(self, value: float | None, *others: float | None, digits: int = 4) -> str:
        """The same for a cell of a table, without words: "44,638th", "98.2%", "-350.2 sd"."""
        if value is None:
            return NOTHING
        match self.kind:
            case "share":
                return percent(value, *others, words=False)
            case "rank":
                return ordinal(value, *others)
            case "possible" if value >= -1:
                return percent(value, *others, words=False)
            case "possible":
                return f"{plain(value, *others, digits=digits)}×"
            case "deviations":
                return f"{plain(value, *others, digits=digits)} sd"
            case _:
                return plain(value, *self._limits(value), *others, digits=digits)

    def _limits(self, value: float) -> tuple[float, ...]:
        """What a cosine must not look like: 1, unless it is 1 but for rounding."""
        return (1.0,) if "cosine" in self.kind and abs(value - 1.0) > _ROUNDING else ()

    def tick(self, value: float) -> str:
        """A round number beside an axis."""
        if self.kind in ("share", "possible") and abs(value) < 1e13:
            return f"{number(100 * value)}%"
        return plain(value)

    def rule(self, result: Mapping[str, Any], digits: int = 4) -> str:
        """Direction and threshold in short: "≥ 80%"."""
        sign = {"<=": "≤", ">=": "≥"}.get(result["direction"], result["direction"])
        return f"{sign} {self.short(result['threshold'], digits=digits)}"

    def asked(self, result: Mapping[str, Any]) -> str:
        """Direction and threshold in words: "at least 80%", "10th of 49,152 or closer"."""
        threshold = self.text(result["threshold"])
        if self.kind == "rank" and result["direction"] == "<=":
            return f"{threshold} or closer"
        if self.kind == "deviations":
            return f"no further than {threshold}"
        return f"{'at most' if result['direction'] == '<=' else 'at least'} {threshold}"

    def gap(self, difference: float) -> str:
        """The size of a difference between two values, without its sign: "12.3 percentage points", "28,450 places"."""
        return " ".join(self.gap_and_unit(difference))

    def gap_and_unit(self, difference: float) -> tuple[str, str]:
        """The same in two parts, the number and its unit."""
        size = abs(difference)
        match self.kind:
            case "share" if size < 1e13:
                points = plain(100 * size, digits=3)
                return points, f"percentage point{'' if points == '1' else 's'}"
            case "possible" if size < 10:
                return f"{plain(100 * size, digits=3)}%", "of what is possible"
            case "possible":
                return plain(size, digits=3), "times what is possible"
            case "rank":
                if 1 <= size < 1e15:
                    return f"{size:,.0f}", f"place{'' if round(size) == 1 else 's'}"
                return plain(size, digits=2), "places"
            case "deviations":
                return plain(size, digits=3), "standard deviations"
            case "layers":
                return plain(size, digits=3), "layers a neuron"
            case "cosine" | "squared cosine":
                return plain(size, digits=3), f"in {self.kind}"
            case _:
                return plain(size, digits=3), "in value"


def quantity(metric: str, d_vocab: int | None = None) -> Quantity:
    """What the numbers of a metric are, by its words; a metric that is not known has plain numbers."""
    kind = next((kind for kind, words in _KINDS if words.search(metric)), "plain")
    return Quantity(kind, d_vocab if kind == "rank" else None)


def percent(value: float, *others: float | None, words: bool = True) -> str:
    """A share in percent, with enough digits not to look like 0%, 100% or another one; very small ones as 1 in so many.

    words: whether a small share may be a phrase; otherwise it is "<0.01%".
    """
    if 0 < abs(value) < 1e-4:
        return _one_in(value) if words and value > 0 else ("<0.01%" if value > 0 else "about 0%")
    if abs(value) >= 1e13:  # no share, and a hundred times as much may be beyond all numbers
        return number(value)
    least = 1 if abs(value) >= 0.01 or value == 0 else 2 if abs(value) >= 0.001 else 3
    for decimals in range(least, _MOST_DECIMALS):
        shown = _percent(value, decimals)
        unlike = [other for other in (0.0, 1.0, *others) if other is not None and abs(other - value) > 1e-12]
        if all(_percent(other, decimals) != shown for other in unlike):
            break
    return shown


def ordinal(value: float, *others: float | None) -> str:
    """A place in an order: 1st, 22nd, 44,653rd; a place between two as "rank 10.4" where it would look like another."""
    if abs(value) >= 1e15 or any(o is not None and o != value and round(o) == round(value) for o in others):
        return f"rank {plain(value, *others)}"
    place = round(value)
    last = abs(place) % 100
    ending = "th" if 10 < last < 14 else {1: "st", 2: "nd", 3: "rd"}.get(last % 10, "th")
    return f"{place:,}{ending}"


def plain(value: float, *others: float | None, digits: int = 4) -> str:
    """A number without an exponent where people can read it so, and with digits enough not to look like another."""
    shown = _plain(value, digits)
    for more in range(digits + 1, 17):
        if all(o is None or o == value or _plain(o, more - 1) != shown for o in others):
            return shown
        shown = _plain(value, more)
    return shown


def chance_of(p_value: float) -> str:
    """A p-value: "p = 0.023", "p < 0.0001"."""
    shown = probability(p_value)
    return f"p {shown}" if shown[0] in "<>" else f"p = {shown}"


def probability(p_value: float) -> str:
    """A p-value for a cell: "0.023", "< 0.0001"; only what is 1 is written as 1."""
    if p_value < 1e-4:
        return "< 0.0001"
    return "> 0.999" if 0.999 < p_value < 1.0 else plain(p_value, 1.0, digits=2)


def _plain(value: float, digits: int) -> str:
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-12:
        return "0" if size < 1e-12 else number(value, digits)
    if 0 < size < 1e-6:
        return number(value, 2)
    if 0 < size < 1e-4:
        return f"{value:.7f}".rstrip("0")
    if size >= 10_000:
        return f"{value:,.0f}" if digits <= 6 or value == round(value) else f"{value:,.{digits - 5}f}"
    return number(float(value), digits)


def _percent(value: float, decimals: int) -> str:
    shown = f"{100 * value:,.{decimals}f}"
    shown = shown.rstrip("0").rstrip(".")
    return f"{'0' if shown == '-0' else shown}%"


def _one_in(share: float) -> str:
    if share < _RAREST:
        return "less than 1 in a million million"
    many = 1 / share
    for size, name in _SCALES:
        if many >= size * 0.9995:
            return f"1 in {many / size:.3g} {name}"
    return f"1 in {float(f'{many:.3g}'):,.0f}"


def _of_what_is_possible(value: float, others: tuple[float | None, ...]) -> str:
    """How far below random; a negative one lies above it, and may do so many times over."""
    if value >= 0:
        return "as random" if value < _RAREST else f"{percent(value, *others, words=False)} of what is possible below"
    times = f"{plain(-value, digits=3)} times" if value <= -2 else f"{percent(-value, words=False)} of"
    return f"above random, by {times} what is possible below"
