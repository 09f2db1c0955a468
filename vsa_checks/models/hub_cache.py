"""What the cache of the Hugging Face hub holds on this machine. No network, no torch.

The environment (HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE) is read at each call; huggingface_hub
reads it once, when it is imported.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from vsa_checks.errors import ModelError
from vsa_checks.models.files import CONFIG_FILE, find_weights
from vsa_checks.models.registry import RegistryEntry
from vsa_checks.reading import Unreadable, read_text
from vsa_checks.writing import write_whole

_TRUE = {"1", "on", "yes", "true"}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST_REFERENCE = 1000


def cache_directory() -> Path:
    """Where downloads are kept: HF_HUB_CACHE, else hub/ under HF_HOME, else under the user's cache."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(home).expanduser() / "hub"


def endpoint() -> str:
    """Address of the hub: HF_ENDPOINT, else the public one."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def offline() -> bool:
    """Whether the environment forbids the network (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE)."""
    return any(os.environ.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def is_commit(revision: str) -> bool:
    """Whether a revision is a commit, which never moves, and no branch or tag."""
    return _COMMIT.fullmatch(revision) is not None


def is_complete(snapshot: Path, model: str) -> bool:
    """Whether a snapshot holds the configuration and all weight files; these are fetched last."""
    if not (snapshot / CONFIG_FILE).is_file():
        return False
    try:
        find_weights(snapshot, model)
    except ModelError:
        return False
    return True


def cached_snapshot(entry: RegistryEntry) -> Path | None:
    """Directory of a model's complete snapshot in the cache, named after its commit; None without one."""
    return next((one for one in _snapshots(entry) if is_complete(one, entry.name)), None)


def cached_config(entry: RegistryEntry) -> Path | None:
    """Directory of a model's snapshot in the cache that holds config.json at least; None without one."""
    return next((one for one in _snapshots(entry) if (one / CONFIG_FILE).is_file()), None)


def other_commits(entry: RegistryEntry) -> list[str]:
    """Commits of which the cache holds a complete snapshot, though the entry's revision is another one."""
    asked = set(_snapshots(entry))
    found = (one for store in _stores(entry) for one in sorted((store / "snapshots").glob("*")))
    return [one.name for one in found if one not in asked and is_complete(one, entry.name)]


def write_reference(entry: RegistryEntry, commit: str) -> None:
    """Note in the cache which commit a branch or tag stands for, as huggingface_hub does."""
    if entry.revision != commit:
        write_whole(_stores(entry)[0] / "refs" / entry.revision, commit)


def _stores(entry: RegistryEntry) -> list[Path]:
    names = (entry.id, *entry.aliases)
    return [cache_directory() / f"models--{name.replace('/', '--')}" for name in names]


def _snapshots(entry: RegistryEntry) -> list[Path]:
    """Where a snapshot of the entry's revision would lie, under each of the model's ids."""
    found = []
    for store in _stores(entry):
        reference = store / "refs" / entry.revision
        commit = _referred_to(reference) if os.path.lexists(reference) else entry.revision
        if commit:
            found.append(store / "snapshots" / commit)
    return found


def _referred_to(reference: Path) -> str:
    """The commit that a reference names; "" if it names none, and could lead anywhere."""
    try:
        commit = read_text(reference, limit=_LONGEST_REFERENCE, what="the reference").strip()
    except Unreadable:
        return ""
    return commit if _COMMIT.fullmatch(commit) else ""
