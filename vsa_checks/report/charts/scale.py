"""Axes: positions of numbers, tick labels, and the frame of every chart."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from vsa_checks.report.formatting import visible
from vsa_checks.report.quantities import Quantity

LARGEST = 5e307
"""Beyond it the length of an axis is no number."""


@dataclass(frozen=True)
class Scale:
    """A linear map from numbers between `low` and `high` to places between `start` and `end` of a chart."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a number, kept inside the chart."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)

    def ticks(self, wanted: int = 4) -> list[float]:
        """Round numbers inside the scale, about as many as wanted."""
        step = (self.high - self.low) / wanted
        power = 10.0 ** math.floor(math.log10(step))
        step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def fit(values: Iterable[float | None], start: float, end: float, from_zero: bool = False) -> Scale:
    """A scale for all values, with a small margin: from 0 if that costs little space, to 1 for shares."""
    known = [min(max(value, -LARGEST), LARGEST) for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if low >= 0 and (from_zero or low <= 0.6 * high):
        low = 0.0
    if high - low < 1e-290:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    room = 0.06 * (high - low)
    high_end = 1.0 if low == 0.0 and 0.7 <= high <= 1.0 else high + room
    return Scale(low if low == 0.0 else low - room, high_end, start, end)


def frame(width: int, height: int, kind: str, title: str, description: str, content: str) -> Markup:
    """An SVG image, with title and description for those who cannot see it; `content` is escaped SVG."""
    opening = Markup('<svg class="{0}" viewBox="0 0 {1} {2}" width="{1}" height="{2}" role="img"><title>{3}</title>')
    text = Markup("<desc>{}</desc>").format(visible(description)) if description else Markup("")
    return opening.format(kind, width, height, visible(title)) + text + Markup(content) + Markup("</svg>")


def label(x: float, y: float, text: object, anchor: str = "start") -> Markup:
    """A text in a chart."""
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, visible(text))


def value_axis(scale: Scale, left: float, right: float, kind: Quantity | None = None) -> Markup:
    """Horizontal grid lines with their numbers at the left."""
    write = (kind or Quantity()).tick
    lines = Markup("").join(
        Markup('<path class="grid" d="M{} {}H{}"/>').format(left, scale(tick), right)
        + label(left - 5, scale(tick) + 3.5, write(tick), "end")
        for tick in scale.ticks()
    )
    return lines
