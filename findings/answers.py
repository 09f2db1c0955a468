"""The short answers from the pages on the paper's other two questions, for docs/findings.md."""

from __future__ import annotations

from itertools import takewhile
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
    parts = [
        f"## {title}\n\n{short_answer(docs / name)}\n\nMore: [{name}]({name}).\n"
        for name, title in QUESTIONS.items()
        if (docs / name).exists()
    ]
    return "\n".join(["", *parts])


def short_answer(page: Path) -> str:
    """The paragraph that a page begins its answer with, and the lists and tables that follow it.

    Raises UsageError for a page without such a paragraph.
    """
    _, begins, rest = page.read_text(encoding="utf-8").partition(BEGINS)
    if not begins:
        raise UsageError(f"{page} has no paragraph that begins with {BEGINS!r}: write it anew by its own command.")
    said, *after = rest.strip().split("\n\n")
    return "\n\n".join([said, *takewhile(lambda block: block.startswith(("- ", "|")), after)])
