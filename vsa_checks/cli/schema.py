"""`vsa-checks schema`: the JSON Schema of results.json or of compare.json, for tools that read or check them."""

from __future__ import annotations

import argparse
import json

from vsa_checks.report.comparison.schema import schema as comparison_schema
from vsa_checks.report.document import schema
from vsa_checks.report.schema_page import arrays_in_markdown, fields_in_markdown


def run(options: argparse.Namespace) -> int:
    """Print a schema, or as the tables of docs/results.md its fields or the arrays of figures.npz."""
    if options.arrays:
        print(arrays_in_markdown())
    elif options.compare:
        print(fields_in_markdown(comparison_schema(), level=4) if options.markdown else _as_text(comparison_schema()))
    else:
        print(fields_in_markdown() if options.markdown else _as_text(schema()))
    return 0


def _as_text(content: object) -> str:
    return json.dumps(content, indent=2)
