"""Recorded verdicts: one file for each model, which says what a run is expected to find."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from vsa_checks import paths
from vsa_checks.errors import RecordedError
from vsa_checks.judging.judge import VERDICTS
from vsa_checks.paths import replaced


@dataclass(frozen=True)
class Known:
    """What was recorded of one subject; also: the verdicts that other random numbers give."""

    verdict: str
    reason: str
    also: tuple[str, ...] = ()

    @property
    def verdicts(self) -> tuple[str, ...]:
        """All verdicts that are as recorded."""
        return (self.verdict, *self.also)


def recorded_path(model: str) -> Path:
    """The file for the recorded verdicts of a registered model; it may not exist."""
    return paths.VERDICTS / f"{model}.toml"


def read_recorded(path: Path, sha256: str | None, subject_ids: Collection[str]) -> dict[str, Known]:
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
    dict of str to Known
        Verdict and reason by subject id.

    Raises
    ------
    RecordedError
        For a file that cannot be read or is damaged, for other weights, for an unknown verdict, and for an id that
        matches no subject.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordedError(
            f"The recorded verdicts in {path} cannot be read ({error.strerror}). Name another file with --recorded, "
            f"write one with --record, or leave it out with --no-recorded."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecordedError(
            f"The recorded verdicts in {path} are damaged ({error}). Restore the file, or write it anew with --record."
        ) from error
    verdicts = document.get("verdicts")
    if not isinstance(verdicts, dict) or not isinstance(document.get("sha256"), str):
        raise RecordedError(
            f"{path} is not a file of recorded verdicts: it needs sha256 and a [verdicts] table. "
            f"Write one with --record."
        )
    if sha256 is not None and document["sha256"] != sha256:
        raise RecordedError(
            f"The verdicts in {path} were recorded for other weights: sha256 {document['sha256']}, and this model's "
            f"is {sha256}. Check that the model is the one you mean, or write the file anew with --record."
        )
    known: dict[str, Known] = {}
    for subject_id, entry in verdicts.items():
        if not isinstance(entry, dict) or entry.get("verdict") not in VERDICTS:
            raise RecordedError(
                f"{path} gives {subject_id} no verdict among {', '.join(VERDICTS)}. Correct the entry, or write the "
                f"file anew with --record."
            )
        also = entry.get("also", [])
        if not isinstance(also, list) or any(one not in VERDICTS for one in also):
            raise RecordedError(
                f"{path} gives {subject_id} other verdicts that are not among {', '.join(VERDICTS)}. Correct the "
                f"entry, or write the file anew with --record."
            )
        known[subject_id] = Known(entry["verdict"], str(entry.get("reason", "")), tuple(also))
    strangers = sorted(set(known) - set(subject_ids))
    if strangers:
        raise RecordedError(
            f"{path} records {len(strangers)} subjects that this model does not have, the first being "
            f"{strangers[0]}. Correct the id, or write the file anew with --record."
        )
    return known


def write_recorded(path: Path, model: str, sha256: str, known: Mapping[str, Known]) -> None:
    """Write recorded verdicts, one line each, sorted by id; the file is replaced in one step."""
    lines = [
        "# What was measured of one model: written by `pytest claims/ --record`, which replaces it.",
        f"model = {_quoted(model)}",
        f"sha256 = {_quoted(sha256)}",
        "",
        "[verdicts]",
    ]
    for subject_id, entry in sorted(known.items()):
        also = f", also = [{', '.join(map(_quoted, entry.also))}]" if entry.also else ""
        lines.append(
            f"{_quoted(subject_id)} = {{ verdict = {_quoted(entry.verdict)}, reason = {_quoted(entry.reason)}{also} }}"
        )
    with replaced(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quoted(text: str) -> str:
    """A TOML string. JSON's escapes are valid in TOML, which also wants the delete character escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
