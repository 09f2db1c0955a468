"""The greedy pursuit on a device: float32 bounds for all tokens, exact float64 cosines for those that may be best.

At each step float32 gives a lower and an upper bound of the cosine that each token would bring (`bounds`). Tokens whose
upper bound is below the highest lower bound are out. The others, mostly one or two, are computed in float64 from the
vectors. So the choice is exact, and ties go to the lowest row.

What a step costs, for n neurons and V tokens of dimension d, in bytes moved and operations (n = 3,072, V = 50,257,
d = 768: 154 million pairs of a neuron and a token):

| way | bytes a pair | operations a pair | what binds |
| --- | --- | --- | --- |
| with the Gram matrix | 14: two floats and a float16 read, a float written; 2.2 GB | 10 | memory |
| with products | 4 written by the product, 8 read; 1.9 GB | 2 d in TF32, 10 in float32; 237 GFLOP | the product |

At 4 TB/s and 300 TFLOP/s that is .55 ms and 1.1 ms. The obvious way makes the product in float32 (4.3 ms at 55 TFLOP/s)
and reads and writes the state a few times. PyTorch operations in place of the kernel (`one_pass`) move about 60 bytes a
pair. The rest is small in bytes: two numbers for each neuron and tile (1.2 MB), about 1.2 tiles for each neuron that
are looked at again (15 MB, 25 times), about as many tokens scored in float64 (23 MB, 15 times). But that is some 140
operations to launch, 90 of them after the pass, when the device waits for the next: .4 ms where a launch takes 4 us.
Once for a block: the projections, a product in full float32. Once for a dictionary: the Gram matrix (`gram`), V^2 d
operations in float32, about 50 ms, so that it pays from `PAYS` tokens included for each token there is. These times are
computed from what such a device (one NVIDIA H200) can do. They are not measured yet.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.engine.on_device.bounds import Sums
from vsa_checks.engine.on_device.gram import fits, make_gram
from vsa_checks.engine.on_device.memory import (
    by_blocks,
    free_bytes,
    lacks_memory,
    rows_within,
    to_device,
    within_memory,
)
from vsa_checks.engine.on_device.precision import full_float32
from vsa_checks.engine.on_device.rivals import first_rivals, next_rivals
from vsa_checks.engine.on_device.state import State, include
from vsa_checks.engine.on_device.words import DeviceWords, kept_words
from vsa_checks.engine.pursuit import Seen
from vsa_checks.engine.pursuit_loops import NOTHING
from vsa_checks.engine.threads import Progress

CELL = 40
"""Bytes held at a time for one neuron and one token, when the products are seen or most tokens are rivals."""
PAYS = 3
"""The Gram matrix is made for a dictionary when this many times its number of tokens have been included in bundles."""
EXACT_BYTES = 2**27
"""Memory that the vectors computed together in float64 should take."""


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
        there = kept_words(words, device)
        _prepare(there, len(target) * (picked.shape[1] - 1))
        told = done = 0

        def work(start: int, stop: int) -> None:
            nonlocal told, done
            unit = to_device(target[start:stop], device)
            projections = unit @ there.vectors.T
            if seen is not None and stop > told:
                # A block that is done again with fewer neurons has been seen before.
                begin = max(start, told)
                seen(begin, projections[begin - start :, : there.count])
                told = stop
            tokens, cosines = _bundles(there, unit, projections, picked.shape[1])
            picked[start:stop], paths[start:stop] = tokens.cpu().numpy(), cosines.cpu().numpy()
            done = stop

        width = there.width + words.vectors.shape[1]
        while True:
            try:
                by_blocks(len(target), block or rows_within(free_bytes(device), width, CELL), work, progress, done)
                return
            except RuntimeError as error:
                if not lacks_memory(error) or there.gram is None:
                    raise
                there.gram = None  # a neuron is left that does not fit beside it


def _prepare(words: DeviceWords, picks: int) -> None:
    """Make the Gram matrix if it pays and the device has room for it; `picks` more tokens are to be included."""
    words.picks += picks
    if words.gram is None and words.picks >= PAYS * words.count:
        if not fits(words.width, words.tile, free_bytes(words.vectors.device)):
            return
        try:
            words.gram = make_gram(words.units, words.tile)
        except RuntimeError as error:
            if not lacks_memory(error):
                raise  # otherwise the device has less than it said, and there is a way without


def _bundles(
    words: DeviceWords, unit: torch.Tensor, projections: torch.Tensor, length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and cosines (n, length) of the pursuits of neurons (n, d), which all grow one token at a time.

    projections (n, W): their products with the tokens, which are overwritten.
    """
    n, copied = len(unit), bool((words.next_copy >= 0).any())
    rows = torch.arange(n, device=unit.device)
    totals = torch.zeros(unit.shape, dtype=torch.float64, device=unit.device)
    # A copy is barred until the row that it repeats is taken. So ties go by id, even if their products differ.
    state = State.of(words, projections)
    tokens = torch.empty((n, length), dtype=torch.int64, device=unit.device)
    cosines = torch.empty((n, length), dtype=torch.float64, device=unit.device)
    for step in range(length):
        if step == 0:
            neurons, rivals = first_rivals(words, state)
        else:
            sums = Sums.of(totals, unit)
            reduced = include(words, state, totals, sums, tokens[:, step - 1])
            neurons, rivals = next_rivals(words, state, totals, sums, reduced)
        scores = _exact(words, unit, totals, neurons, rivals)
        best = scores.new_full((n,), -torch.inf).scatter_reduce_(0, neurons, scores, "amax")
        lowest = torch.where(scores == best[neurons], rivals, words.count)
        token = torch.full_like(rows, words.count).scatter_reduce_(0, neurons, lowest, "amin")
        tokens[:, step], cosines[:, step] = token, best
        totals += words.vectors[token]
        own = state.projections[rows, token]
        state.projections[rows, token] = -torch.inf
        if copied:
            after = words.next_copy[token]
            freed = (after >= 0).nonzero().ravel()
            state.projections[freed, after[freed]] = own[freed]
    return tokens, cosines


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
