"""One small training for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamics import command


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path, Path]:
    """The arguments of a small run of two variants in this process, its folder of results and that of checkpoints."""
    folder = tmp_path_factory.mktemp("dynamics")
    out, work = folder / "out", folder / "work"
    arguments = ["--small", "--seeds", "1", "--workers", "1", "--only", "plain,english"]
    arguments += ["--out", str(out), "--work", str(work)]
    assert command.run(arguments) == 0
    return arguments, out, work
