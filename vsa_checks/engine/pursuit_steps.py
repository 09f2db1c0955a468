"""Compiled steps of the pursuit, made of the loops in `pursuit_loops`: one token more in each neuron's bundle.

What belongs to one of the n neurons of a block: unit (d,) itself; projections (V,) of the tokens on it; total (d,) the
sum so far; used (k,) and cosines (k,) the result. What all share: quantized, steps, slots and lowest of `GramRows`;
norms, inverse norms and vectors of the tokens; extremes (3,): least, largest and mean norm.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from vsa_checks.engine import pursuit_loops
from vsa_checks.engine.compiled import compile_in_place
from vsa_checks.engine.loops import ROUNDING
from vsa_checks.engine.pursuit_loops import LEAST_LISTED

AIM, TRIALS, EXPECTED_RISE = 500, 6, 1.4
"""Tokens to be listed, times to try, and second cosine beside the first."""
FIRST_TAU = 0.7
"""Room left by the first list, beside the mean norm."""
FEW, SURE_RISE, SURE_SHARE = 8, 1.25, 0.97
"""Bundles of so few tokens have lists for one step, of tokens that reach this share of what one is known to reach."""


class Places(NamedTuple):
    """Where neurons are worked on: n lists of tokens that may come next (see `engine.pursuit`), and the overlaps.

    tokens, keys, reaches, sizes (n, room), of which the first counts[i] are in use: token, its overlap no larger than
    it was plus `fallen` at that time, its projection and norm. fallen (n,): how far an overlap may have fallen since
    the list was made. frames (n, 5): rho, kappa, bar and tau of the list, tau of the next. guesses (n,): a cosine that
    the next token reaches, or nearly. widest (n,): largest |cosine| of a token with the neuron. overlaps (n, V): of
    the first since[i] tokens' sum with all tokens, over their norms, off by no more than slack[i].
    """

    counts: NDArray[np.int64]
    tokens: NDArray[np.int32]
    keys: NDArray[np.float32]
    reaches: NDArray[np.float32]
    sizes: NDArray[np.float32]
    fallen: NDArray[np.float64]
    frames: NDArray[np.float64]
    guesses: NDArray[np.float64]
    widest: NDArray[np.float64]
    overlaps: NDArray[np.float32]
    slack: NDArray[np.float64]
    since: NDArray[np.int64]

    @classmethod
    def of(cls, n: int, n_words: int, room: int) -> Places:
        """n places, with lists of at most `room` tokens."""
        keys, reaches, sizes = (np.empty((n, room), np.float32) for _ in range(3))
        return cls(
            np.zeros(n, np.int64), np.empty((n, room), np.int32), keys, reaches, sizes, np.zeros(n), np.zeros((n, 5)),
            np.zeros(n), np.zeros(n), np.empty((n, n_words), np.float32), np.zeros(n), np.zeros(n, np.int64),
        )  # fmt: skip


class Words(NamedTuple):
    """What all neurons share (see above); without rows of the Gram matrix, `quantized` has none."""

    norms: NDArray[np.float32]
    inverse: NDArray[np.float32]
    vectors: NDArray[np.float32]
    quantized: NDArray[np.int8]
    steps: NDArray[np.float32]
    slots: NDArray[np.int64]
    lowest: NDArray[np.float32]
    extremes: NDArray[np.float64]


class Neurons(NamedTuple):
    """A block of neurons (see above), each array with one row a neuron."""

    unit: NDArray[np.float32]
    projections: NDArray[np.float32]
    totals: NDArray[np.float64]
    used: NDArray[np.int64]
    cosines: NDArray[np.float64]


def _clear(places, at, words, length):  # type: ignore[no-untyped-def]
    """Make room for a neuron that has no token yet, and will have `length`."""
    places.counts[at], places.fallen[at], places.guesses[at] = 0, 0.0, 0.0
    places.frames[at] = 0.0
    places.frames[at, 4] = FIRST_TAU * words.extremes[2] if length > FEW else 0.0
    places.overlaps[at] = np.float32(0.0)
    places.slack[at], places.since[at] = 0.0, 0


def _add(neurons, i, step, token, cosine, words):  # type: ignore[no-untyped-def]
    """Put the token into the neuron's bundle."""
    neurons.used[i, step], neurons.cosines[i, step] = token, cosine
    total, vector = neurons.totals[i], words.vectors[token]
    for j in range(len(total)):
        total[j] += vector[j]


def _strike(places, at, best):  # type: ignore[no-untyped-def]
    """Take one entry off a list."""
    last = places.counts[at] - 1
    places.counts[at] = last
    places.tokens[at, best], places.keys[at, best] = places.tokens[at, last], places.keys[at, last]
    places.reaches[at, best], places.sizes[at, best] = places.reaches[at, last], places.sizes[at, last]


def _from_list(places, at, words, neurons, i, step):  # type: ignore[no-untyped-def]
    """Add to a neuron's bundle the token of highest cosine, if its list is sure to hold it; returns whether it is.

    Without rows of the Gram matrix, overlaps in the list are taken for as low as they may have fallen.
    """
    count, last = places.counts[at], neurons.used[i, step - 1]
    if count == 0:
        return False
    places.fallen[at] += words.norms[last] * (ROUNDING - words.lowest[last])
    unit, total = neurons.unit[i], neurons.totals[i]
    along, square = pursuit_loops.sum_products(total, unit)
    below = places.fallen[at]
    if len(words.quantized):
        below = 0.0
        pursuit_loops.brought_forward(
            places.tokens[at, :count], places.keys[at, :count], words.quantized, words.steps, words.slots[last],
            words.norms[last],
        )  # fmt: skip
    best, score = pursuit_loops.pick_listed(
        places.tokens[at], places.keys[at], places.reaches[at], places.sizes[at], count, below,
        words.vectors, unit, total, along, square,
    )  # fmt: skip
    places.guesses[at] = score
    if best < 0 or not pursuit_loops.list_holds(
        places.frames[at], along, square, score, places.fallen[at], places.widest[at], words.extremes
    ):
        return False
    token = places.tokens[at, best]
    _strike(places, at, best)
    _add(neurons, i, step, token, score, words)
    return True


def _first(places, at, words, neurons, i):  # type: ignore[no-untyped-def]
    """Begin a neuron's bundle with the token of highest cosine."""
    token, score, widest = pursuit_loops.nearest(
        neurons.projections[i], words.inverse, words.vectors, neurons.unit[i], words.norms
    )
    if token < 0:
        token, score = pursuit_loops.search_all(
            neurons.projections[i], places.overlaps[at], words.norms, words.vectors, neurons.unit[i],
            neurons.totals[i], 0.0, 0.0, 0.0,
        )  # fmt: skip
    places.widest[at] = widest
    _add(neurons, i, 0, token, score, words)


def _frame_list(frame, along, square, guess, step, widest, extremes):  # type: ignore[no-untyped-def]
    """Say what a list must hold, so that it lasts a step or two; with no tau to come: all that reach `guess` now."""
    kappa = 1.0 / (guess * guess)
    rho = along * kappa
    frame[1] = kappa
    if frame[4] > 0.0:
        # What the score of a token must exceed, a step or two ahead; the bar leaves room for tau x norm.
        frame[0] = rho * (1.0 + 0.5 / (step + 1.0))
        frame[3] = frame[4]
        frame[2] = square - along * rho - frame[3] * extremes[2]
    else:
        frame[0] = rho
        frame[3] = ROUNDING * 2.0 * abs(rho)
        frame[2] = square - along * rho
        frame[2] -= ROUNDING * (square + abs(along * rho) + extremes[1] ** 2 * (1.0 + kappa * widest**2))


def _list_anew(places, at, words, neurons, i, step, along, square, error):  # type: ignore[no-untyped-def]
    """List the tokens that may come next; returns the best one's place in the list and cosine, or -1."""
    projections, overlaps = neurons.projections[i], places.overlaps[at]
    frame, extremes, widest = places.frames[at], words.extremes, places.widest[at]
    once = frame[4] == 0.0
    if step == 1:
        guess = neurons.cosines[i, 0] * (SURE_RISE if once else EXPECTED_RISE)
    else:
        guess = places.guesses[at] * (SURE_SHARE if once else 1.0)
    score = 0.0
    for _ in range(TRIALS):
        if guess <= 0.0 or places.tokens.shape[1] == 0:
            break
        _frame_list(frame, along, square, guess, step, widest, extremes)
        count = pursuit_loops.collect_tokens(projections, overlaps, words.norms, error, frame, places.tokens[at])
        if count < 0:
            frame[4] *= 0.7
            guess *= 1.1 if once else 1.0
            continue
        for c in range(count):
            t = places.tokens[at, c]
            places.keys[at, c] = overlaps[t] - np.float32(places.slack[at])
            places.reaches[at, c], places.sizes[at, c] = projections[t], words.norms[t]
        best, score = pursuit_loops.pick_listed(
            places.tokens[at], places.keys[at], places.reaches[at], places.sizes[at], count, 0.0,
            words.vectors, neurons.unit[i], neurons.totals[i], along, square,
        )  # fmt: skip
        if once:
            if best >= 0 and score >= guess and score > LEAST_LISTED:
                places.counts[at], places.guesses[at] = count, score
                return best, score
            guess = score if best >= 0 else 0.8 * guess
            continue
        if best >= 0 and pursuit_loops.list_holds(frame, along, square, score, 0.0, widest, extremes):
            places.counts[at] = count
            frame[4] *= 1.0 + 0.25 * (count < AIM / 2) - 0.15 * (count > 2 * AIM)
            return best, score
        frame[4] *= 1.1
        guess = score
    return -1, score


def _from_all(places, at, words, neurons, i, step):  # type: ignore[no-untyped-def]
    """Add to a neuron's bundle the token of highest cosine among all, and list those that may come next.

    With rows of the Gram matrix, those of the tokens used[since:step] are added to the overlaps first; without, the
    overlaps are up to date.
    """
    overlaps = places.overlaps[at]
    if len(words.quantized):
        places.slack[at] += pursuit_loops.advance_overlaps(
            overlaps, words.quantized, words.steps, words.slots, words.norms,
            neurons.used[i, places.since[at] : step],
        )  # fmt: skip
    for k in range(step):
        overlaps[neurons.used[i, k]] = np.float32(np.inf)
    places.since[at] = step
    along, square = pursuit_loops.sum_products(neurons.totals[i], neurons.unit[i])
    error = places.slack[at] + ROUNDING * np.sqrt(square)
    places.counts[at], places.fallen[at] = 0, 0.0
    best, score = _list_anew(places, at, words, neurons, i, step, along, square, error)
    if best >= 0:
        token = places.tokens[at, best]
        _strike(places, at, best)
    else:
        token, score = pursuit_loops.search_all(
            neurons.projections[i], overlaps, words.norms, words.vectors, neurons.unit[i], neurons.totals[i],
            along, square, error,
        )  # fmt: skip
        places.guesses[at] = score
    _add(neurons, i, step, token, score, words)


def begin(places, words, neurons):  # type: ignore[no-untyped-def]
    """Clear a place for each neuron, and give each its first token."""
    for i in numba.prange(len(neurons.unit)):
        _clear(places, i, words, neurons.used.shape[1])
        _first(places, i, words, neurons, i)


def include_listed(places, words, neurons, step, unsettled):  # type: ignore[no-untyped-def]
    """Add a token to each neuron's bundle where its list is sure to hold the best; unsettled (n,) tells where not."""
    for i in numba.prange(len(neurons.unit)):
        unsettled[i] = not _from_list(places, i, words, neurons, i, step)


def include_best(places, words, neurons, step, left):  # type: ignore[no-untyped-def]
    """Add the best of all tokens to the bundles of the neurons `left` (m,)."""
    for place in numba.prange(len(left)):
        _from_all(places, left[place], words, neurons, left[place], step)


def complete(place, words, neurons):  # type: ignore[no-untyped-def]
    """Make the whole bundle of one neuron after another in one place, while what it needs lies in the cache.

    All rows of the Gram matrix must be there.
    """
    for i in range(len(neurons.unit)):
        _clear(place, 0, words, neurons.used.shape[1])
        _first(place, 0, words, neurons, i)
        for step in range(1, neurons.used.shape[1]):
            if not _from_list(place, 0, words, neurons, i, step):
                _from_all(place, 0, words, neurons, i, step)


compile_in_place(_clear, _add, _strike, _from_list, _first, _frame_list, _list_anew, _from_all)
compile_in_place(begin, include_listed, include_best, parallel=True)
compile_in_place(complete, nogil=True)
