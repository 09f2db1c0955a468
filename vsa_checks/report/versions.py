"""Versions of the schema of results.json, and the fields that earlier ones lack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCHEMA_VERSION = 2
READ = (1, SCHEMA_VERSION)
"""The versions that are read."""
BEFORE_TWINS = "this run predates untrained twins"
NEW_IN_2: dict[str, dict[str, Any]] = {
    "counts": {"given_by_shape": 0, "unsettled": 0},
    "result": {"unsettled": False, "twin": None},
}
"""Fields that schema version 1 did not have, with their values for such a run."""


def brought_up_to_date(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document of an earlier schema version in the form of this one: what was not measured then is filled in.

    The argument is not changed. Parts that are not as that version has them stay as they are, for `validate` to name.
    """
    if document.get("schema_version") != 1:
        return dict(document)

    def with_new(part: Any, kind: str) -> Any:
        return {**NEW_IN_2[kind], **part} if isinstance(part, Mapping) else part

    def counted(part: Any) -> Any:
        if not isinstance(part, Mapping):
            return part
        counts = {name: with_new(part[name], "counts") for name in ("primary", "exploratory") if name in part}
        worst = {"worst": with_new(part["worst"], "result")} if "worst" in part else {}
        return {**part, **counts, **worst}

    summary, results = document.get("summary"), document.get("results")
    changed: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    if isinstance(summary, Mapping):
        by_claim = summary.get("by_claim")
        changed["summary"] = counted(summary)
        if isinstance(by_claim, Mapping):
            changed["summary"]["by_claim"] = {claim: counted(entry) for claim, entry in by_claim.items()}
    if isinstance(results, list):
        changed["results"] = [with_new(result, "result") for result in results]
    environment = document.get("environment")
    if isinstance(environment, Mapping):
        changed["environment"] = {"no_twin": BEFORE_TWINS, **environment}
    return {**document, **changed}
