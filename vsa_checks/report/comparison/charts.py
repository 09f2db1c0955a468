"""A claim over the steps of a training, and all runs over thresholds, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from vsa_checks.report.charts.layers import point
from vsa_checks.report.charts.scale import Scale, fit, frame, label, value_axis
from vsa_checks.report.comparison.runs import Json
from vsa_checks.report.escaping import visible
from vsa_checks.report.quantities import Quantity, percent

WIDTH, LEFT, TOP, BOTTOM, MARKS = 360, 48, 10, 130, 146
APART = 42  # pixels between numbers on the axis of steps
WIDE, PANEL, GAP, LINES = 640, 140, 36, 6
"""Of the figure over thresholds: its width, the height of each half, the room between them, and styles of lines."""
WORDS = {"holds": "holds", "chance": "met by chance", "refuted": "refuted", "not-checked": "not checked"}


def over_steps(curve: Json, steps: Sequence[int], kind: Quantity) -> Markup:
    """The median, least and largest value at each step, with threshold and chance; below, the verdict at each step."""
    points = curve["points"]
    places = dict(zip(steps, _places(steps), strict=True))
    x = [places[one["step"]] for one in points]
    keys = ("median", "least", "largest", "threshold", "chance")
    up = fit([one[key] for one in points for key in keys], BOTTOM, TOP)
    there = [(a, b) for a, b in zip(x, points, strict=True)]
    upper = [f"{a:g} {up(one['largest']):g}" for a, one in there]
    lower = [f"{a:g} {up(one['least']):g}" for a, one in reversed(there)]
    parts = [value_axis(up, LEFT, WIDTH - 8, kind)]
    parts.append(Markup('<path class="band" d="M{}Z"/>').format("L".join(upper + lower)))
    parts.append(_line("threshold", there, "threshold", up))
    parts.append(_line("chance-line", there, "chance", up))
    parts.append(_line("line line0", there, "median", up))
    for place, one in there:
        title = Markup("<title>{}</title>").format(_said(one, kind))
        dot = Markup('<circle class="median" cx="{}" cy="{}" r="3"/>').format(place, up(one["median"]))
        parts.append(Markup("<g>{}{}{}</g>").format(title, dot, point(one["verdict"], place, MARKS)))
    last = -math.inf
    for step, place in places.items():
        if place - last >= APART:
            parts.append(label(place, MARKS + 20, _short(step), "middle"))
            last = place
    parts.append(label(LEFT - 8, MARKS + 4, "verdict", "end") + label(LEFT - 8, MARKS + 20, "step", "end"))
    description = f"At step {_said(points[0], kind)}; at step {_said(points[-1], kind)}."
    name = f"{curve['claim']} ({curve['basis']}) over steps of training"
    return frame(WIDTH, MARKS + 26, "steps", name, description, Markup("").join(parts))


def _said(one: Json, kind: Quantity) -> str:
    spread = "" if one["least"] == one["largest"] else f", {kind.short(one['least'])} to {kind.short(one['largest'])}"
    chance = "" if one["chance"] is None else f", chance {kind.short(one['chance'], one['median'])}"
    return (
        f"{one['step']:,}: {kind.short(one['median'], one['threshold'])}{spread}, threshold {kind.rule(one)}{chance}, "
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


def over_thresholds(entries: Sequence[Json], names: Sequence[str]) -> Markup:
    """All runs in one figure: the share of matrices that pass each threshold, and of neurons explained below it."""
    known = [math.log2(one) for entry in entries for one in entry["thresholds"] if one > 0]
    asked = sorted({one for entry in entries for one in entry["asked"]})
    marked = [math.log2(one) for one in asked]
    low, high = min([*known, *marked, 0.0]) - 0.1, max([*known, *marked, 1.0]) + 0.1
    across = Scale(low, high, LEFT, WIDE - 8)
    panels = (
        ("passing", TOP + 8, PANEL, "matrices that pass"),
        ("explained", PANEL + GAP, 2 * PANEL + GAP, "neurons beyond chance, of layers whose W_out passes"),
    )
    parts = []
    for key, top, bottom, words in panels:
        values = [y for entry in entries for y in (*entry[key], *(entry["chance"] if key == "explained" else ()))]
        up = fit([0.0, *values], bottom, top, from_zero=True)
        parts.append(value_axis(up, LEFT, WIDE - 8) + label(LEFT, top - 4, words))
        for place in marked:
            parts.append(Markup('<path class="threshold" d="M{0} {1}V{2}"/>').format(across(place), top, bottom))
        for at, (entry, name) in enumerate(zip(entries, names, strict=True)):
            if key == "explained":
                parts.append(_stairs("chance-line", entry, "chance", across, up, f"{name}, chance"))
            parts.append(_stairs(f"line line{at % LINES}", entry, key, across, up, name))
    bottom = 2 * PANEL + GAP
    for half in range(math.ceil(2 * low), math.floor(2 * high) + 1):
        if high - low < 3 or half % 2 == 0:
            parts.append(label(across(half / 2), bottom + 15, f"{2 ** (half / 2):.2g}", "middle"))
    parts.append(label((LEFT + WIDE) / 2, bottom + 30, "threshold, in units of 1/sqrt(d)", "middle"))
    said = "; ".join(
        f"{name}: at {one:g} {percent(_at(entry, one))} of its {entry['matrices']} matrices pass"
        for entry, name in zip(entries, names, strict=True)
        for one in entry["asked"]
    )
    title = "Share of matrices that pass, and of neurons that are explained, over the threshold for near-orthogonality"
    return frame(WIDE, bottom + 36, "plot", title, said, Markup("").join(parts))


def _at(entry: Json, threshold: float) -> float:
    """The share of matrices that pass a threshold."""
    passed = [share for one, share in zip(entry["thresholds"], entry["passing"], strict=True) if one <= threshold]
    return float(passed[-1]) if passed else 0.0


def _stairs(kind: str, entry: Json, key: str, across: Scale, up: Scale, name: str) -> Markup:
    """A share that changes at each threshold and stays until the next; before the first there is none."""
    path = ""
    for threshold, share in zip(entry["thresholds"], entry[key], strict=True):
        if share is not None and threshold > 0:
            x, y = across(math.log2(threshold)), up(share)
            path += f"H{x:g}V{y:g}" if path else f"M{x:g} {y:g}"
    if not path:
        return Markup("")
    return Markup('<path class="{}" d="{}H{:g}"><title>{}</title></path>').format(kind, path, WIDE - 8, visible(name))


def _short(step: int) -> str:
    for size, sign in ((1_000_000, "M"), (1000, "k")):
        if step >= size and step % (size // 10) == 0:
            return f"{step / size:g}{sign}"
    return str(step)
