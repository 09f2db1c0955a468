"""docs/findings.md and README's sentence, written from the kept results alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import jinja2

from calibration.page import table
from findings.kept import BASIS
from findings.standing import (
    CHANCE,
    FAILS,
    LESS,
    NO_TWIN,
    NOT_CHECKED,
    SHAPE,
    STRUCTURE,
    OnModel,
    on_model,
    places,
)
from vsa_checks.errors import UsageError
from vsa_checks.report import opening
from vsa_checks.report.answers import joined
from vsa_checks.report.claim_view import section_views
from vsa_checks.report.escaping import markdown
from vsa_checks.report.paper_sections import heading, in_order

PAGE = Path(__file__).with_name("page.md.j2")
WIDTH = 128
"""Of a line of README."""
START, END = "<!-- finding: written by `python -m findings` -->", "<!-- end of finding -->"
WORDS = {
    STRUCTURE: "structure",
    SHAPE: "given by the shape",
    NO_TWIN: "holds, no twin",
    LESS: "beyond chance, less than claimed",
    CHANCE: "chance",
    FAILS: "fails",
    NOT_CHECKED: "not checked",
}
Json = dict[str, Any]
Models = Sequence[Mapping[str, OnModel]]


def render(documents: Sequence[Mapping[str, Any]], answers: str = "") -> str:
    """The whole page in Markdown.

    Parameters
    ----------
    documents : sequence of mapping
        Kept results, a document for each model.
    answers : str
        Markdown that answers the paper's other two questions, of training and of contribution.
    """
    models = [on_model(document, BASIS) for document in documents]
    claims = _claims(models)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        basis=BASIS,
        papers=any(document["model"]["is_paper_model"] for document in documents),
        models=[_model(document) for document in documents],
        sentences=[_headline(document) for document in documents],
        short=_short(models),
        structure=[_structure(claim, on) for claim, on in claims if any(one.counts[STRUCTURE] for one in on)],
        shape=_table(claims, SHAPE, "untrained twin"),
        less=_table(claims, LESS, "null"),
        chance=_table(claims, CHANCE, "the null not beaten"),
        fails=_table(claims, FAILS, "null or reference"),
        reasons=_reasons(models),
        answers=answers,
        every=_every(claims, [document["model"]["name"] for document in documents]),
    )


def sentence(documents: Sequence[Mapping[str, Any]]) -> str:
    """The finding that README begins with: what the first model has, and what the shape or luck gives it."""
    on = on_model(documents[0], BASIS)
    counts = {name: sum(one.counts[name] for one in on.values()) for name in WORDS}
    primary = documents[0]["summary"]["primary"]
    beyond = [claim for claim, one in on.items() if one.counts[STRUCTURE]]
    held = primary["holds"]
    return (
        f"On the model that comes with this project (`{documents[0]['model']['name']}`, {BASIS} basis), {held:,} of "
        f"{sum(primary[v] for v in ('holds', 'chance', 'refuted', 'not-checked')):,} primary checks hold, but an "
        f"untrained network of the same shape meets {primary['given_by_shape']:,} of them too. Of the {len(on)} "
        f"claims, {len(beyond)} find something that neither luck nor the shape gives: "
        f"{joined([f'`{claim}`' for claim in beyond])} (for {counts[STRUCTURE]:,} of "
        f"{sum(counts.values()):,} subjects; [findings](docs/findings.md))."
    )


def in_readme(text: str, found: str) -> str:
    """`text` with the sentence between its two marks. Raises UsageError if they are missing."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UsageError(f"The marks for the finding are gone from README.md: put back {START!r} and {END!r}.")
    return f"{before}{START}\n{fill(found, WIDTH, break_long_words=False, break_on_hyphens=False)}\n{END}{after}"


def _claims(models: Models) -> list[tuple[str, list[OnModel]]]:
    """Every claim with the models that have it, as the paper's sections are ordered."""
    records = {claim: one.record for on in models for claim, one in on.items()}
    order = sorted(records, key=lambda claim: (in_order(records[claim]["section"]), list(records).index(claim)))
    return [(claim, [on[claim] for on in models if claim in on]) for claim in order]


def _model(document: Mapping[str, Any]) -> Json:
    model = document["model"]
    shape = f"{model['n_layers']} layers, d_model {model['d_model']:,}, vocabulary {model['d_vocab']:,}"
    return {
        "name": model["name"],
        "what": markdown(model["notes"] or model["architecture"]),
        "shape": shape,
        "sha256": (model["sha256"] or "")[:12],
        "n": len([1 for result in document["results"] if result["basis"] == BASIS]),
    }


def _headline(document: Mapping[str, Any]) -> str:
    views = [claim for section in section_views(document) for claim in section["claims"]]
    said, rest = opening.headline(views, document["summary"]["not_run"])
    return f"`{document['model']['name']}`: {said} {rest}".strip()


def _short(models: Models) -> list[str]:
    """One line for each model on what lies beyond luck and shape."""
    lines = []
    for on in models:
        found = [claim for claim, one in on.items() if one.counts[STRUCTURE]]
        name = next(iter(on.values())).model
        beyond = joined([f"`{claim}`" for claim in found]) if found else "nothing"
        lines.append(f"`{name}`: neither luck nor the shape gives {beyond}.")
    return lines


def _structure(claim: str, on: Sequence[OnModel]) -> Json:
    rows = []
    for one in on:
        if found := one.those(STRUCTURE):
            rows.append(
                [
                    one.model,
                    f"{len(found)} of {len(one.results)}",
                    markdown(places(found, one.results)),
                    one.span(result["value"] for result in found),
                    one.kind.rule(found[0]),
                    one.span(map(one.null_value, found)),
                    one.span(map(one.twin_value, found)),
                ]
            )
    record = on[0].record
    head = ["model", "holds for", "places", "value", "required", "null or reference", "untrained twin"]
    return {
        "claim": claim,
        "heading": heading(record["section"]),
        "statement": markdown(record["statement"]),
        "metric": markdown(record["metric"]),
        "nulls": joined(record["decisive"]) if record["decisive"] else "",
        "table": table(head, rows),
    }


def _table(claims: Sequence[tuple[str, list[OnModel]]], standing: str, beside: str) -> str:
    """The claims with subjects that stand so: their values, and what stands beside these, of the twin or of nulls."""
    rows = [
        [
            f"`{claim}`",
            one.model,
            f"{len(found)} of {len(one.results)}",
            one.span(result["value"] for result in found),
            one.kind.rule(found[0]),
            one.span(map(one.twin_value if standing == SHAPE else one.null_value, found)),
        ]
        for claim, on in claims
        for one in on
        if (found := one.those(standing))
    ]
    return table(["claim", "model", "subjects", "value", "required", beside], rows)


def _reasons(models: Models) -> list[str]:
    """Why something was not checked: a line for each reason, with claims and models."""
    groups: dict[str, dict[str, list[str]]] = {}
    for on in models:
        for claim, one in on.items():
            for result in one.those(NOT_CHECKED):
                reason = markdown(result["reason"]).rstrip(".")
                claims = groups.setdefault(reason, {}).setdefault(one.model, [])
                if claim not in claims:
                    claims.append(claim)
    lines = []
    for reason, on_models in groups.items():
        said = [f"{model} ({', '.join(f'`{claim}`' for claim in claims)})" for model, claims in on_models.items()]
        lines.append(f"{reason}: {'; '.join(said)}.")
    return lines


def _every(claims: Sequence[tuple[str, list[OnModel]]], names: Sequence[str]) -> str:
    rows = []
    for claim, on in claims:
        by_model = {one.model: one for one in on}
        cells = [_standings(by_model[name]) if name in by_model else "–" for name in names]
        rows.append([f"`{claim}`", on[0].record["section"], *cells])
    return table(["claim", "section", *names], rows)


def _standings(one: OnModel) -> str:
    return ", ".join(f"{word} {n}" for name, word in WORDS.items() if (n := one.counts[name]))
