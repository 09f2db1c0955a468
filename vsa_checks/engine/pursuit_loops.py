"""Compiled inner loops of the greedy pursuit; `pursuit` explains the method and the inequality behind it.

- Overlaps of all tokens: `update_overlaps`, from rows of the Gram matrix in bytes.
- The first token: `find_nearest`. The best of all tokens: `search_all`.
- The list of tokens that may come next: `list_tokens` makes it, `update_listed` updates its overlaps, `pick_listed`
  finds its best token, and `list_contains_best` tells whether that is the best of all.
- A sum in float64: `project_sum`, `project_addition`, `_compute_cosine`.

All loops work on one neuron, and the end of the file compiles them. `along` is the sum's dot product with the neuron,
`square` its squared norm; `reach` and `size` are the same two with a token added, unless said otherwise.
"""

from __future__ import annotations

import numpy as np

from vsa_checks.engine.compiled import compile_in_place
from vsa_checks.engine.gram_loops import TILE, find_extremes
from vsa_checks.engine.loops import CHUNK, ROUNDING

LEAST_LISTED = 1e-3
"""A list is used only for a best cosine above this."""
LEAST_SQUARE = np.float32(1.2e-38)
"""Used for a squared norm that rounding or its allowance made zero or negative: float32's smallest normal number."""
NOTHING = 1e-24
"""A sum whose squared norm, relative to its parts', is below this has cancelled to zero: its cosine is 0."""


def _count_rivals(projections, overlaps, norms, reach0, square0, less, bar):  # type: ignore[no-untyped-def]
    """Count the tokens of a chunk whose cosine, squared with its sign, reaches `bar` with overlaps lower by `less`."""
    # Squares are compared, because the many tokens that cannot win should cost neither a root nor a branch.
    count = np.int32(0)
    for t in range(len(norms)):
        reach = reach0 + projections[t]
        size = square0 + norms[t] * (norms[t] + np.float32(2.0) * (overlaps[t] - less))
        count += reach * abs(reach) >= bar * size
    return count


def _estimate_cosine(reach, square, norm, overlap):  # type: ignore[no-untyped-def]
    """Compute the cosine of a bundle of squared norm `square` with a token added, in the type of the arguments."""
    size = square + norm * (norm + np.float32(2.0) * overlap)
    return reach / np.sqrt(max(size, LEAST_SQUARE))


def project_sum(total, unit):  # type: ignore[no-untyped-def]
    """Compute a sum's (d,) dot product with the neuron, and its squared norm, in float64."""
    along, square = 0.0, 0.0
    for j in range(len(total)):
        along += total[j] * unit[j]
        square += total[j] * total[j]
    return along, square


def project_addition(total, vector, unit):  # type: ignore[no-untyped-def]
    """Compute a vector's (d,) own dot product with the neuron, and the squared norm of sum + vector, in float64."""
    reach, size = 0.0, 0.0
    for j in range(len(total)):
        whole = total[j] + vector[j]
        reach += np.float64(vector[j]) * unit[j]
        size += whole * whole
    return reach, size


def _add_row(overlaps, row, scale):  # type: ignore[no-untyped-def]
    """Add a row of bytes, times `scale`."""
    for t in range(len(overlaps)):
        overlaps[t] += scale * np.float32(row[t])


def _add_two_rows(overlaps, row, scale, other, other_scale):  # type: ignore[no-untyped-def]
    """Add two rows of bytes, each times its scale, in one pass over the overlaps."""
    for t in range(len(overlaps)):
        overlaps[t] += scale * np.float32(row[t]) + other_scale * np.float32(other[t])


def update_overlaps(overlaps, quantized, steps, slots, norms, pending):  # type: ignore[no-untyped-def]
    """Add the pending tokens' rows, times their norms, to overlaps (V,); return by how much rounding may be off."""
    n_words, slack = len(overlaps), 0.0
    for tile in range((n_words + TILE - 1) // TILE):
        start, stop = tile * TILE, min(tile * TILE + TILE, n_words)
        part, loose = overlaps[start:stop], 0.0
        for k in range(0, len(pending), 2):
            slot = slots[pending[k]]
            scale = norms[pending[k]] * steps[slot, tile]
            loose += scale / 2
            if k + 1 == len(pending):
                _add_row(part, quantized[slot, start:stop], scale)
                break
            other = slots[pending[k + 1]]
            other_scale = norms[pending[k + 1]] * steps[other, tile]
            loose += other_scale / 2
            _add_two_rows(part, quantized[slot, start:stop], scale, quantized[other, start:stop], other_scale)
        slack = max(slack, loose)
    return slack


def search_all(  # type: ignore[no-untyped-def]
    projections, overlaps, norms, vectors, unit, total, along, square, error
):
    """Find the token of highest cosine among all, ties to the lowest id; return it and the cosine.

    Overlaps are off by at most `error`, and infinite for tokens that are in the sum. The first pass finds the cosine
    that is reached for sure. The second computes exactly, in float64, each token that may reach as much.
    """
    n_words = len(norms)
    reach0, square0 = np.float32(along), np.float32(square)
    error = np.float32(error)
    least, floor = np.float32(-np.inf), np.float32(-np.inf)
    bar, less = np.float32(-np.inf), -error
    best, best_score = -1, -np.inf
    for again in range(2):
        for start in range(0, n_words, CHUNK):
            stop = min(start + CHUNK, n_words)
            if (
                _count_rivals(
                    projections[start:stop], overlaps[start:stop], norms[start:stop], reach0, square0, less, bar
                )
                == 0
            ):
                continue
            for t in range(start, stop):
                if overlaps[t] == np.float32(np.inf):
                    continue
                reach = reach0 + projections[t]
                side = error if reach > 0.0 else -error
                if again == 0:
                    score = _estimate_cosine(reach, square0, norms[t], overlaps[t] + side)
                    if score > least:
                        least = score
                        floor = least - (np.float32(1.0) + abs(least)) * np.float32(ROUNDING)
                        bar = floor * abs(floor)
                        less = error if floor > 0.0 else -error
                elif _estimate_cosine(reach, square0, norms[t], overlaps[t] - side) >= floor:
                    exact = _compute_cosine(total, vectors[t], unit, along, square, norms[t])[0]
                    if exact > best_score:
                        best, best_score = t, exact
    return best, best_score


def _compute_cosine(total, vector, unit, along, square, norm):  # type: ignore[no-untyped-def]
    """Compute the cosine of sum + vector with the neuron, and the squared norm of sum + vector, in float64."""
    reach, size = project_addition(total, vector, unit)
    if size > NOTHING * (square + np.float64(norm) ** 2):
        return (along + reach) / np.sqrt(size), size
    return 0.0, size


def _mark_passing(projections, overlaps, norms, twice, kappa, loose, bar, passes):  # type: ignore[no-untyped-def]
    """Set `passes` for each token of a chunk that belongs in the list: see `list_tokens`."""
    for t in range(len(norms)):
        p, n = projections[t], norms[t]
        passes[t] = p * (twice + p * kappa) + n * (loose - n - np.float32(2.0) * overlaps[t]) > bar


def list_tokens(projections, overlaps, norms, error, frame, tokens):  # type: ignore[no-untyped-def]
    """List the tokens that may come next; return how many they are, or -1 if there is no room for them.

    A token with projection p, overlap o and norm n is listed if
    2 rho p + kappa p^2 - n^2 - 2 n (o - error) + tau n > bar, where frame is (rho, kappa, bar, tau, ...).
    """
    n_words, room, count = len(norms), len(tokens), np.int64(0)
    twice, kappa, bar = np.float32(2.0 * frame[0]), np.float32(frame[1]), np.float32(frame[2])
    loose = np.float32(frame[3] + 2.0 * error)
    passes = np.zeros(CHUNK, np.uint8)
    words = passes.view(np.uint64)
    for start in range(0, n_words, CHUNK):
        stop = min(start + CHUNK, n_words)
        passes[stop - start :] = 0
        _mark_passing(
            projections[start:stop], overlaps[start:stop], norms[start:stop], twice, kappa, loose, bar,
            passes[: stop - start],
        )  # fmt: skip
        for group in range(0, CHUNK // 8, 4):
            if words[group] | words[group + 1] | words[group + 2] | words[group + 3] == 0:
                continue
            for word in range(group, group + 4):
                if words[word] == 0:
                    continue
                if count + 8 > room:
                    return -1
                # Eight stores cost less than a branch that the processor cannot predict.
                for k in range(8 * word, 8 * word + 8):
                    tokens[count] = start + k
                    count += np.int64(passes[k])
    return count


def pick_listed(  # type: ignore[no-untyped-def]
    held, keys, reaches, sizes, count, fallen, vectors, unit, total, along, square
):
    """Find the token of highest cosine in the list, ties to the lowest id; return its place (or -1) and the cosine.

    The place is -1 if no cosine is positive. For each entry of the list, held (room,) is its token, reaches and sizes
    are the token's projection and norm, and keys - `fallen` is a lower bound of its overlap. Entries whose bound allows
    them to win are computed exactly, in float64, beginning with the highest bound; their keys are then exact as well.
    """
    reach0, square0 = np.float32(along), np.float32(square)
    error = np.float32(fallen + ROUNDING * (fallen + np.sqrt(square)))
    bound = np.empty(count, np.float32)
    _bound_cosines(reaches[:count], keys[:count], sizes[:count], reach0, square0, error, bound)
    best, best_token, best_score = -1, -1, 0.0
    if count == 0:
        return best, best_score
    first = int(np.argmax(bound))
    for turn in range(-1, count):
        c = first if turn < 0 else turn
        if bound[c] < best_score - (1.0 + best_score) * ROUNDING or bound[c] < 0.0 or (c == first and turn >= 0):
            continue
        token = held[c]
        norm = np.float64(sizes[c])
        exact, size = _compute_cosine(total, vectors[token], unit, along, square, norm)
        keys[c] = (size - square - norm * norm) / (2.0 * norm) + fallen
        if exact > best_score or (exact == best_score and best >= 0 and token < best_token):
            best, best_token, best_score = c, token, exact
    return best, best_score


def _bound_cosines(reaches, keys, sizes, reach0, square0, error, bound):  # type: ignore[no-untyped-def]
    """Compute an upper bound of the cosine with each token of the list; -1 where the cosine cannot be positive."""
    for c in range(len(bound)):
        reach = reach0 + reaches[c]
        size = square0 + sizes[c] * (sizes[c] + np.float32(2.0) * (keys[c] - error))
        score = reach / np.sqrt(size if size > LEAST_SQUARE else LEAST_SQUARE)
        bound[c] = score if reach > np.float32(0.0) else np.float32(-1.0)


def update_listed(tokens, keys, quantized, steps, slot, norm):  # type: ignore[no-untyped-def]
    """Add the row of the token just included, times its norm, to the keys of listed tokens, as low as it may be."""
    row, sizes = quantized[slot], steps[slot]
    for c in range(len(tokens)):
        t = np.uint32(tokens[c])  # division of unsigned numbers is cheaper
        keys[c] += norm * sizes[t // np.uint32(TILE)] * (np.float32(row[t]) - np.float32(0.5))


def list_contains_best(frame, along, square, score, fallen, widest, extremes):  # type: ignore[no-untyped-def]
    """Tell whether no token outside the list can reach `score`: see `pursuit`.

    frame: (rho, kappa, bar, tau) of the list; fallen: how far overlaps may have fallen since it was made; widest: the
    largest |cosine| of a token with the neuron; extremes: least and largest norm of the tokens.
    """
    if score <= LEAST_LISTED:
        return False
    kappa = 1.0 / (score * score)
    rho = along * kappa
    need = square - along * rho
    change = 2.0 * abs(rho - frame[0]) * widest + max(kappa - frame[1], 0.0) * widest**2 * extremes[1] + 2.0 * fallen
    change += ROUNDING * (2.0 * abs(rho) + 2.0 * np.sqrt(square))
    need -= ROUNDING * (square + abs(along * rho) + extremes[1] ** 2 * (1.0 + kappa * widest**2))
    over = change - frame[3]
    return frame[2] + max(extremes[0] * over, extremes[1] * over) < need


def _multiply_into(projections, inverse, cosines):  # type: ignore[no-untyped-def]
    """Put projections over norms into `cosines`."""
    for t in range(len(cosines)):
        cosines[t] = projections[t] * inverse[t]


def find_nearest(projections, inverse, vectors, unit, norms):  # type: ignore[no-untyped-def]
    """Find the token of highest cosine with the neuron, ties to the lowest id.

    Returns the token (-1 if no cosine is positive), its cosine, and the largest |cosine| of any token. Tokens that
    float32 does not rule out are computed exactly, in float64.
    """
    n_words = len(inverse)
    tops, cosines = np.empty((n_words + TILE - 1) // TILE, np.float32), np.empty(TILE, np.float32)
    widest = np.float32(0.0)
    for tile in range(len(tops)):
        start, stop = tile * TILE, min(tile * TILE + TILE, n_words)
        _multiply_into(projections[start:stop], inverse[start:stop], cosines[: stop - start])
        least, tops[tile] = find_extremes(cosines[: stop - start])
        widest = max(widest, max(tops[tile], -least))
    top = tops.max()
    if top <= 0.0:
        return -1, 0.0, widest
    floor = top - (np.float32(1.0) + abs(top)) * np.float32(ROUNDING)
    best, best_score, nothing = -1, -np.inf, np.zeros(len(unit))
    for tile in range(len(tops)):
        if tops[tile] < floor:
            continue
        for t in range(tile * TILE, min(tile * TILE + TILE, n_words)):
            if projections[t] * inverse[t] < floor:
                continue
            score = _compute_cosine(nothing, vectors[t], unit, 0.0, 0.0, norms[t])[0]
            if score > best_score:
                best, best_score = t, score
    return best, best_score, widest


# Only loops over whole slices become vector instructions. "nnan" is safe only where no overlap is infinite, as those of
# tokens in the sum are.
compile_in_place(
    _multiply_into, _add_row, _add_two_rows, _count_rivals, _mark_passing, _estimate_cosine, _compute_cosine
)
compile_in_place(update_listed, update_overlaps, find_nearest, search_all, list_tokens, pick_listed, list_contains_best)
compile_in_place(project_sum, project_addition, fastmath={"reassoc", "contract"})
compile_in_place(_bound_cosines, fastmath={"nnan", "nsz"})
