"""`vsa-checks schema`: the JSON Schema of results.json, for tools that read or check it."""

from __future__ import annotations

import argparse
import json

from vsa_checks.report.document import schema


def run(_: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(schema(), indent=2))
    return 0
