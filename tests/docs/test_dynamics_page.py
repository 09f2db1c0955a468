"""docs/dynamics.md and its figure are what the command writes from docs/dynamics.json."""

from __future__ import annotations

import json

from dynamics.command import FULL
from dynamics.page import render
from vsa_checks.paths import DOCS


def test_the_page_is_current() -> None:
    document = json.loads((DOCS / "dynamics.json").read_text(encoding="utf-8"))
    assert not document["small"] and document["settings"] == FULL.as_json()
    assert render(document) == (DOCS / "dynamics.md").read_text(encoding="utf-8")
    assert (DOCS / "dynamics.svg").stat().st_size < 300_000
