"""The sections of the paper that claims belong to: their order on a page, and what each asks."""

from __future__ import annotations

from vsa_checks.report.escaping import visible

ASKS = {
    "2": "Is the residual stream a bundle, a sum whose members can be told?",
    "2.1": "Are word embeddings what this arithmetic needs?",
    "2.2": "Do attention heads unbind and bind vectors?",
    "2.4": "Do neurons compute OR and AND over tokens?",
    "3.1": "Are the vectors nearly orthogonal?",
    "3.2": "Are first-layer neurons sums of word embeddings?",
    "3.3": "Do neurons and heads form circuits?",
}
"""One question for each section, for readers who do not know the paper."""


def in_order(section: str) -> tuple[bool, str]:
    """Sort key: as in the paper, and at the end what has no number there."""
    return not section[:1].isdigit(), section


def heading(section: str) -> str:
    """The heading of a section: its number, and what it asks."""
    where = f"Section {visible(section)}" if section[:1].isdigit() else visible(section)
    return f"{where}: {ASKS[section]}" if section in ASKS else where
