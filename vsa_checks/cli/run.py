"""`vsa-checks run`: `pytest claims/` with all that pytest would otherwise look for in folders named beforehand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from vsa_checks.paths import CLAIMS
from vsa_checks.plugin.options import settled

PROGRAM = "vsa-checks run"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let usage and errors show the command that was given; this module is a plugin of its own runs."""
    parser.prog = PROGRAM


def run(arguments: Sequence[str]) -> int:
    """Run the claims with these options of pytest and of the claims.

    Returns
    -------
    int
        pytest's exit code.
    """
    return pytest.main(
        [
            *("-p", f"{__name__}"),
            # No configuration and no conftest.py of the current folder, of the model's, or of any above them.
            f"--config-file={os.devnull}",
            f"--rootdir={CLAIMS.parent}",
            f"--confcutdir={CLAIMS}",
            f"--override-ini=cache_dir={Path.cwd() / '.pytest_cache'}",
            *("-p", "vsa_checks.plugin.hooks"),
            # pytest would rewrite the assertions of this package, which is loaded already: it is what runs here.
            *("-W", "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning"),
            *("-rfE", "--strict-markers", "--tb=short"),
            *settled(arguments),
            str(CLAIMS),
        ]
    )
