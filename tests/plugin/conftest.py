"""What whole runs of the claims need: small models, and processes that start runs quickly."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.plugin.models import write_plain
from tests.plugin.runs import Run, Server
from vsa_checks.paths import CACHE_VARIABLE


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run share: what takes long is done by one of them."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def alone_in(folder: Path, lock: str = ".lock") -> Iterator[None]:
    """One worker at a time."""
    with (folder / lock).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def plain(shared: Path) -> Path:
    """A small GPT-2 with planted structure and flaws."""
    with alone_in(shared):
        model = shared / "plain"
        return model if model.exists() else write_plain(model)


@pytest.fixture(scope="session")
def warm(plain: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Starts runs that measure: everything they need is imported."""
    with alone_in(shared, ".warm.lock"):
        server = Server(tmp_path_factory.mktemp("warm"), shared, plain)
    yield server
    server.close()


@pytest.fixture(scope="session")
def light(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Starts runs that need no model: neither torch nor any library of models is imported."""
    with alone_in(shared, ".light.lock"):
        server = Server(tmp_path_factory.mktemp("light"), shared)
    yield server
    server.close()


@pytest.fixture(scope="session")
def recorded_file(shared: Path) -> Path:
    return shared / "recorded" / "plain.toml"


@pytest.fixture(scope="session")
def cache_folder(shared: Path) -> Path:
    """Where `whole` keeps its measurements; all other runs keep none unless they say so."""
    return shared / "cache"


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
def opened_files(shared: Path) -> Path:
    """Where a plugin lists the project's files that `whole` opened."""
    return shared / "opened" / "opened.txt"


@pytest.fixture(scope="session")
def whole(
    plain: Path,
    warm: Server,
    recorded_file: Path,
    cache_folder: Path,
    opened_files: Path,
    shared: Path,
) -> Run:
    """All claims in the raw basis, recorded. Tests that are no claims (of the premise) are left out."""
    with alone_in(shared):
        kept = shared / "whole.pickle"
        if kept.exists():
            earlier: Run = pickle.loads(kept.read_bytes())
            return earlier
        for file in (recorded_file, opened_files):
            file.parent.mkdir(exist_ok=True)
        opened_files.with_suffix(".py").write_text(OPENED)
        run = warm.claims(
            plain,
            shared / "whole",
            *("-m", "claim", "--basis", "raw", "--no-twin", "-rA", "-p", "opened"),
            *("--record", "--recorded", str(recorded_file)),
            env={CACHE_VARIABLE: str(cache_folder), "PYTHONPATH": str(opened_files.parent)},
        )
        kept.write_bytes(pickle.dumps(run))
        return run
