"""Candidates of the paper's scan on a device.

Products are made in float64 and rounded once: the order of candidates, and with it the bundle, then does not hang on
how large the blocks are, which is to say on how much memory is free. The compiled engine multiplies in float32, so that
two candidates whose cosines differ by its rounding may come in another order there, and one at a threshold may fall to
its other side.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from vsa_checks.engine.dictionary import Dictionary, repeated_rows
from vsa_checks.engine.on_device.memory import by_blocks, free_bytes, placed, rows_within, within_memory
from vsa_checks.engine.threads import Progress

CELL = 48
"""Bytes of all that is held at a time for one neuron and one token; sorting needs most of them."""


def candidates(
    unit: NDArray[np.float32],
    words: Dictionary,
    least: float,
    device: torch.device,
    block: int | None,
    take: Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]], object],
    progress: Progress | None,
) -> None:
    """Find the tokens of cosine of at least `least` with each unit neuron (n, d), falling, ties to the lowest row.

    `take` is given those of one block of neurons after the other: ends (m + 1,), and the tokens and cosines of the
    block's neuron i at ends[i]:ends[i + 1]. Raises VsaChecksError if one neuron's do not fit into the device's memory.
    """
    with within_memory(device):
        vectors, inverse = _scaled(words, device)
        copies, originals = (placed(part, device) for part in words.copies)

        def work(start: int, stop: int) -> None:
            cosines = (placed(unit[start:stop], device, torch.float64) @ vectors.T).mul_(inverse).float()
            cosines[:, copies] = cosines[:, originals]
            values, order = cosines.sort(dim=1, descending=True, stable=True)
            enough = values >= least
            counts = enough.sum(dim=1).cpu().numpy()
            tokens, strengths = order[enough].cpu().numpy(), values[enough].cpu().numpy()
            take(np.concatenate([[0], np.cumsum(counts)]), tokens, strengths)

        by_blocks(len(unit), block or rows_within(free_bytes(device), sum(vectors.shape), CELL), work, progress)


def listed_neurons(
    unit: NDArray[np.float32], words: Dictionary, count: int, device: torch.device, block: int | None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `count` neurons of largest cosine for each token (V, count), and the cosines; ties to the lowest id.

    Raises VsaChecksError if one token's do not fit into the device's memory.
    """
    ids = np.empty((len(words.rows), count), np.int32)
    top = np.empty((len(words.rows), count), np.float32)
    with within_memory(device):
        vectors, inverse = _scaled(words, device)
        neurons = placed(unit, device, torch.float64)
        copies, originals = (placed(part, device) for part in repeated_rows(unit))

        def work(start: int, stop: int) -> None:
            cosines = (vectors[start:stop] @ neurons.T).mul_(inverse[start:stop, None]).float()
            cosines[:, copies] = cosines[:, originals]
            values, order = cosines.sort(dim=1, descending=True, stable=True)
            ids[start:stop] = order[:, :count].cpu().numpy()
            top[start:stop] = values[:, :count].cpu().numpy()

        by_blocks(len(ids), block or rows_within(free_bytes(device), sum(unit.shape), CELL), work, None)
    copied, first = words.copies
    ids[copied], top[copied] = ids[first], top[first]
    return ids, top


def _scaled(words: Dictionary, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The dictionary's vectors (V, d), and one over each norm (V,), in float64."""
    return placed(words.vectors, device, torch.float64), 1.0 / placed(words.norms, device)
