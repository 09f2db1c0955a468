"""Reads fixtures/models.toml, the models that have short names, and the names of any other model of the hub."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, with_config
from typing_extensions import TypedDict

from vsa_checks import paths
from vsa_checks.errors import ModelError
from vsa_checks.models.architecture import Shape
from vsa_checks.reading import MB, Unreadable, read_text, read_toml, toml_line

REGISTRY_VARIABLE = "VSA_CHECKS_MODELS"
SOURCES = ("hub", "package")
MAIN = "main"
_ID = re.compile(r"(?=.{3,96}$)\w([\w.-]*\w)?/\w([\w.-]*\w)?", re.ASCII)
_REVISION = re.compile(r"[\w.+-]+(/[\w.+-]+)*", re.ASCII)
_WHAT, _LONGEST = "the list of named models", 10 * MB
_Size = Annotated[int, Field(ge=0, lt=1 << 31)]


@with_config(extra="forbid")
class _Table(TypedDict, total=False):
    source: str
    architecture: str
    dtype: str
    n_layers: _Size
    d_model: _Size
    n_heads: _Size
    n_kv_heads: _Size
    d_head: _Size
    d_mlp: _Size
    d_vocab: _Size
    licence: str
    id: str
    revision: str
    aliases: list[str]
    distribution: str
    file: str
    sha256: str
    quantization: str
    is_paper_model: bool
    notes: str


@dataclass(frozen=True)
class RegistryEntry:
    """One named model: where its weights come from, and what is known of it before they are there.

    With source "hub" it has `id`, `revision` and `aliases` (other ids under which a cache may hold it), and may do
    without architecture, `shape` and `dtype`: its config.json says them. With source "package" it has `distribution`
    ("name==version"), `file` (path inside the installation) and the file's `sha256`.
    """

    name: str
    source: str
    architecture: str = ""
    shape: Shape | None = None
    dtype: str = ""
    licence: str = "not stated"
    id: str = ""
    revision: str = MAIN
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
        found = os.stat(file)
    except (OSError, ValueError):  # which reading says better
        return _read(file, None)
    return dict(_read(file, (found.st_ino, found.st_size, found.st_mtime_ns)))


@lru_cache(maxsize=4)  # every look for a model asks for it, and it takes longer than the look
def _read(file: Path, _state: tuple[int, int, int] | None) -> dict[str, RegistryEntry]:
    try:
        tables = read_toml(file, limit=_LONGEST, what=_WHAT, schema=dict[str, _Table])
    except Unreadable as problem:
        remedy = "Correct the file."
        if problem.missing:
            remedy = f"Run from a checkout of the project, or set {REGISTRY_VARIABLE} to such a file."
        raise ModelError(f"{_capital(problem)}. {remedy}") from None
    return {name: _entry(name, table, file) for name, table in tables.items()}


def _wrong(file: Path, name: str, what: str, *keys: str) -> ModelError:
    """The error for an entry, with the line of the first of these keys that stands there, or else of the entry."""
    text = read_text(file, limit=_LONGEST, what=_WHAT)
    line = toml_line(text, name, *keys[:1])
    return ModelError(f"In {_WHAT} {file}{f' (line {line})' if line else ''}, {name!r:.80} {what}. Correct the file.")


def _capital(problem: Unreadable) -> str:
    return str(problem)[:1].upper() + str(problem)[1:]


def _entry(name: str, table: Mapping[str, Any], file: Path) -> RegistryEntry:
    sizes = [field.name for field in fields(Shape)]
    described = ["architecture", "dtype", *sizes]
    needed = {"hub": ["id"], "package": ["licence", "distribution", "file", "sha256", *described]}
    source = table.get("source")
    if source not in SOURCES:
        raise _wrong(file, name, f"has the source {source!r:.80}; known are {', '.join(SOURCES)}", "source")
    if any(key in table for key in described):  # the description is whole or left out
        needed["hub"] += described
    missing = [key for key in needed[source] if table.get(key, "") == ""]
    if missing:
        raise _wrong(file, name, f"lacks {', '.join(missing)}")
    for key, value in _ids(table):
        if not _is_id(value) and not (key == "aliases" and re.fullmatch(r"[\w.-]+", value, re.ASCII)):
            raise _wrong(file, name, f"has {value!r:.80} for {key}, where the hub's ORG/NAME is needed", key)
    if not _is_revision(table.get("revision", MAIN)):
        raise _wrong(file, name, f"has {table['revision']!r:.80} for revision, which is none", "revision")
    if ".." in Path(table.get("file", "")).parts or table.get("file", "").startswith("/"):
        raise _wrong(file, name, f"has {table['file']!r:.80} for file, which leads out of the package", "file")
    shape = Shape(**{size: table[size] for size in sizes}) if sizes[0] in table else None
    rest = {key: value for key, value in table.items() if key not in sizes}
    rest["aliases"] = tuple(rest.get("aliases", ()))
    return RegistryEntry(name=name, shape=shape, **rest)


def _ids(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    own = [("id", table["id"])] if "id" in table else []
    return own + [("aliases", alias) for alias in table.get("aliases", ())]


def entry_for(name: str, registry: Mapping[str, RegistryEntry]) -> RegistryEntry | None:
    """The entry of `NAME[@REVISION]`, NAME a short name in any case or an id of the hub; None for anything else.

    An id that is not registered, and another revision than the registered one, get an entry that says nothing of what
    the model is.
    """
    base, at, revision = name.partition("@")
    if at and not _is_revision(revision):
        return None
    known = _registered(base, registry)
    if known is not None and (not at or (known.source == "hub" and revision == known.revision)):
        return known
    if known is not None and known.source == "hub":
        return RegistryEntry(name, "hub", licence=known.licence, id=known.id, revision=revision, aliases=known.aliases)
    if known is None and _is_id(base):
        return RegistryEntry(name, "hub", id=base, revision=revision or MAIN)
    return None


def _registered(name: str, registry: Mapping[str, RegistryEntry]) -> RegistryEntry | None:
    lower = name.lower()
    return registry.get(name) or next(
        (one for one in registry.values() if lower in (one.name.lower(), one.id.lower())), None
    )


def _is_id(text: str) -> bool:
    """Whether the hub could have a model of this id: two words, with a slash between them."""
    return _ID.fullmatch(text) is not None and "--" not in text and ".." not in text and not text.endswith(".git")


def _is_revision(text: str) -> bool:
    """Whether a text can name a branch, tag or commit; it becomes part of a path in the cache."""
    return _REVISION.fullmatch(text) is not None and ".." not in text and not text.startswith("-")


def unknown_name(name: str, registry: Mapping[str, RegistryEntry]) -> ModelError:
    """The error for a name that is neither in the registry nor an id of the hub nor a path."""
    base, at, revision = name.partition("@")
    known = _registered(base, registry)
    if at and known is not None and known.source != "hub":
        return ModelError(
            f"The model {name!r} is not known: {known.name} comes with the package {known.distribution} and has no "
            f"revisions. Give {known.name} alone."
        )
    if at and not _is_revision(revision):
        return ModelError(
            f"The model {name!r} is not known: what follows the @ is no branch, tag or commit. Give {base}@REVISION, "
            f"or {base} alone."
        )
    near = difflib.get_close_matches(base.lower(), registry, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    return ModelError(
        f"The model {name!r} is not known: it is neither a short name (vsa-checks models lists them: gpt2, "
        f"smollm2-135m, ...) nor an existing file or directory under {Path.cwd()}.{hint} Give one of the short names, "
        "any model of the Hugging Face hub as ORG/NAME, or the path of a Hugging Face directory or a GGUF file."
    )
