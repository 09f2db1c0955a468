"""Every page for readers: its links lead somewhere, and the files that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vsa_checks.paths import DOCS, ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.glob("*.md"), ROOT / "reports" / "README.md", *ROOT.glob("fixtures/*/README.md")]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:vsa_checks|claims|fixtures|calibration|benchmarks|dynamics|tests|docs)/[\w./*-]*)`")


def _anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub turns them into anchors."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = [name for name in NAMED.findall(text) if not list(ROOT.glob(name))]
    for link in LINK.findall(text):
        target, _, anchor = link.partition("#")
        end = page.parent / target if target else page
        if not re.match(r"\w+:", link) and not (end.exists() and (not anchor or anchor in _anchors(end))):
            broken.append(link)
    assert broken == []


def test_the_index_lists_every_page() -> None:
    listed = {(DOCS / link).resolve() for link in LINK.findall((DOCS / "README.md").read_text(encoding="utf-8"))}
    assert set(PAGES) - {DOCS / "README.md", ROOT / "README.md"} <= listed
