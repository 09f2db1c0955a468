"""`vsa-checks sweep`: the claims on several models and revisions, as tasks of Dask, and the comparison of all."""

from __future__ import annotations

import argparse


def run(options: argparse.Namespace) -> int:
    """Sweep, as `vsa_checks.cli.sweep.command.run` says; each run that a task starts imports this folder too."""
    from vsa_checks.cli.sweep import command

    return command.run(options)
