"""index.html: one self-contained page from the document of a run. Nothing is measured or judged here."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vsa_checks.figures.store import NO_ARRAYS, Kept, read_file
from vsa_checks.report import formatting, opening
from vsa_checks.report.claim_view import section_views
from vsa_checks.report.document import content_there, schema
from vsa_checks.report.quantities import chance_of
from vsa_checks.report.rendering import page_environment
from vsa_checks.writing import write_whole

FILE_NAME = "index.html"


def render(document: Mapping[str, Any], kept: Kept = NO_ARRAYS) -> str:
    """The page of a valid document (see document.validate) as HTML: no network, all escaped.

    It is whole without script; its script adds filters and sorting, and nothing else. `kept` holds the arrays for its
    figures.
    """
    from vsa_checks.report.figures_view import figures_view  # its modules take from this package, which begins here

    sections = section_views(document)
    claims = [claim for section in sections for claim in section["claims"]]
    results = document["results"]
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return str(
        _template().render(
            model=dict.fromkeys(schema()["$defs"]["model"]["properties"]) | document["model"],
            environment=document["environment"],
            summary=document["summary"],
            paper=document["paper"],
            schema_version=document["schema_version"],
            paper_line=formatting.paper_line(document["model"]),
            headline=opening.headline(claims, document["summary"]["not_run"]),
            partial=formatting.partial_line(document),
            bases=opening.bases(results),
            recorded=opening.recorded(results),
            n_results=len(results),
            sections=sections,
            says=opening.SAYS,
            by_verdict={v: [c for c in claims if c["verdict"] == v] for v in formatting.VERDICTS},
            layers=sorted({r["subject"]["layer"] for r in results if r["subject"]["layer"] is not None}),
            not_checked=[(claim, groups) for claim in claims if (groups := opening.not_checked(claim["results"]))],
            figures=figures_view(document, kept),
            script=Markup(script),
            script_hash=f"'sha256-{digest}'",
        )
    )


def write_page(document: Mapping[str, Any], directory: str | Path) -> Path:
    """Write the page of a valid document to `directory`/index.html, whole or not at all, and return the path.

    Its figures use the figures.npz that lies there, if it belongs to the document.
    """
    path = Path(directory) / FILE_NAME
    write_whole(path, render(document, read_file(Path(directory), content_there(document, Path(directory)))))
    return path


@cache
def _script() -> str:
    return files("vsa_checks.report").joinpath("templates", "index.js").read_text(encoding="utf-8")


@cache
def _template() -> Any:
    filters = {
        "number": formatting.number,
        "duration": formatting.duration,
        "visible": formatting.visible,
        "in_words": formatting.counts_in_words,
        "remarks": formatting.remarks,
        "shape_in_words": formatting.shape_in_words,
        "glyph": _glyph,
        "section": _section,
        "chance_of": chance_of,
        "rank": formatting.WORST_FIRST.index,
    }
    environment = page_environment(filters)
    return environment.get_template("index.html.j2")


def _section(section: str) -> str:
    """The place of a claim in the paper; a claim that goes beyond the paper has words instead of a section number."""
    return f"paper, section {formatting.visible(section)}" if section[:1].isdigit() else formatting.visible(section)


def _glyph(verdict: str) -> Markup:
    """A sign beside the word of a verdict, because colour must not be the only mark."""
    return Markup('<svg class="glyph" width="12" height="12" aria-hidden="true"><use href="#sign-{}"/></svg>').format(
        verdict
    )
