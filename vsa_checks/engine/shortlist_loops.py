"""Compiled loops of the pursuit among a shortlist: see `vsa_checks.shortlisted`.

All are plain functions that the end of the file compiles. Names are those of `loops`: `along` is a dot product with the
neuron, `square` a squared norm, an overlap a dot product with the sum.
"""

from __future__ import annotations

import numpy as np

from vsa_checks.engine.compiled import compile_in_place
from vsa_checks.engine.loops import CHUNK


def _count_above(along, squares, least):  # type: ignore[no-untyped-def]
    """Count the vectors of a chunk whose cosine exceeds a cut, `least` being the cut's square with its sign."""
    over = np.int32(0)
    for v in range(len(along)):
        over += np.int32(along[v] * abs(along[v]) > least * squares[v])
    return over


def collect_above(along, squares, cuts, number, first, counts, parts, places, alongs):  # type: ignore[no-untyped-def]
    """Append the vectors of a part whose cosine with a neuron exceeds the neuron's cut to the neuron's shortlist.

    along (n, V); squares (V,), zero vectors are left out; cuts (n,); number: of the part; first: the place of its first
    vector here. Updates counts (n,), and parts, places and alongs (n, room) from counts on. What finds no room is left
    out.
    """
    n, m = along.shape
    room = places.shape[1]
    for i in range(n):
        count = counts[i]
        least = cuts[i] * abs(cuts[i])
        for start in range(0, m, CHUNK):
            stop = min(start + CHUNK, m)
            if _count_above(along[i, start:stop], squares[start:stop], least) == 0:
                continue
            for v in range(start, stop):
                if along[i, v] * abs(along[i, v]) > least * squares[v] and squares[v] > 0 and count < room:
                    parts[i, count], places[i, count], alongs[i, count] = number, first + v, along[i, v]
                    count += 1
        counts[i] = count


def pursue_shortlist(words, left, right, squares, count, parts, places, alongs, cosines):  # type: ignore[no-untyped-def]
    """Write a neuron's cosine with its bundle after each vector that is included from its shortlist, to cosines (k,).

    words (V, d) are part 0; those of the other parts p are left[p - 1] (V, r) @ right[p - 1] (r, d); squares (p, V).
    The first `count` of parts, places and alongs are the shortlist. When it ends, the cosine stays.
    """
    heads, rank, d = right.shape
    total = np.zeros(d, np.float32)
    within = np.zeros((heads, rank), np.float32)
    overlaps = np.zeros(count, np.float32)
    used = np.zeros(count, np.bool_)
    reach, size = 0.0, 0.0
    for step in range(len(cosines)):
        best, top = -1, -np.inf
        for c in range(count):
            if used[c]:
                continue
            new = reach + np.float64(alongs[c])
            score = new * abs(new) / max(size + 2.0 * overlaps[c] + squares[parts[c], places[c]], 1e-30)
            if score > top:
                best, top = c, score
        if best < 0:
            cosines[step:] = reach / np.sqrt(max(size, 1e-30))
            break
        used[best] = True
        part, place = parts[best], places[best]
        size += 2.0 * overlaps[best] + squares[part, place]
        reach += alongs[best]
        cosines[step] = reach / np.sqrt(max(size, 1e-30))
        if step == len(cosines) - 1:
            break
        if part == 0:
            for j in range(d):
                total[j] += words[place, j]
        else:
            for k in range(rank):
                share = left[part - 1, place, k]
                for j in range(d):
                    total[j] += share * right[part - 1, k, j]
        for head in range(heads):
            for k in range(rank):
                within[head, k] = dot(right[head, k], total)
        for c in range(count):
            if parts[c] == 0:
                overlaps[c] = dot(words[places[c]], total)
            else:
                overlaps[c] = dot(left[parts[c] - 1, places[c]], within[parts[c] - 1])


def dot(one, other):  # type: ignore[no-untyped-def]
    """A dot product in float32."""
    total = np.float32(0.0)
    for j in range(len(one)):
        total += one[j] * other[j]
    return total


compile_in_place(dot, nogil=True, fastmath={"reassoc", "contract"})
compile_in_place(_count_above, nogil=True, fastmath={"nnan", "nsz"})
compile_in_place(collect_above, pursue_shortlist, nogil=True)
