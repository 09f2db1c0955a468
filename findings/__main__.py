"""Write docs/findings.md and README's first finding from the results in findings/models/; --keep adds results first."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from findings.answers import answers
from findings.kept import MODELS, keep, read_kept
from findings.page import in_readme, render, sentence
from vsa_checks.errors import VsaChecksError
from vsa_checks.paths import DOCS, README


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m findings", description=__doc__)
    parser.add_argument("--keep", type=Path, nargs="+", metavar="REPORT", default=[], help="reports of whole runs")
    parser.add_argument("--note", default="", help="with --keep: what the model is, in a few words")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of kept results (default findings/models/)")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder to write findings.md into (default docs/)")
    options = parser.parse_args(arguments)
    try:
        for report in options.keep:
            print(f"Kept: {keep(report, options.models, options.note)}")
        documents = read_kept(options.models)
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "findings.md").write_text(render(documents, answers()), encoding="utf-8")
        if options.out == DOCS:
            README.write_text(in_readme(README.read_text(encoding="utf-8"), sentence(documents)), encoding="utf-8")
    except VsaChecksError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Written: {options.out / 'findings.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
