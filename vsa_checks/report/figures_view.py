"""The figures of a model's page: drawn in its colours, each with its message in words and a link that saves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from vsa_checks.errors import first_line
from vsa_checks.figures import best_picture, circuit_picture, gram_picture, kept
from vsa_checks.figures.every import EVERY
from vsa_checks.figures.kept_shapes import groups
from vsa_checks.figures.markup import as_markup, standalone
from vsa_checks.figures.picture import Choice, NothingToDraw, Picture, Place, Report, first_middle_last
from vsa_checks.figures.store import Kept
from vsa_checks.report.commands import model_argument, shell
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
        other_basis: the weights that are not drawn, if they were measured too.
    """
    report = Report(document, kept_arrays)
    found: list[dict[str, Any]] = []
    missing: dict[str, list[str]] = {}
    for name in EVERY:
        try:
            found.append(_figure(report, name))
        except NothingToDraw as problem:
            missing.setdefault(str(problem), []).append(name)
        except Exception as problem:  # what was measured is not lost for a picture
            why = f"It could not be drawn ({first_line(problem)})."
            missing.setdefault(why, []).append(name)
    bases = {one["basis"] for one in document["results"]}
    return {
        "figures": found,
        "missing": missing,
        "why_none": kept_arrays.why_none,
        "other_basis": next(iter(bases - {report.basis()}), None),
    }


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
        choice = Choice(matrix=matrix)
        drawn = _drawn(report, circuit_picture.picture(report, choice), f"circuits-{matrix}", choice)
        parts.append(drawn | {"label": f"W_out to {matrix}"})
    if len(parts) < 2:
        return _drawn(report, circuit_picture.picture(report, Choice()), circuit_picture.NAME)
    return {**parts[0], "anchor": "figure-circuits", "parts": parts}


def _drawn(report: Report, picture: Picture, anchor: str, choice: Choice | None = None) -> dict[str, Any]:
    """One picture as the template shows it. Raises NothingToDraw where it would be too large."""
    markup = as_markup(picture.draw(), f"fig-{anchor}", picture.title, picture.message)
    if len(markup) > MOST_BYTES:
        raise NothingToDraw(f"It is too large for a page; `vsa-checks plot` draws {picture.name}.")
    model = "".join(one if one.isalnum() and one.isascii() else "-" for one in str(report.document["model"]["name"]))
    return {
        "name": picture.name,
        "options": _options(choice or Choice()),
        "anchor": f"figure-{anchor}",
        "title": picture.title,
        "message": picture.message,
        "section": picture.section,
        "markup": Markup(markup),
        "save": Markup("data:image/svg+xml,") + Markup(quote(standalone(markup), safe=" =:/;,()!*+-._?'@[]<>")),
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
        raise NothingToDraw("The run measured nothing of this kind.")
    return {
        **parts[0],
        "title": "Cosines between vectors of one matrix (M^T M)",
        "anchor": "figure-gram",
        "message": "",
        "parts": parts,
    }


def _part(report: Report, choice: Choice, label: str, anchor: str) -> dict[str, Any]:
    return _drawn(report, gram_picture.picture(report, choice), anchor, choice) | {"label": label}


def _options(choice: Choice) -> str:
    """What `vsa-checks plot` must be told to draw the same."""
    layer = "" if choice.layer is None else f" --layer {choice.layer}"
    return layer + ("" if choice.matrix is None else f" --matrix {shell(choice.matrix)}")


def _bare(token: str) -> Markup:
    """A token for a list that styles its tokens itself: there are thousands of them."""
    return Markup(str(html_token(token)).replace(' class="token"', "", 1))


def _best(report: Report) -> dict[str, Any]:
    """The best explained neurons of every layer as lists, which a reader can search."""
    places = best_picture.best_by_place(report, Choice())
    model, seed = model_argument(report.document["model"]), report.document["environment"]["seed"]
    seeded = f" --seed {seed}" if seed else ""
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
                "command": f"vsa-checks explain {model} {place.layer} {int(group['neurons'][0])}"
                f" --matrix {shell(place.matrix)}{expert} --basis {shell(place.basis)}{seeded}",
            }
        )
    first, group = next(iter(places.items()))
    return {
        "name": best_picture.NAME,
        "anchor": f"figure-{best_picture.NAME}",
        "title": "The best-explained neurons of each layer",
        "message": best_picture.message(first, group),
        "section": best_picture.SECTION,
        "markup": None,
        "parts": [],
        "lists": lists,
        "left_out": max(len(places) - MOST_PLACES, 0),
    }
