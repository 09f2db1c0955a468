"""The figures of a model's page: drawn in its colours, each with its message in words and a link that saves it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from vsa_checks.figures import best_picture, circuit_picture, gram_picture, kept
from vsa_checks.figures.every import EVERY
from vsa_checks.figures.kept_shapes import groups
from vsa_checks.figures.markup import as_markup, standalone
from vsa_checks.figures.picture import Choice, NothingToDraw, Picture, Place, Report, first_middle_last
from vsa_checks.figures.store import Kept
from vsa_checks.report.escaping import html_token

MOST_PLACES = 200
"""So many lists of neurons stand on a page; `vsa-checks plot` gives any other."""
MOST_BYTES = 300_000
"""A larger drawing is left to `vsa-checks plot`."""


def figures_view(document: Mapping[str, Any], kept_arrays: Kept) -> dict[str, Any]:
    """What the template of the figures shows.

    Parameters
    ----------
    document : mapping
        A valid document.
    kept_arrays : Kept
        The arrays beside it.

    Returns
    -------
    dict
        figures: name, title, message, section and markup of each, in the order of the page; with `parts` of it where a
        reader picks one. missing: by reason, the figures that cannot be drawn. why_none: why there are no arrays.
    """
    report = Report(document, kept_arrays)
    found: list[dict[str, Any]] = []
    missing: dict[str, list[str]] = {}
    for name in EVERY:
        try:
            found.append(_figure(report, name))
        except NothingToDraw as problem:
            missing.setdefault(str(problem), []).append(name)
    return {"figures": found, "missing": missing, "why_none": kept_arrays.why_none}


def _figure(report: Report, name: str) -> dict[str, Any]:
    if name == gram_picture.NAME:
        return _grams(report)
    if name == best_picture.NAME:
        return _best(report)
    if name == circuit_picture.NAME:
        return _circuits(report)
    return _drawn(report, EVERY[name](report, Choice()), name)


def _circuits(report: Report) -> dict[str, Any]:
    """The graph for each matrix that reads; where there are several, a reader picks one."""
    places = [Place.of(name) for name in groups(report.kept.arrays, kept.LINKS)]
    matrices = [place.matrix for place in places if place.basis == report.basis()]
    parts = []
    for matrix in matrices:
        picture = circuit_picture.picture(report, Choice(matrix=matrix))
        parts.append(_drawn(report, picture, f"circuits-{matrix}") | {"label": f"W_out to {matrix}"})
    if len(parts) < 2:
        return _drawn(report, circuit_picture.picture(report, Choice()), circuit_picture.NAME)
    return {**parts[0], "anchor": "figure-circuits", "parts": parts}


def _drawn(report: Report, picture: Picture, anchor: str) -> dict[str, Any]:
    """One picture as the template shows it. Raises NothingToDraw where it would be too large."""
    markup = as_markup(picture.draw(), f"fig-{anchor}", picture.title, picture.message)
    if len(markup) > MOST_BYTES:
        raise NothingToDraw(f"It is too large for a page; `vsa-checks plot` draws {picture.name}.")
    model = "".join(one if one.isalnum() and one.isascii() else "-" for one in str(report.document["model"]["name"]))
    return {
        "name": picture.name,
        "anchor": f"figure-{anchor}",
        "title": picture.title,
        "message": picture.message,
        "section": picture.section,
        "markup": Markup(markup),
        "save": "data:image/svg+xml," + quote(standalone(markup), safe=" =:/;,()!*+-._?'@[]"),
        "file": f"{model[:60]}-{anchor}.svg",
        "parts": [],
        "lists": [],
    }


def _grams(report: Report) -> dict[str, Any]:
    """M^T M of the embeddings, and of the first, the middle and the last layer, of which a reader picks one."""
    basis = report.basis()
    places = [Place.of(name) for name in groups(report.kept.arrays, kept.GRAM)]
    own = [place for place in places if place.basis == basis and (place.layer or 0) < report.n_layers]
    layers = first_middle_last(place.layer for place in own if place.layer is not None)
    parts = []
    if any(place.layer is None for place in own):
        parts.append(_part(report, Choice(matrix=gram_picture.EMBEDDINGS), "Embeddings", "gram-embeddings"))
    parts += [_part(report, Choice(layer=layer), f"Layer {layer}", f"gram-layer-{layer}") for layer in layers]
    if not parts:
        gram_picture.picture(report, Choice())  # says what is missing
        raise NothingToDraw("The run measured nothing of the kind.")
    return {
        **parts[0],
        "title": "Cosines between vectors of one matrix (M^T M)",
        "anchor": "figure-gram",
        "message": "",
        "parts": parts,
    }


def _part(report: Report, choice: Choice, label: str, anchor: str) -> dict[str, Any]:
    return _drawn(report, gram_picture.picture(report, choice), anchor) | {"label": label}


def _bare(token: str) -> Markup:
    """A token for a list that styles its tokens itself: there are thousands of them."""
    return Markup(str(html_token(token)).replace(' class="token"', "", 1))


def _best(report: Report) -> dict[str, Any]:
    """The best explained neurons of every layer as lists, which a reader can search."""
    places = best_picture.best_by_place(report, Choice())
    name = shlex.quote(str(report.document["model"]["name"]))
    lists = []
    for place, group in list(places.items())[:MOST_PLACES]:
        rows = []
        for neuron, own, cosines in zip(group["neurons"], group["names"], group["cosines"], strict=True):
            tokens = Markup(" ").join(
                Markup("{}{}").format(_bare(token), f"{cosine:.2f}".removeprefix("0"))
                for token, cosine in zip(own, cosines, strict=False)
            )
            rows.append({"neuron": int(neuron), "cosine": f"{max(cosines, default=0.0):.3f}", "tokens": tokens})
        expert = "" if place.expert is None else f" --expert {place.expert}"
        lists.append(
            {
                "label": f"{place.words[:1].upper()}{place.words[1:]}",
                "rows": rows,
                "message": best_picture.message(place, group),
                "command": f"vsa-checks explain {name} {place.layer} {int(group['neurons'][0])} --matrix {place.matrix}"
                f"{expert} --basis {place.basis}",
            }
        )
    first, group = next(iter(places.items()))
    return {
        "name": best_picture.NAME,
        "anchor": f"figure-{best_picture.NAME}",
        "title": "The best explained neurons of each layer",
        "message": best_picture.message(first, group),
        "section": best_picture.SECTION,
        "markup": None,
        "parts": [],
        "lists": lists,
        "left_out": max(len(places) - MOST_PLACES, 0),
    }
