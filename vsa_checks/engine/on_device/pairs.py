"""Counts the cosines of all pairs on a device, from products in float64 that are rounded once (see `scan`)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from vsa_checks.engine.loops import PairTally
from vsa_checks.engine.on_device.memory import by_blocks, free_bytes, rows_within, to_device, within_memory
from vsa_checks.engine.threads import Progress

CELL = 24
"""Bytes held at a time for one pair."""


def tally(
    unit: NDArray[np.float32],
    levels: NDArray[np.float32],
    n_bins: int,
    device: torch.device,
    block: int | None,
    progress: Progress | None,
) -> PairTally:
    """Count all pairs of unit rows (n, d), some rows of the upper half of their Gram matrix at a time.

    A pair with |cosine| above one of `levels` counts for both of its rows; in the histogram it counts once. The maximum
    of a row is over the rows after it, -inf for the last. Raises VsaChecksError if one row does not fit into the
    device's memory.
    """
    found = PairTally.of(len(unit), len(levels), n_bins)
    with within_memory(device):
        vectors = to_device(unit, device, torch.float64)

        def work(start: int, stop: int) -> None:
            cosines = (vectors[start:stop] @ vectors[start:].T).float()
            below = torch.ones((stop - start, stop - start), dtype=torch.bool, device=device).tril()
            sizes = cosines.abs()
            sizes[:, : stop - start].masked_fill_(below, -torch.inf)
            top = sizes.amax(dim=1).cpu().numpy()
            over = [sizes > float(level) for level in levels]
            by_row = [one.sum(dim=1).cpu().numpy() for one in over]
            by_column = [one.sum(dim=0).cpu().numpy() for one in over]
            del sizes, over
            bins = cosines.add_(1).mul_(n_bins / 2).clamp_(0, n_bins - 1).int()
            bins[:, : stop - start].masked_fill_(below, n_bins)  # an extra bin, for entries that are no pair
            counts = bins.ravel().bincount(minlength=n_bins + 1)[:n_bins].cpu().numpy()
            found.maximum[start:stop] = top
            found.histogram[:] += counts
            for k in range(len(levels)):
                found.above[start:stop, k] += by_row[k]
                found.above[start:, k] += by_column[k]

        by_blocks(len(unit), block or rows_within(free_bytes(device), sum(unit.shape), CELL), work, progress)
    return found
