"""Neurons as boolean functions of the tokens in their bundles, asked of the stream on text (paper, section 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.bundles import Bundles

HIGH = 0.95
"""A neuron is driven where it lies above this quantile of its own values over the text."""
REACH = 4
"""Members at most this many tokens apart count as together."""


@dataclass(frozen=True)
class Driven:
    """For each neuron (n,), what its bundle's members do to it on text.

    seen_alone: members that occur alone; driving_alone: those of them that drive it, on average over where they do;
    seen_together: positions with two members or more; driven_together: whether these drive it on average.
    """

    seen_alone: NDArray[np.int64]
    driving_alone: NDArray[np.int64]
    seen_together: NDArray[np.int64]
    driven_together: NDArray[np.bool_]

    def or_shares(self) -> NDArray[np.float64]:
        """Share of members that alone drive their neuron, for the neurons with any member seen alone."""
        asked = self.seen_alone > 0
        shares: NDArray[np.float64] = self.driving_alone[asked] / self.seen_alone[asked]
        return shares

    def ands(self) -> NDArray[np.bool_]:
        """Whether members drive their neuron only together; for neurons with two of them seen alone, and together."""
        asked = (self.seen_alone >= 2) & (self.seen_together > 0)
        found: NDArray[np.bool_] = (self.driving_alone[asked] == 0) & self.driven_together[asked]
        return found


def driven_by_members(
    stream: Sequence[ArrayLike],
    tokens: Sequence[ArrayLike],
    counted: Sequence[ArrayLike],
    neurons: ArrayLike,
    bundles: Bundles,
    block: int = 512,
) -> Driven:
    """What members of bundles do to their neurons, window by window of a text.

    stream: what the MLP reads (n, d), tokens (n,) and counted (n,: which positions count) of each window; neurons (m,
    d), as they are. A member is alone where no other member stands before it in the window, together with others where
    one stands at most REACH tokens before it. A bias moves a neuron's values and their quantile alike: none is needed.
    """
    read = np.concatenate([np.asarray(x)[np.asarray(c, bool)] for x, c in zip(stream, counted, strict=True)])
    where = _places(tokens, counted)
    targets = np.asarray(neurons)
    n = len(targets)
    seen_alone, driving, together = (np.zeros(n, np.int64) for _ in range(3))
    driven = np.zeros(n, bool)
    for start in range(0, n, block):
        values = read @ targets[start : start + block].T
        bars = np.quantile(values, HIGH, axis=0)
        for column in range(values.shape[1]):
            neuron = start + column
            members = [where[int(token)] for token in bundles.tokens(neuron) if int(token) in where]
            alone, joint = _alone_and_together(members)
            above = [values[rows, column].mean() > bars[column] for rows in alone if len(rows)]
            seen_alone[neuron], driving[neuron] = len(above), int(np.sum(above))
            together[neuron] = len(joint)
            driven[neuron] = bool(len(joint)) and values[joint, column].mean() > bars[column]
    return Driven(seen_alone, driving, together, driven)


@dataclass(frozen=True)
class _Places:
    """Where one token occurs: window, position in it, and row among the counted positions (-1: not counted)."""

    windows: NDArray[np.int64]
    positions: NDArray[np.int64]
    rows: NDArray[np.int64]


def _places(tokens: Sequence[ArrayLike], counted: Sequence[ArrayLike]) -> dict[int, _Places]:
    found: dict[int, list[tuple[int, int, int]]] = {}
    row = 0
    for window, (ids, counts) in enumerate(zip(tokens, counted, strict=True)):
        for position, (token, counts_here) in enumerate(zip(np.asarray(ids), np.asarray(counts, bool), strict=True)):
            found.setdefault(int(token), []).append((window, position, row if counts_here else -1))
            row += int(counts_here)
    return {token: _Places(*np.array(places, np.int64).T) for token, places in found.items()}


def _alone_and_together(members: list[_Places]) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """For each member the rows where it is alone, and all rows with two members or more."""
    alone, joint = [], []
    for place, one in enumerate(members):
        nearest = np.full(len(one.rows), np.inf)
        for other in members[:place] + members[place + 1 :]:
            back = one.positions[:, None] - other.positions[None, :]
            back = np.where((one.windows[:, None] == other.windows[None, :]) & (back > 0), back, np.inf)
            nearest = np.minimum(nearest, back.min(axis=1))
        counted = one.rows >= 0
        alone.append(one.rows[counted & np.isinf(nearest)])
        joint.append(one.rows[counted & (nearest <= REACH)])
    return alone, np.concatenate(joint) if joint else np.zeros(0, np.int64)


def own_bundle_auc(neurons: ArrayLike, dictionary: ArrayLike, bundles: Bundles) -> NDArray[np.float64]:
    """How well each neuron's products tell its own bundle's members from all other tokens: area under the ROC curve.

    neurons (n, d), dictionary (V, d). This is circular, since members were chosen for such products: noise does as well
    (docs/circularity.md). NaN where a bundle is empty or holds all tokens.
    """
    targets, words = np.asarray(neurons), np.asarray(dictionary)
    found = np.full(len(targets), np.nan)
    for neuron, target in enumerate(targets):
        members = bundles.tokens(neuron)
        k, others = len(members), len(words) - len(members)
        if k and others:
            products = words @ target
            own = products[members]
            rest = np.sort(np.delete(products, members))
            below = np.searchsorted(rest, own, "left") + np.searchsorted(rest, own, "right")
            found[neuron] = below.sum() / 2.0 / (k * others)
    return found
