"""Puts arrays on a device, and works on as many rows at a time as its memory holds."""

from __future__ import annotations

import re
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
_NO_MEMORY = re.compile(
    r"CUDA error: out of memory|cudaErrorMemoryAllocation|CU(BLAS|BLASLT|SOLVER|SPARSE|DNN)_STATUS_ALLOC_FAILED"
    r"|CUBLAS_STATUS_NOT_INITIALIZED"  # what cublasCreate gives where its workspace does not fit
)


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a CUDA device, including what PyTorch holds unused; `ELSEWHERE` for other devices."""
    if device.type != "cuda":
        return ELSEWHERE
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def rows_within(free: int, width: int, cell: int) -> int:
    """Return how many rows of `width` entries of `cell` bytes a block has, given the free bytes; at least one."""
    return max(1, min(int(free * SHARE) // (width * cell), MOST_CELLS // width))


def to_device(array: NDArray[np.generic], device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Copy an array to the device."""
    return torch.from_numpy(array).to(device, dtype)


def lacks_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch says that a device has too little memory: its own, or one that it passes on.

    CUDA and its libraries (cuBLAS, cuSOLVER, cuDNN) allocate by themselves, and tell of it by a text alone.
    """
    told = isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None
    return told or isinstance(error, torch.OutOfMemoryError)


def by_blocks(n: int, rows: int, work: Callable[[int, int], None], progress: Progress | None, start: int = 0) -> None:
    """Call work(start, stop) for the rows from `start` to n, `rows` at a time, and `progress` after each block.

    If the device runs out of memory, `work` is called again with half of the rows. So it must change nothing before
    it has all the memory it needs. Raises the error, which `lacks_memory` knows, if a single row does not fit.
    """
    while start < n:
        stop = min(start + rows, n)
        try:
            work(start, stop)
        except RuntimeError as error:
            if not lacks_memory(error) or stop - start == 1:
                raise
            rows = (stop - start) // 2
        else:
            start = stop
            if progress is not None:
                progress(start, n)
            continue
        # CUDA's libraries cannot take what PyTorch holds unused. Not above: the error still holds what `work` made.
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
            f"{str(error).splitlines()[0].rstrip('.')}. Free some of it (other programs may hold it), or compute on "
            f"the CPU, which is what --device cpu does, or device=None in Python."
        ) from error
