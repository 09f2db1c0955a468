"""`vsa-checks table`: the results of a run as a table for a paper or a program."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from vsa_checks.errors import UsageError
from vsa_checks.figures import store
from vsa_checks.plugin import log
from vsa_checks.plugin.selection import selection
from vsa_checks.report import document, page
from vsa_checks.report.table_formats import write_table
from vsa_checks.writing import write_whole

ALL = "all"
"""What --layers stands for without a list."""
OF_A_REPORT = (document.FILE_NAME, store.FILE_NAME, page.FILE_NAME, log.FILE_NAME)
"""What a report's folder holds."""


def run(options: argparse.Namespace) -> int:
    """Write or print the table. Raises VsaChecksError for a report that cannot be read, and options that do not fit."""
    if options.output is not None:
        refuse_report(Path(options.output), Path(options.report), "table")
    results = document.read(options.report)
    measured = set(results["summary"]["by_claim"])
    claims = measured | set(results["summary"]["not_run"])
    layers = None if options.layers in (None, ALL) else options.layers
    chosen = selection(options.claims, layers, False, claims, results["model"]["n_layers"])
    if chosen.claims is not None and not chosen.claims & measured:
        raise UsageError(
            f"{chosen.words} leaves nothing to show: {options.report} has no result of these claims. It has "
            f"{', '.join(sorted(measured)) or 'none at all'}."
        )
    if options.format == "parquet" and options.output is None and sys.stdout.isatty():
        raise UsageError("Parquet is a binary format: name a file with -o FILE, or redirect the output into one.")
    content = write_table(
        results,
        options.format,
        claims=chosen.claims,
        layers=chosen.layers,
        subjects=options.layers is not None,
    )
    if options.output is None:
        print(content, end="") if isinstance(content, str) else sys.stdout.buffer.write(content)
        return 0
    path = Path(options.output)
    try:
        write_whole(path, content)
    except OSError as error:
        raise UsageError(
            f"The table cannot be written to {path} ({error.strerror}). Name another file with -o."
        ) from error
    return 0


def refuse_report(path: Path, report: Path, what: str) -> None:
    """Raise UsageError where a table or a figure, as `what` says, would take the place of a part of a report."""
    places = [Path(os.path.realpath(path)), Path(os.path.abspath(path))]
    own = os.path.realpath(report)
    if any(_of_a_report(place) or str(place) == own for place in places):
        raise UsageError(
            f"{path} is part of a report, and the {what} would replace it. Name another file for the {what} with "
            "-o FILE."
        )


def _of_a_report(path: Path) -> bool:
    return path.name in OF_A_REPORT and os.path.lexists(path.with_name(document.FILE_NAME))
