"""Fixtures of the tests of the engine on a torch device: torch's CPU device, and a CUDA device where there is one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from fixtures.one_thread import one_thread

DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


@pytest.fixture(autouse=True, scope="module")
def single_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)
