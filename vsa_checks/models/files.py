"""Files of a model directory: which hold configuration and weights, and which must not be read. No torch."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from vsa_checks.errors import ModelError, VsaChecksError
from vsa_checks.reading import MB, Unreadable, open_regular
from vsa_checks.reading import read_json as read_any_json

CONFIG_FILE = "config.json"
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
INDEXES = (_SAFETENSORS[1], _PICKLES[1])
_AGAIN = "Fetch or save the model again."
_LFS = b"version https://git-lfs"
# Of the largest models a configuration has 100 KB, an index 20 MB and a tokenizer 40 MB.
_LONGEST_JSON, LONGEST_BESIDE = 100 * MB, 300 * MB
_BESIDE = (".json", ".txt", ".model", ".jinja")
"""Ends of the names of files that transformers may read beside the weights."""
_OF_MODELS = re.compile(
    r"(config|generation_config|tokenizer|vocab|merges|added_tokens|special_tokens|spiece|sentencepiece|chat_template|"
    r"adapter|model|pytorch_model)",
    re.IGNORECASE,
)
"""So the names of files begin that are read beside weights. Others, such as a set of data, may be of any length."""
_READ = (*_BESIDE, ".safetensors", ".bin", ".gguf")
_ADAPTER = "adapter_config.json"
_ALSO_WEIGHTS = "transformers_weights"


class _Index(TypedDict):
    weight_map: dict[str, str]


@dataclass(frozen=True)
class WeightFiles:
    """The weight files of a directory, in order of name; `pickle` when they are .bin files."""

    files: tuple[Path, ...]
    pickle: bool


def read_json(path: Path, model: str, schema: Any = None) -> dict[str, Any]:
    """A JSON object from a file of the model. Raises ModelError for a file that holds none or cannot be read."""
    refuse_pointer(path, model)
    try:
        content = read_any_json(path, limit=_LONGEST_JSON, what=path.name, schema=schema)
    except Unreadable as problem:
        raise ModelError(
            f"The model {model} cannot be loaded: {path.name} in {path.parent} {problem.reason}. {_AGAIN}"
        ) from None
    if not isinstance(content, dict):
        raise ModelError(f"The model {model} cannot be loaded: {path} holds no JSON object. {_AGAIN}")
    return content


def read_config(directory: Path, model: str) -> dict[str, Any]:
    """The config.json of a directory.

    Raises ModelError if there is none, and if it says that weights are packed or that others are to be read.
    """
    path = directory / CONFIG_FILE
    if not os.path.lexists(path):
        gguf = sorted(directory.glob("*.gguf"))
        hint = f"Give the file {gguf[0]} itself." if gguf else "Give a directory written by save_pretrained."
        raise ModelError(
            f"The model {model} cannot be loaded: {CONFIG_FILE} was looked for in the directory {directory} "
            f"and is not there. {hint}"
        )
    config = read_json(path, model)
    kind = config.get("model_type")
    if kind is not None and not isinstance(kind, str):
        raise ModelError(
            f"The model {model} cannot be loaded: {path} gives {kind!r:.80} for model_type, which is no text. {_AGAIN}"
        )
    if config.get("quantization_config") is not None:
        raise ModelError(
            f"The model {model} cannot be loaded: {path} says that its weights are packed "
            f"({config['quantization_config']!s:.300}), which is read here from GGUF files only. Give an unpacked "
            "directory."
        )
    if config.get(_ALSO_WEIGHTS) is not None:
        raise ModelError(
            f"The model {model} is refused: {path} names other files as its weights ({_ALSO_WEIGHTS} "
            f"{config[_ALSO_WEIGHTS]!r:.80}), and {_SAFETENSORS[0]} or its parts are read. Rename that file, and take "
            "the entry out."
        )
    return config


def find_weights(directory: Path, model: str) -> WeightFiles:
    """The weight files of a directory, safetensors before .bin. Raises ModelError if one is missing or elsewhere."""
    for names, pickle in ((_SAFETENSORS, False), (_PICKLES, True)):
        single, index = (directory / name for name in names)
        if os.path.lexists(single):
            _require_regular([single], model)
            return WeightFiles((single,), pickle)
        if os.path.lexists(index):
            parts = index_parts(index, model)
            missing = [part for part in parts if not _is_there(directory / part)]
            if missing or not parts:
                raise ModelError(
                    f"The model {model} cannot be loaded: {index.name} names "
                    f"{_listed(missing) or 'no file'}, looked for in {directory} and not there. {_AGAIN}"
                )
            _require_regular([directory / part for part in parts], model)
            for part in parts:
                refuse_link_out(directory / part, directory, model)
            return WeightFiles(tuple(directory / part for part in parts), pickle)
    raise ModelError(
        f"The model {model} cannot be loaded: {_SAFETENSORS[0]} (or its parts, or {_PICKLES[0]}) was looked "
        f"for in {directory} and is not there. {_AGAIN}"
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(f"{name:.200}" for name in names[:5]) + more


def index_parts(index: Path, model: str) -> list[str]:
    """The files that an index of weights names, in order. Raises ModelError for one that is not below its folder."""
    parts = sorted(set(read_json(index, model, _Index)["weight_map"].values()))
    for part in parts:
        steps = part.replace("\\", "/").split("/")
        if os.path.isabs(part) or any(step in ("", ".", "..") for step in steps):
            raise ModelError(
                f"The model {model} is refused: {index.name} names {part!r:.200} as a file of weights, and only files "
                f"in the folder {index.parent} are read. Put all parts into it, and correct the index."
            )
    return parts


def _is_there(file: Path) -> bool:
    try:
        return os.path.lexists(file) and file.exists()
    except (OSError, ValueError):  # no file can have such a name
        return False


def _require_regular(files: list[Path], model: str) -> None:
    for file in files:
        try:
            open_regular(file, what="the file").close()
        except Unreadable as problem:
            raise ModelError(f"The model {model} cannot be loaded: {problem}. {_AGAIN}") from None


def check_folder(directory: Path, model: str) -> None:
    """Look at the files of a folder that may be read, by this package or by transformers.

    Raises ModelError for a link that leads out of the folder (but into the hub's own cache), for what is no regular
    file, for one that is too long, and for an adapter, which is not applied here.
    """
    for file in _may_be_read(directory, model):
        refuse_link_out(file, directory, model)
        if file.is_dir() and file.suffix != ".safetensors":
            continue
        if file.name == _ADAPTER:
            raise ModelError(
                f"The model {model} is refused: {directory} holds an adapter ({_ADAPTER}), which is not applied, "
                "so the numbers would be those of another model. Give the model that it was merged into."
            )
        found = os.stat(file)
        too_long = found.st_size > LONGEST_BESIDE and _OF_MODELS.match(file.name) and file.suffix in _BESIDE
        if not stat.S_ISREG(found.st_mode) or too_long:
            try:
                open_regular(file, what="the file").close()
            except Unreadable as problem:
                raise ModelError(f"The model {model} is refused: {problem}. Take it away.") from None
            raise ModelError(
                f"The model {model} is refused: {file.name} in {directory} has {found.st_size:,} bytes, and at most "
                f"{LONGEST_BESIDE:,} are read of such a file. {_AGAIN}"
            )


def refuse_link_out(file: Path, folder: Path, model: str) -> None:
    """Raises ModelError for a link that leads out of the model's folder, but for those of the hub's own cache."""
    root, target = folder.resolve(), Path(os.path.realpath(file))
    # The folder may be one within a snapshot, and the blobs may lie on another disk.
    homes = [root, *((one.parent / "blobs").resolve() for one in root.parents if one.name == "snapshots")]
    if not any(home in target.parents for home in homes):
        raise ModelError(
            f"The model {model} is refused: {file.relative_to(folder)} in {folder} is a link to {target}, outside of "
            "that folder. Put the file itself there, or give the folder that it is in."
        )


def _may_be_read(directory: Path, model: str) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(directory))
    except OSError as problem:
        raise ModelError(
            f"The model {model} cannot be loaded: the folder {directory} cannot be read ({problem.strerror}). Give one "
            "that can be."
        ) from None
    for file in (directory / name for name in names if name.endswith(_READ)):
        try:
            there = file.exists()
        except OSError as problem:
            raise ModelError(
                f"The model {model} cannot be loaded: {file} cannot be read ({problem.strerror}). Give the model to a "
                "user who may, or fetch it again."
            ) from None
        if there:  # a link to nothing is missing, which whoever needs it says
            yield file


def is_pointer(path: Path) -> bool:
    """Whether a file is a git-lfs pointer instead of its content."""
    try:
        with open_regular(path, what="the file") as file:
            return file.read(len(_LFS)) == _LFS
    except (OSError, VsaChecksError):  # whoever reads the content says what is wrong
        return False


def refuse_pointer(path: Path, model: str) -> None:
    """Raises ModelError for a file that only points to where git-lfs keeps the content."""
    if is_pointer(path):
        raise ModelError(
            f"The model {model} cannot be loaded: {path} is a git-lfs pointer, which stands in for a file that was "
            "not fetched. In that checkout run: git lfs pull"
        )
