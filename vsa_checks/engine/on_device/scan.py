"""Candidates of the ranked scan on a device.

Products are computed in float64 and rounded once. Otherwise the order of candidates, and so the bundle, would depend on
the size of the blocks, and so on how much memory is free. The compiled engine multiplies in float32: candidates whose
cosines differ only by rounding may have another order there, and one at a threshold may be on its other side.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from vsa_checks.engine.dictionary import Dictionary, repeated_rows
from vsa_checks.engine.on_device.memory import by_blocks, free_bytes, rows_within, to_device, within_memory
from vsa_checks.engine.threads import Progress

CELL = 48
"""Bytes held at a time for one neuron and one token; sorting needs most of them."""


def find_candidates(
    unit: NDArray[np.float32],
    words: Dictionary,
    least: float,
    device: torch.device,
    block: int | None,
    take: Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]], object],
    progress: Progress | None,
) -> None:
    """Find the tokens whose cosine with a unit neuron (n, d) is at least `least`, falling, ties to the lowest row.

    `take` is called for each block of m neurons with ends (m + 1,), tokens and cosines: those of the block's neuron i
    are at ends[i]:ends[i + 1]. Raises VsaChecksError if one neuron does not fit into the device's memory.
    """
    with within_memory(device):
        vectors, inverse = _vectors_and_inverse(words, device)
        copies, originals = (to_device(part, device) for part in words.copies)

        def work(start: int, stop: int) -> None:
            cosines = (to_device(unit[start:stop], device, torch.float64) @ vectors.T).mul_(inverse).float()
            cosines[:, copies] = cosines[:, originals]
            values, order = cosines.sort(dim=1, descending=True, stable=True)
            enough = values >= least
            counts = enough.sum(dim=1).cpu().numpy()
            tokens, strengths = order[enough].cpu().numpy(), values[enough].cpu().numpy()
            take(np.concatenate([[0], np.cumsum(counts)]), tokens, strengths)

        by_blocks(len(unit), block or rows_within(free_bytes(device), sum(vectors.shape), CELL), work, progress)


def list_neurons(
    unit: NDArray[np.float32], words: Dictionary, count: int, device: torch.device, block: int | None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Find for each token the `count` neurons of largest cosine, ties to the lowest id: ids and cosines (V, count).

    Raises VsaChecksError if one token does not fit into the device's memory.
    """
    ids = np.empty((len(words.rows), count), np.int32)
    top = np.empty((len(words.rows), count), np.float32)
    with within_memory(device):
        vectors, inverse = _vectors_and_inverse(words, device)
        neurons = to_device(unit, device, torch.float64)
        copies, originals = (to_device(part, device) for part in repeated_rows(unit))

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


def _vectors_and_inverse(words: Dictionary, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Copy the dictionary's vectors (V, d), and 1 / norms (V,), to the device in float64."""
    return to_device(words.vectors, device, torch.float64), 1.0 / to_device(words.norms, device)
