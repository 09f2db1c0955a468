"""Links between MLP layers: vectors of one layer that are closer to a vector of another than random ones are.

Readers are the input vectors of a layer's neurons, writers the rows of W_out. A reader is linked with a layer of
writers if its largest |cos| with them is above a cut that a random direction exceeds with probability RANDOM_LINK,
whatever the number of writers. So shares of linked readers are comparable between layers of any width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks import theory
from vsa_checks.engine.threads import Progress, share_out, threads, workers

Rows = NDArray[np.float32]

RANDOM_LINK = 0.01
"""Probability that a random direction is linked with a layer."""
STRIP = 1024
"""Readers per thread whose cosines with a layer of writers are computed at a time."""
COPIES = 6
"""Memory for changing a layer's writers, as a multiple of them."""
KEPT_AXES = 8
"""Number of first axes that keep their signs: they hold what many vectors of a layer share, which is not a link."""
FITTED, MOST_ROUNDS = 1e-9, 2_000
"""The fit of tendencies ends when no share changes by more than this."""


@dataclass(frozen=True)
class Closest:
    """The writer and reader (row numbers) with the largest |cos| of all pairs between two layers, and that cosine."""

    writer: int
    reader: int
    cosine: float


@dataclass(frozen=True)
class Links:
    """Which readers of a layer are linked with the writers of another: by (writing, reading) layer, bool (n,).

    closest: for each pair of layers, the two closest vectors.
    """

    readers: dict[tuple[int, int], NDArray[np.bool_]]
    n_layers: int
    closest: dict[tuple[int, int], Closest]

    def n_readers(self) -> list[int]:
        """How many readers each layer has."""
        counts = {reading: len(linked) for (_, reading), linked in self.readers.items()}
        return [counts[layer] for layer in range(self.n_layers)]

    def shares(self, chosen: list[NDArray[np.int64]] | None = None) -> NDArray[np.float64]:
        """Share of each layer's readers (second) linked with each layer's writers (first), (layers, layers).

        With `chosen`, only these readers of each layer count. The diagonal is zero.
        """
        table = np.zeros((self.n_layers, self.n_layers))
        for (writing, reading), linked in self.readers.items():
            table[writing, reading] = (linked if chosen is None else linked[chosen[reading]]).mean()
        return table


def link_cut(d: int, n_writers: int) -> float:
    """Return the |cos| that the largest of `n_writers` random directions in d dimensions exceeds at RANDOM_LINK."""
    return theory.cosine_quantile(d, -np.expm1(np.log1p(-RANDOM_LINK) / n_writers))


def linked_readers(
    outputs: Callable[[int], Rows],
    inputs: Callable[[int], Rows],
    n_layers: int,
    progress: Progress | None = None,
    held: int | None = None,
    change: Callable[[int, Rows], Rows] | None = None,
) -> Links:
    """Find the readers that are linked with each other layer's writers.

    Parameters
    ----------
    outputs, inputs : callable
        Return the unit vectors (n, d) of a layer: its writers and its readers.
    n_layers : int
    progress : callable, optional
    held : int, optional
        How many layers' vectors are in memory at a time, on each side; by default all.
    change : callable, optional
        Called from several threads with a layer and its writers; the writers that it returns take their place.

    Returns
    -------
    Links
    """
    step, done = held or n_layers, 0
    blocks = [range(start, min(start + step, n_layers)) for start in range(0, n_layers, step)]
    found: dict[tuple[int, int], NDArray[np.bool_]] = {}
    closest: dict[tuple[int, int], Closest] = {}
    for writing in blocks:
        writers = {layer: outputs(layer) for layer in writing}
        if change is not None:
            writers = _changed(writers, change)
        for reading in blocks:
            readers = {layer: inputs(layer) for layer in reading}
            pairs = [(i, j) for i in writing for j in reading if i != j]

            def tell(n: int, _: int, before: int = done) -> None:
                if progress is not None:
                    progress(before + n, n_layers * (n_layers - 1))

            for pair, (linked, best) in zip(pairs, _linked(writers, readers, pairs, tell), strict=True):
                found[pair], closest[pair] = linked, best
            done += len(pairs)
    return Links(found, n_layers, closest)


def _changed(writers: dict[int, Rows], change: Callable[[int, Rows], Rows]) -> dict[int, Rows]:
    def work(layer: int, _: None) -> Rows:
        return change(layer, writers.pop(layer))  # so that not all are in memory twice

    layers = list(writers)
    at_once = workers(len(layers), COPIES * max(one.nbytes for one in writers.values()))
    return dict(zip(layers, share_out(work, layers, [None] * at_once), strict=True))


def _linked(
    writers: dict[int, Rows], readers: dict[int, Rows], pairs: list[tuple[int, int]], progress: Progress
) -> list[tuple[NDArray[np.bool_], Closest]]:
    if not pairs:
        return []
    room = min(STRIP, max(map(len, readers.values()))) * max(map(len, writers.values()))

    def links(pair: tuple[int, int], products: Rows) -> tuple[NDArray[np.bool_], Closest]:
        left, right = writers[pair[0]], readers[pair[1]]
        cut = link_cut(left.shape[1], len(left))
        largest = np.empty(len(right), np.float32)
        for start in range(0, len(right), STRIP):
            rows = right[start : start + STRIP]
            cosines = products[: len(rows) * len(left)].reshape(len(rows), len(left))
            np.matmul(rows, left.T, out=cosines)
            np.maximum(cosines.max(axis=1), -cosines.min(axis=1), out=largest[start : start + STRIP])
        reader = int(np.argmax(largest))
        own = left @ right[reader]
        writer = int(np.argmax(np.abs(own)))
        return largest > cut, Closest(writer, reader, float(own[writer]))

    return share_out(links, pairs, [np.empty(room, np.float32) for _ in range(workers(len(pairs)))], progress)


def leads(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Forward share minus acausal share of each pair (earlier, later) of layers, in the order of np.triu_indices."""
    earlier, later = np.triu_indices(len(shares), 1)
    lead: NDArray[np.float64] = shares[earlier, later] - shares[later, earlier]
    return lead


def excess(leads: NDArray[np.float64], n_layers: int) -> float:
    """Mean number of earlier layers that a reader is linked with, minus the mean number of later ones.

    The mean is over the readers of all layers but one, because the first layer reads no other. `leads` are those of
    all pairs of layers.
    """
    return float(leads.sum() / (n_layers - 1))


def shared_axes(moments: Iterable[NDArray[np.float64]]) -> Rows:
    """Return the first KEPT_AXES principal axes (d, k) of vectors in many sets, given each set's second moment (d, d).

    Second moments are sums over vectors.
    """
    whole = sum(moments, start=np.zeros(1))
    return np.ascontiguousarray(np.linalg.eigh(whole)[1][:, ::-1][:, :KEPT_AXES], np.float32)


def flipped_on_own_axes(unit: Rows, shared: Rows | None, rng: np.random.Generator) -> Rows:
    """Give each vector a random sign along each principal axis of its layer, except the first KEPT_AXES.

    Parts along the axes `shared` (d, k) by all layers are also kept: if a layer has little of them, they are not among
    its own first axes. So each vector keeps its energy along every axis, and what many vectors share; the direction of
    the single vector is lost. Axes are those of the second moment, so that the mean counts as shared.

    Without `shared`, vectors stay in the space of their layer. With it they may leave this space, if it is oblique to
    the shared axes.

    Parameters
    ----------
    unit : array (n, d)
    shared : array (d, k), orthonormal columns, or None to keep nothing but the layer's own first axes

    Returns
    -------
    array (n, d), of the same norms
    """
    signs = _signs((len(unit), max(unit.shape[1] - KEPT_AXES, 0)), rng)
    with threads():  # one thread: on matrices of this size, several mostly wait for each other
        common = np.zeros_like(unit) if shared is None else np.asarray(unit @ shared @ shared.T, np.float32)
        rest: Rows = unit - common
        axes = np.linalg.eigh(rest.T.astype(np.float64) @ rest)[1][:, ::-1].astype(np.float32)
        along: Rows = rest @ axes
        along[:, KEPT_AXES:] *= signs
        flipped: Rows = along @ axes.T + common
        return flipped


def flipped_coordinates(unit: Rows, rng: np.random.Generator) -> Rows:
    """Give each coordinate of each vector (n, d) a random sign: all magnitudes are kept, including heavy tails."""
    flipped: Rows = unit * _signs(unit.shape, rng)
    return flipped


def _signs(shape: tuple[int, ...], rng: np.random.Generator) -> Rows:
    return (2 * rng.integers(0, 2, shape, dtype=np.int8) - 1).astype(np.float32)


def from_tendencies(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit the off-diagonal shares (layers, layers) by a product of each layer's tendencies to write and to read.

    Parameters
    ----------
    shares : array (layers, layers), zero on the diagonal

    Returns
    -------
    array (layers, layers) with the sums of all rows and columns of `shares`, and zeros on the diagonal

    References
    ----------
    Goodman 1968, The analysis of cross-classified data: independence, quasi-independence, and interactions in
    contingency tables with or without missing entries, JASA 63.
    """
    off = 1.0 - np.eye(len(shares))
    fitted = off.copy()
    for _ in range(MOST_ROUNDS):
        before = fitted.copy()
        for axis in (1, 0):
            sums = fitted.sum(axis=axis, keepdims=True)
            wanted = shares.sum(axis=axis, keepdims=True)
            fitted *= np.divide(wanted, sums, out=np.zeros_like(sums), where=sums > 0)
        if np.abs(fitted - before).max() < FITTED:
            break
    return fitted
