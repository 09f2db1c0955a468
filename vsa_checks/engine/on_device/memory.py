"""Puts arrays on a device, and works on as many rows at a time as its memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from vsa_checks.engine.threads import Progress
from vsa_checks.errors import VsaChecksError

SHARE = 0.5
"""Share of the free memory that a block is planned for; the rest is for the libraries' own working memory."""
ELSEWHERE = 2**28
"""Bytes assumed to be free where the device does not say."""
MOST_CELLS = 2**28
"""Most entries of one block: larger blocks are not faster, and progress could be reported too rarely."""


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a CUDA device, including what PyTorch holds unused; `ELSEWHERE` for other devices."""
    if device.type != "cuda":
        return ELSEWHERE
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def lacks_memory(error: BaseException) -> bool:
    """Tell whether an error means that the device's memory is full, whichever library found it so."""
    # cuBLAS takes working memory of its own, past PyTorch; where that fails its handle or its first product does.
    signs = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED")
    full = isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
    return isinstance(error, torch.OutOfMemoryError) or full


def rows_within(free: int, width: int, cell: int) -> int:
    """Return how many rows of `width` entries of `cell` bytes a block has, given the free bytes; at least one."""
    return max(1, min(int(free * SHARE) // (width * cell), MOST_CELLS // width))


def to_device(array: NDArray[np.generic], device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Copy an array to the device."""
    return torch.from_numpy(array).to(device, dtype)


def by_blocks(n: int, rows: int, work: Callable[[int, int], None], progress: Progress | None) -> None:
    """Call work(start, stop) for n rows, `rows` at a time, and `progress` after each block.

    If the device runs out of memory, `work` is called again with half of the rows. So it must change nothing before
    it has all the memory it needs. Raises what `work` raises if a single row does not fit.
    """
    start = 0
    while start < n:
        stop = min(start + rows, n)
        full = False
        try:
            work(start, stop)
        except RuntimeError as error:
            if not lacks_memory(error) or stop - start == 1:
                raise
            full = True
        if full:  # and not sooner: the error keeps what `work` held
            _leave_unused_memory()
            rows = (stop - start) // 2
            continue
        start = stop
        if progress is not None:
            progress(start, n)


def _leave_unused_memory() -> None:
    """Give back what PyTorch holds for later: other libraries cannot take it from there."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextmanager
def within_memory(device: torch.device) -> Iterator[None]:
    """Turn a lack of memory on the device into a VsaChecksError that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
        raise VsaChecksError(
            f"The memory of the device {device} does not hold these vectors and one row of their products: "
            f"{str(error).splitlines()[0]} Free some of it (other programs may hold it), or compute on the CPU, which "
            f"is what --device cpu does, or device=None in Python."
        ) from error
