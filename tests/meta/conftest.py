"""Fixtures of the meta-tests: each model is written, loaded and measured once per session."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.meta.fixture_models import FIXTURE_MODELS, TEXTS, Benches
from vsa_checks.workbench import Workbench


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small matrices: waking threads for each product would take most of the time."""
    import numba
    import torch

    # scikit-learn brings it. NumPy has no switch of its own for the threads of its products.
    threadpoolctl: Any = importlib.import_module("threadpoolctl")
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a model of fixture_models.py, by name."""

    @cache
    def written(name: str) -> Path:
        directory = tmp_path_factory.mktemp("model")
        FIXTURE_MODELS[name](directory)
        return directory

    return written


@pytest.fixture(scope="session")
def benches(model_directory: Callable[[str], Path]) -> Benches:
    """The workbench of a model of fixture_models.py, by its name and that of the text it reads."""

    @cache
    def bench(model: str, text: str | None = None) -> Workbench:
        return Workbench(str(model_directory(model)), seed=0, text=None if text is None else TEXTS[text]())

    return bench
