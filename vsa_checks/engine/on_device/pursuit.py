"""The greedy pursuit on a device: all tokens are looked at in float32, those that may be best scored in float64.

At each step float32 gives a lower and an upper bound of the cosine that each token would bring, `ROUNDING` apart at
least, as in the compiled engine. A token whose upper bound falls short of the highest lower one is out; the others,
mostly one or two, are scored from the vectors in float64, so that the choice is exact and ties go to the lowest row.
Overlaps with the sums are multiplied anew at each step: kept and added to, their rounding would add up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.engine.loops import ROUNDING
from vsa_checks.engine.on_device.memory import by_blocks, free_bytes, placed, rows_within, within_memory
from vsa_checks.engine.pursuit_loops import LEAST_SQUARE, NOTHING
from vsa_checks.engine.threads import Progress

CELL = 40
"""Bytes of all that is held at a time for one neuron and one token."""
EXACT_BYTES = 2**26
"""Aim of the vectors that are scored together in float64."""


class DeviceWords(NamedTuple):
    """A dictionary on a device: vectors (V, d), norms and one over each (V,), and the next copy of each row or -1."""

    vectors: torch.Tensor
    norms: torch.Tensor
    inverse: torch.Tensor
    next_copy: torch.Tensor

    @classmethod
    def of(cls, words: Dictionary, device: torch.device) -> DeviceWords:
        """Place a dictionary on the device."""
        return cls(
            placed(words.vectors, device),
            placed(words.norms, device, torch.float32),
            placed(words.inverse, device),
            placed(next_copies(words), device),
        )


def next_copies(words: Dictionary) -> NDArray[np.int64]:
    """The next row that equals each row of the dictionary (V,), -1 where none does."""
    copies, originals = words.copies
    chain = np.full(len(words.rows), -1)
    order = np.lexsort((copies, originals))
    later, first = copies[order], originals[order]
    follows = np.diff(first, prepend=-1) == 0
    chain[np.where(follows, np.roll(later, 1), first)] = later
    return chain


@contextmanager
def full_float32() -> Iterator[None]:
    """Multiply float32 as float32 within: TF32 keeps 10 of the 23 bits, far fewer than the bounds allow for."""
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # what was set by PyTorch's newer way its older one refuses to tell
        before = "high" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "highest"
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def pursue(
    words: Dictionary,
    target: NDArray[np.float32],
    picked: NDArray[np.int64],
    paths: NDArray[np.float64],
    device: torch.device,
    block: int | None,
    progress: Progress | None,
) -> None:
    """Put tokens (n, k) and cosines (n, k) of each neuron's pursuit into `picked` and `paths`.

    target (n, d): neurons at unit norm, `block` of them at a time, or as many as fit into the device's free memory.
    k must not exceed the tokens that there are. Raises VsaChecksError if one neuron does not fit.
    """
    with within_memory(device), full_float32():
        there = DeviceWords.of(words, device)

        def work(start: int, stop: int) -> None:
            tokens, cosines = _bundles(there, placed(target[start:stop], device), picked.shape[1])
            picked[start:stop], paths[start:stop] = tokens.cpu().numpy(), cosines.cpu().numpy()

        by_blocks(len(target), block or rows_within(free_bytes(device), sum(words.vectors.shape), CELL), work, progress)


def _bundles(words: DeviceWords, unit: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and cosines (n, length) of the pursuits of neurons (n, d), all grown by one token at a time."""
    n = len(unit)
    rows = torch.arange(n, device=unit.device)
    projections = unit @ words.vectors.T
    totals = torch.zeros(unit.shape, dtype=torch.float64, device=unit.device)
    # A row waits until the row that it repeats is taken: so copies tie, and go by id, whatever their products are.
    barred = torch.zeros(projections.shape, dtype=torch.bool, device=unit.device)
    barred[:, words.next_copy[words.next_copy >= 0]] = True
    tokens = torch.empty((n, length), dtype=torch.int64, device=unit.device)
    cosines = torch.empty((n, length), dtype=torch.float64, device=unit.device)
    for step in range(length):
        if step == 0:
            lowest, highest = _first_bounds(words, projections)
        else:
            lowest, highest = _bounds(words, projections, unit, totals)
        floor = lowest.masked_fill_(barred, -torch.inf).amax(dim=1)
        neurons, rivals = (highest.masked_fill_(barred, -torch.inf) >= floor[:, None]).nonzero(as_tuple=True)
        scores = _exact(words, unit, totals, neurons, rivals)
        best = floor.new_full((n,), -torch.inf, dtype=torch.float64).scatter_reduce(0, neurons, scores, "amax")
        won = scores == best[neurons]
        token = torch.full_like(rows, len(words.vectors)).scatter_reduce(0, neurons[won], rivals[won], "amin")
        tokens[:, step], cosines[:, step] = token, best
        totals += words.vectors[token]
        barred[rows, token] = True
        after = words.next_copy[token]
        barred[rows[after >= 0], after[after >= 0]] = False
    return tokens, cosines


def _first_bounds(words: DeviceWords, projections: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower and upper bounds (n, V) of each token's own cosine with the neurons, however short the token is."""
    cosines = projections * words.inverse
    return cosines - ROUNDING, cosines + ROUNDING


def _bounds(
    words: DeviceWords, projections: torch.Tensor, unit: torch.Tensor, totals: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower and upper bounds (n, V) of the cosines with the neurons of the sums (n, d) with each token added."""
    along, square = (totals * unit).sum(dim=1, keepdim=True), totals.square().sum(dim=1, keepdim=True)
    # Products err by a part of the norms multiplied; 2 x norm x norm is at most the sum of their squares.
    parts = square.float() + words.norms.square()
    reach = along.float() + projections
    size = (totals.float() @ words.vectors.T).mul_(2).add_(parts)
    loose_reach, loose_size = ROUNDING * (square.sqrt().float() + words.norms), parts.mul_(ROUNDING)
    most, least = ((size + sign * loose_size).clamp_min_(float(LEAST_SQUARE)) for sign in (1, -1))
    low, high = reach - loose_reach, reach.add_(loose_reach)
    return low * torch.where(low > 0, most, least).rsqrt_(), high * torch.where(high > 0, least, most).rsqrt_()


def _exact(
    words: DeviceWords, unit: torch.Tensor, totals: torch.Tensor, neurons: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    """Cosines (m,), in float64, of the sums of these neurons, each with one of these tokens added.

    0 where a sum has cancelled. The vectors are scored in parts of one size, so that all add up in the same order.
    """
    n_parts = max(1, -(-len(tokens) * 24 * unit.shape[1] // EXACT_BYTES))
    size = -(-len(tokens) // n_parts)
    scores = []
    for part in range(n_parts):
        places = torch.arange(part * size, (part + 1) * size, device=unit.device).clamp_max_(len(tokens) - 1)
        i, vectors = neurons[places], words.vectors[tokens[places]].double()
        total, target = totals[i], unit[i].double()
        own, before = vectors.square().sum(dim=1), total.square().sum(dim=1)
        reach = (total * target).sum(dim=1) + (vectors * target).sum(dim=1)
        square = (total + vectors).square().sum(dim=1)
        scores.append(torch.where(square > NOTHING * (before + own), reach / square.sqrt(), 0.0))
    return torch.cat(scores)[: len(tokens)]
