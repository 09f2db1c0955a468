"""A picture: what it is called, what it says in words, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vsa_checks.errors import VsaChecksError
from vsa_checks.figures.kept_shapes import Group, groups
from vsa_checks.figures.store import Kept
from vsa_checks.report.formatting import against, layer_ranges

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class NothingToDraw(VsaChecksError):
    """The report does not hold what a picture shows; the message says what is missing."""


@dataclass(frozen=True)
class Choice:
    """What of a report to draw. Without a layer, head or matrix each picture chooses by itself."""

    layer: int | None = None
    head: int | None = None
    matrix: str | None = None
    basis: str | None = None


@dataclass(frozen=True)
class Report:
    """What a picture is drawn from: the results, and the arrays beside them."""

    document: Mapping[str, Any]
    kept: Kept

    @property
    def d_model(self) -> int:
        """Dimensions of the residual stream."""
        return int(self.document["model"]["d_model"])

    @property
    def n_layers(self) -> int:
        """How many layers the model has."""
        return int(self.document["model"]["n_layers"])

    def results(self, claim: str, choice: Choice) -> list[Mapping[str, Any]]:
        """The results of one claim in one basis that were checked and fit the choice of layer and matrix, by layer."""
        own = [one for one in self.document["results"] if one["claim"] == claim and one["value"] is not None]
        basis = choice.basis or self.basis()
        fit = [
            one
            for one in own
            if one["basis"] == basis
            and choice.layer in (None, one["subject"]["layer"])
            and choice.matrix in (None, one["subject"]["matrix"])
        ]
        return sorted(fit, key=lambda one: (one["subject"]["layer"] or 0, one["subject"]["matrix"] or ""))

    def basis(self) -> str:
        """The basis that is drawn where none is chosen: processed weights, else the only ones that there are."""
        bases = {one["basis"] for one in self.document["results"]}
        return "processed" if "processed" in bases or not bases else "raw"


@dataclass(frozen=True)
class Picture:
    """One picture. `message` says in words what it shows, with the numbers."""

    name: str
    title: str
    message: str
    section: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Place:
    """Where a matrix stands: "processed/L3.E5/W_in", "processed/W_E"."""

    basis: str
    layer: int | None
    expert: int | None
    matrix: str

    @classmethod
    def of(cls, name: str) -> Place:
        """Read the name of a place."""
        basis, *where, matrix = name.split("/")
        layer, _, expert = where[0].removeprefix("L").partition(".E") if where else ("", "", "")
        return cls(basis, int(layer) if layer else None, int(expert) if expert else None, matrix)

    @property
    def words(self) -> str:
        """Layer, expert and matrix as a reader says them."""
        layer = [] if self.layer is None else [f"layer {self.layer}"]
        return ", ".join([*layer, *([] if self.expert is None else [f"expert {self.expert}"]), self.matrix])


def chosen(report: Report, kind: str, choice: Choice) -> dict[Place, Group]:
    """The arrays of one kind in one basis that fit the choice of layer and matrix, by place.

    Raises NothingToDraw where there are none.
    """
    basis = choice.basis or report.basis()
    whole = {Place.of(name): group for name, group in groups(report.kept.arrays, kind).items()}
    here = {
        place: group
        for place, group in whole.items()
        if place.basis == basis and (place.layer is None or place.layer < report.n_layers)
    }
    found = {
        place: group
        for place, group in here.items()
        if choice.layer in (None, place.layer) and choice.matrix in (None, place.matrix)
    }
    if not found:
        held = f"It has {_held(here)}." if here else report.kept.why_none or "The run measured nothing of this kind."
        raise NothingToDraw(f"The report has no such arrays{_asked(choice)}. {held}")
    order = {name: at for at, name in enumerate(MATRICES)}
    return dict(sorted(found.items(), key=lambda item: (_at(item[0]), order.get(item[0].matrix, 99), item[0].matrix)))


MATRICES = ("W_E", "W_E-centered", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_gate", "W_out")
"""In the order in which they are shown."""


def _at(place: Place) -> tuple[int, int]:
    return (-1 if place.layer is None else place.layer), (-1 if place.expert is None else place.expert)


def _held(places: Iterable[Place]) -> str:
    matrices = list(dict.fromkeys(place.matrix for place in places))
    layers = [place.layer for place in places if place.layer is not None]
    where = f" of layers {layer_ranges(layers)}" if layers else ""
    return f"{', '.join(matrices)}{where}"


def _asked(choice: Choice) -> str:
    parts = [f"layer {choice.layer}" if choice.layer is not None else "", choice.matrix or "", choice.basis or ""]
    said = ", ".join(part for part in parts if part)
    return f" for {said}" if said else ""


def percent(share: float) -> str:
    """A share as a percentage; a share just below 1 is never written as 100%."""
    return f"{against(100 * share, 100.0, 3)}%"


def only_expert(experts: Iterable[int | None]) -> str:
    """A sentence saying that only a mixture's first expert is drawn; empty if there is at most one expert."""
    known = sorted({one for one in experts if one is not None})
    others = f"the other {len(known) - 1} are not" if len(known) > 2 else "the other one is not"
    return f" Only expert {known[0]} is drawn; {others}." if len(known) > 1 else ""


def first_middle_last(layers: Iterable[int]) -> list[int]:
    """At most three of the layers: the first, the middle one and the last."""
    known = sorted(set(layers))
    return sorted({known[0], known[len(known) // 2], known[-1]}) if known else []
