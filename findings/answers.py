"""The short answers from the pages on the paper's other two questions, for docs/findings.md."""

from __future__ import annotations

from pathlib import Path

from vsa_checks.errors import UsageError
from vsa_checks.paths import DOCS

BEGINS = "**In short.**"
QUESTIONS = {
    "dynamics.md": "How it comes about in training",
    "interventions.md": "What it contributes",
}
"""The page that answers a question, and its heading here. Each is written from results by a command of its own."""


def answers(docs: Path = DOCS) -> str:
    """Markdown: the short answer of each page that is there, with a link to it."""
    parts = []
    for name, title in QUESTIONS.items():
        if (docs / name).exists():
            said, table = short_answer(docs / name)
            parts.append("\n\n".join([f"## {title}", f"{said} ([{name}]({name}))", *table]) + "\n")
    return "\n".join(["", *parts])


def short_answer(page: Path) -> tuple[str, list[str]]:
    """The paragraph that a page begins its answer with, and the table after it in a list, which is empty without one.

    Raises UsageError for a page without such a paragraph.
    """
    _, begins, rest = page.read_text(encoding="utf-8").partition(BEGINS)
    if not begins:
        raise UsageError(f"{page} has no paragraph that begins with {BEGINS!r}: write it anew by its own command.")
    said, _, after = rest.strip().partition("\n\n")
    return said, [after.partition("\n\n")[0]] if after.startswith("|") else []
