"""Distribute work over threads; each thread computes its own matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

import numba
import scipy.linalg  # noqa: F401 - brings a BLAS of its own, beside NumPy's
from threadpoolctl import ThreadpoolController

Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Scratch = TypeVar("Scratch")
Made = TypeVar("Made")
AT_ONCE_BYTES = 256 * 2**20
"""Memory for copies that several threads may hold at once, where each holds large ones."""
_BLAS = ThreadpoolController().select(user_api="blas")


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads, and let each matrix product within run on one thread.

    If BLAS distributed each product over all threads, they would wait for one another before and after it, and
    everything between two products would run on one thread only.
    """
    with _BLAS.limit(limits=1), ThreadPoolExecutor(numba.get_num_threads()) as pool:
        yield pool


def share_out(
    work: Callable[[Item, Scratch], Made],
    items: Sequence[Item],
    scratch: Sequence[Scratch],
    progress: Progress | None = None,
) -> list[Made]:
    """Call work(item, scratch) for each item, in several threads; returns the results in the order of the items.

    Each thread uses one element of `scratch`, memory that the caller makes once: fresh pages for every item would cost
    as much as filling them. `progress` is called after each item with the number done and the total. Raises what `work`
    and `progress` raise.
    """
    spare: SimpleQueue[Scratch] = SimpleQueue()
    for one in scratch:
        spare.put(one)

    def do(item: Item) -> Made:
        mine = spare.get()
        try:
            return work(item, mine)
        finally:
            spare.put(mine)

    made = []
    with threads() as pool:
        # A thread of its own for all the work would only be waited for.
        for result in map(do, items) if workers(len(items)) == 1 else pool.map(do, items):
            made.append(result)
            if progress is not None:
                progress(len(made), len(items))
    return made


def workers(n_items: int, bytes_each: int = 0) -> int:
    """Return the number of threads used for this many items: the length that `scratch` must have.

    Fewer if each item takes so many bytes of memory that all threads together would take more than AT_ONCE_BYTES.
    """
    fit = AT_ONCE_BYTES // bytes_each if bytes_each else n_items
    return max(1, min(numba.get_num_threads(), n_items, fit))
