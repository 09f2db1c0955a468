"""Compiled loop of the paper's scan over tokens and bound tokens: see `vsa_checks.bound_scan`."""

from __future__ import annotations

import numpy as np

from vsa_checks.engine.compiled import compile_in_place
from vsa_checks.engine.loops import WEAK_COSINE, WEAK_RISE, highest_cosine
from vsa_checks.engine.shortlist_loops import dot


def scan_bound(words, left, right, meets, norms, ends, ids, cosines, reached, sizes):  # type: ignore[no-untyped-def]
    """Go once through each neuron's candidates, in the order given, and include them by the paper's rule.

    Same as `loops.scan_candidates`, but without holding the vectors. Ids count through words (V, d), part 0, then
    through each other part p, left[p - 1] (V, r) @ right[p - 1] (r, d). meets (h, h, r, r): right[q] @ right[p].T.
    norms ((1 + h) V,). Writes the cosine of each neuron's bundle to reached (n,), and how many vectors of part 0 and of
    all others it has to sizes (n, 2).

    The sum's coordinates on each head's axes, (h, r), are kept along with the sum, so a candidate costs r operations.
    """
    n_words, d = words.shape
    heads, rank, _ = right.shape
    for i in range(len(ends) - 1):
        total, within = np.zeros(d), np.zeros((heads, rank))
        along, square, cosine = 0.0, 0.0, 0.0
        for c in range(ends[i], ends[i + 1]):
            norm = norms[ids[c]]
            part, place = ids[c] // n_words, ids[c] % n_words
            reach = np.float64(cosines[c]) * norm
            if cosines[c] < WEAK_COSINE and highest_cosine(along, square, norm, reach) < cosine + WEAK_RISE - 1e-6:
                continue
            overlap = _long(words[place], total) if part == 0 else _long(left[part - 1, place], within[part - 1])
            size = square + 2.0 * overlap + norm * norm
            if size <= 0.0:
                continue
            new = (along + reach) / np.sqrt(size)
            if not (new > cosine and (cosines[c] >= WEAK_COSINE or new - cosine > WEAK_RISE)):
                continue
            along, square, cosine = along + reach, size, new
            sizes[i, min(part, 1)] += 1
            if part == 0:
                for j in range(d):
                    total[j] += words[place, j]
                for head in range(heads):
                    for k in range(rank):
                        within[head, k] += dot(right[head, k], words[place])
                continue
            for k in range(rank):
                share = np.float64(left[part - 1, place, k])
                for j in range(d):
                    total[j] += share * right[part - 1, k, j]
            for head in range(heads):
                for k in range(rank):
                    within[head, k] += dot(meets[head, part - 1, k], left[part - 1, place])
        reached[i] = cosine


def _long(one, other):  # type: ignore[no-untyped-def]
    """A dot product in float64."""
    total = 0.0
    for j in range(len(one)):
        total += one[j] * other[j]
    return total


compile_in_place(_long, nogil=True, fastmath={"reassoc", "contract"})
compile_in_place(scan_bound, nogil=True)
