"""What whole runs of the claims need: small models, and processes that start runs quickly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.models import write_plain
from tests.plugin.runs import Server


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small GPT-2 with planted structure and flaws."""
    return write_plain(tmp_path_factory.mktemp("models") / "plain")


@pytest.fixture(scope="session")
def warm(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Starts runs that measure: everything they need is imported."""
    server = Server(tmp_path_factory.mktemp("warm"), warm=plain)
    yield server
    server.close()


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Starts runs that need no model: neither torch nor any library of models is imported."""
    server = Server(tmp_path_factory.mktemp("light"))
    yield server
    server.close()
