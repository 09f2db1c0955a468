"""`vsa-checks schema`: the JSON Schema of results.json, for tools that read or check it."""

from __future__ import annotations

import argparse
import json

from vsa_checks.report.document import schema
from vsa_checks.report.schema_page import fields_in_markdown


def run(options: argparse.Namespace) -> int:
    """Print the schema, or its fields as the tables of docs/results.md."""
    print(fields_in_markdown() if options.markdown else json.dumps(schema(), indent=2))
    return 0
