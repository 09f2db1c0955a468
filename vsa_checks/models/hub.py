"""The Hugging Face hub: what its cache holds, whether it answers, and the download. No torch.

The environment (HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE) is read at each call; huggingface_hub
reads it once, when it is imported.
"""

from __future__ import annotations

import fnmatch
import os
import threading
from pathlib import Path
from typing import Any

from vsa_checks.errors import ModelError
from vsa_checks.models.files import CONFIG_FILE, find_weights
from vsa_checks.models.registry import RegistryEntry

PROBE_SECONDS = 3.0
# A name server that does not answer is not covered by the timeout of the connection.
_PROBE_DEADLINE = 5.0
_TRUE = {"1", "on", "yes", "true"}
_SMALL_FILES = (
    CONFIG_FILE,
    "generation_config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "spiece.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
_SAFE_WEIGHTS = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
_PICKLED_WEIGHTS = ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json")


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


def cached_snapshot(entry: RegistryEntry) -> Path | None:
    """Directory of a model's complete snapshot in the cache, named after its commit; None without one."""
    for repository in (entry.id, *entry.aliases):
        store = cache_directory() / f"models--{repository.replace('/', '--')}"
        reference = store / "refs" / entry.revision
        commit = reference.read_text().strip() if reference.is_file() else entry.revision
        snapshot = store / "snapshots" / commit
        if (snapshot / CONFIG_FILE).is_file():
            try:
                find_weights(snapshot, entry.name)
            except ModelError:
                continue
            return snapshot
    return None


def unreachable(entry: RegistryEntry) -> str | None:
    """Why the hub does not offer a model now, in a few words; None if it does. Takes five seconds at most."""
    problem = _probe(entry)
    return problem if isinstance(problem, str) else None


def download(entry: RegistryEntry) -> None:
    """Download configuration, tokenizer and weights (safetensors where there are any) into the cache.

    Raises ModelError, within ten seconds if the hub is out of reach.
    """
    names = _probe(entry)
    if isinstance(names, str):
        raise not_there(entry, names)
    wanted = [name for name in names if _matches(name, _SMALL_FILES)]
    weights = [name for name in names if _matches(name, _SAFE_WEIGHTS)] or [
        name for name in names if _matches(name, _PICKLED_WEIGHTS)
    ]
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(
            entry.id,
            revision=entry.revision,
            allow_patterns=wanted + weights,
            cache_dir=str(cache_directory()),
            endpoint=endpoint(),
        )
    except Exception as problem:  # whatever network, disk or hub raise, the user needs the same message
        raise not_there(entry, f"the download broke off ({_in_words(problem)})") from None


def not_there(entry: RegistryEntry, problem: str) -> ModelError:
    """The error for a model that is not cached and cannot be fetched."""
    return ModelError(
        f"The model {entry.name} cannot be loaded: its weights ({entry.id}, revision {entry.revision}) were "
        f"looked for in the cache {cache_directory()} and are not there, and {problem}. Run this once with "
        "network access, or set HF_HOME to a cache that holds them, or give the path of a directory, or use "
        "the embedded model: --model smollm2-135m."
    )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    # Files in folders belong to other formats (onnx/, coreml/).
    return "/" not in name and any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _probe(entry: RegistryEntry) -> list[str] | str:
    """Names of the files that the hub has for a model, or in one text why there is no answer."""
    if offline():
        return "the network is switched off (HF_HUB_OFFLINE)"
    answer: list[Any] = []

    def ask() -> None:
        try:
            from huggingface_hub import HfApi

            info = HfApi(endpoint=endpoint()).model_info(entry.id, revision=entry.revision, timeout=PROBE_SECONDS)
            answer.append([sibling.rfilename for sibling in info.siblings or ()])
        except Exception as problem:
            answer.append(_in_words(problem))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_DEADLINE)
    if not answer or isinstance(answer[0], str):
        why = f" ({answer[0]})" if answer else f" within {_PROBE_DEADLINE:.0f} s"
        return f"the hub at {endpoint()} cannot be reached{why}"
    return list(answer[0])


def _in_words(problem: BaseException) -> str:
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0][:200]}" if lines else type(problem).__name__
