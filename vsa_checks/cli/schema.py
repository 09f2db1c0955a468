"""`vsa-checks schema`: the JSON Schema of results.json, for tools that read or check it."""

from __future__ import annotations

import argparse
import json

from vsa_checks.report.document import schema
from vsa_checks.report.schema_page import arrays_in_markdown, fields_in_markdown


def run(options: argparse.Namespace) -> int:
    """Print the schema, or as the tables of docs/results.md its fields or the arrays of figures.npz."""
    if options.arrays:
        print(arrays_in_markdown())
    else:
        print(fields_in_markdown() if options.markdown else json.dumps(schema(), indent=2))
    return 0
