"""Check that arrays from a file fit each other. Those that do not are skipped, so drawing need not check again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.figures import kept
from vsa_checks.figures.grams import WHOLE
from vsa_checks.figures.store import FiguresError, in_words

Array = NDArray[np.generic]
Group = dict[str, Any]
_PLACE = re.compile(r"(processed|raw)/(L[0-9]{1,5}(\.E[0-9]{1,6})?/)?[A-Za-z][A-Za-z_-]{0,19}")
MOST_SHOWN = 512
"""The most entries that a block of a picture or a list may have."""


def groups(arrays: Mapping[str, Array], kind: str) -> dict[str, Group]:
    """The arrays of one kind that fit each other, by place, with their names decoded."""
    found = {}
    for place, group in kept.places(arrays, kind).items():
        if not _PLACE.fullmatch(place):
            continue
        try:
            if not _typed(kind, group):
                continue
            read: Group = {name: in_words(one) if name == "names" else one for name, one in group.items()}
            if _FITS[kind](read):
                found[place] = read
        except (FiguresError, KeyError, TypeError, ValueError, OverflowError, AttributeError):
            continue
    return found


def _typed(kind: str, group: Mapping[str, Array]) -> bool:
    """Whether the arrays have the right types and finite numbers. Raises KeyError for a missing array."""
    kinds = {name: group[name].dtype.kind == one for name, one in _TYPES[kind].items()}
    return all(kinds.values()) and all(
        one.dtype == np.uint8 if name == "names" else bool(np.isfinite(one).all()) for name, one in group.items()
    )


def _gram(group: Group) -> bool:
    blocks, r = group["rows"].shape
    held = group["rows"] >= 0
    names = group.get("names")
    named = names is None or (
        type(names["frequent"]) is int
        and 0 <= names["frequent"] <= r
        and len(names["tokens"]) == r
        and _texts(names["tokens"])
    )
    steps = group["steps"]
    return bool(
        named
        and 0 < blocks <= MOST_SHOWN
        and 1 < r <= MOST_SHOWN
        and group["heads"].shape == (blocks,)
        and group["cosines"].shape == (blocks, r * (r - 1) // 2)
        and steps.shape == (blocks,)
        and (np.abs(steps) <= 1.01 / 100).all()
        and _cosines(group["cosines"] * steps[:, None])
        and (group["rows"] >= -1).all()
        and held[:, :2].all()
        and (held[:, :-1] >= held[:, 1:]).all()
        and WHOLE in group["heads"]
        and (group["heads"] >= WHOLE).all()
    )


def _histogram(group: Group) -> bool:
    counts = group["counts"]
    return bool(
        counts.ndim == 1 and 2 <= len(counts) <= 10_000 and (counts >= 0).all() and 0 < counts.sum(dtype=float) < 2**62
    )


def _bundles(group: Group) -> bool:
    series, levels, k = group["percentiles"].shape
    names = group["names"]
    return bool(
        levels == len(kept.PERCENTILES)
        and 0 < k <= MOST_SHOWN
        and 0 < series <= 16
        and len(names) == series
        and _texts(names)
        and _cosines(group["percentiles"])
    )


def _best(group: Group) -> bool:
    n, k = group["tokens"].shape
    names = group["names"]
    return bool(
        0 < n <= MOST_SHOWN
        and 0 < k <= 64
        and group["neurons"].shape == (n,)
        and (group["neurons"] >= 0).all()
        and group["cosines"].shape == (n, k)
        and _cosines(group["cosines"])
        and len(names) == n
        and all(isinstance(own, list) and len(own) <= k and _texts(own) for own in names)
    )


def _links(group: Group) -> bool:
    series, layers, other = group["shares"].shape
    strongest = group["strongest"]
    return bool(
        0 < series <= 16
        and 2 <= layers == other <= MOST_SHOWN
        and len(group["names"]) == series
        and _texts(group["names"])
        and _cosines(group["shares"])
        and strongest.ndim == 2
        and strongest.shape[1] == 4
        and len(strongest) <= MOST_SHOWN
        and group["strongest_cosines"].shape == (len(strongest),)
        and _cosines(group["strongest_cosines"])
        and (strongest >= 0).all()
        and (strongest[:, [0, 2]] < layers).all()
    )


def _texts(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _cosines(values: Array) -> bool:
    return bool(np.isfinite(values).all() and (np.abs(values) <= 1.01).all())


_TYPES: dict[str, dict[str, str]] = {
    kept.GRAM: {"rows": "i", "heads": "i", "cosines": "i", "steps": "f"},
    kept.HISTOGRAM: {"counts": "i"},
    kept.BUNDLES: {"percentiles": "f"},
    kept.BEST: {"neurons": "i", "tokens": "i", "cosines": "f"},
    kept.LINKS: {"shares": "f", "strongest": "i", "strongest_cosines": "f"},
}
"""numpy's `dtype.kind` of each array."""
_FITS: dict[str, Callable[[Group], bool]] = {
    kept.GRAM: _gram,
    kept.HISTOGRAM: _histogram,
    kept.BUNDLES: _bundles,
    kept.BEST: _best,
    kept.LINKS: _links,
}
