"""The Hugging Face hub: whether it answers, and the download of what is read here and nothing else. No torch.

A snapshot that the cache holds of the named revision is used as it is, and nothing is asked. Otherwise the hub is
asked for the commit and the list of files, then for config.json alone, and for the rest only if the architecture is
supported. Nothing that holds code is asked for.
"""

from __future__ import annotations

import fnmatch
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vsa_checks.models import hub_problems as problems
from vsa_checks.models.files import CONFIG_FILE, index_parts, read_config
from vsa_checks.models.hub_cache import cache_directory, endpoint, offline, write_reference
from vsa_checks.models.hub_progress import bar_for, in_bytes, rewritten_log, say, say_once
from vsa_checks.models.registry import RegistryEntry
from vsa_checks.models.shapes import shape_from_config

PROBE_SECONDS = 3.0
# A name server that does not answer is not covered by the timeout of the connection.
_PROBE_DEADLINE = 5.0
_CONFIG_DEADLINE = 7.0
_SMALL_FILES = (
    "generation_config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
# Pickles only where there is nothing better.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Listing:
    """What the hub has of a model at one commit: each file's size, and the id by which it goes there now."""

    commit: str
    sizes: Mapping[str, int | None]
    id: str


def unreachable(entry: RegistryEntry) -> str | None:
    """Why the hub does not offer a model now, in a few words; None if it does. Takes five seconds at most."""
    try:
        _list(entry)
    except Exception as problem:
        return problems.in_few_words(problem)
    return None


def fetch_config(entry: RegistryEntry) -> None:
    """Download config.json alone into the cache. Raises ModelError, within ten seconds if the hub is out of reach."""
    _begin(entry)


def download(entry: RegistryEntry) -> None:
    """Download configuration, tokenizer and weights (safetensors where there are any) into the cache.

    Raises ModelError: within ten seconds if the hub is out of reach, and before any weights for a model of an
    architecture that is not supported.
    """
    listing, snapshot = _begin(entry)
    shape_from_config(read_config(snapshot, entry.name), entry.name)
    # What lies in folders belongs to other formats (onnx/, coreml/).
    top = [name for name in sorted(listing.sizes) if "/" not in name]
    small = [name for name in top if any(fnmatch.fnmatchcase(name, pattern) for pattern in _SMALL_FILES)]
    wanted = [name for name in (*small, *_weights(entry, listing)) if not (snapshot / name).is_file()]
    needed = sum(listing.sizes[name] or 0 for name in wanted)
    try:
        free = _free_space()
    except OSError as problem:
        raise problems.refusal(entry, problem) from None
    if needed > free:
        raise problems.disk_full(entry, needed=needed, free=free)
    if wanted:
        say(f"Downloading {entry.id} at {listing.commit} ({in_bytes(needed)}) into {cache_directory()}")
    for at, name in enumerate(wanted, start=1):
        _fetch(entry, listing, name, f"({at} of {len(wanted)})")


def _begin(entry: RegistryEntry) -> tuple[Listing, Path]:
    """The listing of a model, and its snapshot in the cache, with config.json in it."""
    try:
        listing = _list(entry)
    except Exception as problem:
        raise problems.refusal(entry, problem) from None
    if listing.id.lower() != entry.id.lower():
        say_once(f"{entry.id} is now called {listing.id} on the hub.")
    if CONFIG_FILE not in listing.sizes:
        raise problems.no_configuration(entry, listing.sizes)
    try:
        snapshot = _within(_CONFIG_DEADLINE, lambda: _fetch(entry, listing, CONFIG_FILE)).parent
        write_reference(entry, listing.commit)
    except Exception as problem:
        raise problems.refusal(entry, problem, CONFIG_FILE) from None
    return listing, snapshot


def _list(entry: RegistryEntry) -> Listing:
    """Ask the hub what it has. Raises whatever huggingface_hub does, and TimeoutError."""
    if offline():
        raise problems.Offline
    from huggingface_hub import HfApi

    info = _within(
        _PROBE_DEADLINE,
        lambda: HfApi(endpoint=endpoint()).model_info(
            entry.id, revision=entry.revision, files_metadata=True, timeout=PROBE_SECONDS
        ),
    )
    return Listing(str(info.sha), {one.rfilename: one.size for one in info.siblings or ()}, info.id)


def _weights(entry: RegistryEntry, listing: Listing) -> list[str]:
    """The weight files, and the index that names them."""
    for single in _WEIGHTS:
        index = f"{single}.index.json"
        if single in listing.sizes:
            return [single]
        if index in listing.sizes:
            named = index_parts(_fetch(entry, listing, index), entry.name)
            missing = [name for name in named if name not in listing.sizes]
            if missing or not named:
                raise problems.missing_shards(entry, index, missing)
            return [index, *named]
    raise problems.no_weights(entry, listing.sizes)


def _fetch(entry: RegistryEntry, listing: Listing, name: str, where: str = "") -> Path:
    """The path of a file in the cache, downloaded if it is not there. A connection that is cut is taken up again."""
    from huggingface_hub import hf_hub_download

    try:
        with rewritten_log(problems.scrubbed):
            path = hf_hub_download(
                entry.id,
                name,
                revision=listing.commit,
                cache_dir=str(cache_directory()),
                endpoint=endpoint(),
                tqdm_class=bar_for(name, where or f"of {entry.id}"),
            )
    except Exception as problem:  # whatever network, disk or hub raise, the user needs one paragraph
        raise problems.refusal(entry, problem, name) from None
    return Path(path)


def _free_space() -> int:
    folder = cache_directory().absolute()
    return shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists())).free


def _within(seconds: float, work: Callable[[], _T]) -> _T:
    """The result of `work`, or what it raises; TimeoutError if it takes longer."""
    results: list[_T] = []
    raised: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as problem:
            raised.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return results[0]
