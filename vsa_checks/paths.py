"""Where every file of the project lies, in a checkout and in an installed package."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
IN_CHECKOUT = (PACKAGE.parent / "claims" / "claims.toml").is_file()
"""Whether claims/ and fixtures/ lie beside the package; a wheel carries them inside it."""
ROOT = PACKAGE.parent if IN_CHECKOUT else PACKAGE
PYTEST_INI = ROOT / "pytest.ini"
"""Of a checkout; an installed package has none."""
CLAIMS = ROOT / "claims"
CLAIMS_FILE = CLAIMS / "claims.toml"
FIXTURES = ROOT / "fixtures"
MODELS_FILE = FIXTURES / "models.toml"
PUBLISHED_FILE = FIXTURES / "published.toml"
"""The paper's own numbers, which some claims are measured against."""
TEXTS = FIXTURES / "texts"
VERDICTS = FIXTURES / "verdicts"
TWINS = FIXTURES / "twins"
"""What the untrained twins of registered models give."""
README = ROOT / "README.md"
DOCS = ROOT / "docs"

CACHE_VARIABLE, CACHE_OFF = "VSA_CHECKS_CACHE", "off"


def reports() -> Path:
    """The folder of all reports: reports/ of the checkout, or of the current folder for an installed package."""
    return (ROOT if IN_CHECKOUT else Path.cwd()) / "reports"


def cache_folder() -> Path | None:
    """$VSA_CHECKS_CACHE, or vsa_checks in the user's cache folder; None where the variable says "off"."""
    named = os.environ.get(CACHE_VARIABLE)
    if named == CACHE_OFF:
        return None
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vsa_checks"


@contextmanager
def replaced(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A new file to fill, which takes the place of `path` in one step at the end, or not at all if anything is raised.

    Whoever reads `path` sees the old file or the new one, never a part. A `private` file is for this user alone, and
    is not waited for to reach the disk. Raises OSError where the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    # O_EXCL: nothing that somebody else put there is written through.
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    try:
        yield temporary
        if not private:
            os.fsync(file)
        os.replace(temporary, path)
    finally:
        os.close(file)
        temporary.unlink(missing_ok=True)
