"""Compiled loops of the measures: pairs of vectors, the ranked scan, ranks, bound tokens, images under binding.

The loops of the greedy pursuit are in `pursuit_loops` and `pursuit_steps`, those of the Gram matrix in bytes in
`gram_loops`. All are plain functions that the end of the file compiles.

Names in loops over sums of vectors: `along` is the sum's dot product with the neuron, `square` its squared norm, and
`reach` and `size` are the same two with one more vector added. An overlap is a dot product of the sum with a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from vsa_checks.engine.compiled import compile_in_place


class PairTally(NamedTuple):
    """What one pass over the Gram matrix counts: see `of` and `tally_block`."""

    maximum: NDArray[np.float32]
    above: NDArray[np.int64]
    histogram: NDArray[np.int64]

    @classmethod
    def of(cls, n: int, n_levels: int, n_bins: int) -> PairTally:
        """Make zeroed counts: maximum |cos| (n,), above (n, n_levels), histogram (n_bins,)."""
        return cls(np.zeros(n, np.float32), np.zeros((n, n_levels), np.int64), np.zeros(n_bins, np.int64))

    @classmethod
    def joined(cls, parts: Sequence[PairTally]) -> PairTally:
        """Add up the counts of several parts."""
        return cls(
            np.max([part.maximum for part in parts], axis=0),
            np.sum([part.above for part in parts], axis=0),
            np.sum([part.histogram for part in parts], axis=0),
        )


WEAK_COSINE, WEAK_RISE = 0.1, 0.04
"""A token of cosine below .1 is included only if the bundle's cosine rises by more than .04 (paper, section 3.2)."""
CHUNK = 256
"""Entries of a row that are checked together, with vector instructions, before any is looked at by itself."""
CELLS = 4096
"""Cells that `count_above` sorts values into."""
ROUNDING = 1e-5
"""Allowed error of float32 dot products, relative to the norms: about ten times the largest error seen."""
LESS = np.float32(1.0 - ROUNDING)
"""Factor that lowers a bound by the rounding allowed."""


def _bin_cosines(cosines, lowest, per_bin, last, place):  # type: ignore[no-untyped-def]
    """Put each cosine's bin, at most `last`, into `place`; return the largest |cos| and how many exceed `lowest`."""
    top, over = np.float32(0.0), np.int32(0)
    for c in range(len(cosines)):
        size = abs(cosines[c])
        top = size if size > top else top
        over += size > lowest
        bin_of = (cosines[c] + np.float32(1.0)) * per_bin
        bin_of = bin_of if bin_of > np.float32(0.0) else np.float32(0.0)
        place[c] = np.int32(bin_of if bin_of < last else last)
    return top, over


def _count_bins(place, counts):  # type: ignore[no-untyped-def]
    """Add one to a counter of counts (4, bins) for each bin number in `place`."""
    # Four counters a bin: neighbours mostly fall into the same bin, and one counter would wait for its last store.
    first, second, third, fourth = counts[0], counts[1], counts[2], counts[3]
    whole = len(place) // 4
    for k in range(whole):
        first[place[4 * k]] += 1
        second[place[4 * k + 1]] += 1
        third[place[4 * k + 2]] += 1
        fourth[place[4 * k + 3]] += 1
    for k in range(4 * whole, len(place)):
        first[place[k]] += 1


def tally_block(cosines, first_row, first_column, levels, maximum, above, histogram):  # type: ignore[no-untyped-def]
    """Count the pairs of one block of the upper half of the Gram matrix.

    cosines (r, c): rows from first_row on, columns from first_column on; levels: rising. Updates maximum (n,), the
    largest |cos| of each row; above (n, levels), where a pair counts for both of its rows; and histogram (bins,) over
    [-1, 1].
    """
    # Few pairs lie above the lowest level, so only chunks with such a pair are gone through pair by pair.
    rows, columns = cosines.shape
    n_levels, n_bins = len(levels), len(histogram)
    lowest = levels[0] if n_levels else np.float32(np.inf)
    per_bin = np.float32(0.5) * np.float32(n_bins)
    counts = np.zeros((4, n_bins), np.int64)
    place = np.zeros(CHUNK, np.uint32)
    for r in range(rows):
        row = first_row + r
        top = np.float32(0.0)
        for start in range(max(0, row - first_column + 1), columns, CHUNK):
            stop = min(start + CHUNK, columns)
            most, over = _bin_cosines(cosines[r, start:stop], lowest, per_bin, np.float32(n_bins - 1), place)
            top = max(top, most)
            _count_bins(place[: stop - start], counts)
            if over == 0:
                continue
            for c in range(start, stop):
                size = abs(cosines[r, c])
                for k in range(n_levels):
                    if size <= levels[k]:
                        break
                    above[row, k] += 1
                    above[first_column + c, k] += 1
        if top > maximum[row]:
            maximum[row] = top
    for k in range(4):
        histogram += counts[k]


def collect_candidates(cosines, least):  # type: ignore[no-untyped-def]
    """Collect the entries of each row of cosines (n, V) that are at least `least`, falling, ties to the lowest id.

    Returns ends (n + 1,), and ids and cosines of row i at ends[i]:ends[i + 1].
    """
    n, n_words = cosines.shape
    counts = np.zeros(n + 1, np.int64)
    for i in range(n):
        count = 0
        for t in range(n_words):
            count += cosines[i, t] >= least
        counts[i + 1] = count
    ends = np.cumsum(counts)
    ids = np.empty(ends[n], np.int64)
    values = np.empty(ends[n], np.float32)
    for i in range(n):
        found = np.empty(ends[i + 1] - ends[i], np.int64)
        fall = np.empty(len(found), np.float32)
        place = 0
        for t in range(n_words):
            if cosines[i, t] >= least:
                found[place] = t
                fall[place] = -cosines[i, t]
                place += 1
        order = np.argsort(fall, kind="mergesort")
        for k in range(len(found)):
            ids[ends[i] + k] = found[order[k]]
            values[ends[i] + k] = -fall[order[k]]
    return ends, ids, values


def highest_cosine(along, square, norm, reach):  # type: ignore[no-untyped-def]
    """Return the highest cosine that a bundle can have once any vector of this norm and dot product has joined it.

    That is with the vector whose part orthogonal to the neuron points exactly against the bundle's.
    """
    across = np.sqrt(max(square - along * along, 0.0))
    gap = max(across - np.sqrt(max(norm * norm - reach * reach, 0.0)), 0.0)
    return (along + reach) / np.sqrt((along + reach) ** 2 + gap**2)


def scan_candidates(vectors, norms, ends, tokens, cosines):  # type: ignore[no-untyped-def]
    """Go once through each neuron's candidates, in the order given, and include them by the paper's rule.

    vectors (V, d); the candidates of neuron i are at ends[i]:ends[i + 1] of tokens and cosines. Returns for each
    candidate whether it is included, and the bundle's cosine after it.
    """
    included = np.zeros(len(tokens), np.bool_)
    after = np.zeros(len(tokens))
    d = vectors.shape[1]
    for i in range(len(ends) - 1):
        total = np.zeros(d)
        along, square, cosine = 0.0, 0.0, 0.0
        for c in range(ends[i], ends[i + 1]):
            t = tokens[c]
            norm = norms[t]
            reach = np.float64(cosines[c]) * norm
            if cosines[c] < WEAK_COSINE and highest_cosine(along, square, norm, reach) < cosine + WEAK_RISE - 1e-6:
                continue
            overlap = 0.0
            for j in range(d):
                overlap += total[j] * vectors[t, j]
            size = square + 2.0 * overlap + norm * norm
            if size <= 0.0:
                continue
            new = (along + reach) / np.sqrt(size)
            if new > cosine and (cosines[c] >= WEAK_COSINE or new - cosine > WEAK_RISE):
                included[c] = True
                after[c] = new
                along, square, cosine = along + reach, size, new
                for j in range(d):
                    total[j] += vectors[t, j]
    return included, after


def keep_largest(values, ids, top):  # type: ignore[no-untyped-def]
    """Put the largest entries of each row of values (n, m) into ids and top (n, k): falling, ties to the lowest id."""
    n, m = values.shape
    k = ids.shape[1]
    for i in range(n):
        filled = 0
        for c in range(m):
            value = values[i, c]
            if filled == k and not value > top[i, k - 1]:
                continue
            place = filled if filled < k else k - 1
            while place > 0 and value > top[i, place - 1]:
                top[i, place] = top[i, place - 1]
                ids[i, place] = ids[i, place - 1]
                place -= 1
            top[i, place] = value
            ids[i, place] = c
            if filled < k:
                filled += 1


def _find_cell(value, lowest, per_cell):  # type: ignore[no-untyped-def]
    """Return which of CELLS cells a value falls into: a larger value never falls into a lower cell."""
    cell = (value - lowest) * per_cell
    cell = cell if cell > np.float32(0.0) else np.float32(0.0)
    return np.int64(cell if cell < np.float32(CELLS - 1) else np.float32(CELLS - 1))


def count_above(values, rising, places, counts):  # type: ignore[no-untyped-def]
    """Count how many of each row's values (n, V) lie above each of the row's m levels.

    rising (n, m): the levels in rising order; places (n, m): the column of counts (n, m) for each level's count.
    """
    n, m = rising.shape
    for i in numba.prange(n):
        between = np.zeros(m + 1, np.int64)
        lowest, width = rising[i, 0], rising[i, m - 1] - rising[i, 0]
        per_cell = np.float32(CELLS - 1) / width if width > np.float32(1e-30) else np.float32(0.0)
        # A level in a lower cell than a value lies below it, so the search begins at the first level of the value's
        # cell. A binary search would be slower: the processor would guess every other branch wrong.
        first = np.zeros(CELLS + 1, np.int64)
        for level in range(m):
            first[_find_cell(rising[i, level], lowest, per_cell) + 1] += 1
        for cell in range(CELLS):
            first[cell + 1] += first[cell]
        for value in values[i]:
            low = first[_find_cell(value, lowest, per_cell)]
            while low < m and rising[i, low] < value:
                low += 1
            between[low] += 1
        above = 0
        for level in range(m - 1, -1, -1):
            above += between[level + 1]
            counts[i, places[i, level]] = above


def _count_better(projections, overlaps, squares, along, square, least):  # type: ignore[no-untyped-def]
    """Count the vectors of a chunk that give a sum a score above `least` > 0: see `find_better_addition`."""
    # Without a division. A count and not a maximum, which the compiler would not turn into vector instructions.
    over = np.int32(0)
    for c in range(len(projections)):
        reach = along + projections[c]
        size = square + np.float32(2.0) * overlaps[c] + squares[c]
        over += np.int32(reach * abs(reach) > least * size)
    return over


def find_better_addition(projections, overlaps, squares, number, along, square, scores, parts, places):  # type: ignore[no-untyped-def]
    """Find the vector of a part whose addition to a neuron's sum gives a better score than the best known so far.

    The score is the squared cosine with the sign of the cosine. projections (n, V): vectors . neurons, -inf for
    vectors not to be used; overlaps (n, V): vectors . sums; squares (V,): squared norms of the vectors; along, square
    (n,): sums . neurons, and squared norms of the sums. Where a vector is better, scores, parts and places (n,) are set
    to its score, `number` (of the part) and place; ties go to the lowest place.
    """
    n, m = overlaps.shape
    for i in range(n):
        top, place = scores[i], -1
        for start in range(0, m, CHUNK):
            stop = min(start + CHUNK, m)
            along_chunk, overlap_chunk = projections[i, start:stop], overlaps[i, start:stop]
            size_chunk = squares[start:stop]
            least = top * LESS
            if least > 0 and not _count_better(along_chunk, overlap_chunk, size_chunk, along[i], square[i], least):
                continue
            for c in range(stop - start):
                reach = along[i] + along_chunk[c]
                size = square[i] + np.float32(2.0) * overlap_chunk[c] + size_chunk[c]
                score = reach * abs(reach) / max(size, np.float32(1e-30))
                if score > top:
                    top, place = score, start + c
        if place >= 0:
            scores[i], parts[i], places[i] = top, number, place


def normalize_images(images, unit, lengths):  # type: ignore[no-untyped-def]
    """Put images (n, h, r) at unit length into `unit`, zeros where they are zero, and their lengths into (h, n)."""
    n, heads, rank = images.shape
    for i in range(n):
        for head in range(heads):
            square = 0.0
            for k in range(rank):
                square += np.float64(images[i, head, k]) * np.float64(images[i, head, k])
            length = np.sqrt(square)
            lengths[head, i] = length
            share = np.float32(1.0 / length) if length > 0.0 else np.float32(0.0)
            for k in range(rank):
                unit[i, head, k] = images[i, head, k] * share


def add_moments(values, middle, sums):  # type: ignore[no-untyped-def]
    """Add the first four powers of each row of values (n, m), less its `middle` (n,), to sums (n, 4)."""
    n, m = values.shape
    for i in range(n):
        first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
        for j in range(m):
            away = np.float64(values[i, j]) - middle[i]
            square = away * away
            first += away
            second += square
            third += square * away
            fourth += square * square
        sums[i, 0] += first
        sums[i, 1] += second
        sums[i, 2] += third
        sums[i, 3] += fourth


# All numbers are finite, so "nnan" is safe: it lets the compiler use vector instructions.
compile_in_place(_count_bins, _find_cell)
compile_in_place(_bin_cosines, _count_better, fastmath={"nnan", "nsz"})
compile_in_place(find_better_addition, nogil=True, fastmath={"nnan", "nsz"})
compile_in_place(normalize_images, add_moments, nogil=True, fastmath={"reassoc", "contract"})
compile_in_place(highest_cosine, nogil=True)
compile_in_place(tally_block, collect_candidates, scan_candidates, keep_largest, nogil=True)
compile_in_place(count_above, parallel=True)
