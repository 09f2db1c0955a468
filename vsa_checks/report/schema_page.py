"""The fields of results.json and compare.json as Markdown tables, from their schemas, for docs/results.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vsa_checks.figures.kept import CONTENT
from vsa_checks.report.document import schema

ARRAYS_START, ARRAYS_END = "<!-- arrays: written by `vsa-checks schema --arrays` -->", "<!-- end of arrays -->"
COMPARE_START = "<!-- fields of compare.json: written by `vsa-checks schema --compare --markdown` -->"
COMPARE_END = "<!-- end of fields of compare.json -->"
START, END = "<!-- fields: written by `vsa-checks schema --markdown` -->", "<!-- end of fields -->"
_TYPES = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false", "null": "null"}
_TYPES |= {"object": "object", "array": "list"}
Node = Mapping[str, Any]


def fields_in_markdown(root: Node | None = None, *, level: int = 3) -> str:
    """One table for each kind of object in a schema: its fields, their types and what they mean.

    Parameters
    ----------
    root : mapping, optional
        The schema; by default that of results.json.
    level : int
        Level of the headings.
    """
    root = schema() if root is None else root
    parts = []
    for path, node in objects(root):
        parts.append(f"{'#' * level} {path}\n")
        if words := node.get("description"):
            parts.append(f"{words}\n")
        rows = ["| field | type | meaning |", "| --- | --- | --- |"]
        for name, content in node["properties"].items():
            optional = "" if name in node.get("required", ()) else " (may be absent)"
            cells = (f"`{name}`", f"{type_of(content, root)}{optional}", described(content, root))
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def arrays_in_markdown() -> str:
    """The arrays of figures.npz as a table: their names, types and shapes, and what they are."""
    rows = ["| array | type and shape | what it is |", "| --- | --- | --- |"]
    for name, (form, words) in CONTENT.items():
        rows.append(f"| `{name}` | {form} | {words} |")
    return "\n".join(rows) + "\n"


def objects(root: Node | None = None) -> Iterator[tuple[str, Node]]:
    """Every kind of object in the schema, with its path; a kind that is used twice comes once."""
    root = schema() if root is None else root
    seen: set[str] = set()

    def walk(path: str, node: Node) -> Iterator[tuple[str, Node]]:
        name = str(node.get("$ref", path))
        whole = resolved(node, root)
        if "properties" in whole and name not in seen:
            seen.add(name)
            yield path or "The file", whole
            for field, content in whole["properties"].items():
                yield from walk(f"{path}.{field}".lstrip("."), content)
        if isinstance(whole.get("additionalProperties"), Mapping):
            yield from walk(f"{path}.*", whole["additionalProperties"])
        if "items" in whole:
            yield from walk(f"{path}[]", whole["items"])

    return walk("", root)


def resolved(node: Node, root: Node) -> dict[str, Any]:
    """A node merged with the target of its $ref; its own description takes precedence."""
    if "$ref" not in node:
        return dict(node)
    named = root["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return {**resolved(named, root), **{key: value for key, value in node.items() if key != "$ref"}}


def described(node: Node, root: Node) -> str:
    """What a field means."""
    return str(resolved(node, root).get("description", ""))


def type_of(node: Node, root: Node) -> str:
    """The type of a field in words."""
    whole = resolved(node, root)
    if "const" in whole:
        return str(whole["const"])
    if "enum" in whole:
        return "one of " + ", ".join(f"`{one}`" for one in whole["enum"])
    kinds = whole.get("type", "object")
    words = " or ".join(_TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))
    limits = [f"{sign} {whole[name]}" for name, sign in _LIMITS.items() if whole.get(name, MOST) != MOST]
    if "items" in whole:
        inside = type_of(whole["items"], root)
        words += f" of {inside if inside == 'text' else f'{inside}s'}"
    return ", ".join([words, *limits])


MOST = 2**53 - 1
"""The largest count: every JSON reader holds it exactly. It is not mentioned in the types."""
_LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
