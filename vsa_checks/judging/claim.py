"""The claims as records, read from claims/claims.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vsa_checks import paths
from vsa_checks.errors import UsageError

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


def _entries(path: Path, kind: str) -> list[dict[str, Any]]:
    try:
        entries: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))[kind]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise UsageError(
            f"The claims in {path} cannot be read ({error}). Restore the file from the repository."
        ) from error
    return entries


def read_nulls(path: Path) -> dict[str, Null]:
    """Read the nulls of a file of claim records, by name. Raises UsageError for a record that does not fit."""
    nulls: dict[str, Null] = {}
    for entry in _entries(path, "null"):
        try:
            null = Null(**entry)
        except TypeError as error:
            raise UsageError(f"Null {entry.get('name', '?')} in {path} does not fit: {error}.") from error
        if null.name in nulls:
            raise UsageError(f"Null {null.name} stands twice in {path}.")
        nulls[null.name] = null
    return nulls


def read_claims(path: Path) -> dict[str, Claim]:
    """Read a file of claim records, by id, in its order. Raises UsageError for a record that does not fit."""
    claims: dict[str, Claim] = {}
    for entry in _entries(path, "claim"):
        lists = {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
        try:
            claim = Claim(**{**entry, **lists})
        except TypeError as error:
            raise UsageError(f"Claim {entry.get('id', '?')} in {path} does not fit: {error}.") from error
        if claim.id in claims:
            raise UsageError(f"Claim {claim.id} stands twice in {path}.")
        claims[claim.id] = claim
    return claims


@cache
def load_claims() -> dict[str, Claim]:
    """The claims of this project, by id. Raises UsageError if the file is damaged."""
    return read_claims(paths.CLAIMS_FILE)


@cache
def load_nulls() -> dict[str, Null]:
    """The nulls that the claims are set against, by name. Raises UsageError if the file is damaged."""
    return read_nulls(paths.CLAIMS_FILE)
