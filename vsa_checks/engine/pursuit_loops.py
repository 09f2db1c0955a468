"""Compiled inner loops of the pursuit; what they rest on stands in `pursuit`."""

from __future__ import annotations

import numpy as np

from vsa_checks.engine.compiled import compile_in_place
from vsa_checks.engine.gram_loops import TILE, row_extremes
from vsa_checks.engine.loops import CHUNK, ROUNDING

LEAST_LISTED = 1e-3
"""Least cosine that a list is trusted with."""
LEAST_SQUARE = np.float32(1.2e-38)
"""Stands in for a squared norm that rounding or its slack have made zero or negative: the least that float32 has."""
NOTHING = 1e-24
"""A sum whose square is this small beside its parts' has cancelled: it has no direction, and a cosine of 0."""


def _may_win(projections, overlaps, norms, reach0, square0, less, bar):  # type: ignore[no-untyped-def]
    """Count the tokens whose cosine's signed square may reach `bar`, overlaps taken for smaller by `less`.

    A chunk of one neuron's projections, overlaps and norms. A comparison of squares: no root, no branch for the many.
    """
    count = np.int32(0)
    for t in range(len(norms)):
        reach = reach0 + projections[t]
        size = square0 + norms[t] * (norms[t] + np.float32(2.0) * (overlaps[t] - less))
        count += reach * abs(reach) >= bar * size
    return count


def _score(reach, square, norm, overlap):  # type: ignore[no-untyped-def]
    """Cosine of a bundle of this squared norm with a token added, `reach` being the sum's projection on the neuron."""
    size = square + norm * (norm + np.float32(2.0) * overlap)
    return reach / np.sqrt(max(size, LEAST_SQUARE))


def sum_products(total, unit):  # type: ignore[no-untyped-def]
    """Projection of a sum (d,) on the neuron, and its squared norm, in float64."""
    along, square = 0.0, 0.0
    for j in range(len(total)):
        along += total[j] * unit[j]
        square += total[j] * total[j]
    return along, square


def sum_added(total, vector, unit):  # type: ignore[no-untyped-def]
    """Projection of the vector (d,) on the neuron, and squared norm of sum and vector together, in float64."""
    reach, size = 0.0, 0.0
    for j in range(len(total)):
        whole = total[j] + vector[j]
        reach += np.float64(vector[j]) * unit[j]
        size += whole * whole
    return reach, size


def _add_row(overlaps, row, scale):  # type: ignore[no-untyped-def]
    for t in range(len(overlaps)):
        overlaps[t] += scale * np.float32(row[t])


def _add_rows(overlaps, row, scale, other, other_scale):  # type: ignore[no-untyped-def]
    for t in range(len(overlaps)):
        overlaps[t] += scale * np.float32(row[t]) + other_scale * np.float32(other[t])


def advance_overlaps(overlaps, quantized, steps, slots, norms, pending):  # type: ignore[no-untyped-def]
    """Add to one neuron's overlaps (V,) the rows of the pending tokens, each times its norm; returns the slack."""
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
            _add_rows(part, quantized[slot, start:stop], scale, quantized[other, start:stop], other_scale)
        slack = max(slack, loose)
    return slack


def search_all(  # type: ignore[no-untyped-def]
    projections, overlaps, norms, vectors, unit, total, along, square, error
):
    """The token of highest cosine, ties to the lowest id, and that cosine, from all tokens of one neuron.

    Overlaps are off by `error` at most, and infinite for tokens that are in the sum. What this does not rule out is
    scored again in float64 from the vectors. A chunk is looked at one by one only where some token in it may win.
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
                _may_win(projections[start:stop], overlaps[start:stop], norms[start:stop], reach0, square0, less, bar)
                == 0
            ):
                continue
            for t in range(start, stop):
                if overlaps[t] == np.float32(np.inf):
                    continue
                reach = reach0 + projections[t]
                side = error if reach > 0.0 else -error
                if again == 0:
                    score = _score(reach, square0, norms[t], overlaps[t] + side)
                    if score > least:
                        least = score
                        floor = least - (np.float32(1.0) + abs(least)) * np.float32(ROUNDING)
                        bar = floor * abs(floor)
                        less = error if floor > 0.0 else -error
                elif _score(reach, square0, norms[t], overlaps[t] - side) >= floor:
                    exact = _exact(total, vectors[t], unit, along, square, norms[t])[0]
                    if exact > best_score:
                        best, best_score = t, exact
    return best, best_score


def _exact(total, vector, unit, along, square, norm):  # type: ignore[no-untyped-def]
    """Cosine with the neuron of the sum and one more vector, and the squared norm of both together, in float64."""
    reach, size = sum_added(total, vector, unit)
    if size > NOTHING * (square + np.float64(norm) ** 2):
        return (along + reach) / np.sqrt(size), size
    return 0.0, size


def _pass(projections, overlaps, norms, twice, kappa, loose, bar, passes):  # type: ignore[no-untyped-def]
    """Tell of each token of a chunk whether it is to be listed: see `_collect`."""
    for t in range(len(norms)):
        p, n = projections[t], norms[t]
        passes[t] = p * (twice + p * kappa) + n * (loose - n - np.float32(2.0) * overlaps[t]) > bar


def collect_tokens(projections, overlaps, norms, error, frame, tokens):  # type: ignore[no-untyped-def]
    """List the tokens of one neuron that pass a bar linear in overlap; returns how many, or -1 if there is no room.

    Token t is listed if 2 rho p + kappa p^2 - n^2 - 2 n (o - error) + tau n > bar, with p, o and n its projection,
    overlap and norm, and frame (rho, kappa, bar, tau, ...).
    """
    n_words, room, count = len(norms), len(tokens), np.int64(0)
    twice, kappa, bar = np.float32(2.0 * frame[0]), np.float32(frame[1]), np.float32(frame[2])
    loose = np.float32(frame[3] + 2.0 * error)
    passes = np.zeros(CHUNK, np.uint8)
    words = passes.view(np.uint64)
    for start in range(0, n_words, CHUNK):
        stop = min(start + CHUNK, n_words)
        passes[stop - start :] = 0
        _pass(
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
                # Eight stores cost less than a branch that is hard to foretell.
                for k in range(8 * word, 8 * word + 8):
                    tokens[count] = start + k
                    count += np.int64(passes[k])
    return count


def pick_listed(  # type: ignore[no-untyped-def]
    held, keys, reaches, sizes, count, fallen, vectors, unit, total, along, square
):
    """Place in the list of the token of highest cosine, ties to the lowest id, and that cosine; -1 if none is positive.

    held, keys, reaches, sizes (room,): the tokens listed, `fallen` more than an overlap no larger than theirs, their
    projections and norms. Tokens that this does not rule out are scored in float64 from the vectors, the likeliest
    first, and their overlap is then known.
    """
    reach0, square0 = np.float32(along), np.float32(square)
    error = np.float32(fallen + ROUNDING * (fallen + np.sqrt(square)))
    bound = np.empty(count, np.float32)
    _bounds(reaches[:count], keys[:count], sizes[:count], reach0, square0, error, bound)
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
        exact, size = _exact(total, vectors[token], unit, along, square, norm)
        keys[c] = (size - square - norm * norm) / (2.0 * norm) + fallen
        if exact > best_score or (exact == best_score and best >= 0 and token < best_token):
            best, best_token, best_score = c, token, exact
    return best, best_score


def _bounds(reaches, keys, sizes, reach0, square0, error, bound):  # type: ignore[no-untyped-def]
    """The cosine that each token of a list may reach at most; -1 where it is not positive."""
    for c in range(len(bound)):
        reach = reach0 + reaches[c]
        size = square0 + sizes[c] * (sizes[c] + np.float32(2.0) * (keys[c] - error))
        score = reach / np.sqrt(size if size > LEAST_SQUARE else LEAST_SQUARE)
        bound[c] = score if reach > np.float32(0.0) else np.float32(-1.0)


def brought_forward(tokens, keys, quantized, steps, slot, norm):  # type: ignore[no-untyped-def]
    """Add to the keys of listed tokens the row of the token just included, times its norm, less its slack."""
    row, sizes = quantized[slot], steps[slot]
    for c in range(len(tokens)):
        t = np.uint32(tokens[c])  # division of unsigned numbers is cheaper
        keys[c] += norm * sizes[t // np.uint32(TILE)] * (np.float32(row[t]) - np.float32(0.5))


def list_holds(frame, along, square, score, fallen, widest, extremes):  # type: ignore[no-untyped-def]
    """Whether no token outside the list can reach `score`: see `vsa_checks.engine.pursuit`.

    frame (rho, kappa, bar, tau); widest: the largest cosine of a token with the neuron in size; extremes: least and
    largest norm.
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


def _multiply(projections, inverse, cosines):  # type: ignore[no-untyped-def]
    for t in range(len(cosines)):
        cosines[t] = projections[t] * inverse[t]


def nearest(projections, inverse, vectors, unit, norms):  # type: ignore[no-untyped-def]
    """The token of highest cosine with the neuron, ties to the lowest id, that cosine, and the largest one in size.

    The token is -1 if no cosine is positive.
    Tokens that float32 does not rule out are scored again in float64 from the vectors.
    """
    n_words = len(inverse)
    tops, cosines = np.empty((n_words + TILE - 1) // TILE, np.float32), np.empty(TILE, np.float32)
    widest = np.float32(0.0)
    for tile in range(len(tops)):
        start, stop = tile * TILE, min(tile * TILE + TILE, n_words)
        _multiply(projections[start:stop], inverse[start:stop], cosines[: stop - start])
        least, tops[tile] = row_extremes(cosines[: stop - start])
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
            score = _exact(nothing, vectors[t], unit, 0.0, 0.0, norms[t])[0]
            if score > best_score:
                best, best_score = t, score
    return best, best_score, widest


# Numbers are finite but for the overlaps of tokens that are in the sum, which are infinite; loops over whole slices are
# what is turned into vector instructions.
compile_in_place(_multiply, _add_row, _add_rows, _may_win, _pass, _score, _exact)
compile_in_place(brought_forward, advance_overlaps, nearest, search_all, collect_tokens, pick_listed, list_holds)
compile_in_place(sum_products, sum_added, fastmath={"reassoc", "contract"})
compile_in_place(_bounds, fastmath={"nnan", "nsz"})
