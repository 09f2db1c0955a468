"""`vsa-checks readme`: the table of claims in a checkout's README.md, brought up to date."""

from __future__ import annotations

import argparse

from vsa_checks import paths
from vsa_checks.errors import UsageError
from vsa_checks.report.claims_table import write_readme


def run(_: argparse.Namespace) -> int:
    """Write the table if it has changed. Raises UsageError outside a checkout."""
    if not paths.IN_CHECKOUT:
        raise UsageError("There is no README.md to write: this is an installed package. Run this from a checkout.")
    print("README.md: the table of claims was", "written." if write_readme(paths.README) else "current.")
    return 0
