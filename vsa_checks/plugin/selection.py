"""The part of the checks selected by --claims, --layers and --primary-only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import pairwise

from vsa_checks.errors import UsageError, visible
from vsa_checks.judging.subjects import Subject

_LAYERS = re.compile(r"(-?\d{1,9})(?:-(-?\d{1,9}))?")


@dataclass(frozen=True)
class Selection:
    """Which subjects are measured: all of them, unless a field says otherwise.

    Subjects without a layer are always kept: they are about the whole model.
    """

    claims: frozenset[str] | None = None
    layers: frozenset[int] | None = None
    primary_only: bool = False
    words: str = ""
    """The options as they were given, for the report."""

    def __bool__(self) -> bool:
        return bool(self.words)

    def takes(self, subject: Subject) -> bool:
        """Whether this subject is measured."""
        return (
            (self.claims is None or subject.claim in self.claims)
            and (self.layers is None or subject.layer is None or subject.layer in self.layers)
            and (subject.primary or not self.primary_only)
        )

    def require_any(self, subjects: Iterable[Subject]) -> None:
        """Raise UsageError if none of these subjects is measured."""
        if self and not any(self.takes(subject) for subject in subjects):
            raise UsageError(
                f"{self.words} leaves nothing to check on this model: no subject matches all of it. Leave one of the "
                f"options out, or choose other claims or layers (--collect-only lists the subjects)."
            )


def selection(
    claims: str | None, layers: str | None, primary_only: bool, known: Collection[str], n_layers: int
) -> Selection:
    """Read the options.

    Parameters
    ----------
    claims : str or None
        Comma-separated ids of claims, in which `*`, `?` and `[...]` work as in file names.
    layers : str or None
        Comma-separated layers and ranges ("0,3,10-14"); negative ones count from the end, -1 is the last.
    primary_only : bool
    known : collection of str
        The ids of all claims.
    n_layers : int
        Layers of the model.

    Returns
    -------
    Selection

    Raises
    ------
    UsageError
        For an unknown claim and for a layer that the model lacks.
    """
    given = (f"--claims {claims}" if claims is not None else "", f"--layers {layers}" if layers is not None else "")
    return Selection(
        None if claims is None else _claims(claims, known),
        None if layers is None else _layers(layers, n_layers),
        primary_only,
        visible(" ".join(filter(None, (*given, "--primary-only" if primary_only else "")))),
    )


def _claims(text: str, known: Collection[str]) -> frozenset[str]:
    found: set[str] = set()
    for pattern in _parts(text, "--claims", "neurons-cos50,mlp-out-*"):
        matching = {claim for claim in known if fnmatchcase(claim, pattern)}
        if not matching:
            near = get_close_matches(re.sub(r"[*?\[\]]", "", pattern), known, n=3)
            hint = f"Did you mean {' or '.join(near)}? " if near else ""
            raise UsageError(f"--claims: no claim is called {pattern!r}. {hint}--list-claims lists them all.")
        found |= matching
    return frozenset(found)


def _layers(text: str, n_layers: int) -> frozenset[int]:
    if n_layers == 0:
        raise UsageError("--layers cannot be used: this model has no layers. Leave the option out.")
    found: set[int] = set()
    for part in _parts(text, "--layers", "0,3,10-14"):
        match = _LAYERS.fullmatch(part)
        if match is None:
            raise UsageError(
                f"--layers: {part!r} is neither a layer nor a range of layers. Write it as in 0,3,10-14 or --layers=-1."
            )
        ends = [int(end) for end in match.groups() if end is not None]
        places = [end + n_layers if end < 0 else end for end in ends]
        for end, place in zip(ends, places, strict=True):
            if not 0 <= place < n_layers:
                raise UsageError(
                    f"--layers: this model has no layer {end}. Its {n_layers} layers are 0 to {n_layers - 1}, and -1 "
                    f"is the last; name some of these."
                )
        if any(last < first for first, last in pairwise(places)):
            raise UsageError(f"--layers: the range {part} ends before it starts. Write the lower layer first.")
        found.update(range(places[0], places[-1] + 1))
    return frozenset(found)


def _parts(text: str, option: str, example: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError(
            f"{option} {text!r} has an empty entry between two commas or at an end. Write it as in {example}."
        )
    return parts
