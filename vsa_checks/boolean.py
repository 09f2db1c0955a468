"""Neurons as boolean functions (OR, AND) of the tokens in their bundles, tested on text (paper, section 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.bundles import Bundles
from vsa_checks.engine.scale import near_one

HIGH = 0.95
"""A neuron is driven if its value is above this quantile of its own values over the text."""
REACH = 4
"""Two members of a bundle count as together if they are at most this many tokens apart."""


@dataclass(frozen=True)
class Driven:
    """How the members of each neuron's bundle drive it on text; arrays (n,).

    Attributes
    ----------
    seen_alone : int, members that occur alone somewhere
    driving_alone : int, those of them that drive the neuron on average over the positions where they are alone
    seen_together : int, positions with two or more members
    driven_together : bool, whether the neuron is driven on average over those positions
    """

    seen_alone: NDArray[np.int64]
    driving_alone: NDArray[np.int64]
    seen_together: NDArray[np.int64]
    driven_together: NDArray[np.bool_]

    def or_shares(self) -> NDArray[np.float64]:
        """Return the share of each neuron's members that drive it alone (n,); NaN if none is seen alone."""
        asked = self.seen_alone > 0
        return np.divide(self.driving_alone, self.seen_alone, out=np.full(len(asked), np.nan), where=asked)

    def ands(self) -> NDArray[np.float64]:
        """Tell whether members drive each neuron only together (n,): 1 or 0.

        NaN if fewer than two members are seen alone, or none together.
        """
        asked = (self.seen_alone >= 2) & (self.seen_together > 0)
        return np.where(asked, (self.driving_alone == 0) & self.driven_together, np.nan)

    def of(self, rows: NDArray[np.int64]) -> Driven:
        """Return the same for some of the neurons."""
        return Driven(
            self.seen_alone[rows], self.driving_alone[rows], self.seen_together[rows], self.driven_together[rows]
        )


def driven_by_members(
    stream: Sequence[ArrayLike],
    tokens: Sequence[ArrayLike],
    counted: Sequence[ArrayLike],
    neurons: ArrayLike,
    bundles: Bundles,
    block: int = 512,
) -> Driven:
    """Measure how the members of bundles drive their neurons, on a text in windows.

    A member is alone if no other member comes before it in the window, and together with others if one comes at most
    REACH tokens before it. The neurons' biases are not needed: they shift values and quantile by the same amount.

    Parameters
    ----------
    stream : arrays (n, d), one per window; the input of the MLP
    tokens : int arrays (n,), one per window
    counted : bool arrays (n,), one per window; positions that count
    neurons : array (m, d), input weights, not scaled
    bundles : Bundles of the m neurons
    block : how many neurons' values are held at a time
    """
    read = np.concatenate(
        [np.asarray(x, np.float32)[np.asarray(c, bool)] for x, c in zip(stream, counted, strict=True)]
    )
    where = _places(tokens, counted)
    # Whether a neuron is driven does not depend on its scale, nor on that of the stream.
    read, targets = near_one(read, (0, 1)) if len(read) else read, near_one(np.asarray(neurons, np.float32))
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
    """Occurrences of one token: windows, positions in them, and rows among all counted positions (-1: not counted)."""

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
    """Find the rows where each member is alone, and all rows with two or more members."""
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
    """Measure how well a neuron's dot products separate its bundle from all other tokens: area under the ROC curve.

    Shown only as a warning: members were chosen for such products, so noise does as well (docs/circularity.md).

    Parameters
    ----------
    neurons : array (n, d)
    dictionary : array (V, d)
    bundles : Bundles of the n neurons

    Returns
    -------
    array (n,), NaN if a bundle is empty or contains all tokens
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
