"""Properties in a test's report: JSON for the controlling process, and readable ones for JUnit XML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vsa_checks.errors import visible

RESULT_PROPERTY, CLAIM_PROPERTY = "vsa_result", "vsa_claim"
TEXT_PROPERTY, CACHE_PROPERTY = "vsa_text", "vsa_from_cache"
LOAD_PROPERTY, NOTE_PROPERTY = "vsa_load_failure", "vsa_note"
TWIN_PROPERTY, ARRAYS_PROPERTY = "vsa_twin", "vsa_arrays"
OURS = (
    *(RESULT_PROPERTY, CLAIM_PROPERTY, TEXT_PROPERTY, CACHE_PROPERTY, LOAD_PROPERTY, NOTE_PROPERTY),
    *(TWIN_PROPERTY, ARRAYS_PROPERTY),
)


def in_plain_words(
    properties: Iterable[tuple[str, object]], result: Mapping[str, Any] | None
) -> list[tuple[str, object]]:
    """The properties of a test for JUnit XML: those of its result by name, and any that are not ours as they are.

    A test without a result, for example after a crash, keeps its claim.
    """
    kept = [(name, value) for name, value in properties if name not in OURS]
    if result is None:
        return [("claim", value) for name, value in properties if name == CLAIM_PROPERTY][:1] + kept
    names = ("claim", "claim_version", "section", "metric", "value", "direction", "threshold", "threshold_origin")
    found: dict[str, Any] = {"subject": result["id"], **{name: result[name] for name in names}}
    for null in result["nulls"]:
        if null["decisive"]:
            found |= {f"null: {null['name']}": null["value"], f"p: {null['name']}": null["p_value"]}
    found |= {"verdict": result["verdict"], "reason": result["reason"]}
    recorded = result["recorded"]
    found |= {"recorded": recorded["verdict"]} if recorded else {}
    return [(visible(name), visible(value)) for name, value in found.items() if value is not None] + kept
