"""Fixtures of the tests of the engine on a torch device: torch's CPU device, and a CUDA device where there is one."""

from __future__ import annotations

import pytest
import torch

DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


@pytest.fixture(params=DEVICES, scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)
