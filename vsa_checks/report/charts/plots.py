"""Curves and histograms from the details of a result."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from vsa_checks.report.charts.scale import Scale, fit, frame, label, value_axis
from vsa_checks.report.formatting import number, visible

WIDTH, LEFT, TOP, BOTTOM = 420, 48, 8, 140
LINES = 6  # as many line styles as the style sheet has
BINS = 60


def is_series(value: Any, length: int | None = None) -> bool:
    """Whether a value is a list of numbers, of the length given."""
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(item, int | float) and not isinstance(item, bool) for item in value)
        and (length is None or len(value) == length)
    )


def curve(content: Any, title: str) -> Markup | None:
    """The curves of {x_label, y_label, x, series: [{name, y}]}; None if it has another form."""
    if not (isinstance(content, Mapping) and is_series(content.get("x")) and isinstance(content.get("series"), list)):
        return None
    x = content["x"]
    series = [s for s in content["series"] if isinstance(s, Mapping) and is_series(s.get("y"), len(x))]
    if not series or len(series) != len(content["series"]) or len(series) > LINES:
        return None
    across = fit(x, LEFT, WIDTH - 8)
    up = fit([y for one in series for y in one["y"]], BOTTOM, TOP)
    parts = [value_axis(up, LEFT, WIDTH - 8), _x_axis(across, content.get("x_label", "x"))]
    for index, one in enumerate(series):
        points = "L".join(f"{across(a):g} {up(b):g}" for a, b in zip(x, one["y"], strict=True))
        name = one.get("name", index)
        parts.append(
            Markup('<path class="line line{}" d="M{}"><title>{}</title></path>').format(index, points, visible(name))
        )
        if len(x) <= 24:
            dots = "".join(f"M{across(a):g} {up(b):g}h0" for a, b in zip(x, one["y"], strict=True))
            parts.append(Markup('<path class="points line{}" d="{}"/>').format(index, dots))
    parts.append(_key([(f"line line{i}", one.get("name", i)) for i, one in enumerate(series)]))
    height = BOTTOM + 36 + 15 * len(series)
    ends = "; ".join(
        f"{one.get('name', i)} from {number(one['y'][0])} to {number(one['y'][-1])}" for i, one in enumerate(series)
    )
    label_y = content.get("y_label", "y")
    description = f"{label_y} against {content.get('x_label', 'x')}: {ends}."
    return frame(WIDTH, height, "plot", f"{title}: {label_y}", description, Markup("").join(parts))


def histogram(content: Any, title: str) -> Markup | None:
    """The bars of {edges, counts, x_label} with the reference, where there is one, as a line.

    None where the content has another form.
    """
    if not (isinstance(content, Mapping) and is_series(content.get("counts")) and is_series(content.get("edges"))):
        return None
    counts, edges = content["counts"], content["edges"]
    if len(edges) != len(counts) + 1 or any(b <= a for a, b in pairwise(edges)):
        return None
    reference = content.get("reference")
    if not is_series(reference, len(counts)):
        reference = None
    total = sum(counts)
    shares, expected = _shares(counts), _shares(reference or [])
    shown = _filled(shares, expected)
    merge = -(-(shown.stop - shown.start) // BINS)
    edges = [*edges[shown.start : shown.stop : merge], edges[shown.stop]]
    shares, expected = _merged(shares[shown], merge), _merged(expected[shown], merge)
    across = Scale(edges[0], edges[-1], LEFT, WIDTH - 8)
    # Bins may differ in width: what is drawn is the share of each bin, not a density.
    up = fit([0.0, *shares, *expected], BOTTOM, TOP, from_zero=True)
    parts = [value_axis(up, LEFT, WIDTH - 8), _x_axis(across, content.get("x_label", "value"))]
    parts.append(Markup('<path class="counts" d="{}"/>').format(_outline(edges, shares, across, up)))
    entries = [("counts", f"share of the {number(int(total))} measured, per bin")]
    if expected:
        parts.append(Markup('<path class="reference-line" d="{}"/>').format(_outline(edges, expected, across, up)))
        entries.append(("reference-line", "reference"))
    parts.append(_key(entries))
    peak = shares.index(max(shares))
    description = f"Most often between {number(edges[peak])} and {number(edges[peak + 1])}."
    return frame(WIDTH, BOTTOM + 36 + 15 * len(entries), "plot", title, description, Markup("").join(parts))


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _merged(shares: Sequence[float], bins: int) -> list[float]:
    return [sum(shares[start : start + bins]) for start in range(0, len(shares), bins)]


def _filled(*series: Sequence[float]) -> slice:
    """The bins from the first to the last visible one: empty tails would squeeze the rest."""
    bins = max(len(one) for one in series)
    filled = [i for i in range(bins) if any(one and one[i] > 1e-4 for one in series)]
    return slice(max(filled[0] - 1, 0), min(filled[-1] + 2, bins)) if filled else slice(0, bins)


def _outline(edges: Sequence[float], heights: Sequence[float], across: Scale, up: Scale) -> str:
    path = f"M{across(edges[0]):g} {up(0.0):g}"
    for right, height in zip(edges[1:], heights, strict=True):
        path += f"V{up(height):g}H{across(right):g}"
    return path + f"V{up(0.0):g}"


def _x_axis(scale: Scale, name: object) -> Markup:
    ticks = Markup("").join(label(scale(tick), BOTTOM + 15, number(tick), "middle") for tick in scale.ticks(5))
    line = Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, BOTTOM, WIDTH - 8)
    return line + ticks + label((LEFT + WIDTH) / 2, BOTTOM + 29, name, "middle")


def _key(entries: Sequence[tuple[str, object]]) -> Markup:
    parts = Markup("")
    for index, (kind, name) in enumerate(entries):
        y = BOTTOM + 44 + 15 * index
        parts += Markup('<path class="{}" d="M{} {}h22"/>').format(kind, LEFT, y - 4) + label(LEFT + 28, y, name)
    return parts
