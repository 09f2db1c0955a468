"""The claims as records, read from claims/claims.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from vsa_checks import paths
from vsa_checks.errors import UsageError

R = TypeVar("R")

DIRECTIONS = ("<=", ">=")
UNITS = ("1", "1/sqrt(d_model)", "reference")
ORIGINS = ("paper", "ours")
PRIMARY = ("all", "layer-0", "none")


@dataclass(frozen=True)
class Claim:
    """One statement of the paper: what is measured, and what would count as true.

    fooled_by: for a claim with decisive nulls, which structure would beat them without being what the claim says.
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

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("direction", self.direction, DIRECTIONS),
            ("threshold_unit", self.threshold_unit, UNITS),
            ("threshold_origin", self.threshold_origin, ORIGINS),
            ("primary", self.primary, PRIMARY),
        ):
            if value not in allowed:
                raise UsageError(f"Claim {self.id}: {name} is {value!r}, and must be one of {', '.join(allowed)}.")


@dataclass(frozen=True)
class Null:
    """A null: what it keeps of the model, and what it destroys."""

    name: str
    keeps: str
    destroys: str


def _records(path: Path, kind: str, make: Callable[..., R], key: str) -> dict[str, R]:
    """The records of one kind in a file, by the field that names them, in its order."""
    try:
        entries: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))[kind]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise UsageError(
            f"The claims in {path} cannot be read ({error}). Restore the file from the repository."
        ) from error
    records: dict[str, R] = {}
    for entry in entries:
        lists = {field: tuple(value) for field, value in entry.items() if isinstance(value, list)}
        name = entry.get(key, "?")
        try:
            record = make(**{**entry, **lists})
        except TypeError as error:
            raise UsageError(f"{kind.capitalize()} {name} in {path} does not fit: {error}.") from error
        if name in records:
            raise UsageError(f"{kind.capitalize()} {name} stands twice in {path}.")
        records[name] = record
    return records


def read_claims(path: Path) -> dict[str, Claim]:
    """Read a file of claim records, by id, in its order. Raises UsageError for a record that does not fit."""
    return _records(path, "claim", Claim, "id")


def read_nulls(path: Path) -> dict[str, Null]:
    """Read the nulls of a file of claim records, by name. Raises UsageError for a record that does not fit."""
    return _records(path, "null", Null, "name")


@cache
def load_claims() -> dict[str, Claim]:
    """The claims of this project, by id. Raises UsageError if the file is damaged."""
    return read_claims(paths.CLAIMS_FILE)


@cache
def load_nulls() -> dict[str, Null]:
    """The nulls that the claims are set against, by name. Raises UsageError if the file is damaged."""
    return read_nulls(paths.CLAIMS_FILE)
