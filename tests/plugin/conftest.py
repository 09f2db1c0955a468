"""What whole runs of the claims need: small models, and processes that start runs quickly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.models import write_plain
from tests.plugin.runs import Run, Server
from vsa_checks.paths import CACHE_VARIABLE


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


@pytest.fixture(scope="session")
def recorded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recorded") / "plain.toml"


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `whole` keeps its measurements; all other runs keep none unless they say so."""
    return tmp_path_factory.mktemp("cache")


OPENED = """
import sys

from vsa_checks.paths import ROOT

names = set()
sys.addaudithook(lambda event, given: names.add(str(given[0])) if event == "open" else None)


def pytest_unconfigure():
    found = {name for name in set(names) if name.startswith(f"{ROOT}/")}
    with open(__file__.replace("opened.py", "opened.txt"), "w") as file:
        file.write("\\n".join(sorted(found)))
"""


@pytest.fixture(scope="session")
def opened_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a plugin lists the project's files that `whole` opened."""
    folder = tmp_path_factory.mktemp("opened")
    (folder / "opened.py").write_text(OPENED)
    return folder / "opened.txt"


@pytest.fixture(scope="session")
def whole(
    plain: Path,
    warm: Server,
    recorded_file: Path,
    cache_folder: Path,
    opened_files: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """All claims in the raw basis, recorded. Tests that are no claims (of the premise) are left out."""
    return warm.claims(
        plain,
        tmp_path_factory.mktemp("whole"),
        *("-m", "claim", "--basis", "raw", "-rA", "--record", "--recorded", str(recorded_file), "-p", "opened"),
        env={CACHE_VARIABLE: str(cache_folder), "PYTHONPATH": str(opened_files.parent)},
    )
