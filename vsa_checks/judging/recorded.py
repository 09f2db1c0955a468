"""Recorded verdicts: one file per model, with the verdicts that a run is expected to find."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Annotated,
    Literal,
    NotRequired,  # pydantic takes typing's own from Python 3.12 on only
)

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from vsa_checks import paths
from vsa_checks.errors import RecordedError
from vsa_checks.reading import MB, Unreadable, read_toml
from vsa_checks.writing import write_whole

MOST_BYTES = 64 * MB
"""A few hundred bytes for each subject of the largest models."""

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Verdict = Literal["holds", "chance", "refuted", "not-checked"]


class _Entry(TypedDict):
    """The entry of one subject in a file."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    verdict: _Verdict
    reason: NotRequired[str]
    also: NotRequired[list[_Verdict]]


class _File(TypedDict):
    """The whole file."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    model: NotRequired[str]
    sha256: _Sha256
    twin: NotRequired[_Sha256]
    verdicts: dict[str, _Entry]


@dataclass(frozen=True)
class Known:
    """The record of one subject. also: the verdicts with other random numbers."""

    verdict: str
    reason: str
    also: tuple[str, ...] = ()

    @property
    def verdicts(self) -> tuple[str, ...]:
        """All verdicts that match the record."""
        return (self.verdict, *self.also)


class Recorded(dict[str, Known]):
    """The content of a file: verdict and reason by subject id.

    twin: sha256 of the file with the values of the model's twin that was written with it; None if there is none.
    """

    def __init__(self, known: Mapping[str, Known] | None = None, twin: str | None = None) -> None:
        super().__init__(known or {})
        self.twin = twin


def recorded_path(model: str) -> Path:
    """The file for the recorded verdicts of a registered model; it may not exist."""
    return paths.VERDICTS / f"{model}.toml"


def read_recorded(path: Path, sha256: str | None, subject_ids: Collection[str]) -> Recorded:
    """Read recorded verdicts and check the whole file against all subjects of the model.

    Parameters
    ----------
    path : Path
        The TOML file.
    sha256 : str or None
        Hash of the model's weights, which the file must name; None skips this check.
    subject_ids : collection of str
        The ids of all subjects that the model has.

    Returns
    -------
    Recorded

    Raises
    ------
    RecordedError
        For a file that cannot be read or is damaged, for other weights, for an unknown verdict, and for an id that
        matches no subject.
    """
    try:
        document = read_toml(path, limit=MOST_BYTES, what="The file of recorded verdicts", schema=_File)
    except Unreadable as error:
        raise RecordedError(
            f"{error}. Correct it there, name another file with --recorded, write one with --record, or leave it out "
            f"with --no-recorded."
        ) from error
    if sha256 is not None and document["sha256"] != sha256:
        raise RecordedError(
            f"The verdicts in {path} were recorded for other weights: sha256 {document['sha256']}, and this model's "
            f"is {sha256}. Check that the model is the one you mean, or record the verdicts again with --record."
        )
    known = {
        subject_id: Known(entry["verdict"], entry.get("reason", ""), tuple(entry.get("also", ())))
        for subject_id, entry in document["verdicts"].items()
    }
    strangers = sorted(set(known) - set(subject_ids))
    if strangers:
        raise RecordedError(
            f"{path} records {len(strangers)} subjects that this model does not have, the first being "
            f"{strangers[0]}. Correct the id, or record the verdicts again with --record."
        )
    return Recorded(known, document.get("twin"))


def write_recorded(path: Path, model: str, sha256: str, known: Mapping[str, Known]) -> None:
    """Write recorded verdicts; the file is replaced in one step."""
    write_whole(path, recorded_text(model, sha256, known))


def recorded_text(model: str, sha256: str, known: Mapping[str, Known], twin: str | None = None) -> str:
    """The text of a file of recorded verdicts: one line each, sorted by id, and the sha256 of the twin's file."""
    lines = [
        "# What was measured of one model: written by `pytest claims/ --record`, which replaces it.",
        f"model = {_quoted(model)}",
        f"sha256 = {_quoted(sha256)}",
        *([] if twin is None else [f"twin = {_quoted(twin)}"]),
        "",
        "[verdicts]",
    ]
    for subject_id, entry in sorted(known.items()):
        also = f", also = [{', '.join(map(_quoted, entry.also))}]" if entry.also else ""
        lines.append(
            f"{_quoted(subject_id)} = {{ verdict = {_quoted(entry.verdict)}, reason = {_quoted(entry.reason)}{also} }}"
        )
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML string. JSON's escapes are valid in TOML, which also wants the delete character escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
