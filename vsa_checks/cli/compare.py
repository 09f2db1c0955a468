"""`vsa-checks compare`: several reports beside one another, as a page and as JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vsa_checks import paths
from vsa_checks.errors import UsageError, visible
from vsa_checks.report.comparison import write_comparison


def run(options: argparse.Namespace) -> int:
    """Write index.html and compare.json, and say in a few lines what they hold. Raises VsaChecksError as it says."""
    where = Path(options.output) if options.output else paths.reports()
    write(options.reports or [paths.reports()], where)
    return 0


def write(reports: Sequence[str | Path], where: Path) -> None:
    """Write the comparison of these reports, as `write_comparison` takes them, and say what it holds."""
    try:
        found = write_comparison(reports, where)
    except OSError as error:
        raise UsageError(
            f"The comparison cannot be written to {where} ({error.strerror}). Name another folder with -o DIR."
        ) from error
    for one in found["unreadable"]:
        print(visible(f"Left out: {one['report']}: {one['reason']}"), file=sys.stderr)
    for number, column in enumerate(found["columns"]):
        cells = [claim["cells"][number] for claim in found["claims"]]
        counts = {
            word: sum(c is not None and c["verdict"] == word for c in cells) for word in ("holds", "chance", "refuted")
        }
        name = visible(found["runs"][column["run"]]["name"])
        words = ", ".join(f"{n} {word}" for word, n in counts.items())
        print(f"{name} ({column['basis']}): {words}, of {sum(c is not None for c in cells)} claims")
    for series in found["series"]:
        print(f"Series {visible(series['name'])}: steps {', '.join(map(str, series['steps']))}")
    for diff in found["diffs"]:
        before, after = (visible(found["runs"][diff[side]]["name"]) for side in ("before", "after"))
        words = ", ".join(f"{n} {kind}" for kind, n in diff["counts"].items() if n)
        print(f"{before} and {after}: {words}")
    print(f"Comparison: {visible(where / 'index.html')}")
