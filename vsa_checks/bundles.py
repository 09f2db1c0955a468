"""Explaining neurons by unweighted sums of dictionary vectors: the paper's ranked scan and a greedy pursuit (3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine import loops
from vsa_checks.engine.dictionary import Dictionary, repeated_rows
from vsa_checks.engine.pursuit import block_within, pursue
from vsa_checks.engine.threads import Progress, share_out, workers
from vsa_checks.orthogonality import live_rows

if TYPE_CHECKING:
    import torch

LEAST_COSINE = 0.05
"""A token of smaller cosine with the neuron is never a candidate (paper, section 3.2)."""

BLOCK = 256
"""Rows that a thread multiplies at a time: the same however many threads there are, so that rounding is."""


@dataclass(frozen=True)
class Bundles:
    """One bundle of tokens per neuron, in order of inclusion, and the cosine with the neuron after each."""

    starts: NDArray[np.int64]
    token_ids: NDArray[np.int64]
    cosines: NDArray[np.float64]
    dead: NDArray[np.bool_]
    n_dictionary_excluded: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def tokens(self, neuron: int) -> NDArray[np.int64]:
        """Dictionary rows in the bundle of `neuron`, in order of inclusion."""
        return self.token_ids[self.starts[neuron] : self.starts[neuron + 1]]

    def path(self, neuron: int) -> NDArray[np.float64]:
        """Cosine of the bundle of `neuron` after each inclusion."""
        return self.cosines[self.starts[neuron] : self.starts[neuron + 1]]

    @property
    def size(self) -> NDArray[np.int64]:
        """Tokens in each bundle (n_neurons,)."""
        return np.diff(self.starts)

    @property
    def cosine(self) -> NDArray[np.float64]:
        """Cosine of each whole bundle with its neuron (n_neurons,); 0 for an empty bundle, NaN for a dead neuron."""
        return self._after(self.size)

    def cosine_at(self, k: int) -> NDArray[np.float64]:
        """Cosine of each bundle after its first k tokens (n_neurons,); a smaller bundle's last cosine.

        Raises ValueError for k < 1.
        """
        if k < 1:
            raise ValueError(f"a bundle of {k} tokens has no cosine")
        return self._after(np.minimum(self.size, k))

    def _after(self, count: NDArray[np.int64]) -> NDArray[np.float64]:
        padded = np.append(self.cosines, 0.0)
        last = np.where(count > 0, self.starts[:-1] + count - 1, len(self.cosines))
        return np.where(self.dead, np.nan, padded[last])


def greedy_pursuit(
    neurons: ArrayLike,
    dictionary: ArrayLike | Dictionary,
    max_tokens: int,
    *,
    block: int | None = None,
    memory: int | None = None,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Bundles:
    """Add to each neuron's bundle, `max_tokens` times, the token that gives the highest cosine.

    neurons (n, d), taken at unit norm; dictionary (V, d), rows summed as they are. Each token at most once, ties
    to the lowest row, no early stop: a bundle holds min(max_tokens, live rows) tokens. Dead neurons get an empty
    bundle and a NaN cosine. `memory`: bytes that may be allocated, the dictionary's and the results among them; the
    answers are the same. Fastest where it holds V^2 bytes beside; without that, matrix products are made every few
    tokens (docs/benchmarks.md has the cost). By default up to 3 GB beside the dictionary. On a `device` of torch's the
    answers are the same, and blocks are sized to its free memory; None is the compiled engine. Raises ValueError for
    shapes that do not fit, max_tokens < 1, or `memory` that is too small or given for a device, VsaChecksError where
    the device's memory is too small. Theory: greedy pursuit with unit weights (paper, section 3.2; Tropp 2004 for the
    weighted kind).
    """
    words, unit, alive = _fit(neurons, dictionary)
    if max_tokens < 1:
        raise ValueError(f"a bundle of at most {max_tokens} tokens cannot be built")
    if device is not None and memory is not None:
        raise ValueError("`memory` bounds what the compiled engine allocates; on a device its own free memory does")
    n_words, target = len(words.rows), unit[alive]
    length = min(max_tokens, n_words)
    picked = np.full((len(target), length), -1, np.int64)
    paths = np.zeros((len(target), length))
    if device is None:
        planned = block_within(words, len(target), length, memory)
        pursue(words, target, picked, paths, block or planned, progress)
    else:
        from vsa_checks.engine.on_device import pursuit as on_device

        on_device.pursue(words, target, picked, paths, device, block, progress)
    starts = np.concatenate([[0], np.cumsum(np.where(alive, length, 0))])
    return Bundles(starts, words.rows[picked.ravel()], paths.ravel(), ~alive, words.n_excluded)


def ranked_scan(
    neurons: ArrayLike,
    dictionary: ArrayLike | Dictionary,
    neurons_per_token: int | None = None,
    *,
    block: int | None = None,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Bundles:
    """Explain neurons by the paper's procedure: one pass over the tokens that listed each neuron.

    neurons (n, d), taken at unit norm; dictionary (V, d), rows summed as they are. Each token lists the
    `neurons_per_token` neurons of largest cosine, ties to the lowest id (None: all). A neuron's candidates, those
    of cosine >= .05, are gone through in order of cosine, ties to the lowest row; one is included if the bundle's
    cosine strictly rises, and, below .1, if it rises by more than .04. On a `device` of torch's (None: the compiled
    engine) candidates are found and ordered there, by cosines that may differ from the compiled engine's in float32's
    last bit, so that two that are that close may change places. Raises ValueError for shapes that do not fit or
    neurons_per_token < 1, VsaChecksError where the device's memory is too small. Source: paper, section 3.2, steps 1 to
    4.
    """
    return ranked_scans(neurons, dictionary, [neurons_per_token], block=block, device=device, progress=progress)[0]


def ranked_scans(
    neurons: ArrayLike,
    dictionary: ArrayLike | Dictionary,
    neurons_per_token: Sequence[int | None],
    *,
    block: int | None = None,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> list[Bundles]:
    """Run `ranked_scan` for several numbers of neurons per token, sharing the products. Same shapes and errors."""
    words, unit, alive = _fit(neurons, dictionary)
    counts = [k for k in neurons_per_token if k is not None]
    if any(k < 1 for k in counts):
        raise ValueError(f"a token cannot list {min(counts)} neurons")
    ids = np.flatnonzero(alive)
    live = unit[ids]
    widest = min(max(counts, default=0), len(ids))
    lists = _listed_neurons(live, words, widest, block, device) if widest else None
    results = []
    for k in neurons_per_token:
        if k is None or k >= len(ids):
            parts = _scan_all(live, words, block, device, progress)
        else:
            assert lists is not None
            parts = _scan_listed(live, words, lists[0][:, :k], lists[1][:, :k])
        sizes = np.zeros(len(unit), np.int64)
        sizes[ids] = np.concatenate([part[0] for part in parts]) if parts else 0
        tokens = np.concatenate([part[1] for part in parts]) if parts else np.zeros(0, np.int64)
        cosines = np.concatenate([part[2] for part in parts]) if parts else np.zeros(0)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        results.append(Bundles(starts, words.rows[tokens], cosines, ~alive, words.n_excluded))
    return results


Scanned = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def _scan_all(
    unit: NDArray[np.float32],
    words: Dictionary,
    block: int | None,
    device: torch.device | None,
    progress: Progress | None,
) -> list[Scanned]:
    """Scan with every token listing every neuron, a block of neurons at a time."""
    if device is not None:
        from vsa_checks.engine.on_device import scan as on_device

        parts: list[Scanned] = []
        least = float(np.float32(LEAST_COSINE))
        on_device.candidates(
            unit, words, least, device, block, lambda *found: parts.extend(_scan_ordered(words, *found)), progress
        )
        return parts
    n_words = len(words.rows)
    starts, scratch = _blocks(len(unit), n_words, block)
    copies, originals = words.copies

    def explain(start: int, products: NDArray[np.float32]) -> Scanned:
        neurons = unit[start : start + len(products)]
        cosines = np.matmul(neurons, words.vectors.T, out=products[: len(neurons)])
        cosines *= words.inverse
        cosines[:, copies] = cosines[:, originals]
        return _scan(words, *loops.candidates(cosines, np.float32(LEAST_COSINE)))

    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress(min(done * starts.step, len(unit)), len(unit))

    return share_out(explain, starts, scratch, tell)


def _scan_listed(
    unit: NDArray[np.float32], words: Dictionary, ids: NDArray[np.int32], cosines: NDArray[np.float32]
) -> list[Scanned]:
    """Scan with the lists (V, k) of neurons and cosines that the tokens made."""
    tokens, place = np.nonzero(cosines >= LEAST_COSINE)
    neurons, values = ids[tokens, place], cosines[tokens, place]
    order = np.lexsort((tokens, -values, neurons))
    tokens, values = tokens[order], values[order]
    return _scan_ordered(words, np.searchsorted(neurons[order], np.arange(len(unit) + 1)), tokens, values)


def _scan_ordered(
    words: Dictionary, ends: NDArray[np.int64], tokens: NDArray[np.int64], cosines: NDArray[np.float32]
) -> list[Scanned]:
    """As `_scan`, some neurons at a time in each thread."""

    def explain(start: int, _: None) -> Scanned:
        part = ends[start : start + BLOCK + 1]
        held = slice(part[0], part[-1])
        return _scan(words, part - part[0], tokens[held], cosines[held])

    starts = range(0, len(ends) - 1, BLOCK)
    return share_out(explain, starts, [None] * workers(len(starts)))


def _scan(
    words: Dictionary,
    ends: NDArray[np.int64],
    tokens: NDArray[np.int64],
    cosines: NDArray[np.float32],
) -> Scanned:
    """Go once through each neuron's candidates, ends[i]:ends[i + 1] of tokens and cosines, in the order given."""
    included, after = loops.scan(words.vectors, words.norms, ends, tokens, cosines)
    kept = np.flatnonzero(included)
    sizes = np.diff(np.searchsorted(kept, ends))
    return sizes, tokens[kept], after[kept]


def _listed_neurons(
    unit: NDArray[np.float32], words: Dictionary, count: int, block: int | None, device: torch.device | None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `count` neurons of largest cosine for each token (V, count), and the cosines; ties to the lowest id."""
    if device is not None:
        from vsa_checks.engine.on_device import scan as on_device

        return on_device.listed_neurons(unit, words, count, device, block)
    n_words = len(words.rows)
    starts, scratch = _blocks(n_words, len(unit), block)
    ids = np.empty((n_words, count), np.int32)
    top = np.empty((n_words, count), np.float32)
    copies, originals = repeated_rows(unit)

    def rank(start: int, products: NDArray[np.float32]) -> None:
        rows = slice(start, min(start + len(products), n_words))
        cosines = np.matmul(words.vectors[rows], unit.T, out=products[: rows.stop - start])
        cosines *= words.inverse[rows, None]
        cosines[:, copies] = cosines[:, originals]
        loops.largest(cosines, ids[rows], top[rows])

    share_out(rank, starts, scratch)
    copies, originals = words.copies
    ids[copies], top[copies] = ids[originals], top[originals]
    return ids, top


def _blocks(n: int, width: int, block: int | None) -> tuple[range, list[NDArray[np.float32]]]:
    """Where blocks of n rows begin, and room (rows, width) for the products of one in each thread."""
    step = block or BLOCK
    starts = range(0, n, step)
    return starts, [np.empty((min(step, n), width), np.float32) for _ in range(workers(len(starts)))]


def _fit(
    neurons: ArrayLike, dictionary: ArrayLike | Dictionary
) -> tuple[Dictionary, NDArray[np.float32], NDArray[np.bool_]]:
    """Check that shapes agree; return the dictionary, the neurons at unit norm (0 where dead), which are alive."""
    words = dictionary if isinstance(dictionary, Dictionary) else Dictionary.of(dictionary)
    array = np.asarray(neurons)
    live = live_rows(array)
    if array.shape[1] != words.vectors.shape[1]:
        raise ValueError(f"neurons have {array.shape[1]} dimensions, dictionary vectors {words.vectors.shape[1]}")
    unit = np.zeros(array.shape, np.float32)
    unit[live.rows] = live.unit
    alive = np.zeros(len(array), bool)
    alive[live.rows] = True
    return words, unit, alive
