"""Reads fixtures/models.toml, the models that can be named."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vsa_checks import paths
from vsa_checks.errors import ModelError
from vsa_checks.models.architectures import Shape

REGISTRY_VARIABLE = "VSA_CHECKS_MODELS"
SOURCES = ("hub", "package")


@dataclass(frozen=True)
class RegistryEntry:
    """One named model: where its weights come from, and what is known of it before they are there.

    With source "hub" it has `id`, `revision` and `aliases` (other ids under which a cache may hold it); with source
    "package" it has `distribution` ("name==version"), `file` (path inside the installation) and the file's `sha256`.
    """

    name: str
    source: str
    architecture: str
    shape: Shape
    dtype: str
    licence: str
    id: str = ""
    revision: str = ""
    aliases: tuple[str, ...] = ()
    distribution: str = ""
    file: str = ""
    sha256: str | None = None
    quantization: str | None = None
    is_paper_model: bool = False
    notes: str = ""

    @property
    def location(self) -> str:
        """Hub id or distribution, as people write it."""
        return self.id if self.source == "hub" else self.distribution


def registry_path() -> Path:
    """The registry file: VSA_CHECKS_MODELS if set, else fixtures/models.toml of this checkout."""
    given = os.environ.get(REGISTRY_VARIABLE)
    return Path(given) if given else paths.MODELS_FILE


def read_registry(path: str | os.PathLike[str] | None = None) -> dict[str, RegistryEntry]:
    """All named models, by name. Raises ModelError if the file is missing, is not TOML, or an entry lacks a field."""
    file = Path(path) if path is not None else registry_path()
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ModelError(
            f"The list of named models was looked for in {file} and cannot be read ({problem.strerror}). Run "
            f"from a checkout of the project, or set {REGISTRY_VARIABLE} to such a file."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ModelError(f"The list of named models {file} is not valid TOML: {problem}. Correct the file.") from None
    return {name: _entry(name, table, file) for name, table in tables.items()}


def _entry(name: str, table: Any, file: Path) -> RegistryEntry:
    if not isinstance(table, Mapping):
        raise ModelError(f"In the list of named models {file}, {name!r} is not a table. Correct the file.")
    sizes = [field.name for field in fields(Shape)]
    needed = {"hub": ["id", "revision"], "package": ["distribution", "file", "sha256"]}
    source = table.get("source")
    if source not in SOURCES:
        raise ModelError(
            f"In the list of named models {file}, {name!r} has the source {source!r}; known are "
            f"{', '.join(SOURCES)}. Correct the file."
        )
    missing = [key for key in ["architecture", "dtype", "licence", *needed[source], *sizes] if key not in table]
    known = {field.name for field in fields(RegistryEntry)} | set(sizes)
    unknown = sorted(set(table) - known)
    if missing or unknown:
        wrong = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(unknown)}"] * bool(unknown)
        raise ModelError(f"In the list of named models {file}, {name!r} {' and '.join(wrong)}. Correct the file.")
    shape = Shape(**{size: int(table[size]) for size in sizes})
    rest = {key: value for key, value in table.items() if key not in sizes}
    rest["aliases"] = tuple(rest.get("aliases", ()))
    return RegistryEntry(name=name, shape=shape, **rest)


def unknown_name(name: str, registry: Mapping[str, RegistryEntry]) -> ModelError:
    """The error for a name that is neither in the registry nor a path."""
    near = difflib.get_close_matches(name, registry, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return ModelError(
        f"The model {name!r} is not known: it is neither a named model ({', '.join(sorted(registry))}) nor "
        f"an existing file or directory under {Path.cwd()}.{hint} Give one of these names, or the path of a "
        "Hugging Face directory or a GGUF file."
    )
