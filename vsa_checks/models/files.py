"""Files of a model directory: which hold weights, what they hold, and their checksums. No torch."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from vsa_checks.errors import ModelError

CONFIG_FILE = "config.json"
_BESIDE_GGUF = (".json", ".txt", ".model", ".jinja")
_GGUF_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.gguf)", re.IGNORECASE)
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_AGAIN = "Fetch or save the model again."
FLOAT_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_LONGEST_HEADER = 100_000_000
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class WeightFiles:
    """The weight files of a directory, in order of name; `pickle` when they are .bin files."""

    files: tuple[Path, ...]
    pickle: bool


def read_json(path: Path, model: str) -> dict[str, Any]:
    """A JSON object from a file of the model. Raises ModelError for a file that holds none or cannot be read."""
    refuse_pointer(path, model)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ModelError(
            f"The model {model} cannot be loaded: {path.name} in {path.parent} cannot be read as JSON "
            f"({problem}). {_AGAIN}"
        ) from None
    if not isinstance(content, dict):
        raise ModelError(f"The model {model} cannot be loaded: {path} holds no JSON object. {_AGAIN}")
    return content


def read_config(directory: Path, model: str) -> dict[str, Any]:
    """The config.json of a directory. Raises ModelError if there is none, or if it says that weights are packed."""
    path = directory / CONFIG_FILE
    if not path.is_file():
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
            f"The model {model} cannot be loaded: {path} gives {kind!r} for model_type, which is no text. {_AGAIN}"
        )
    if "quantization_config" in config:
        raise ModelError(
            f"The model {model} cannot be loaded: {path} says that its weights are packed "
            f"({config['quantization_config']}), which is read here from GGUF files only. Give an unpacked "
            "directory."
        )
    return config


def find_weights(directory: Path, model: str) -> WeightFiles:
    """The weight files of a directory, safetensors before .bin. Raises ModelError if one is missing."""
    for names, pickle in ((_SAFETENSORS, False), (_PICKLES, True)):
        single, index = (directory / name for name in names)
        if single.is_file():
            return WeightFiles((single,), pickle)
        if index.is_file():
            parts = sorted(set(read_json(index, model).get("weight_map", {}).values()))
            missing = [part for part in parts if not (directory / part).is_file()]
            if missing or not parts:
                raise ModelError(
                    f"The model {model} cannot be loaded: {index.name} names "
                    f"{', '.join(missing) or 'no file'}, looked for in {directory} and not there. {_AGAIN}"
                )
            return WeightFiles(tuple(directory / part for part in parts), pickle)
    raise ModelError(
        f"The model {model} cannot be loaded: {_SAFETENSORS[0]} (or its parts, or {_PICKLES[0]}) was looked "
        f"for in {directory} and is not there. {_AGAIN}"
    )


def stored_dtype(weights: WeightFiles, config: dict[str, Any], model: str) -> str:
    """Name of the type in which most weights are stored. Raises ModelError for a damaged safetensors file."""
    if weights.pickle:
        return str(config.get("dtype") or config.get("torch_dtype") or "float32")
    sizes: Counter[str] = Counter()
    for file in weights.files:
        for entry in safetensors_header(file, model)[0].values():
            sizes[entry["dtype"]] += prod(entry["shape"])
    kind = sizes.most_common(1)[0][0] if sizes else "F32"
    return FLOAT_NAMES.get(kind, kind)


def stored_shapes(weights: WeightFiles, model: str) -> dict[str, tuple[int, ...]]:
    """Name of each tensor in safetensors files -> its shape. Raises ModelError for a damaged file."""
    headers = (safetensors_header(file, model)[0] for file in weights.files)
    return {name: tuple(entry["shape"]) for header in headers for name, entry in header.items()}


def safetensors_header(path: Path, model: str) -> tuple[dict[str, dict[str, Any]], int]:
    """Tensor name -> dtype, shape and data_offsets, from the header of a safetensors file; and where the data start.

    Raises ModelError if the header cannot be read or the file does not have the length that it states.
    """

    def bad(what: str) -> ModelError:
        return ModelError(
            f"The model {model} cannot be loaded: {path} is no sound safetensors file ({what}). The file is "
            "cut short or damaged: fetch it again."
        )

    refuse_pointer(path, model)
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= min(size - 8, _LONGEST_HEADER):
            raise bad(f"it claims a header of {length} bytes and has {size} in all")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            ends = [int(entry["data_offsets"][1]) for entry in header.values()]
            _ = [(str(entry["dtype"]), prod(entry["shape"])) for entry in header.values()]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as problem:
            raise bad(f"its header cannot be read: {problem}") from None
    if 8 + length + max(ends, default=0) != size:
        raise bad(f"it should have {8 + length + max(ends, default=0)} bytes and has {size}")
    return header, 8 + length


def is_pointer(path: Path) -> bool:
    """Whether a file is a git-lfs pointer instead of its content."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_LFS)) == _LFS
    except OSError:  # whoever reads the content says what is wrong
        return False


def refuse_pointer(path: Path, model: str) -> None:
    """Raises ModelError for a file that only points to where git-lfs keeps the content."""
    if is_pointer(path):
        raise ModelError(
            f"The model {model} cannot be loaded: {path} is a git-lfs pointer, which stands in for a file that was "
            "not fetched. In that checkout run: git lfs pull"
        )


def weights_sha256(files: tuple[Path, ...]) -> str:
    """Hex sha256 of one file, or of the sorted lines "name sha256" of several; computed once per process."""
    if len(files) == 1:
        return file_sha256(files[0])
    lines = sorted(f"{file.name} {file_sha256(file)}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def content_sha256(path: Path) -> str:
    """Hex sha256 of all files that a model is loaded from.

    Of a directory these are its files and those that an index there names, in whatever folder; of a GGUF model the
    file, its other parts and the configuration and tokenizer beside it. Links count as what they lead to. Raises
    OSError for a file that cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_dir():
        files = {file.name: file for file in folder.iterdir()}
        for index in [name for name in files if name.endswith(".index.json")]:
            files |= {part: folder / part for part in _named_by(folder / index)}
    else:
        files = {file.name: file for file in folder.iterdir() if file.suffix in _BESIDE_GGUF}
        part = _GGUF_PART.fullmatch(path.name)
        for number in range(1, int(part[3]) + 1) if part else ():
            files[f"part {number}"] = folder / f"{part[1]}-{number:05}-of-{part[3]}{part[4]}"  # type: ignore[index]
        files[""] = path  # a GGUF file may have any name
    lines = sorted(f"{name} {file_sha256(file)}\n" for name, file in files.items() if file.is_file())
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _named_by(index: Path) -> set[str]:
    """The files that an index of weights names; none if it cannot be read, which loading will say."""
    try:
        return {str(file) for file in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file; computed once per process while the file does not change."""
    stat = os.stat(path)
    return _sha256(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: str, _size: int, _mtime: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
