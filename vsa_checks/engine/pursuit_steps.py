"""Compiled steps of the greedy pursuit: each adds one token to a neuron's bundle. `pursuit` explains the method.

`_add_first` takes the first token. After that `_add_from_list` takes the best token of the neuron's list, if that is
surely the best of all, and otherwise `_add_from_all` takes the best of all tokens and makes a new list (`_make_list`).
The last four functions are what `pursuit` calls, for a block of neurons. The end of the file compiles everything.

In the arguments, i is the neuron, `at` its row of the workspace, and `step` the number of tokens in its bundle.
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
"""Wanted length of a list, attempts at making one, and expected ratio of the second cosine to the first."""
FIRST_TAU = 0.7
"""Margin tau of a neuron's first list, as a share of the mean norm."""
FEW, SURE_RISE, SURE_SHARE = 8, 1.25, 0.97
"""Bundles of at most FEW tokens get lists for one step only.

A list holds the tokens that reach a cosine: SURE_RISE times the first, and from then on SURE_SHARE of the best seen.
"""


class Workspace(NamedTuple):
    """Working memory for n neurons: the list of tokens that may come next (see `pursuit`), and the overlaps.

    Attributes
    ----------
    counts : (n,), entries of each list that are in use
    tokens, reaches, sizes : (n, room), the listed tokens, their projections on the neuron, and their norms
    keys : (n, room), lower bounds of the listed tokens' overlaps
        Without rows of the Gram matrix they are not updated: the bounds are then keys - fallen.
    fallen : (n,), how far any overlap may have fallen since the list was made
    frames : (n, 5), rho, kappa, bar and tau of the list, and tau of the next list
    guesses : (n,), a cosine that the next token should reach
    widest : (n,), largest |cosine| of a token with the neuron
    overlaps, slack, since : (n, V), (n,), (n,), overlaps of all tokens with the sum of the bundle's first `since`
        tokens, off by at most `slack`
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
    def of(cls, n: int, n_words: int, room: int) -> Workspace:
        """Allocate it for n neurons and V = n_words tokens, with lists of at most `room` tokens."""
        keys, reaches, sizes = (np.empty((n, room), np.float32) for _ in range(3))
        return cls(
            np.zeros(n, np.int64), np.empty((n, room), np.int32), keys, reaches, sizes, np.zeros(n), np.zeros((n, 5)),
            np.zeros(n), np.zeros(n), np.empty((n, n_words), np.float32), np.zeros(n), np.zeros(n, np.int64),
        )  # fmt: skip


class Words(NamedTuple):
    """What all neurons share.

    Norms, 1 / norms and vectors of the tokens; `rows` (as `quantized`), `steps`, `slot` and `lowest` of `GramRows`;
    and least, largest and mean norm (`extremes`). `quantized` is empty where rows of the Gram matrix are not kept.
    """

    norms: NDArray[np.float32]
    inverse: NDArray[np.float32]
    vectors: NDArray[np.float32]
    quantized: NDArray[np.int8]
    steps: NDArray[np.float32]
    slots: NDArray[np.int64]
    lowest: NDArray[np.float32]
    extremes: NDArray[np.float64]


class Neurons(NamedTuple):
    """A block of n neurons.

    unit (n, d): at unit norm; projections (n, V): their dot products with the tokens; totals (n, d): the sums so far;
    used, cosines (n, k): the result.
    """

    unit: NDArray[np.float32]
    projections: NDArray[np.float32]
    totals: NDArray[np.float64]
    used: NDArray[np.int64]
    cosines: NDArray[np.float64]


def _clear_row(work, at, words, length):  # type: ignore[no-untyped-def]
    """Reset a row of the workspace for a neuron that has no token yet and will get `length`."""
    work.counts[at], work.fallen[at], work.guesses[at] = 0, 0.0, 0.0
    work.frames[at] = 0.0
    work.frames[at, 4] = FIRST_TAU * words.extremes[2] if length > FEW else 0.0
    work.overlaps[at] = np.float32(0.0)
    work.slack[at], work.since[at] = 0.0, 0


def _add_token(neurons, i, step, token, cosine, words):  # type: ignore[no-untyped-def]
    """Put the token into the neuron's bundle."""
    neurons.used[i, step], neurons.cosines[i, step] = token, cosine
    total, vector = neurons.totals[i], words.vectors[token]
    for j in range(len(total)):
        total[j] += vector[j]


def _remove_listed(work, at, best):  # type: ignore[no-untyped-def]
    """Remove an entry from a list, by moving the last entry to its place."""
    last = work.counts[at] - 1
    work.counts[at] = last
    work.tokens[at, best], work.keys[at, best] = work.tokens[at, last], work.keys[at, last]
    work.reaches[at, best], work.sizes[at, best] = work.reaches[at, last], work.sizes[at, last]


def _add_from_list(work, at, words, neurons, i, step):  # type: ignore[no-untyped-def]
    """Add the best token of a neuron's list to its bundle, if it is surely the best of all; return whether it is.

    Without rows of the Gram matrix, overlaps in the list count as low as they may have fallen.
    """
    count, last = work.counts[at], neurons.used[i, step - 1]
    if count == 0:
        return False
    least = words.lowest[last]
    work.fallen[at] += words.norms[last] * (ROUNDING - (np.float32(-1.0) if np.isnan(least) else least))
    unit, total = neurons.unit[i], neurons.totals[i]
    along, square = pursuit_loops.project_sum(total, unit)
    below = work.fallen[at]
    if len(words.quantized):
        below = 0.0
        pursuit_loops.update_listed(
            work.tokens[at, :count], work.keys[at, :count], words.quantized, words.steps, words.slots[last],
            words.norms[last],
        )  # fmt: skip
    best, score = pursuit_loops.pick_listed(
        work.tokens[at], work.keys[at], work.reaches[at], work.sizes[at], count, below,
        words.vectors, unit, total, along, square,
    )  # fmt: skip
    work.guesses[at] = score
    if best < 0 or not pursuit_loops.list_contains_best(
        work.frames[at], along, square, score, work.fallen[at], work.widest[at], words.extremes
    ):
        return False
    token = work.tokens[at, best]
    _remove_listed(work, at, best)
    _add_token(neurons, i, step, token, score, words)
    return True


def _add_first(work, at, words, neurons, i):  # type: ignore[no-untyped-def]
    """Begin a neuron's bundle with the token of highest cosine, even where no cosine is positive."""
    token, score, widest = pursuit_loops.find_nearest(
        neurons.projections[i], words.inverse, words.vectors, neurons.unit[i], words.norms
    )
    if token < 0:
        token, score = pursuit_loops.search_all(
            neurons.projections[i], work.overlaps[at], words.norms, words.vectors, neurons.unit[i],
            neurons.totals[i], 0.0, 0.0, 0.0,
        )  # fmt: skip
    work.widest[at] = widest
    _add_token(neurons, i, 0, token, score, words)


def _set_frame(frame, along, square, guess, step, widest, extremes):  # type: ignore[no-untyped-def]
    """Choose rho, kappa, bar and tau for a list that lasts a step or two.

    If no tau is set for the next list (frame[4]), it lasts one step: it holds all tokens that reach `guess` now.
    """
    kappa = 1.0 / (guess * guess)
    rho = along * kappa
    frame[1] = kappa
    if frame[4] > 0.0:
        # rho for a step or two ahead; the bar is lower by tau times the mean norm.
        frame[0] = rho * (1.0 + 0.5 / (step + 1.0))
        frame[3] = frame[4]
        frame[2] = square - along * rho - frame[3] * extremes[2]
    else:
        frame[0] = rho
        frame[3] = ROUNDING * 2.0 * abs(rho)
        frame[2] = square - along * rho
        frame[2] -= ROUNDING * (square + abs(along * rho) + extremes[1] ** 2 * (1.0 + kappa * widest**2))


def _make_list(work, at, words, neurons, i, step, along, square, error):  # type: ignore[no-untyped-def]
    """List the tokens that may come next; return the place of the best one in the list, or -1, and its cosine."""
    projections, overlaps = neurons.projections[i], work.overlaps[at]
    frame, extremes, widest = work.frames[at], words.extremes, work.widest[at]
    once = frame[4] == 0.0
    if step == 1:
        guess = neurons.cosines[i, 0] * (SURE_RISE if once else EXPECTED_RISE)
    else:
        guess = work.guesses[at] * (SURE_SHARE if once else 1.0)
    score = 0.0
    for _ in range(TRIALS):
        if guess <= 0.0 or work.tokens.shape[1] == 0:
            break
        _set_frame(frame, along, square, guess, step, widest, extremes)
        count = pursuit_loops.list_tokens(projections, overlaps, words.norms, error, frame, work.tokens[at])
        if count < 0:
            frame[4] *= 0.7
            guess *= 1.1 if once else 1.0
            continue
        for c in range(count):
            t = work.tokens[at, c]
            work.keys[at, c] = overlaps[t] - np.float32(work.slack[at])
            work.reaches[at, c], work.sizes[at, c] = projections[t], words.norms[t]
        best, score = pursuit_loops.pick_listed(
            work.tokens[at], work.keys[at], work.reaches[at], work.sizes[at], count, 0.0,
            words.vectors, neurons.unit[i], neurons.totals[i], along, square,
        )  # fmt: skip
        if once:
            if best >= 0 and score >= guess and score > LEAST_LISTED:
                work.counts[at], work.guesses[at] = count, score
                return best, score
            guess = score if best >= 0 else 0.8 * guess
            continue
        if best >= 0 and pursuit_loops.list_contains_best(frame, along, square, score, 0.0, widest, extremes):
            work.counts[at] = count
            frame[4] *= 1.0 + 0.25 * (count < AIM / 2) - 0.15 * (count > 2 * AIM)
            return best, score
        frame[4] *= 1.1
        guess = score
    return -1, score


def _add_from_all(work, at, words, neurons, i, step):  # type: ignore[no-untyped-def]
    """Add the token of highest cosine among all to a neuron's bundle, and list those that may come next.

    With rows of the Gram matrix, the overlaps are first brought up to date; without, the caller has done that.
    """
    overlaps = work.overlaps[at]
    if len(words.quantized):
        work.slack[at] += pursuit_loops.update_overlaps(
            overlaps, words.quantized, words.steps, words.slots, words.norms,
            neurons.used[i, work.since[at] : step],
        )  # fmt: skip
    for k in range(step):
        overlaps[neurons.used[i, k]] = np.float32(np.inf)
    work.since[at] = step
    along, square = pursuit_loops.project_sum(neurons.totals[i], neurons.unit[i])
    error = work.slack[at] + ROUNDING * np.sqrt(square)
    work.counts[at], work.fallen[at] = 0, 0.0
    best, score = _make_list(work, at, words, neurons, i, step, along, square, error)
    if best >= 0:
        token = work.tokens[at, best]
        _remove_listed(work, at, best)
    else:
        token, score = pursuit_loops.search_all(
            neurons.projections[i], overlaps, words.norms, words.vectors, neurons.unit[i], neurons.totals[i],
            along, square, error,
        )  # fmt: skip
        work.guesses[at] = score
    _add_token(neurons, i, step, token, score, words)


def begin_bundles(work, words, neurons):  # type: ignore[no-untyped-def]
    """Reset the workspace, and give each neuron its first token."""
    for i in numba.prange(len(neurons.unit)):
        _clear_row(work, i, words, neurons.used.shape[1])
        _add_first(work, i, words, neurons, i)


def include_listed(work, words, neurons, step, unsettled):  # type: ignore[no-untyped-def]
    """Add a token to each bundle whose list surely holds the best one; unsettled (n,) tells which others remain."""
    for i in numba.prange(len(neurons.unit)):
        unsettled[i] = not _add_from_list(work, i, words, neurons, i, step)


def include_best(work, words, neurons, step, left):  # type: ignore[no-untyped-def]
    """Add the best of all tokens to the bundle of each of the neurons `left` (m,)."""
    for k in numba.prange(len(left)):
        _add_from_all(work, left[k], words, neurons, left[k], step)


def complete_bundles(work, words, neurons):  # type: ignore[no-untyped-def]
    """Build the whole bundle of one neuron after another in one row of the workspace, which stays in the cache.

    All rows of the Gram matrix must be there.
    """
    for i in range(len(neurons.unit)):
        _clear_row(work, 0, words, neurons.used.shape[1])
        _add_first(work, 0, words, neurons, i)
        for step in range(1, neurons.used.shape[1]):
            if not _add_from_list(work, 0, words, neurons, i, step):
                _add_from_all(work, 0, words, neurons, i, step)


compile_in_place(
    _clear_row, _add_token, _remove_listed, _add_from_list, _add_first, _set_frame, _make_list, _add_from_all
)
compile_in_place(begin_bundles, include_listed, include_best, parallel=True)
compile_in_place(complete_bundles, nogil=True)
