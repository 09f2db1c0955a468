"""Fixtures of the tests of the measures."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import pytest


@pytest.fixture(autouse=True, scope="module")
def few_threads() -> Iterator[int]:
    """Examples are small: waking threads for each would take most of the time. Yields how many there would be."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield threads
    numba.set_num_threads(threads)
