"""M^T M as a picture: grey is what chance gives, colour is what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.figures import kept
from vsa_checks.figures.grams import block, heads_of
from vsa_checks.figures.picture import Choice, NothingToDraw, Picture, Place, Report, chosen, only_expert, percent
from vsa_checks.figures.style import SOFT, drawn, panels, styled
from vsa_checks.theory import artifact_cut

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME, SECTION = "gram", "3.1"
EMBEDDINGS = "embeddings"
"""In place of a matrix: all there is of W_E."""
CHANCE, ABOVE, BELOW = (0.50, 0.54, 0.60), (0.0, 0.45, 0.74), (0.84, 0.37, 0.0)
LABELLED = 64
SHADES = 32
"""So many are told apart; more would make a page larger that nobody sees better."""
Tile = tuple[str, NDArray[np.float64]]


def colours(cosines: NDArray[np.float64], cut: float) -> NDArray[np.float64]:
    """Colours of cosines as red, green, blue and opacity, (..., 4), so that any ground shows through.

    Up to `cut`, which hardly any random pair exceeds, they are greys; beyond it blue for positive ones and orange for
    negative ones.
    """
    size = np.minimum(np.abs(cosines), 1.0)
    edge = min(cut, 1.0)
    within = 0.42 * size / edge
    beyond = 0.55 + 0.45 * (np.maximum(size - edge, 0.0) / max(1.0 - edge, 1e-9)) ** 0.7
    shown = np.round(np.where(size > edge, beyond, within) * SHADES) / SHADES
    hue = np.where((size > edge)[..., None], np.where((cosines > 0)[..., None], ABOVE, BELOW), CHANCE)
    return np.concatenate([hue, shown[..., None]], axis=-1)


def picture(report: Report, choice: Choice) -> Picture:
    """M^T M of each matrix of a layer, or of one matrix, or of one head.

    Raises NothingToDraw where the report holds none.
    """
    embeddings = choice.matrix == EMBEDDINGS
    found = chosen(report, kept.GRAM, replace(choice, matrix=None) if embeddings else choice)
    layer = choice.layer
    if layer is None:
        layers = [place.layer for place in found if place.layer is not None]
        layer = min(layers) if layers and not embeddings else None
    own = {place: group for place, group in found.items() if place.layer == layer}
    first = min((place.expert for place in own if place.expert is not None), default=None)
    skipped = only_expert(place.expert for place in own)
    own = {place: group for place, group in own.items() if place.expert in (None, first)}
    whole = _of_places(report, own, choice.head, layer)
    return replace(whole, message=whole.message + skipped)


def _of_places(report: Report, own: Mapping[Place, Mapping[str, Any]], head: int | None, layer: int | None) -> Picture:
    cut, whole, tiles = artifact_cut(report.d_model), [], []
    for place, group in own.items():
        cosines, rows = block(group)
        whole.append((place, cosines, rows, group))
        one = head if head is not None else _worst(group, cut)
        if one is not None and one in heads_of(group):
            tiles.append((place, block(group, one)[0], one))
    if head is not None and not tiles:
        known = sorted({one for group in own.values() for one in heads_of(group)})
        raise NothingToDraw(
            f"The report has no block for head {head} there. It has heads {', '.join(map(str, known))}."
            if known
            else f"The report has no heads there: {', '.join(place.words for place in own)} has none of its own."
        )
    shown: list[Tile] = (
        [] if head is not None else [(_title(place, cosines), cosines) for place, cosines, _, _ in whole]
    )
    shown += [(f"{_name(place)}, head {one}", cosines) for place, cosines, one in tiles]
    where = "the embeddings" if layer is None else f"layer {layer}"
    if head is not None:
        where += f", head {head}"
    names = [group["names"] for _, _, _, group in whole if "names" in group]
    frequent = names[0]["frequent"] if names else 0
    message = _message(shown, cut, report.d_model, frequent, bool(names))
    tokens = names[0]["tokens"] if names else []
    title = f"Cosines between vectors of {where} (M^T M)"
    return Picture(NAME, title, message, SECTION, lambda: _draw(shown, cut, report.d_model, tokens, frequent))


def _title(place: Place, cosines: NDArray[np.float64]) -> str:
    return f"{_name(place)}, sample of {len(cosines)}{' tokens' if place.layer is None else ''}"


def _name(place: Place) -> str:
    matrix = place.matrix.replace("-centered", ", centered")
    return matrix if place.expert is None else f"{matrix} of expert {place.expert}"


def _worst(group: Mapping[str, Any], cut: float) -> int | None:
    """The head whose vectors are least orthogonal, by their rms cosine."""
    found = {head: _rms(block(group, head)[0]) for head in heads_of(group)}
    return max(found, key=lambda head: found[head]) if found else None


def _rms(cosines: NDArray[np.float64]) -> float:
    off = cosines[np.triu_indices(len(cosines), 1)]
    return float(np.sqrt(np.mean(off**2))) if len(off) else 0.0


def _message(shown: list[Tile], cut: float, d: int, frequent: int, tokens: bool) -> str:
    parts = []
    for name, cosines in shown:
        off = np.abs(cosines[np.triu_indices(len(cosines), 1)])
        share = f"{percent(float(np.mean(off > cut)))} of " if cut < 1 else ""
        parts.append(f"{name}: {share}{len(off):,} pairs, rms {_rms(cosines):.3f}")
    sample = (
        (f"The first {frequent} tokens are frequent words of the text that ships with the checks, the others a seeded "
         "sample of the vocabulary. " if frequent else "The tokens are a seeded sample of the vocabulary; it is not "
         "known which are frequent. ")
        if tokens
        else ""
    )  # fmt: skip
    if cut >= 1:
        return (
            f"Each square is the cosine of two vectors; the diagonal is 1. In so few dimensions no single cosine "
            f"differs from chance, so all are grey: 6/√d = {cut:.3f} is above 1 (random directions have an rms of "
            f"1/√d = {d**-0.5:.3f}). {sample}Off the diagonal: {'; '.join(parts)}."
        )
    return (
        f"Each square is the cosine of two vectors; the diagonal is 1. Grey is within ±6/√d = {cut:.3f}, which random "
        f"directions almost never exceed (their rms is 1/√d = {d**-0.5:.3f}); blue is above it, orange below "
        f"−{cut:.3f}. {sample}Share beyond it and rms, off the diagonal: {'; '.join(parts)}."
    )


def _draw(shown: list[Tile], cut: float, d: int, tokens: list[str], frequent: int) -> Figure:
    with styled():
        if len(shown) == 1 or tokens:
            wide = 4.2 * min(len(shown), 2) + 1.1
            figure, axes = panels(len(shown), columns=2, width=wide, height=4.2, below=1.0, left=0.95, gap=(0.1, 0.6))
        else:
            figure, axes = panels(len(shown), columns=4, width=7.6, height=1.78, below=0.75, left=0.1, gap=(0.1, 0.3))
        for at, (axis, (title, cosines)) in enumerate(zip(axes, shown, strict=True)):
            axis.imshow(colours(cosines, cut), interpolation="none", aspect="equal")
            axis.set_title(title)
            axis.set_xticks([])
            axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set_visible(True)
            if tokens and len(shown) <= 2 and len(tokens) <= LABELLED:
                if at == 0:
                    axis.set_yticks(range(0, len(tokens), 2), [drawn(name, 14) for name in tokens[::2]], fontsize=6.4)
                if frequent:
                    axis.axhline(frequent - 0.5, color=SOFT, linewidth=0.6)
                    axis.axvline(frequent - 0.5, color=SOFT, linewidth=0.6)
                    axis.set_xlabel(f"{frequent} frequent words, then a sample of {len(tokens) - frequent}")
        _scale(figure, cut, d)
    return figure


def _scale(figure: Figure, cut: float, d: int) -> None:
    """A bar of all colours, which says what chance gives."""
    tall = figure.get_figheight()
    bar = figure.add_axes((0.1, 0.48 / tall, 0.8, 0.12 / tall))
    bar.imshow(colours(np.linspace(-1, 1, 401)[None], cut), aspect="auto", extent=(-1, 1, 0, 1), interpolation="none")
    bar.set_yticks([])
    ticks = [(-1.0, "−1"), (-cut, "−6/√d"), (0.0, "0"), (cut, f"6/√d = {cut:.2f}"), (1.0, "1")]
    ticks = [one for one in ticks if abs(one[0]) in (0.0, 1.0) or cut < 0.8]
    bar.set_xticks([place for place, _ in ticks], [label for _, label in ticks])
    bar.set_xlabel(f"cosine; random directions: rms 1/√d = {d**-0.5:.3f}", fontsize=8)
