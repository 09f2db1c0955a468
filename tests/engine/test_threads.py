"""Work shared out between threads: in order, with scratch of one's own, and BLAS as it was afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numba
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from vsa_checks.engine.threads import share_out, threads, workers


@pytest.fixture(autouse=True)
def several(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    with threadpool_limits(2):
        yield


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if "scipy_openblas" in pool["filepath"]]


def test_results_come_in_order_and_progress_is_told_by_the_caller() -> None:
    heard: list[tuple[int, int, bool]] = []
    caller = threading.get_ident()

    def work(item: int, _: None) -> int:
        time.sleep(0.002 * (5 - item))  # the first ends last
        return item * item

    def tell(done: int, total: int) -> None:
        heard.append((done, total, threading.get_ident() == caller))

    assert share_out(work, range(5), [None] * 2, tell) == [0, 1, 4, 9, 16]
    assert heard == [(done, 5, True) for done in range(1, 6)]


def test_no_two_items_are_at_work_with_the_same_scratch() -> None:
    at_work: list[list[int]] = [[], []]

    def work(item: int, mine: list[int]) -> bool:
        mine.append(item)
        alone = len(mine) == 1
        time.sleep(0.001)
        mine.remove(item)
        return alone

    assert all(share_out(work, range(40), at_work))
    # more threads than scratch: those without wait
    assert all(share_out(work, range(10), at_work[:1]))


def test_matrices_are_multiplied_by_one_thread_each_and_errors_come_through() -> None:
    before, within = blas_threads(), []

    def work(item: int, _: None) -> None:
        within.append(blas_threads())
        if item == 1:
            raise ZeroDivisionError("as planted")

    with pytest.raises(ZeroDivisionError, match="as planted"):
        share_out(work, range(3), [None] * 2)
    assert before and within and all(set(one) == {1} for one in within)
    assert blas_threads() == before
    with threads() as pool:
        assert pool.submit(blas_threads).result() == [1] * len(before)
    assert blas_threads() == before


def test_there_are_no_more_threads_than_items() -> None:
    assert [workers(items) for items in (0, 1, 2, 100)] == [1, 1, 2, 2]
    assert share_out(lambda item, _: item, [], [None]) == []
