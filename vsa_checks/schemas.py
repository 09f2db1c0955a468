"""Holds documents against JSON Schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """A validator of a schema of draft 2020-12; the caller keeps it, because making one takes as long as a use."""
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(schema)


def outermost_error(by: Draft202012Validator, document: Mapping[str, Any]) -> tuple[list[str | int], str, str] | None:
    """The first error of a document, the outermost first: a missing key explains more than what follows from it.

    Returns
    -------
    tuple (path, keyword, message), or None if the document is valid
        Keys and places that lead to the part that is wrong, the keyword of the schema that it breaks, and the error in
        words.
    """
    try:
        errors = list(by.iter_errors(document))
    except ValueError as problem:  # parts that JSON has no words for
        return [], "", str(problem)
    if not errors:
        return None
    first = min(errors, key=lambda error: (len(error.instance_path), list(map(str, error.instance_path))))
    return list(first.instance_path), first.kind.name, first.message
