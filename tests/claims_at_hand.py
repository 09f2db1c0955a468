"""Claims with the fields that a test does not care about filled in."""

from __future__ import annotations

from typing import Any

from vsa_checks.judging.claim import Claim

USUAL: dict[str, Any] = {
    "version": 1,
    "section": "3.2",
    "title": "A claim",
    "statement": "Something is so.",
    "metric": "share",
    "direction": ">=",
    "threshold": 0.5,
    "threshold_unit": "1",
    "threshold_origin": "ours",
    "primary": "all",
    "subjects": "mlp-in",
}


def a_claim(name: str = "a-claim", **fields: Any) -> Claim:
    """A share of at least .5, on all subjects, with no decisive nulls, but for what `fields` say."""
    return Claim(**{"id": name, **USUAL, **fields})
