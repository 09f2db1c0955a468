"""Fixtures of the meta-tests."""

from __future__ import annotations

from functools import cache

import pytest

from fixtures.cases.named_models import NAMED_MODELS, NAMED_TEXTS
from tests.meta.benches import Benches
from vsa_checks.workbench.access import Workbench


@pytest.fixture(scope="session")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Benches:
    @cache
    def directory(model: str) -> str:
        written = tmp_path_factory.mktemp("model")
        NAMED_MODELS[model](written)
        return str(written)

    @cache
    def bench(model: str, text: str | None = None) -> Workbench:
        return Workbench(directory(model), seed=0, text=None if text is None else NAMED_TEXTS[text]())

    return bench
