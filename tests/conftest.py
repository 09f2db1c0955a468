"""What holds for all tests: no cache of whoever runs them, and one thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from fixtures.one_thread import one_thread
from vsa_checks.paths import CACHE_OFF, CACHE_VARIABLE

if TYPE_CHECKING:
    import torch

# No test finds, or leaves, anything in the user's cache: those about the cache name one of their own.
os.environ[CACHE_VARIABLE] = CACHE_OFF


@pytest.fixture(autouse=True, scope="module")
def single_thread() -> Iterator[None]:
    """Tests about threads set the numbers that they need themselves."""
    with one_thread():
        yield


@pytest.fixture(scope="session")
def device() -> torch.device | None:
    """The compiled engine; tests/on_device runs the tests that ask for it on devices of torch's as well."""
    return None
