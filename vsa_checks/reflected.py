"""Pursuit over tokens and bound tokens that were reflected in their principal axes, again and again (section 3.3).

A reflection turns the sign of what all bound tokens of a head have along some of their principal axes. It leaves their
lengths, their angles with one another, the space that the head writes to and their covariance as they are, and it is
one draw of the whole dictionary: so draws can be compared however much neurons depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bound_tokens import Part
from vsa_checks.engine import shortlist_loops
from vsa_checks.engine.threads import Progress, share_out, workers
from vsa_checks.orthogonality import second_moment

Rows = NDArray[np.float32]

SHORTLIST = 256
"""About how many tokens, and how many bound ones, a pursuit among a shortlist looks at: of largest cosine."""
STRIP = 4096
"""Vectors whose dot products with the neurons a thread computes at a time."""
SAMPLE = 2**15
"""About so many vectors are looked at to know which cosine puts a vector on the shortlist."""
ROOM = 3
"""A shortlist may become this many times as long as meant."""
KEPT = 8
"""Of each head's principal axes the first in so many keep their signs: there lies what most bound tokens share."""


@dataclass(frozen=True)
class Heads:
    """Bound tokens of each head on its principal axes: left (h, V, r) @ right (h, r, d), right with orthonormal rows.

    squares (h, V): squared norms. The axes of each head stand in falling order of variance.
    """

    left: Rows
    right: Rows
    squares: Rows

    @classmethod
    def of(cls, parts: list[Part]) -> Heads:
        """Turn the bound tokens of each head, all given by factors of the same rank r, to their principal axes."""
        shape = len(parts), len(parts[0].left), parts[0].left.shape[1]
        left, right = np.empty(shape, np.float32), []
        for head, part in enumerate(parts):
            assert part.right is not None
            # right = inner.T @ outer.T with orthonormal columns of outer.
            outer, inner = np.linalg.qr(part.right.T.astype(np.float64))
            bound = part.left @ inner.T.astype(np.float32)
            axes = np.linalg.eigh(second_moment(bound))[1][:, ::-1]
            np.matmul(bound, axes.astype(np.float32), out=left[head])
            right.append((outer @ axes).T.astype(np.float32))
        squares = np.einsum("hij,hij->hi", left, left, dtype=np.float64).astype(np.float32)
        return cls(left, np.stack(right), squares)

    @property
    def parts(self) -> list[Part]:
        """The same, head by head."""
        return [Part(left, right) for left, right in zip(self.left, self.right, strict=True)]

    def reflections(self, n: int, rng: np.random.Generator) -> Rows:
        """Draw signs (n, h, r): random ones for all principal axes but the first of each head."""
        heads, _, rank = self.left.shape
        signs = (2 * rng.integers(0, 2, (n, heads, rank), dtype=np.int8) - 1).astype(np.float32)
        signs[:, :, : rank // KEPT] = 1.0
        return signs


def pursue_reflected(
    neurons: Rows, words: Part, heads: Heads, signs: Rows, max_tokens: int, *, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Cosine of each neuron's bundle of tokens and bound tokens, for several reflections of the bound tokens.

    Does what `bound_tokens.pursue` does with each reflection's dictionary, but among a shortlist of the vectors that
    have the largest cosines with the neuron, so that dot products with all vectors are computed only once. Bundles
    become slightly worse thereby, and alike in all reflections.

    Parameters
    ----------
    neurons : array (n, d), of unit norm
    words : the tokens, part without factors
    heads : the bound tokens
    signs : array (draws, h, r), of each head's principal axes; all ones leave the bound tokens as they are
    max_tokens : vectors per bundle
    progress : called with the number of reflections done and of all

    Returns
    -------
    array (draws, n)
    """
    neurons = np.ascontiguousarray(neurons, np.float32)
    n, (n_heads, n_bound, _) = len(neurons), heads.left.shape
    room = ROOM * SHORTLIST
    squares = np.concatenate([words.squares[None], heads.squares])
    listed = _Shortlist.empty(n, 2 * room)
    along = neurons @ words.left.T
    every = max(1, n_bound // SAMPLE)
    cuts = _cuts(along[:, ::every], squares[0, ::every], n_bound)
    listed.extend(along, squares[0], cuts, 0, 0, room)
    within = np.einsum("nd,hrd->hnr", neurons, heads.right, optimize=True)
    every = max(1, n_heads * n_bound // SAMPLE)
    sample = np.ascontiguousarray(heads.left[:, ::every])
    sample_squares = heads.squares[:, ::every].ravel()

    def find(signs: Rows, scratch: Rows) -> NDArray[np.float64]:
        mine = listed.copy()
        turned = within * signs[:, None]
        seen = np.concatenate([turned[head] @ sample[head].T for head in range(n_heads)], axis=1)
        cuts = _cuts(seen, sample_squares, n_heads * n_bound)
        for head in range(n_heads):
            for start in range(0, n_bound, STRIP):
                strip = slice(start, min(start + STRIP, n_bound))
                along = scratch[: n * (strip.stop - start)].reshape(n, -1)
                np.matmul(turned[head], heads.left[head, strip].T, out=along)
                mine.extend(along, heads.squares[head, strip], cuts, head + 1, start, 2 * room)
        right = signs[:, :, None] * heads.right
        return np.array([mine.pursue(i, words.left, heads.left, right, squares, max_tokens) for i in range(n)])

    scratch = [np.empty(n * min(STRIP, n_bound), np.float32) for _ in range(workers(len(signs)))]
    return np.stack(share_out(find, list(signs), scratch, progress))


def _cuts(along: Rows, squares: Rows, n_vectors: int) -> Rows:
    """The cosine (n,) that about SHORTLIST of `n_vectors` exceed, judged by some of them: -2 where all may."""
    count = round(SHORTLIST * len(squares) / n_vectors)
    if n_vectors <= SHORTLIST:
        return np.full(len(along), -2.0, np.float32)
    lengths = np.sqrt(squares)
    # Vectors without a direction come last.
    cosines = np.divide(along, lengths, out=np.full(along.shape, -2.0, np.float32), where=lengths > 0)
    place = max(len(squares) - max(count, 1), 0)
    return np.ascontiguousarray(np.partition(cosines, place, axis=1)[:, place])


@dataclass(frozen=True)
class _Shortlist:
    """For each neuron the vectors on its shortlist: counts (n,); parts, places, alongs (n, room)."""

    counts: NDArray[np.int64]
    parts: NDArray[np.int16]
    places: NDArray[np.int32]
    alongs: Rows

    @classmethod
    def empty(cls, n: int, room: int) -> _Shortlist:
        shape = n, room
        return cls(
            np.zeros(n, np.int64), np.zeros(shape, np.int16), np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        )

    def copy(self) -> _Shortlist:
        return _Shortlist(self.counts.copy(), self.parts.copy(), self.places.copy(), self.alongs.copy())

    def extend(self, along: Rows, squares: Rows, cuts: Rows, number: int, first: int, room: int) -> None:
        listed = self.parts[:, :room], self.places[:, :room], self.alongs[:, :room]
        shortlist_loops.collect_above(along, squares, cuts, number, first, self.counts, *listed)

    def pursue(self, i: int, words: Rows, left: Rows, right: Rows, squares: Rows, n_tokens: int) -> float:
        return float(
            shortlist_loops.pursue_shortlist(
                words, left, right, squares, self.counts[i], self.parts[i], self.places[i], self.alongs[i], n_tokens
            )
        )
