"""intervene.json: what interventions on one model cost, validated by its own JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vsa_checks
from vsa_checks.errors import UsageError
from vsa_checks.interventions import figure
from vsa_checks.interventions.judging import BESIDE, DRAWS, KEPT, LEAST, LEAST_UNITS, MARGIN, RULE
from vsa_checks.models import ModelInfo
from vsa_checks.reading import MB, Unreadable, read_json
from vsa_checks.report.document import PAPER
from vsa_checks.schemas import outermost_error, validator
from vsa_checks.statistics import LEVEL
from vsa_checks.workbench.dependencies import code_digest
from vsa_checks.writing import write_together, write_whole

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

FILE_NAME = "intervene.json"
UNFINISHED = "intervene-unfinished.json"
"""File with the results of an unfinished run, so that an interrupted run can resume."""
TASKS = "tasks"
"""The intervention that measures tasks under all others: results with and without it differ."""
SCHEMA_VERSION = 1
MOST_BYTES = 50 * MB
LIBRARIES = ("numpy", "torch", "transformers")
_MODEL = (
    "name",
    "source",
    "sha256",
    "revision",
    "architecture",
    "quantization",
    "n_layers",
    "d_model",
    "d_vocab",
    "d_mlp",
)


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of intervene.json."""
    return dict(json.loads(files("vsa_checks.interventions").joinpath("intervene.schema.json").read_text("utf-8")))


@cache
def _validator() -> Draft202012Validator:
    return validator(schema())


def assemble(
    info: ModelInfo, chosen: Sequence[str], seed: int, threads: int, duration_s: float, found: Mapping[str, Any]
) -> dict[str, Any]:
    """Build the content of intervene.json from what was measured (`measuring.measure`)."""
    versions = {"vsa_checks": vsa_checks.__version__} | {name: metadata.version(name) for name in LIBRARIES}
    return {
        "schema_version": SCHEMA_VERSION,
        "paper": PAPER,
        "model": {name: getattr(info, name) for name in _MODEL},
        "environment": {"versions": versions, "threads": threads, "seed": seed, "duration_s": round(duration_s, 1)},
        "interventions": list(chosen),
        "rule": {
            "words": RULE,
            "draws": DRAWS,
            "kept": KEPT,
            "beside": BESIDE,
            "margin": MARGIN,
            "least": LEAST,
            "least_units": LEAST_UNITS,
            "level": LEVEL,
        },
        **found,
    }


def validate(document: Any) -> str:
    """What is wrong with the content of intervene.json, "" if nothing is."""
    wrong = outermost_error(_validator(), document)
    if wrong is None:
        return ""
    path, _, message = wrong
    return f"{'/'.join(map(str, path)) or 'the document'}: {message[:200]}"


def write(document: Mapping[str, Any], folder: Path) -> Path:
    """Validate a document, and write it and its figure together, with which an unfinished run is finished.

    What that had kept stays if the document lacks some of it. Raises OSError, and ValueError for an invalid document.
    """
    path, picture = folder / FILE_NAME, figure.draw(document)
    write_together({path: _as_text(document)} | ({} if picture is None else {folder / figure.FILE_NAME: picture}))
    if picture is None:  # an older one would show other results
        (folder / figure.FILE_NAME).unlink(missing_ok=True)
    if _kept_trials(folder) <= {one["id"] for one in document["results"]}:
        (folder / UNFINISHED).unlink(missing_ok=True)
    return path


def keep(document: Mapping[str, Any], folder: Path) -> None:
    """Keep what an unfinished run has found so far. Raises OSError, and ValueError for a document that is invalid."""
    write_whole(folder / UNFINISHED, f'{{"code": "{code_digest()}", "document": {_as_text(document)}}}\n')


def _as_text(document: Mapping[str, Any]) -> str:
    wrong = validate(document)
    if wrong:
        raise ValueError(f"intervene.json would not be valid: {wrong}")
    return json.dumps(document, allow_nan=False, indent=1, sort_keys=True) + "\n"


def unfinished(folder: Path, like: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an unfinished run has kept, if it was of the same code, model, libraries, seed and rule as `like`.

    None if there is none; an unreadable file counts as none, because it can be measured again.
    """
    code, found = _read_unfinished(folder)
    if code != code_digest() or found is None:
        return None

    def settings(document: Mapping[str, Any]) -> Any:
        around = {name: document["environment"][name] for name in ("versions", "threads", "seed")}
        return [document["model"], document["rule"], around, TASKS in document["interventions"]]

    return dict(found) if settings(found) == settings(like) else None


def _read_unfinished(folder: Path) -> tuple[Any, dict[str, Any] | None]:
    """The digest of the code of an unfinished run, and its document; None if there is none that is valid."""
    try:
        kept = read_json(folder / UNFINISHED, limit=MOST_BYTES, what="An unfinished run", schema=dict[str, Any])
    except Unreadable:
        return None, None
    found = kept.get("document")
    return kept.get("code"), None if validate(found) else found


def _kept_trials(folder: Path) -> set[str]:
    _, found = _read_unfinished(folder)
    return set() if found is None else {one["id"] for one in found["results"]}


def read(path: Path) -> dict[str, Any]:
    """Read and validate an intervene.json. Raises UsageError for one that cannot be read, or is damaged."""
    again = "Run `vsa-checks intervene MODEL` again to write a new one."
    try:
        document = read_json(path, limit=MOST_BYTES, what="The results of interventions")
    except Unreadable as error:
        raise UsageError(f"{error}. {again}") from None
    wrong = validate(document)
    if wrong:
        raise UsageError(f"The file {path} does not contain the results of interventions: {wrong}. {again}")
    return dict(document)
