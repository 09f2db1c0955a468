"""Work shared out between threads, each of which multiplies its own matrices alone."""

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
_BLAS = ThreadpoolController().select(user_api="blas")


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads each of which multiplies its own matrices alone.

    Where one product is shared out instead, threads wait for one another before and after it, and by turning: whatever
    comes between two products has to do without them.
    """
    with _BLAS.limit(limits=1), ThreadPoolExecutor(numba.get_num_threads()) as pool:
        yield pool


def share_out(
    work: Callable[[Item, Scratch], Made],
    items: Sequence[Item],
    scratch: Sequence[Scratch],
    progress: Progress | None = None,
) -> list[Made]:
    """work(item, one of `scratch`) of each item, in order; each thread has its own scratch while it is at work.

    Scratch is made once and by the caller: fresh pages for every item would cost as much as filling them. `progress`
    is told after each item how many are done and of how many. Raises what `work` or `progress` raise.
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
        for result in pool.map(do, items):
            made.append(result)
            if progress is not None:
                progress(len(made), len(items))
    return made


def workers(n_items: int) -> int:
    """How many threads so many items are shared out between, and how much scratch they need."""
    return max(1, min(numba.get_num_threads(), n_items))
