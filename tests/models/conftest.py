"""Fixtures of the tests of model loading."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.models import tiny
from tests.models.hub_stand_in import HubStandIn
from vsa_checks.models import Basis, Model, hub_progress, load


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and a hub at an address where nothing answers."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # read when huggingface_hub was imported
    cache = tmp_path / "hub cache"
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return cache


@pytest.fixture
def server(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A hub on the loopback, empty at first, and nobody logged in."""
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(hub_progress, "_said", set())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with HubStandIn() as stand_in:
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        yield stand_in


class TinyModels:
    """Small random models of the configurations in tests/models/tiny_configs.py, each written and loaded once."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self.directory = cache(self._directory)
        self._load = cache(lambda name, basis: load(self.directory(name), basis))

    def _directory(self, name: str) -> Path:
        return tiny.write_hf(self._factory.mktemp("model"), name, tokenizer=False)

    def __call__(self, name: str, basis: Basis) -> Model:
        model: Model = self._load(name, basis)
        return model


@pytest.fixture(scope="session")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """Small random models by the name of their configuration and the basis."""
    return TinyModels(tmp_path_factory)
