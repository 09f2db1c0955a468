"""Fixtures of the meta-tests: each model is written, loaded and measured once per session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from fixtures.one_thread import one_thread
from tests.meta.fixture_models import FIXTURE_MODELS, TEXTS, Benches
from vsa_checks.workbench.access import Workbench


@pytest.fixture(autouse=True, scope="module")
def single_thread() -> Iterator[None]:
    with one_thread():
        yield


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
