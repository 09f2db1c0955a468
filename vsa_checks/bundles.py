"""Explain neurons as bundles of tokens (paper, section 3.2).

A *dictionary* is a matrix with one vector per token, usually the centered embeddings. A *bundle* is the plain,
unweighted sum of some of its vectors. The higher its cosine with a neuron's input weights, the better it explains the
neuron. There are two ways to find a bundle:

- `ranked_scan`, the paper's method: go once through the tokens that list the neuron, the most similar one first, and
  include each one that raises the cosine (by more than .04 if its own is below .1). Cheap: each token is tried once.
- `greedy_pursuit`: at each step, try all tokens and include the one that raises the cosine most. It reaches higher
  cosines with the same number of tokens.

Both return `Bundles`: the tokens of each neuron in order of inclusion, and the cosine after each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine import loops
from vsa_checks.engine.dictionary import Dictionary, repeated_rows
from vsa_checks.engine.pursuit import Seen, plan_block, pursue
from vsa_checks.engine.threads import Progress, share_out, workers
from vsa_checks.orthogonality import live_rows

if TYPE_CHECKING:
    import torch

LEAST_COSINE = 0.05
"""A token with a smaller cosine with the neuron is never a candidate (paper, section 3.2)."""

BLOCK = 256
"""Rows that a thread multiplies at a time. Fixed, because rounding would otherwise depend on the number of threads."""


@dataclass(frozen=True)
class Bundles:
    """One bundle of tokens per neuron, in order of inclusion, with the cosine after each.

    The bundles are stored one after another in flat arrays: that of neuron i is at starts[i]:starts[i + 1]. Read them
    with `tokens`, `path` and `cosine`.

    Attributes
    ----------
    starts : int array (n_neurons + 1,)
    token_ids, cosines : arrays (starts[-1],), dictionary rows, and the cosine after each inclusion
    dead : bool array (n_neurons,), neurons whose weights are all zero; their bundles are empty
    n_dictionary_excluded : int, zero rows of the dictionary, which are never included
    """

    starts: NDArray[np.int64]
    token_ids: NDArray[np.int64]
    cosines: NDArray[np.float64]
    dead: NDArray[np.bool_]
    n_dictionary_excluded: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def tokens(self, neuron: int) -> NDArray[np.int64]:
        """Return the dictionary rows (size,) in the bundle of a neuron, in order of inclusion."""
        return self.token_ids[self.starts[neuron] : self.starts[neuron + 1]]

    def path(self, neuron: int) -> NDArray[np.float64]:
        """Return the cosine (size,) of the bundle of a neuron after each inclusion."""
        return self.cosines[self.starts[neuron] : self.starts[neuron + 1]]

    def part(self, first: int, last: int) -> Bundles:
        """Return the bundles of the neurons from `first` up to but not including `last`."""
        starts = self.starts[first : last + 1]
        rows = slice(starts[0], starts[-1])
        return Bundles(
            starts - starts[0],
            self.token_ids[rows],
            self.cosines[rows],
            self.dead[first:last],
            self.n_dictionary_excluded,
        )

    @property
    def size(self) -> NDArray[np.int64]:
        """Number of tokens in each bundle (n_neurons,)."""
        return np.diff(self.starts)

    @property
    def cosine(self) -> NDArray[np.float64]:
        """Cosine of each whole bundle with its neuron (n_neurons,); 0 for an empty bundle, NaN for a dead neuron."""
        return self._after(self.size)

    def cosine_at(self, k: int) -> NDArray[np.float64]:
        """Return the cosine of each bundle after k tokens (n_neurons,), or after all of them if it has fewer.

        Raises ValueError for k < 1.
        """
        if k < 1:
            raise ValueError(f"a bundle of {k} tokens has no cosine")
        return self._after(np.minimum(self.size, k))

    def _after(self, count: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return each bundle's cosine after its first `count` tokens; 0 after none, NaN for a dead neuron."""
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
    seen: Seen | None = None,
) -> Bundles:
    """Repeatedly include in each neuron's bundle the token that gives the highest cosine.

    Each token is included at most once, ties go to the lowest row, and there is no early stop: a bundle gets
    `max_tokens` tokens, or all non-zero tokens if there are fewer. A dead neuron gets an empty bundle and a NaN cosine.

    Parameters
    ----------
    neurons : array (n, d), taken at unit norm
    dictionary : array (V, d) or Dictionary, rows summed as they are
    max_tokens : tokens per bundle
    block : neurons processed together
    memory : bytes that may be allocated, including dictionary and results; answers do not depend on it
        Fastest if V^2 more bytes are allowed. With less, matrix products are recomputed every few tokens (cost in
        docs/benchmarks.md). By default up to 3 GB in addition to the dictionary.
    device : torch device to compute on, within its free memory, with the same answers; None is the compiled engine
    progress : called with the number of neurons done and the total
    seen : called, from several threads, with two arguments: the index of the first of m neurons among the live neurons,
        and the products (m, V) of these neurons, at unit norm, with the non-zero tokens

    Returns
    -------
    Bundles

    Raises
    ------
    ValueError : shapes that do not fit, max_tokens < 1, or `memory` too small or given with a device
    VsaChecksError : the device's memory is too small

    References
    ----------
    This project's own method, for the question of the paper's section 3.2. The weighted variant is orthogonal matching
    pursuit: Tropp 2004, Greed is good, IEEE Trans. Inf. Theory 50.
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
        planned = plan_block(words, len(target), length, memory)
        pursue(words, target, picked, paths, block or planned, progress, seen)
    else:
        from vsa_checks.engine.on_device import pursuit as on_device

        on_device.pursue(words, target, picked, paths, device, block, progress, seen)
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
    """Explain neurons by the paper's procedure: one pass over the tokens that list each neuron.

    Each token lists the neurons it is most similar to, ties to the lowest neuron. The candidates of a neuron are the
    tokens that list it and whose cosine with it is at least .05. They are tried in descending order of that cosine,
    ties to the lowest row. A candidate is included if the bundle's cosine rises; if its own cosine is below .1, only if
    the bundle's rises by more than .04.

    Parameters
    ----------
    neurons : array (n, d), taken at unit norm
    dictionary : array (V, d) or Dictionary, rows summed as they are
    neurons_per_token : how many neurons each token lists; None for all
    block : rows of neurons or tokens multiplied at a time
    device : torch device to find and order the candidates on; None is the compiled engine
        Its cosines may differ in float32's last bit. Two candidates that close may swap places.
    progress : called with the number of neurons done and the total

    Returns
    -------
    Bundles

    Raises
    ------
    ValueError : shapes that do not fit, or neurons_per_token < 1
    VsaChecksError : the device's memory is too small

    References
    ----------
    Paper, section 3.2, steps 1 to 4.
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
    """Run `ranked_scan` for several numbers of neurons per token; shared work is done once.

    Parameters, errors and device are those of `ranked_scan`; returns one `Bundles` for each of `neurons_per_token`.
    """
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
"""Bundles of some neurons: their sizes, then all tokens and all cosines, one bundle after another."""


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
        on_device.find_candidates(
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
        return _scan(words, *loops.collect_candidates(cosines, np.float32(LEAST_COSINE)))

    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress(min(done * starts.step, len(unit)), len(unit))

    return share_out(explain, starts, scratch, tell)


def _scan_listed(
    unit: NDArray[np.float32], words: Dictionary, ids: NDArray[np.int32], cosines: NDArray[np.float32]
) -> list[Scanned]:
    """Scan with each token listing k neurons: `ids` and `cosines` (V, k)."""
    tokens, place = np.nonzero(cosines >= LEAST_COSINE)
    neurons, values = ids[tokens, place], cosines[tokens, place]
    order = np.lexsort((tokens, -values, neurons))
    tokens, values = tokens[order], values[order]
    return _scan_ordered(words, np.searchsorted(neurons[order], np.arange(len(unit) + 1)), tokens, values)


def _scan_ordered(
    words: Dictionary, ends: NDArray[np.int64], tokens: NDArray[np.int64], cosines: NDArray[np.float32]
) -> list[Scanned]:
    """Run `_scan` in several threads, each with one block of neurons at a time."""

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
    """Scan the candidates of neuron i, in the order given: tokens[ends[i]:ends[i + 1]] and their cosines."""
    included, after = loops.scan_candidates(words.vectors, words.norms, ends, tokens, cosines)
    kept = np.flatnonzero(included)
    sizes = np.diff(np.searchsorted(kept, ends))
    return sizes, tokens[kept], after[kept]


def _listed_neurons(
    unit: NDArray[np.float32], words: Dictionary, count: int, block: int | None, device: torch.device | None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Find for each token the `count` neurons of largest cosine, ties to the lowest id: ids and cosines (V, count)."""
    if device is not None:
        from vsa_checks.engine.on_device import scan as on_device

        return on_device.list_neurons(unit, words, count, device, block)
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
        loops.keep_largest(cosines, ids[rows], top[rows])

    share_out(rank, starts, scratch)
    copies, originals = words.copies
    ids[copies], top[copies] = ids[originals], top[originals]
    return ids, top


def _blocks(n: int, width: int, block: int | None) -> tuple[range, list[NDArray[np.float32]]]:
    """Return where blocks of n rows start, and for each thread an array (rows, width) for the products of a block."""
    step = block or BLOCK
    starts = range(0, n, step)
    return starts, [np.empty((min(step, n), width), np.float32) for _ in range(workers(len(starts)))]


def _fit(
    neurons: ArrayLike, dictionary: ArrayLike | Dictionary
) -> tuple[Dictionary, NDArray[np.float32], NDArray[np.bool_]]:
    """Check shapes; return the dictionary, the neurons at unit norm (zero if dead), and which neurons are alive."""
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
