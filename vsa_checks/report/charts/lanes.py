"""One subject at a glance: its value, the threshold and the nulls, one below the other on an axis."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from vsa_checks.report.charts.scale import Scale, fit
from vsa_checks.report.formatting import ORIGINS, visible
from vsa_checks.report.quantities import Quantity

WIDTH, HEIGHT = 180, 20


@dataclass(frozen=True)
class Lane:
    """One line of the comparison: a name, a drawing, and the number that the drawing shows."""

    kind: str
    name: str
    drawing: Markup
    number: str


def lanes(result: Mapping[str, Any], kind: Quantity) -> list[Lane]:
    """Lanes for the value, the threshold, each decisive null (or, without one, each null), reference and twin.

    A subject that was not checked has none.
    """
    if result["value"] is None:
        return []
    nulls = [null for null in result["nulls"] if null["decisive"]] or list(result["nulls"])
    value, threshold, reference, ci = result["value"], result["threshold"], result["reference"], result["ci"]
    twin = result["twin"]
    numbers = [value, threshold, ci and ci["low"], ci and ci["high"], reference and reference["value"]]
    numbers.append(twin and twin["value"])
    for null in nulls:
        numbers += [null["value"] - (null["spread"] or 0.0), null["value"] + (null["spread"] or 0.0)]
    scale = fit(numbers, 7, WIDTH - 7)
    zone = _zone(scale, threshold, result["direction"])
    found = []
    if value is not None:
        verdict = result["verdict"]
        whisker = _whisker(scale, ci["low"], ci["high"]) if ci else Markup("")
        mark = Markup('<circle class="dot {}" cx="{}" cy="10" r="5"/>').format(verdict, scale(value))
        found.append(Lane("value", "this model", _lane(zone, whisker + mark), kind.short(value, threshold)))
    tick = Markup('<path class="threshold" d="M{} 0v20"/>').format(scale(threshold))
    rule = f"threshold, {ORIGINS.get(result['threshold_origin'], result['threshold_origin'])}"
    found.append(Lane("rule", rule, _lane(zone, tick), kind.rule(result)))
    for null in sorted(nulls, key=lambda null: (not null["decisive"], null["name"])):
        spread = null["spread"]
        whisker = _whisker(scale, null["value"] - spread, null["value"] + spread) if spread else Markup("")
        mark = Markup('<path class="diamond" d="M{} 4.5l5.5 5.5-5.5 5.5-5.5-5.5z"/>').format(scale(null["value"]))
        name = f"chance: {null['name']}" if null["decisive"] else f"chance (not decisive): {null['name']}"
        found.append(Lane("null", visible(name), _lane(zone, whisker + mark), kind.short(null["value"], value)))
    if reference:
        mark = Markup('<path class="triangle" d="M{} 4.5l5.5 10h-11z"/>').format(scale(reference["value"]))
        name = f"reference: {reference['name']}"
        found.append(Lane("reference", visible(name), _lane(zone, mark), kind.short(reference["value"], value)))
    if twin:
        mark = Markup('<path class="square" d="M{} 5.5h9v9h-9z"/>').format(round(scale(twin["value"]) - 4.5, 1))
        found.append(Lane("twin", "untrained twin", _lane(zone, mark), kind.short(twin["value"])))
    return found


def _zone(scale: Scale, threshold: float, direction: str) -> Markup:
    """The claimed side of the threshold, and the threshold as a thin line."""
    edge = scale(threshold)
    left, right = (edge, WIDTH) if direction == ">=" else (0, edge)
    shape = Markup('<rect class="zone" x="{}" width="{}" height="20"/><path class="edge" d="M{} 0v20"/>')
    return shape.format(left, round(right - left, 1), edge)


def _whisker(scale: Scale, low: float, high: float) -> Markup:
    return Markup('<path class="whisker" d="M{} 10H{}"/>').format(scale(low), scale(high))


def _lane(zone: Markup, marks: Markup) -> Markup:
    opening = Markup('<svg class="lane" viewBox="0 0 {0} {1}" width="{0}" height="{1}" aria-hidden="true">')
    axis = Markup('<path class="axis" d="M0 10H{}"/>').format(WIDTH)
    return opening.format(WIDTH, HEIGHT) + zone + axis + marks + Markup("</svg>")
