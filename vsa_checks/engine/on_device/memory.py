"""Arrays on a device, and work on as many rows at a time as its memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from vsa_checks.engine.threads import Progress
from vsa_checks.errors import VsaChecksError

SHARE = 0.5
"""Part of the free memory that a block is planned for; the rest is left to the libraries' own work space."""
ELSEWHERE = 2**28
"""Bytes taken for free where the device does not tell."""
MOST_CELLS = 2**28
"""Most entries of one block: more would make it no faster, and leave nothing to tell of progress."""


def free_bytes(device: torch.device) -> int:
    """Free memory of a CUDA device, what PyTorch holds and does not use included; `ELSEWHERE` of another device."""
    if device.type != "cuda":
        return ELSEWHERE
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def rows_within(free: int, width: int, cell: int) -> int:
    """How many rows of `width` entries, `cell` bytes each, a block has where so many bytes are free; at least one."""
    return max(1, min(int(free * SHARE) // (width * cell), MOST_CELLS // width))


def placed(array: NDArray[np.generic], device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """The array on the device."""
    return torch.from_numpy(array).to(device, dtype)


def by_blocks(n: int, rows: int, work: Callable[[int, int], None], progress: Progress | None) -> None:
    """work(start, stop) of n rows, `rows` at a time, and `progress` after each block; half as many if they do not fit.

    `work` is called again for the same rows where the device had too little memory, so that it must change nothing
    before it has all it needs. Raises torch.OutOfMemoryError where a single row does not fit.
    """
    start = 0
    while start < n:
        stop = min(start + rows, n)
        try:
            work(start, stop)
        except torch.OutOfMemoryError:
            if stop - start == 1:
                raise
            rows = (stop - start) // 2
            continue
        start = stop
        if progress is not None:
            progress(start, n)


@contextmanager
def within_memory(device: torch.device) -> Iterator[None]:
    """Raise VsaChecksError, with the remedy, where the work within finds too little memory on the device."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise VsaChecksError(
            f"The memory of the device {device} does not hold these vectors and one row of their products: "
            f"{str(error).splitlines()[0]} Free some of it (other programs may hold it), or compute on the CPU, which "
            f"is what --device cpu does, or device=None in Python."
        ) from error
