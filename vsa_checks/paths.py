"""Paths of the project's files, in a checkout and in an installed package."""

from __future__ import annotations

import os
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
IN_CHECKOUT = (PACKAGE.parent / "claims" / "claims.toml").is_file()
"""Whether claims/ and fixtures/ are next to the package; in a wheel they are inside it."""
ROOT = PACKAGE.parent if IN_CHECKOUT else PACKAGE
PYTEST_INI = ROOT / "pytest.ini"
"""Only in a checkout; an installed package has none."""
CLAIMS = ROOT / "claims"
CLAIMS_FILE = CLAIMS / "claims.toml"
FIXTURES = ROOT / "fixtures"
MODELS_FILE = FIXTURES / "models.toml"
PUBLISHED_FILE = FIXTURES / "published.toml"
"""The paper's own numbers, with which some claims compare their measurements."""
TEXTS = FIXTURES / "texts"
VERDICTS = FIXTURES / "verdicts"
TWINS = FIXTURES / "twins"
"""Values of the untrained twins of registered models."""
README = ROOT / "README.md"
DOCS = ROOT / "docs"

CACHE_VARIABLE, CACHE_OFF = "VSA_CHECKS_CACHE", "off"


def reports() -> Path:
    """The folder of all reports: reports/ of the checkout, or of the current folder for an installed package."""
    return (ROOT if IN_CHECKOUT else Path.cwd()) / "reports"


def folder_name(name: str) -> str:
    """A model's name as a folder's: letters, digits, dot, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"


def cache_folder() -> Path | None:
    """$VSA_CHECKS_CACHE, or vsa_checks in the user's cache folder; None if the variable is "off"."""
    named = os.environ.get(CACHE_VARIABLE)
    if named == CACHE_OFF:
        return None
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vsa_checks"
