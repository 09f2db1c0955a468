"""Pages from templates: all content is escaped, and an unknown name is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_environment(filters: Mapping[str, Any]) -> Environment:
    """Make the environment of this package's templates, with the filters of one page."""
    environment = Environment(
        loader=PackageLoader("vsa_checks.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment
