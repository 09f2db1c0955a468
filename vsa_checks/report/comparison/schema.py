"""The JSON Schema of compare.json. Parts shared with results.json are taken from there."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from vsa_checks.report import document


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of compare.json, self-contained."""
    text = files("vsa_checks.report.comparison").joinpath("compare.schema.json").read_text(encoding="utf-8")
    own: dict[str, Any] = json.loads(text)
    shared = document.schema()["$defs"]
    while missing := set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(own))) - own["$defs"].keys():
        own["$defs"] |= {name: shared[name] for name in sorted(missing)}
    return own
