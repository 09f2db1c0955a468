"""results.json, the source of truth of a run: builds, validates, writes and reads it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsa_checks.errors import VsaChecksError
from vsa_checks.reading import MB, Unreadable, parse_json, read_bytes
from vsa_checks.report.summary import add_q_values, summarize
from vsa_checks.report.versions import READ, SCHEMA_VERSION, brought_up_to_date
from vsa_checks.schemas import outermost_error, validator
from vsa_checks.writing import write_whole

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

PAPER = "arXiv:2412.07947"
FILE_NAME = "results.json"
WHAT = "The results file"
MOST_BYTES = 500 * MB
"""A few KB for each of the results, of which the largest models have tens of thousands."""
LARGEST = 2**1023
"""Beyond it a whole number has no place among plain numbers."""


class ReportError(VsaChecksError):
    """A report that cannot be built, or a results file that cannot be read."""


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of results.json."""
    text = files("vsa_checks.report").joinpath("results.schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@cache
def _validator() -> Draft202012Validator:
    return validator(schema())


def assemble(
    model_info: object,
    environment: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    claims: Mapping[str, object],
) -> dict[str, Any]:
    """Build the content of results.json for one run; the arguments are not changed.

    Parameters
    ----------
    model_info : ModelInfo or mapping
        Fields that the schema does not have are left out.
    environment : mapping
        Versions, device, threads, seed and duration, as the schema's `environment` has them.
    results : sequence of mapping
        One entry for each subject, as `result_record` makes them.
    claims : mapping of str to Claim or mapping
        The claims by id, those that were not run too.

    Returns
    -------
    dict
        With a summary; the results are sorted by id, and the exploratory ones carry q-values.

    Raises
    ------
    ReportError
        For a result whose claim is not among `claims`, and for a claim that lacks a field.
    """
    records = {claim: _record(claim, content) for claim, content in claims.items()}
    plain_results = [_plain(result) for result in results]
    for result in plain_results:
        if result["claim"] not in records:
            raise ReportError(
                f"The result {result['id']} belongs to the claim {result['claim']!r}, which the "
                "specification does not have. Add the claim's record, or correct the result's claim."
            )
    for claim in records:
        add_q_values([result for result in plain_results if result["claim"] == claim])
    plain_results.sort(key=lambda result: result["id"])
    return {
        "schema_version": SCHEMA_VERSION,
        "paper": PAPER,
        "model": _fields(model_info, "model"),
        "environment": _plain(environment),
        "summary": summarize(plain_results, records),
        "results": plain_results,
    }


def validate(document: Mapping[str, Any]) -> None:
    """Check a document against the schema, and its summary against its results.

    Parameters
    ----------
    document : mapping
        The content of results.json.

    Raises
    ------
    ReportError
        Names the first place that is wrong.
    """
    _no_infinities(document)
    wrong = outermost_error(_validator(), document)
    if wrong is not None:
        path, keyword, message = wrong
        if len(message) >= 300:
            message = message[:150] + " … " + message[-120:]
        if keyword == "anyOf" and path == ["model"]:
            message = "neither sha256 nor revision says which weights these are"
        raise _invalid(document, path, message)
    _consistent(document)


def write(document: Mapping[str, Any], directory: str | Path) -> Path:
    """Validate a document and write it to results.json, whole or not at all.

    Parameters
    ----------
    document : mapping
        The content of results.json.
    directory : str or Path
        The folder to write into; it is made if need be.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ReportError
        If the document is not valid.
    OSError
        If the folder cannot be written.
    """
    path = Path(directory) / FILE_NAME
    write_whole(path, as_text(document))
    return path


def as_text(document: Mapping[str, Any]) -> str:
    """What results.json holds of a document. Raises ReportError if it is not valid."""
    validate(document)
    return text_of(document)


def text_of(document: Mapping[str, Any]) -> str:
    """What results.json holds of a document that is known to be valid."""
    return json.dumps(document, allow_nan=False, indent=1, sort_keys=True) + "\n"


def read(path: str | Path) -> dict[str, Any]:
    """Read and validate the results of a run.

    Parameters
    ----------
    path : str or Path
        A results.json, or the folder of a report.

    Returns
    -------
    dict
        The content of results.json.

    Raises
    ------
    ReportError
        If there is no such file, or if it is damaged or of another schema version.
    """
    return read_with_content(path)[0]


def read_with_content(path: str | Path) -> tuple[dict[str, Any], bytes]:
    """As `read`, and with it what the file itself holds, which may be in the form of an earlier version."""
    path = Path(path)
    if os.path.isdir(path):  # False for a name that is too long, on which pathlib fails
        path = path / FILE_NAME
    again = "Run the claims again to write a new one."
    try:
        content = read_bytes(path, limit=MOST_BYTES, what=WHAT)
        document = parse_json(content, path=path, what=WHAT)
    except Unreadable as error:
        if error.missing:
            raise ReportError(
                f"There is no results file at {path}. Run `pytest claims/` first, or name the folder of a report."
            ) from None
        raise ReportError(f"{error}. {again}") from None
    if not isinstance(document, dict):
        raise ReportError(f"The file {path} contains {type(document).__name__}, not the results of a run. {again}")
    version = document.get("schema_version")
    if version not in READ or isinstance(version, bool):
        raise ReportError(
            f"The results file {path} has schema version {version!r}; this version of vsa_checks reads "
            f"{' and '.join(map(str, READ))}. {again}"
        )
    try:
        document = brought_up_to_date(document)
        validate(document)
    except (ReportError, RecursionError) as error:
        raise ReportError(f"The results file {path} is damaged. {error} {again}") from None
    return document, content


def content_there(document: Mapping[str, Any], directory: Path) -> str | bytes:
    """What results.json in a folder holds, if that is this document; else what it would hold of it."""
    path = directory / FILE_NAME
    try:
        content = read_bytes(path, limit=MOST_BYTES, what=WHAT)
        found = parse_json(content, path=path, what=WHAT)
    except Unreadable:
        return text_of(document)
    return content if isinstance(found, dict) and brought_up_to_date(found) == document else text_of(document)


def _fields(source: object, definition: str) -> dict[str, Any]:
    """The fields of `source` that the schema's definition names, as plain JSON."""
    if dataclasses.is_dataclass(source) and not isinstance(source, type):
        content: Mapping[str, Any] = {f.name: getattr(source, f.name) for f in dataclasses.fields(source)}
    else:
        content = source if isinstance(source, Mapping) else vars(source)
    names = schema()["$defs"][definition]["properties"]
    return {name: _plain(content[name]) for name in names if name in content}


def _record(claim: str, content: object) -> dict[str, Any]:
    record = _fields(content, "record")
    missing = [name for name in schema()["$defs"]["record"]["required"] if name not in record]
    if missing:
        raise ReportError(f"The record of claim {claim!r} has no {', '.join(missing)}. Complete it in claims.toml.")
    return record | {"section": str(record["section"])}


def _plain(value: Any) -> Any:
    """A copy in plain JSON types: tuples as lists, keys as text, numpy scalars and arrays as Python's.

    Half a character is written out: no file in UTF-8 can hold it.
    """
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if type(value).__module__ == "numpy":
        return _plain(value.tolist())
    return value


def _walk(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index))
    else:
        yield path, value


def _no_infinities(document: Mapping[str, Any]) -> None:
    for path, value in _walk(document):
        too_large = isinstance(value, float) and not math.isfinite(value)
        if too_large or (type(value) is int and abs(value) >= LARGEST):
            raise _invalid(document, list(path), f"{str(value)[:40]} is not a number that can be reported")
        if not (value is None or isinstance(value, bool | int | float | str)):
            raise _invalid(document, list(path), f"{type(value).__name__} is not a JSON type")


def _consistent(document: Mapping[str, Any]) -> None:
    results = document["results"]
    ids = [result["id"] for result in results]
    for before, after in pairwise(ids):
        if before == after:
            raise ReportError(f"The report is not valid: there are two results with the id {after}.")
        if before > after:
            raise ReportError(f"The report is not valid: results are not sorted, {after} comes after {before}.")
    for index, result in enumerate(results):
        layer, matrix = result["subject"]["layer"], result["subject"]["matrix"]
        expert = result["subject"].get("expert")
        parts = [result["claim"], result["basis"], None if layer is None else f"L{layer}"]
        parts += [None if expert is None else f"E{expert}", matrix]
        expected = "/".join(part for part in parts if part is not None)
        if result["id"] != expected or result["subject"]["basis"] != result["basis"]:
            raise _invalid(document, ["results", index, "id"], f"its claim, basis and subject make it {expected}")
    by_claim = document["summary"]["by_claim"]
    without = sorted({result["claim"] for result in results} ^ set(by_claim))
    if without:
        raise ReportError(
            f"The report is not valid: {without[0]} is in the results or in the summary, but not in both."
        )
    records = {claim: entry["record"] for claim, entry in by_claim.items()}
    recount = summarize(results, records) | {"not_run": document["summary"]["not_run"]}
    for claim, entry in by_claim.items():
        if "corrected_for_number" not in entry:  # a run before it was counted
            recount["by_claim"][claim].pop("corrected_for_number", None)
    for claim, entry in by_claim.items():
        # Earlier versions showed another one of the subject's nulls.
        shown, its_worst = entry["worst"]["null"], recount["by_claim"][claim]["worst"]
        nulls = next(result["nulls"] for result in results if result["id"] == its_worst["id"])
        if shown is not None and any(shown.items() <= null.items() for null in nulls):
            its_worst["null"] = shown
    stated, counted = dict(_walk(document["summary"])), dict(_walk(recount))
    for path in sorted(stated.keys() | counted.keys(), key=str):
        if stated.get(path) != counted.get(path):
            message = f"{stated.get(path)!r} is stated, but the results give {counted.get(path)!r}"
            raise _invalid(document, ["summary", *path], message)


def _invalid(document: Mapping[str, Any], path: list[str | int], message: str) -> ReportError:
    """A ReportError that names the result by id and the place in it."""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".") or "top level"
    result = None
    if len(path) > 1 and path[0] == "results":
        result = document["results"][path[1]]
        place = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path[2:]).lstrip(".") or "its keys"
    if isinstance(result, Mapping):
        return ReportError(f"The report is not valid: result {result.get('id', path[1])}: {place}: {message}.")
    return ReportError(f"The report is not valid: {place}: {message}.")
