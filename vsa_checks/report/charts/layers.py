"""A claim over the layers of a model: small bars for the overview, a chart with intervals for the detail."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from vsa_checks.report.charts.scale import Scale, fit, frame, label, value_axis
from vsa_checks.report.formatting import GIVEN, WORST_FIRST, layer_ranges, remarks
from vsa_checks.report.quantities import Quantity
from vsa_checks.report.summary import hardest_null

Result = Mapping[str, Any]
_WORDS = {"refuted": "refuted", "chance": "met by chance", "holds": "holds", "not-checked": "not checked"}


def places(results: Sequence[Result]) -> str:
    """How many subjects of one matrix there are, in words: "30 layers", "8 experts of 4 layers"."""
    layers = {result["subject"]["layer"] for result in results}
    experts = [result["subject"]["layer"] for result in results if _expert(result) is not None]
    if not experts:
        return _number(len(layers), "layer")
    mixed = len(set(experts))
    others = len(layers) - mixed
    besides = f" and {_number(others, 'layer')} without experts" if others else ""
    return f"{_number(len(experts), 'expert')} of {_number(mixed, 'layer')}{besides}"


def named_places(results: Sequence[Result], longest: int | None = None) -> str:
    """The layers of the subjects of one matrix: "layers 0, 2–4", "3 experts of layers 0, 1".

    Without experts, a list of more than `longest` characters becomes the number of layers.
    """
    layers = [result["subject"]["layer"] for result in results]
    listed = layer_ranges(layers)
    where = f"layer{'s' * (len(set(layers)) > 1)} {listed}"
    experts = sum(_expert(result) is not None for result in results)
    if longest is not None and len(listed) > longest:
        return places(results)
    return f"{_number(experts, 'expert')} of {where}" if experts == len(results) else where


def _number(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _expert(result: Result) -> int | None:
    found: int | None = result["subject"].get("expert")
    return found


def verdicts_by_layer(results: Sequence[Result]) -> str:
    """Which layers have which verdict: "holds at layers 0, 29; refuted at 1–28"."""
    parts: list[str] = []
    for verdict in ("holds", "chance", "refuted", "not-checked"):
        own = [result for result in results if result["verdict"] == verdict]
        if own and len(own) == len(results):
            return f"{_WORDS[verdict]} at all {places(results)}"
        if own:
            where = named_places(own)
            parts.append(f"{_WORDS[verdict]} at {where.removeprefix('layers ') if parts else where}")
    return "; ".join(parts)


def bars_by_layer(results: Sequence[Result], title: str, kind: Quantity, alpha: float | None) -> Markup:
    """A strip of bars, one per layer: height by value, fill by verdict; lines for threshold and chance."""
    height = 34
    width_of_bar = 5 if len(results) > 18 else 9
    width = len(results) * (width_of_bar + 1) + 1
    values = [*(result["value"] for result in results), *map(_threshold, results)]
    chance = [null["value"] if (null := hardest_null(result, alpha)) else None for result in results]
    scale = fit([*values, *chance], height - 2, 2, from_zero=True)
    base = scale(max(scale.low, 0.0))
    shapes = dict.fromkeys((*WORST_FIRST, "holds given"), "")
    for index, result in enumerate(results):
        x = index * (width_of_bar + 1) + 1
        top = base if result["value"] is None else scale(result["value"])
        rise = round(base - top, 1) or 1.0
        shapes[_kind(result)] += f"M{x} {base}v{-rise:g}h{width_of_bar}v{rise:g}z"
    content = "".join(f'<path class="bar {verdict}" d="{path}"/>' for verdict, path in shapes.items() if path)
    steps = [index * (width_of_bar + 1) + 0.5 for index in range(len(results) + 1)]
    content += f'<path class="threshold" d="{_steps(steps, list(map(_threshold, results)), scale)}"/>'
    content += f'<path class="chance-line" d="{_steps(steps, chance, scale)}"/>'
    return frame(width, height, "bars", title, f"One bar per {_unit(results)}. {_described(results, kind)}", content)


def shares(counts: Mapping[str, int]) -> Markup:
    """A bar divided by verdict, shown next to the counts in words; empty if there is nothing to divide."""
    total = sum(counts[verdict] for verdict in WORST_FIRST)
    if total in {counts[verdict] for verdict in WORST_FIRST} and counts["given_by_shape"] in (0, total):
        return Markup("")
    width, x, content = 200, 0.5, Markup("")
    given = counts["given_by_shape"]
    shown = {**{verdict: counts[verdict] for verdict in WORST_FIRST}, "holds": counts["holds"] - given}
    shown = {"holds given": given, **shown} if given else shown
    for kind in ("refuted", "chance", "holds given", "holds", "not-checked"):
        if shown.get(kind):
            part = round(max(width * shown[kind] / total, 2.0), 1)
            content += Markup('<path class="bar {}" d="M{:g} .5h{:g}v8h-{:g}z"/>').format(kind, x, part, part)
            x = round(x + part, 1)
    svg = Markup('<svg class="shares" viewBox="0 0 {0} 9" width="{0}" height="9" aria-hidden="true">{1}</svg>')
    return svg.format(round(x + 1), content)


def lines_by_layer(results: Sequence[Result], title: str, kind: Quantity, alpha: float | None) -> Markup:
    """Value and interval per layer, marked by verdict, with threshold, hardest null and reference."""
    left, top, bottom = 48, 10, 150
    gap = max(9.0, min(44.0, 440 / len(results)))
    width = round(left + gap * len(results) + 10)
    keys: list[Callable[[Result], float | None]] = [
        lambda r: r["value"],
        _threshold,
        lambda r: r["ci"] and r["ci"]["low"],
        lambda r: r["ci"] and r["ci"]["high"],
        lambda r: r["reference"] and r["reference"]["value"],
        lambda r: null["value"] if (null := hardest_null(r, alpha)) else None,
        lambda r: r["twin"] and r["twin"]["value"],
    ]
    scale = fit([key(result) for result in results for key in keys], bottom, top)
    steps = [round(left + gap * index, 1) for index in range(len(results) + 1)]
    parts = [value_axis(scale, left, steps[-1], kind)]
    lines = (("reference-line", keys[4]), ("twin-line", keys[6]), ("chance-line", keys[5]), ("threshold", keys[1]))
    for line, key in lines:
        parts.append(Markup('<path class="{}" d="{}"/>').format(line, _steps(steps, list(map(key, results)), scale)))
    alike = len({result["threshold"] for result in results}) == 1  # then the description says it
    labelled = _labelled([result["subject"]["layer"] for result in results], gap)
    for index, result in enumerate(results):
        x = round(steps[index] + gap / 2, 1)
        parts.append(_layer(result, x, scale, bottom, kind, alpha, "" if alike else f", threshold {kind.rule(result)}"))
        if index in labelled:
            parts.append(label(x, bottom + 15, result["subject"]["layer"], "middle"))
    parts.append(label(left - 5, bottom + 15, "layer", "end"))
    return frame(width, bottom + 22, "layers", title, _described(results, kind), Markup("").join(parts))


def _unit(results: Sequence[Result]) -> str:
    experts = sum(_expert(result) is not None for result in results)
    return "layer" if not experts else "expert" if experts == len(results) else "layer or expert"


def _labelled(layers: Sequence[int], gap: float) -> set[int]:
    """At which of the places that follow each other, so many pixels apart, the layer is named: where it begins."""
    starts = [at for at, layer in enumerate(layers) if at == 0 or layers[at - 1] != layer]
    apart = gap * len(layers) / len(starts)
    every = 1 if apart >= 20 else 2 if apart >= 14 else 5
    return set(starts[::every])


def _layer(
    result: Result, x: float, scale: Scale, bottom: float, kind: Quantity, alpha: float | None, said: str
) -> Markup:
    """The marks of one layer, with their numbers as a tooltip; `said` stands behind the value."""
    expert = "" if _expert(result) is None else f", expert {_expert(result)}"
    words = f"layer {result['subject']['layer']}{expert}: {_WORDS[result['verdict']]}"
    if result["value"] is None:
        return Markup('<g><title>{}</title><path class="gap" d="M{} {}h6"/></g>').format(words, x - 3, bottom - 3)
    words += f", value {kind.short(result['value'], result['threshold'])}{said}"
    marks = Markup("")
    if null := hardest_null(result, alpha):
        words += f", {null['name']} {kind.short(null['value'], result['value'])}"
    if twin := result["twin"]:
        words += f", untrained twin {kind.short(twin['value'])}{' (meets it too)' if twin['met'] else ''}"
    if ci := result["ci"]:
        marks += Markup('<path class="whisker" d="M{} {}V{}"/>').format(x, scale(ci["low"]), scale(ci["high"]))
    return Markup("<g><title>{}</title>{}{}</g>").format(
        words, marks, point(result["verdict"], x, scale(result["value"]))
    )


def _kind(result: Result) -> str:
    """The CSS class of a bar: the verdict, and for `holds` whether it is given by the shape."""
    return f"{result['verdict']}{' given' if GIVEN in remarks(result) else ''}"


def point(verdict: str, x: float, y: float) -> Markup:
    """The mark of a verdict: a filled dot for holds, a hollow one for chance, a cross for refuted."""
    if verdict == "refuted":
        return Markup('<path class="cross" d="M{} {}l7 7m0-7l-7 7"/>').format(round(x - 3.5, 1), round(y - 3.5, 1))
    return Markup('<circle class="dot {}" cx="{}" cy="{}" r="4"/>').format(verdict, x, y)


def _steps(edges: Sequence[float], values: Sequence[float | None], scale: Scale) -> str:
    """A line that is level over each layer; equal neighbours in one stroke, gaps where a value is missing."""
    path = ""
    before: float | None = None
    for (left, right), value in zip(pairwise(edges), values, strict=True):
        if value is None:
            before = None
            continue
        y = scale(value)
        path += f"H{right:g}" if y == before else f"M{left:g} {y:g}H{right:g}"
        before = y
    return path or "M0 0"


def _threshold(result: Result) -> float | None:
    """The threshold that was applied; None for a subject that was not checked."""
    return None if result["value"] is None else result["threshold"]


def _described(results: Sequence[Result], kind: Quantity) -> str:
    """A chart's description: the threshold, and which layers have which verdict."""
    rules = {kind.rule(result): None for result in results if result["value"] is not None}
    words = verdicts_by_layer(results)
    start = f"Threshold {next(iter(rules))}. " if len(rules) == 1 else ""
    return f"{start}{words[:1].upper()}{words[1:]}."
