"""The claims as records, read from claims/claims.toml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic takes typing's own from Python 3.12 on only
)

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from vsa_checks import paths
from vsa_checks.errors import UsageError
from vsa_checks.reading import MB, Unreadable, read_toml, toml_line

MOST_BYTES = MB

_Words = Annotated[str, Field(min_length=1)]
_Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _ClaimRecord(TypedDict):
    """Fields of a [[claim]] in the file."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)]
    version: Annotated[int, Field(ge=1)]
    section: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)*$")]
    title: _Words
    statement: _Words
    metric: _Words
    direction: Literal["<=", ">="]
    threshold: _Number
    threshold_unit: Literal["1", "1/sqrt(d_model)", "reference"]
    threshold_origin: Literal["paper", "ours"]
    primary: Literal["all", "layer-0", "none"]
    subjects: Literal[
        "attention-layers",
        "attention-maps",
        "attention-matrices",
        "embeddings",
        "mlp-in",
        "mlp-in-first",
        "mlp-in-nonlinear",
        "mlp-inputs",
        "mlp-out",
        "paper-model",
        "stream",
    ]
    alpha: NotRequired[_Share]
    delta: NotRequired[Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    decisive: NotRequired[list[_Words]]
    needs: NotRequired[list[Literal["text", "decoder", "bias"]]]
    fooled_by: NotRequired[_Words]


class _NullRecord(TypedDict):
    """Fields of a [[null]] in the file."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    name: _Words
    keeps: _Words
    destroys: _Words


class _File(TypedDict):
    """The whole file."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    claim: Annotated[list[_ClaimRecord], Field(min_length=1)]
    null: Annotated[list[_NullRecord], Field(min_length=1)]


@dataclass(frozen=True)
class Claim:
    """One statement of the paper: what is measured, and what would make it true.

    fooled_by: for a claim with decisive nulls, a structure that would beat them although the claim is not true.
    """

    id: str
    version: int
    section: str
    title: str
    statement: str
    metric: str
    direction: str
    threshold: float
    threshold_unit: str
    threshold_origin: str
    primary: str
    subjects: str
    alpha: float = 0.05
    delta: float = 0.0
    decisive: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    fooled_by: str = ""


@dataclass(frozen=True)
class Null:
    """A null: what it keeps of the model, and what it destroys."""

    name: str
    keeps: str
    destroys: str


def _read(path: Path) -> tuple[dict[str, Claim], dict[str, Null]]:
    """The records of a file by id and by name, in its order."""
    try:
        found = read_toml(path, limit=MOST_BYTES, what="The claims file", schema=_File)
    except Unreadable as error:
        raise UsageError(f"{error}. Correct it there, or restore the file from the repository.") from error
    _require_unique(path, "claim", "id", [one["id"] for one in found["claim"]])
    _require_unique(path, "null", "name", [one["name"] for one in found["null"]])
    nulls = {one["name"]: Null(**one) for one in found["null"]}
    for place, one in enumerate(found["claim"]):
        unknown = [name for name in one.get("decisive", []) if name not in nulls]
        if unknown:
            line = toml_line(path.read_text(encoding="utf-8"), "claim", place, "decisive")
            raise UsageError(
                f"The claims file {path} (line {line}) gives {one['id']} the decisive null {unknown[0]!r}, but "
                f"no [[null]] has this name. Correct the name, or add a [[null]] that says what it keeps and destroys."
            )
    return {one["id"]: Claim(**_hashable(one)) for one in found["claim"]}, nulls


def _require_unique(path: Path, kind: str, key: str, names: list[str]) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            line = toml_line(path.read_text(encoding="utf-8"), kind, place, key)
            raise UsageError(
                f"The claims file {path} (line {line}) has the {kind} {name} twice. Give one of them another "
                f"{key}, or remove it."
            )


def _hashable(record: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}


def read_claims(path: Path) -> dict[str, Claim]:
    """Read a file of claim records, by id, in its order. Raises UsageError for an invalid file."""
    return _read(path)[0]


def read_nulls(path: Path) -> dict[str, Null]:
    """Read the nulls of a file of claim records, by name. Raises UsageError for an invalid file."""
    return _read(path)[1]


@cache
def load_claims() -> dict[str, Claim]:
    """The claims of this project, by id. Raises UsageError if the file is damaged."""
    return read_claims(paths.CLAIMS_FILE)


@cache
def load_nulls() -> dict[str, Null]:
    """The claims' nulls, by name. Raises UsageError if the file is damaged."""
    return read_nulls(paths.CLAIMS_FILE)
