"""Checksums of a model's files. No torch."""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path

from vsa_checks.models.files import INDEXES, LONGEST_BESIDE, index_parts
from vsa_checks.reading import open_regular

_BESIDE_GGUF = (".json", ".txt", ".model", ".jinja")
_GGUF_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.gguf)", re.IGNORECASE)
_WEIGHTS = (".safetensors", ".bin")


def weights_sha256(files: tuple[Path, ...]) -> str:
    """Hex sha256 of one file, or of the sorted lines "name sha256" of several; computed once per process."""
    if len(files) == 1:
        return file_sha256(files[0])
    lines = sorted(f"{file.name} {file_sha256(file)}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def content_sha256(path: Path) -> str:
    """Hex sha256 of all files that a model is loaded from.

    Of a directory these are its files and those that an index there names, in whatever folder below; of a GGUF model
    the file, its other parts and the configuration and tokenizer beside it. Links count as what they lead to. Raises
    OSError or VsaChecksError for a file that cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    files = {file.name: file for file in folder.iterdir() if file.is_file()}
    if path.is_dir():
        for index in [file for name, file in files.items() if name in INDEXES]:
            files |= {part: folder / part for part in index_parts(index, str(path)) if (folder / part).is_file()}
    else:
        files = {name: file for name, file in files.items() if file.suffix in _BESIDE_GGUF}
        part = _GGUF_PART.fullmatch(path.name)
        for number in range(1, int(part[3]) + 1) if part else ():
            other = folder / f"{part[1]}-{number:05}-of-{part[3]}{part[4]}"  # type: ignore[index]
            if other.is_file():
                files[f"part {number}"] = other
        files[""] = path  # a GGUF file may have any name
    lines = []
    for name, file in files.items():
        weights = file.suffix in _WEIGHTS or not path.is_dir()
        if weights or file.stat().st_size <= LONGEST_BESIDE:  # others are not read
            lines.append(f"{name} {file_sha256(file)}\n")
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def file_sha256(path: Path) -> str:
    """Hex sha256 of a regular file; computed once per process while the file does not change."""
    stat = os.stat(path)
    return _sha256(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: str, _size: int, _mtime: int) -> str:
    with open_regular(path, what="the file") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
