"""The greedy pursuit on a device: float32 bounds for all tokens, exact float64 cosines for those that may be best.

At each step float32 gives a lower and an upper bound of the cosine that each token would bring, with the same allowance
for `ROUNDING` as in the compiled engine. Tokens whose upper bound is below the highest lower bound are out. The others,
mostly one or two, are computed in float64 from the vectors. So the choice is exact, and ties go to the lowest row.
Overlaps with the sums are computed afresh at each step: if they were updated, their rounding errors would add up.
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
from vsa_checks.engine.on_device.memory import by_blocks, free_bytes, rows_within, to_device, within_memory
from vsa_checks.engine.pursuit import Seen
from vsa_checks.engine.pursuit_loops import LEAST_SQUARE, NOTHING
from vsa_checks.engine.threads import Progress

CELL = 40
"""Bytes held at a time for one neuron and one token."""
EXACT_BYTES = 2**26
"""Memory that the vectors computed together in float64 should take."""


class DeviceWords(NamedTuple):
    """A dictionary on a device: vectors (V, d), norms, 1 / norms, and `next_copies` (V,)."""

    vectors: torch.Tensor
    norms: torch.Tensor
    inverse: torch.Tensor
    next_copy: torch.Tensor

    @classmethod
    def of(cls, words: Dictionary, device: torch.device) -> DeviceWords:
        """Copy a dictionary to the device."""
        return cls(
            to_device(words.vectors, device),
            to_device(words.norms, device, torch.float32),
            to_device(words.inverse, device),
            to_device(next_copies(words), device),
        )


def next_copies(words: Dictionary) -> NDArray[np.int64]:
    """Find for each row of the dictionary the next row that equals it (V,), or -1."""
    copies, originals = words.copies
    chain = np.full(len(words.rows), -1)
    order = np.lexsort((copies, originals))
    later, first = copies[order], originals[order]
    follows = np.diff(first, prepend=-1) == 0
    chain[np.where(follows, np.roll(later, 1), first)] = later
    return chain


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch off TF32, which keeps 10 of float32's 23 bits: far fewer than the bounds allow for."""
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # this older API refuses to report what was set with PyTorch's newer one
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
    seen: Seen | None = None,
) -> None:
    """Put the tokens and cosines of each neuron's pursuit into `picked` and `paths` (n, k).

    target (n, d): neurons at unit norm, worked on `block` at a time, or as many as fit into the device's free memory.
    k must not exceed the number of tokens. Raises VsaChecksError if one neuron does not fit.
    """
    with within_memory(device), full_float32():
        there = DeviceWords.of(words, device)

        def work(start: int, stop: int) -> None:
            unit = to_device(target[start:stop], device)
            projections = unit @ there.vectors.T
            if seen is not None:
                seen(start, projections)
            tokens, cosines = _bundles(there, unit, projections, picked.shape[1])
            picked[start:stop], paths[start:stop] = tokens.cpu().numpy(), cosines.cpu().numpy()

        by_blocks(len(target), block or rows_within(free_bytes(device), sum(words.vectors.shape), CELL), work, progress)


def _bundles(
    words: DeviceWords, unit: torch.Tensor, projections: torch.Tensor, length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and cosines (n, length) of the pursuits of neurons (n, d), which all grow one token at a time.

    projections (n, V): their products with the tokens.
    """
    n = len(unit)
    rows = torch.arange(n, device=unit.device)
    totals = torch.zeros(unit.shape, dtype=torch.float64, device=unit.device)
    # A copy is barred until the row that it repeats is taken. So ties go by id, even if their products differ.
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
    """Bound each token's own cosine with the neurons, from below and above (n, V); short tokens are no less exact."""
    cosines = projections * words.inverse
    return cosines - ROUNDING, cosines + ROUNDING


def _bounds(
    words: DeviceWords, projections: torch.Tensor, unit: torch.Tensor, totals: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bound the cosine of each sum (n, d) + token with the sum's neuron, from below and above (n, V)."""
    along, square = (totals * unit).sum(dim=1, keepdim=True), totals.square().sum(dim=1, keepdim=True)
    # The error of a dot product is relative to the product of the norms, and twice that is at most `parts`.
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
    """Compute in float64 the cosines (m,) of these neurons' sums with one of these tokens added each.

    A sum that has cancelled has cosine 0. All parts have the same size, so every dot product adds up in the same order.
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
