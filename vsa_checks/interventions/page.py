"""The numbers of docs/interventions.md, between its marks, and its figures, from the results of each model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsa_checks import paths
from vsa_checks.errors import UsageError
from vsa_checks.interventions import figure, prose, tables
from vsa_checks.interventions.document import read
from vsa_checks.report.escaping import markdown
from vsa_checks.report.formatting import duration

RESULTS = "interventions-*.json"
"""The committed results, beside the page: a file for each model."""
PAGE = paths.DOCS / "interventions.md"
START, END = "<!-- results: written by `python -m vsa_checks.interventions` -->", "<!-- end of results -->"


def block(document: Mapping[str, Any], picture: str = "") -> str:
    """One model's results in words, a figure of a name, and tables, in Markdown."""
    name, text, unchanged = markdown(document["model"]["name"]), document["text"], document["unchanged"]
    reasons = [f"{what} not checked: {markdown(reason)}." for what, reason in document["not_checked"].items()]
    reasons += [f"{what} failed: {markdown(reason)}" for what, reason in document["failed"].items()]
    if text is None:
        return "\n\n".join(reasons)
    around, read_from = document["environment"], markdown(text["name"])
    threads = around["threads"]
    lines = [
        f"### {name}",
        f"Seed {around['seed']}, {document['rule']['draws']} draws of each random null or change: {text['windows']} "
        f"windows of {read_from}, {text['tokens']:,} tokens predicted. Loss of the unchanged model: "
        f"{unchanged['loss']:.3f} nats per token; of the best guess without context: {unchanged['guess']:.3f}. "
        f"All trials took {duration(sum(one['duration_s'] for one in document['results']))} on {threads} "
        f"thread{'' if threads == 1 else 's'}.",
        *reasons,
        *prose.paragraphs(document),
        *([f"![What each dose costs, beside changes of the same size]({picture})"] if picture else []),
        "#### What changes cost on text",
        tables.markdown(tables.LOSS_HEADS, tables.loss_rows(document)),
    ]
    doses, tasks = tables.dose_rows(document), tables.task_rows(document)
    if doses:
        lines += ["#### Embeddings at each dose", tables.markdown(tables.DOSE_HEADS, doses)]
    if tasks:
        lines += ["#### Tasks", tables.markdown(tables.TASK_HEADS, tasks)]
    return "\n\n".join(lines)


def written(page: str, documents: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with new numbers, from results by the names of their figures.

    Raises UsageError if the marks are missing.
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UsageError(f"The marks for the results are missing: put back {START!r} and {END!r}.")
    blocks = [block(document, picture) for picture, document in documents.items()]
    between = "\n\n".join([prose.in_short([*documents.values()]), *blocks])
    return f"{before}{START}\n\n{between}\n\n{END}{after}"


def committed(docs: Path = paths.DOCS) -> dict[str, dict[str, Any]]:
    """The committed results by the names of their figures. Raises UsageError for none or a damaged one."""
    found = {path.with_suffix(".svg").name: read(path) for path in sorted(docs.glob(RESULTS))}
    if not found:
        raise UsageError(f"{docs} has no {RESULTS}: put a run's intervene.json there under such a name.")
    return found


def pages(page: Path = PAGE) -> dict[Path, bytes]:
    """The new content of the page and the figures. Raises UsageError for damaged files."""
    documents = committed(page.parent)
    wanted = {page: written(page.read_text(encoding="utf-8"), documents).encode()}
    drawn = {page.parent / name: figure.draw(document) for name, document in documents.items()}
    return wanted | {path: content for path, content in drawn.items() if content is not None}


def bring_up_to_date(page: Path = PAGE) -> bool:
    """Rewrite the page and the figures; returns whether one of them changed. Raises UsageError for damaged files."""
    wanted = pages(page)
    old = {path: path.read_bytes() for path in wanted if path.exists()}
    for path, content in wanted.items():
        path.write_bytes(content)
    return wanted != old
