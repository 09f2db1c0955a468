"""A claim over the steps of a training, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from vsa_checks.report.charts.layers import point
from vsa_checks.report.charts.scale import Scale, fit, frame, label, value_axis
from vsa_checks.report.comparison.runs import Json
from vsa_checks.report.formatting import DIRECTION_SIGNS, number

WIDTH, LEFT, TOP, BOTTOM, MARKS = 360, 48, 10, 130, 146
APART = 42  # pixels between numbers on the axis of steps
WORDS = {"holds": "holds", "chance": "met by chance", "refuted": "refuted", "not-checked": "not checked"}


def over_steps(curve: Json, steps: Sequence[int]) -> Markup:
    """The median, least and largest value at each step, with threshold and chance; below, the verdict at each step."""
    points = curve["points"]
    places = dict(zip(steps, _places(steps), strict=True))
    x = [places[one["step"]] for one in points]
    keys = ("median", "least", "largest", "threshold", "chance")
    up = fit([one[key] for one in points for key in keys], BOTTOM, TOP)
    there = [(a, b) for a, b in zip(x, points, strict=True)]
    upper = [f"{a:g} {up(one['largest']):g}" for a, one in there]
    lower = [f"{a:g} {up(one['least']):g}" for a, one in reversed(there)]
    parts = [value_axis(up, LEFT, WIDTH - 8)]
    parts.append(Markup('<path class="band" d="M{}Z"/>').format("L".join(upper + lower)))
    parts.append(_line("threshold", there, "threshold", up))
    parts.append(_line("chance-line", there, "chance", up))
    parts.append(_line("line line0", there, "median", up))
    for place, one in there:
        title = Markup("<title>{}</title>").format(_said(one))
        dot = Markup('<circle class="median" cx="{}" cy="{}" r="3"/>').format(place, up(one["median"]))
        parts.append(Markup("<g>{}{}{}</g>").format(title, dot, point(one["verdict"], place, MARKS)))
    last = -math.inf
    for step, place in places.items():
        if place - last >= APART:
            parts.append(label(place, MARKS + 20, _short(step), "middle"))
            last = place
    parts.append(label(LEFT - 8, MARKS + 4, "verdict", "end") + label(LEFT - 8, MARKS + 20, "step", "end"))
    description = f"At step {_said(points[0])}; at step {_said(points[-1])}."
    name = f"{curve['claim']} ({curve['basis']}) over steps of training"
    return frame(WIDTH, MARKS + 26, "steps", name, description, Markup("").join(parts))


def _said(one: Json) -> str:
    sign = DIRECTION_SIGNS.get(one["direction"], one["direction"])
    spread = "" if one["least"] == one["largest"] else f", {number(one['least'])} to {number(one['largest'])}"
    chance = "" if one["chance"] is None else f", chance {number(one['chance'])}"
    return (
        f"{one['step']:,}: {number(one['median'])}{spread}, threshold {sign} {number(one['threshold'])}{chance}, "
        f"{WORDS[one['verdict']]}, {one['holds']} of {one['of']} subjects hold"
    )


def _line(kind: str, there: Sequence[tuple[float, Json]], key: str, up: Scale) -> Markup:
    """A line through all steps that have this number, broken where one has not."""
    path, drawing = "", False
    for place, one in there:
        if one[key] is None:
            drawing = False
            continue
        path += f"{'L' if drawing else 'M'}{place:g} {up(one[key]):g}"
        drawing = True
    return Markup('<path class="{}" d="{}"/>').format(kind, path) if path else Markup("")


def _places(steps: Sequence[int]) -> list[float]:
    """Where steps stand: evenly by number, or by their logarithm where they span more than a factor of 20."""
    positive = [step for step in steps if step > 0]
    spread = bool(positive) and max(positive) > 20 * min(positive)
    numbers = [math.log10(step) if step > 0 else math.log10(min(positive)) - 0.5 for step in steps] if spread else steps
    scale = Scale(min(numbers), max(numbers), LEFT + 12, WIDTH - 20)
    return [scale(one) for one in numbers]


def _short(step: int) -> str:
    for size, sign in ((1_000_000, "M"), (1000, "k")):
        if step >= size and step % (size // 10) == 0:
            return f"{step / size:g}{sign}"
    return str(step)
