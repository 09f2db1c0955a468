"""`vsa-checks models`: the registry, one line for each model."""

from __future__ import annotations

import argparse

from vsa_checks.models.registry import read_registry


def run(_: argparse.Namespace) -> int:
    """Print the registry. Raises ModelError where it cannot be read."""
    print(listing())
    return 0


def listing() -> str:
    """Name, source, id, licence and notes of every registered model, in columns. Raises ModelError as `run` does."""
    rows = [(one.name, one.source, one.location, one.licence, one.notes) for one in read_registry().values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
