"""Pursuit over a shortlist of the tokens and bound tokens with the largest cosines with the neuron.

Dot products with all vectors are computed only once, not again for each token of a bundle. This makes bundles slightly
worse, equally for all neurons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bound_heads import Heads
from vsa_checks.bound_tokens import Part
from vsa_checks.engine import shortlist_loops
from vsa_checks.engine.threads import Progress, share_out, workers

Rows = NDArray[np.float32]

SHORTLIST = 256
"""Approximate number of tokens, and of bound tokens, on a shortlist."""
STRIP = 4096
"""Bound tokens whose dot products with the neurons a thread computes at a time."""
BLOCK = 64
"""Neurons that a thread works on at a time."""
SAMPLE = 2**15
"""Approximate number of vectors sampled to find the cosine that puts a vector on the shortlist."""
ROOM = 3
"""A shortlist may become this many times as long as intended."""


def pursue_shortlisted(
    neurons: Rows, words: Part, heads: Heads, max_tokens: int, *, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Compute the cosine of each neuron's bundle of tokens and bound tokens after each included vector.

    Like `bound_tokens.pursue`, but only over a shortlist for each neuron.

    Parameters
    ----------
    neurons : array (n, d), of unit norm
    words : the tokens, part without factors
    heads : the bound tokens
    max_tokens : vectors per bundle
    progress : called with the number of neurons done and the total

    Returns
    -------
    array (n, max_tokens)
    """
    neurons = np.ascontiguousarray(neurons, np.float32)
    lister, n = Lister.of(words, heads), len(neurons)
    cosines = np.zeros((n, max_tokens))
    starts = range(0, n, BLOCK)

    def find(start: int, scratch: Rows) -> None:
        rows = slice(start, min(start + BLOCK, n))
        listed = lister.tokens(neurons[rows])
        lister.add_bound(listed, heads.within(neurons[rows]), scratch)
        lister.pursue(listed, heads.right, cosines[rows])

    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress(min(done * BLOCK, n), n)

    width = min(STRIP, heads.left.shape[1])
    share_out(find, starts, [np.empty(min(BLOCK, n) * width, np.float32) for _ in range(workers(len(starts)))], tell)
    return cosines


@dataclass(frozen=True)
class Shortlist:
    """The vectors on each neuron's shortlist: counts (n,); parts, places, alongs (n, room)."""

    counts: NDArray[np.int64]
    parts: NDArray[np.int16]
    places: NDArray[np.int32]
    alongs: Rows

    def copy(self) -> Shortlist:
        """A copy that can be extended separately."""
        return Shortlist(self.counts.copy(), self.parts.copy(), self.places.copy(), self.alongs.copy())

    def extend(self, along: Rows, squares: Rows, cuts: Rows, number: int, first: int, room: int) -> None:
        """Add the vectors of a part whose cosine exceeds each neuron's cut: see `shortlist_loops.collect_above`."""
        listed = self.parts[:, :room], self.places[:, :room], self.alongs[:, :room]
        shortlist_loops.collect_above(along, squares, cuts, number, first, self.counts, *listed)


@dataclass(frozen=True)
class Lister:
    """Makes shortlists of a dictionary's tokens and bound tokens. squares (1 + h, V); sample of the bound tokens."""

    words: Part
    heads: Heads
    squares: Rows
    sample: Rows
    sample_squares: Rows

    @classmethod
    def of(cls, words: Part, heads: Heads) -> Lister:
        """Compute what is needed once per dictionary."""
        n_heads, n_bound, _ = heads.left.shape
        every = max(1, n_heads * n_bound // SAMPLE)
        return cls(
            words,
            heads,
            np.concatenate([words.squares[None], heads.squares]),
            np.ascontiguousarray(heads.left[:, ::every]),
            heads.squares[:, ::every].ravel(),
        )

    def tokens(self, neurons: Rows) -> Shortlist:
        """The tokens nearest to neurons (n, d), with room for the same number of bound tokens."""
        n, n_words, room = len(neurons), len(self.words.left), ROOM * SHORTLIST
        shape = n, 2 * room
        listed = Shortlist(
            np.zeros(n, np.int64), np.zeros(shape, np.int16), np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        )
        along = neurons @ self.words.left.T
        every = max(1, n_words // SAMPLE)
        cuts = _cuts(along[:, ::every], self.squares[0, ::every], n_words)
        listed.extend(along, self.squares[0], cuts, 0, 0, room)
        return listed

    def add_bound(self, listed: Shortlist, turned: Rows, scratch: Rows) -> None:
        """Add the bound tokens nearest to neurons with coordinates `turned` (h, n, r) on the heads' axes."""
        n_heads, n_bound, _ = self.heads.left.shape
        n = turned.shape[1]
        seen = np.concatenate([turned[head] @ self.sample[head].T for head in range(n_heads)], axis=1)
        cuts = _cuts(seen, self.sample_squares, n_heads * n_bound)
        for head in range(n_heads):
            for start in range(0, n_bound, STRIP):
                strip = slice(start, min(start + STRIP, n_bound))
                along = scratch[: n * (strip.stop - start)].reshape(n, -1)
                np.matmul(turned[head], self.heads.left[head, strip].T, out=along)
                listed.extend(along, self.heads.squares[head, strip], cuts, head + 1, start, 2 * ROOM * SHORTLIST)

    def pursue(self, listed: Shortlist, right: Rows, cosines: NDArray[np.float64]) -> None:
        """Fill cosines (n, k) of the bundles found in the shortlists; right (h, r, d): the bound tokens' axes."""
        for i, path in enumerate(cosines):
            shortlist_loops.pursue_shortlist(
                self.words.left,
                self.heads.left,
                right,
                self.squares,
                listed.counts[i],
                listed.parts[i],
                listed.places[i],
                listed.alongs[i],
                path,
            )


def _cuts(along: Rows, squares: Rows, n_vectors: int) -> Rows:
    """The cosine (n,) that about SHORTLIST of `n_vectors` exceed, estimated from a sample; -2 if all may."""
    count = round(SHORTLIST * len(squares) / n_vectors)
    if n_vectors <= SHORTLIST:
        return np.full(len(along), -2.0, np.float32)
    lengths = np.sqrt(squares)
    # Vectors without a direction come last.
    cosines = np.divide(along, lengths, out=np.full(along.shape, -2.0, np.float32), where=lengths > 0)
    place = max(len(squares) - max(count, 1), 0)
    return np.ascontiguousarray(np.partition(cosines, place, axis=1)[:, place])
