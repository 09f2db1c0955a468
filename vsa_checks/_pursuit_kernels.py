"""Compiled inner loops of the pursuit and of the rows of the Gram matrix; what they rest on stands in `pursuit`."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from vsa_checks._kernels import CHUNK, ROUNDING

TILE = 2000
"""Columns of the Gram matrix that share one step of their bytes."""
STRIP, CORNER = 250, 64
"""Columns whose mirror image is made together, and rows and columns of it at a time."""
LEAST_STEP = np.float32(1e-12)
AIM, TRIALS, EXPECTED_RISE, LEAST_LISTED = 1000, 6, 1.4, 1e-3
""" Tokens to be listed, times to try, second cosine beside the first, and least cosine that a list is trusted with."""
LEAST_SQUARE = np.float32(1.2e-38)
"""Stands in for a squared norm that rounding or its slack have made zero or negative: the least that float32 has."""
NOTHING = 1e-24
"""A sum whose square is this small beside its parts' has cancelled: it has no direction, and a cosine of 0."""


class Lists(NamedTuple):
    """For each of n neurons the tokens that may come next: see `vsa_checks.pursuit`.

    tokens, keys, reaches, sizes (n, room), of which the first counts[i] are in use: token, its overlap no larger than
    it was plus `fallen` at that time, its projection and norm. fallen (n,): how far an overlap may have fallen since
    the list was made. frames (n, 5): rho, kappa, bar and tau of the list, tau of the next. guess (n,): a cosine that
    the next token reaches, or nearly. widest (n,): largest |cosine| of a token with the neuron.
    """

    counts: NDArray[np.int64]
    tokens: NDArray[np.int32]
    keys: NDArray[np.float32]
    reaches: NDArray[np.float32]
    sizes: NDArray[np.float32]
    fallen: NDArray[np.float64]
    frames: NDArray[np.float64]
    guess: NDArray[np.float64]
    widest: NDArray[np.float64]

    @classmethod
    def of(cls, n: int, room: int) -> Lists:
        """Empty lists of n neurons, of at most `room` tokens each."""
        keys, reaches, sizes = (np.empty((n, room), np.float32) for _ in range(3))
        return cls(
            np.zeros(n, np.int64), np.empty((n, room), np.int32), keys, reaches, sizes, np.zeros(n), np.zeros((n, 5)),
            np.zeros(n), np.zeros(n),
        )  # fmt: skip


def _extremes(row):  # type: ignore[no-untyped-def]
    """Least and largest entry of a row, or 0 where none is below or above it."""
    least, most = np.float32(0.0), np.float32(0.0)
    for t in range(len(row)):
        least = row[t] if row[t] < least else least
        most = row[t] if row[t] > most else most
    return least, most


def _to_bytes(row, per_step, out):  # type: ignore[no-untyped-def]
    """Round each entry times `per_step` to a byte."""
    for t in range(len(row)):
        out[t] = np.int8(np.rint(row[t] * per_step))


def _multiply(row, factors):  # type: ignore[no-untyped-def]
    for t in range(len(row)):
        row[t] *= factors[t]


def _quantize(products, inverse, ids, first, quantized, steps, lowest):  # type: ignore[no-untyped-def]
    """Store products (n, V) times inverse (V,), less the entry of token ids[r] itself, as bytes from row `first` on.

    steps[first + r, tile] receives the size of one unit in each TILE of columns, so that no entry is off by more than
    half of it; lowest[ids[r]] the least entry. An empty `quantized` (0, V) receives nothing.
    """
    n, n_words = products.shape
    for r in numba.prange(n):
        row = products[r]
        row[ids[r]] = 0.0
        _times(row, inverse)
        lowest[ids[r]] = 0.0
        for tile in range((n_words + TILE - 1) // TILE):
            start, stop = tile * TILE, min(tile * TILE + TILE, n_words)
            least, most = _row_extremes(row[start:stop])
            lowest[ids[r]] = min(lowest[ids[r]], least)
            if len(quantized):
                step = max(max(most, -least) / np.float32(127.0), LEAST_STEP)
                _as_bytes(row[start:stop], np.float32(1.0) / step, quantized[first + r, start:stop])
                steps[first + r, tile] = step


def _column_extremes(rows, least, most):  # type: ignore[no-untyped-def]
    """Lower `least` and raise `most` (c,) to the extremes of the columns of rows (r, c)."""
    for r in range(len(rows)):
        row = rows[r]
        for c in range(len(least)):
            low, high, value = least[c], most[c], row[c]
            least[c] = value if value < low else low
            most[c] = value if value > high else high


def _turn(rows, per_step, out):  # type: ignore[no-untyped-def]
    """Put rows (r, c) times per_step (c,), rounded to bytes, into out (c, r)."""
    line = np.empty(len(per_step), np.int8)
    for r in range(len(rows)):
        _row_as_bytes(rows[r], per_step, line)
        for c in range(len(per_step)):
            out[c, r] = line[c]


def _to_bytes_each(row, per_step, out):  # type: ignore[no-untyped-def]
    """Round each entry times its own `per_step` to a byte."""
    for t in range(len(row)):
        out[t] = np.int8(np.rint(row[t] * per_step[t]))


def _quantize_tile(products, row, column, quantized, steps, lowest):  # type: ignore[no-untyped-def]
    """As `_quantize`, for the tile of cosines (r, c) that begins at `row` and `column`, and for its mirror image.

    lowest (V,) is lowered. On the diagonal the tile is its own mirror image, and a token's product with itself is 0.
    """
    rows, columns = products.shape
    row_tile, column_tile = row // TILE, column // TILE
    for r in numba.prange(rows):
        if row == column:
            products[r, r] = 0.0
        least, most = _row_extremes(products[r])
        lowest[row + r] = min(lowest[row + r], least)
        if len(quantized):
            step = max(max(most, -least) / np.float32(127.0), LEAST_STEP)
            _as_bytes(products[r], np.float32(1.0) / step, quantized[row + r, column : column + columns])
            steps[row + r, column_tile] = step
    if row == column:
        return
    for strip in numba.prange((columns + STRIP - 1) // STRIP):
        start, stop = strip * STRIP, min(strip * STRIP + STRIP, columns)
        least, most = np.zeros(stop - start, np.float32), np.zeros(stop - start, np.float32)
        _columns_extremes(products[:, start:stop], least, most)
        for c in range(stop - start):
            place = column + start + c
            lowest[place] = min(lowest[place], least[c])
            step = max(max(most[c], -least[c]) / np.float32(127.0), LEAST_STEP)
            most[c] = np.float32(1.0) / step
            if len(quantized):
                steps[place, row_tile] = step
        if len(quantized):
            for first in range(0, rows, CORNER):
                last = min(first + CORNER, rows)
                for left in range(start, stop, CORNER):
                    right = min(left + CORNER, stop)
                    _turned(
                        products[first:last, left:right], most[left - start : right - start],
                        quantized[column + left : column + right, row + first : row + last],
                    )  # fmt: skip


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


def _sums(total, unit):  # type: ignore[no-untyped-def]
    """Projection of a sum (d,) on the neuron, and its squared norm, in float64."""
    along, square = 0.0, 0.0
    for j in range(len(total)):
        along += total[j] * unit[j]
        square += total[j] * total[j]
    return along, square


def _added(total, vector, unit):  # type: ignore[no-untyped-def]
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


def _advance(overlaps, quantized, steps, slots, norms, pending):  # type: ignore[no-untyped-def]
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
                _row_added(part, quantized[slot, start:stop], scale)
                break
            other = slots[pending[k + 1]]
            other_scale = norms[pending[k + 1]] * steps[other, tile]
            loose += other_scale / 2
            _rows_added(part, quantized[slot, start:stop], scale, quantized[other, start:stop], other_scale)
        slack = max(slack, loose)
    return slack


def _search(  # type: ignore[no-untyped-def]
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
                _chunk_may_win(
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
                    score = _token_score(reach, square0, norms[t], overlaps[t] + side)
                    if score > least:
                        least = score
                        floor = least - (np.float32(1.0) + abs(least)) * np.float32(ROUNDING)
                        bar = floor * abs(floor)
                        less = error if floor > 0.0 else -error
                elif _token_score(reach, square0, norms[t], overlaps[t] - side) >= floor:
                    exact = _exact_score(total, vectors[t], unit, along, square, norms[t])[0]
                    if exact > best_score:
                        best, best_score = t, exact
    return best, best_score


def _exact(total, vector, unit, along, square, norm):  # type: ignore[no-untyped-def]
    """Cosine with the neuron of the sum and one more vector, and the squared norm of both together, in float64."""
    reach, size = _sum_added(total, vector, unit)
    if size > NOTHING * (square + np.float64(norm) ** 2):
        return (along + reach) / np.sqrt(size), size
    return 0.0, size


def _pass(projections, overlaps, norms, twice, kappa, loose, bar, passes):  # type: ignore[no-untyped-def]
    """Tell of each token of a chunk whether it is to be listed: see `_collect`."""
    for t in range(len(norms)):
        p, n = projections[t], norms[t]
        passes[t] = p * (twice + p * kappa) + n * (loose - n - np.float32(2.0) * overlaps[t]) > bar


def _collect(projections, overlaps, norms, error, frame, tokens):  # type: ignore[no-untyped-def]
    """List the tokens of one neuron that pass a bar linear in overlap; returns how many, or -1 if there is no room.

    Token t is listed if 2 rho p + kappa p^2 - n^2 - 2 n (o - error) + tau n > bar, with p, o and n its projection,
    overlap and norm, and frame (rho, kappa, bar, tau, ...).
    """
    n_words, room, count = len(norms), len(tokens), 0
    twice, kappa, bar = np.float32(2.0 * frame[0]), np.float32(frame[1]), np.float32(frame[2])
    loose = np.float32(frame[3] + 2.0 * error)
    passes = np.zeros(CHUNK, np.uint8)
    words = passes.view(np.uint64)
    for start in range(0, n_words, CHUNK):
        stop = min(start + CHUNK, n_words)
        passes[stop - start :] = 0
        _tokens_pass(
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
                    count += passes[k]
    return count


def _pick(  # type: ignore[no-untyped-def]
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
    _list_bounds(reaches[:count], keys[:count], sizes[:count], reach0, square0, error, bound)
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
        exact, size = _exact_score(total, vectors[token], unit, along, square, norm)
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


def _bring_forward(tokens, keys, quantized, steps, slot, norm):  # type: ignore[no-untyped-def]
    """Add to the keys of listed tokens the row of the token just included, times its norm, less its slack."""
    row, sizes = quantized[slot], steps[slot]
    for c in range(len(tokens)):
        keys[c] += norm * sizes[tokens[c] // TILE] * (np.float32(row[tokens[c]]) - np.float32(0.5))


def _others_lose(frame, along, square, score, fallen, widest, extremes):  # type: ignore[no-untyped-def]
    """Whether no token outside the list can reach `score`: see `vsa_checks.pursuit`.

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


def _include_listed(  # type: ignore[no-untyped-def]
    counts, tokens, keys, reaches, sizes, fallen, frames, guesses, widest,
    quantized, steps, slots, norms, vectors, unit, totals, used, cosines, step, extremes, unsettled
):  # fmt: skip
    """Add to each neuron's bundle the token of highest cosine, where its list is sure to hold it.

    Without rows of the Gram matrix in `quantized`, overlaps in the list are taken for as low as they may have fallen.
    unsettled (n,) tells where not. For the other arrays see `Lists` and `include_best`.
    """
    for i in numba.prange(len(unit)):
        unsettled[i] = True
        if counts[i] == 0:
            continue
        along, square = _sum_products(totals[i], unit[i])
        below = fallen[i]
        if len(quantized):
            last, count, below = used[i, step - 1], counts[i], 0.0
            _brought_forward(tokens[i, :count], keys[i, :count], quantized, steps, slots[last], norms[last])
        best, score = _pick_listed(
            tokens[i], keys[i], reaches[i], sizes[i], counts[i], below,
            vectors, unit[i], totals[i], along, square,
        )  # fmt: skip
        guesses[i] = score
        if best < 0 or not _list_holds(frames[i], along, square, score, fallen[i], widest[i], extremes):
            continue
        unsettled[i] = False
        token = tokens[i, best]
        used[i, step] = token
        cosines[i, step] = score
        for j in range(len(totals[i])):
            totals[i, j] += vectors[token, j]
        last = counts[i] - 1
        counts[i] = last
        tokens[i, best], keys[i, best] = tokens[i, last], keys[i, last]
        reaches[i, best], sizes[i, best] = reaches[i, last], sizes[i, last]


def _include_best(  # type: ignore[no-untyped-def]
    counts, tokens, keys, reaches, sizes, fallen, frames, guesses, widest,
    neurons, projections, overlaps, slack, since, quantized, steps, slots, norms, vectors, unit, totals,
    used, cosines, step, extremes
):  # fmt: skip
    """Add to the bundles of `neurons` (m,), of n, the token of highest cosine, and list those that may come next.

    projections (n, V): token . neuron; overlaps (n, V): token . sum over the token's norm, to within slack (n,), to
    which are added first the rows of the tokens used[since:step]: norm x steps x quantized of their slots (V,), unless
    `quantized` is empty, as overlaps are then up to date. norms (V,) and vectors (V, d) of the tokens; unit (n, d)
    neurons; totals (n, d): sums so far; used (n, k) and cosines (n, k) receive the result. Lists: see
    `Lists`.
    """
    for place in numba.prange(len(neurons)):
        i = neurons[place]
        if len(quantized) and step:
            slack[i] += _advance_overlaps(overlaps[i], quantized, steps, slots, norms, used[i, since[i] : step])
        for k in range(step):
            overlaps[i, used[i, k]] = np.float32(np.inf)
        since[i] = step
        along, square = _sum_products(totals[i], unit[i])
        error = slack[i] + ROUNDING * np.sqrt(square)
        counts[i], fallen[i] = 0, 0.0
        best, score, guess = -1, 0.0, guesses[i]
        if step == 0:
            most = np.float32(0.0)
            for t in range(len(norms)):
                most = max(most, abs(projections[i, t]) / norms[t])
            widest[i] = most
        if step == 1 and tokens.shape[1]:
            guess = cosines[i, 0] * EXPECTED_RISE
        for _ in range(TRIALS):
            if guess <= 0.0 or step == 0:
                break
            # What the score of a token must exceed, a step or two ahead; the bar leaves room for tau x norm.
            kappa = 1.0 / (guess * guess)
            frames[i, 0] = along * kappa * (1.0 + 0.5 / (step + 1.0))
            frames[i, 1] = kappa
            frames[i, 3] = frames[i, 4]
            frames[i, 2] = square - along * along * kappa - frames[i, 3] * extremes[2]
            count = _collect_tokens(projections[i], overlaps[i], norms, error, frames[i], tokens[i])
            if count < 0:
                frames[i, 4] *= 0.7
                continue
            for c in range(count):
                t = tokens[i, c]
                keys[i, c] = overlaps[i, t] - np.float32(slack[i])
                reaches[i, c], sizes[i, c] = projections[i, t], norms[t]
            best, score = _pick_listed(
                tokens[i], keys[i], reaches[i], sizes[i], count, 0.0,
                vectors, unit[i], totals[i], along, square,
            )  # fmt: skip
            if best >= 0 and _list_holds(frames[i], along, square, score, 0.0, widest[i], extremes):
                counts[i] = count
                frames[i, 4] *= 1.0 + 0.25 * (count < AIM / 2) - 0.15 * (count > 2 * AIM)
                break
            frames[i, 4] *= 1.1
            guess, best = score, -1
        if best >= 0:
            token = tokens[i, best]
            last = counts[i] - 1
            counts[i] = last
            tokens[i, best], keys[i, best] = tokens[i, last], keys[i, last]
            reaches[i, best], sizes[i, best] = reaches[i, last], sizes[i, last]
        else:
            token, score = _search_all(
                projections[i], overlaps[i], norms, vectors, unit[i], totals[i], along, square, error
            )
            guesses[i] = score
        used[i, step] = token
        cosines[i, step] = score
        for j in range(len(totals[i])):
            totals[i, j] += vectors[token, j]


# Compiled here and not by decorators: see `_kernels`. Numbers are finite but for the overlaps of tokens that are in the
# sum, which are infinite; loops over whole slices are what is turned into vector instructions.
_compiled = numba.njit(cache=True)
_summed = numba.njit(cache=True, fastmath={"reassoc", "contract"})
_extreme = numba.njit(cache=True, fastmath={"nnan", "nsz"})
_row_extremes, _columns_extremes, _list_bounds = _extreme(_extremes), _extreme(_column_extremes), _extreme(_bounds)
_sum_products, _sum_added = _summed(_sums), _summed(_added)
_as_bytes, _row_as_bytes = _compiled(_to_bytes), _compiled(_to_bytes_each)
_times, _turned = _compiled(_multiply), _compiled(_turn)
_row_added, _rows_added, _brought_forward = _compiled(_add_row), _compiled(_add_rows), _compiled(_bring_forward)
_chunk_may_win, _tokens_pass = _compiled(_may_win), _compiled(_pass)
_token_score = _compiled(_score)
_exact_score = _compiled(_exact)
_advance_overlaps = _compiled(_advance)
_search_all = _compiled(_search)
_collect_tokens = _compiled(_collect)
_pick_listed = _compiled(_pick)
_list_holds = _compiled(_others_lose)
_in_parallel = numba.njit(parallel=True, cache=True)
quantize = _in_parallel(_quantize)
quantize_tile = _in_parallel(_quantize_tile)
include_best = _in_parallel(_include_best)
include_listed = _in_parallel(_include_listed)
