"""Weights by TransformerLens names, kept on disk in each basis and read from there without torch."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsa_checks import paths
from vsa_checks.models.description import describe_located
from vsa_checks.models.info import ModelInfo
from vsa_checks.models.model import Basis, load
from vsa_checks.models.sources import ensure_available
from vsa_checks.models.tokenizer import vocabulary_of
from vsa_checks.models.vocabulary import Vocabulary
from vsa_checks.paths import replaced

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class KeptWeights:
    """The weights of one model in one basis (float32 arrays), and the names of its tokens."""

    info: ModelInfo
    basis: Basis
    arrays: Mapping[str, NDArray[np.float32]]
    vocabulary: Vocabulary | None

    def token_name(self, token: int) -> str:
        """Readable name of a token, leading space kept; its id as text where there is no tokenizer."""
        return self.vocabulary.name(token) if self.vocabulary is not None else str(token)


def load_weights(name_or_path: str, basis: Basis, cache: WeightsCache) -> KeptWeights:
    """Weights by name or path: from `cache` if they are there, else loaded and then kept in it.

    Raises ModelError for a model that cannot be found, read or trusted.
    """
    found = ensure_available(name_or_path)
    info = describe_located(found)

    def make() -> dict[str, NDArray[np.float32]]:
        model = load(name_or_path, basis=basis)
        return {name: tensor.numpy() for name, tensor in model.items()}

    # A hub revision without a hash identifies the weights too.
    key = {"what": "weights", "sha256": info.sha256, "revision": info.revision, "name": info.name, "basis": basis}
    arrays: Mapping[str, NDArray[np.float32]] = cache.arrays(key, make)  # type: ignore[assignment]
    return KeptWeights(info, basis, arrays, vocabulary_of(found) if info.text else None)


@cache
def code_digest() -> str:
    """Hash of this package's source, so that nothing which another version made is ever used."""
    digest = hashlib.sha256()
    for path in sorted(paths.PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(paths.PACKAGE)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class WeightsCache:
    """A folder of arrays by key. A file that is damaged or does not match is made anew; no folder keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def arrays(self, key: Mapping[str, str | int | float | None], make: Callable[[], Arrays]) -> Arrays:
        """The arrays of a key and of this version of the code, from the folder or from `make`, which are then kept.

        Each array is read and checked against its checksum when it is asked for. If one is damaged, all arrays of the
        key are made anew.
        """
        if self.folder is None:
            return make()
        whole = json.dumps({**key, "code": code_digest()}, sort_keys=True)
        path = self.folder / f"{hashlib.sha256(whole.encode()).hexdigest()[:32]}.safetensors"
        stored = _Stored.open(path, whole)
        if stored is None:
            made = make()
            _write(path, whole, made)
            return made
        return _Checked(stored, path, whole, make)


class _Stored:
    """An open file of arrays with their checksums."""

    def __init__(self, handle: object, checksums: dict[str, int]) -> None:
        self._handle, self.checksums = handle, checksums

    @classmethod
    def open(cls, path: Path, key: str) -> _Stored | None:
        """The file of this key; None if there is none, or if it holds something else."""
        from safetensors import SafetensorError, safe_open

        try:
            handle = safe_open(path, framework="numpy")
            metadata = handle.metadata() or {}
            checksums: dict[str, int] = json.loads(metadata.get("checksums", "{}"))
        except (OSError, SafetensorError, ValueError):
            return None
        if metadata.get("key") != key or set(checksums) != set(handle.keys()):
            return None
        return cls(handle, checksums)

    def read(self, name: str) -> NDArray[np.generic] | None:
        """One array; None if it is damaged."""
        array: NDArray[np.generic] = self._handle.get_tensor(name)  # type: ignore[attr-defined]
        return array if _checksum(array) == self.checksums[name] else None


class _Checked(Mapping[str, NDArray[np.generic]]):
    """Stored arrays, read and checked one by one."""

    def __init__(self, stored: _Stored, path: Path, key: str, make: Callable[[], Arrays]) -> None:
        self._stored, self._path, self._key, self._make = stored, path, key, make
        self._made: Arrays | None = None
        self._read: dict[str, NDArray[np.generic]] = {}

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        if self._made is not None:
            return self._made[name]
        if name not in self._stored.checksums:
            raise KeyError(name)
        if name not in self._read:
            array = self._stored.read(name)
            if array is None:
                self._made = self._make()
                _write(self._path, self._key, self._made)
                return self._made[name]
            self._read[name] = array
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored.checksums)

    def __len__(self) -> int:
        return len(self._stored.checksums)


def _write(path: Path, key: str, arrays: Arrays) -> None:
    """Keep arrays, whole or not at all. If the folder cannot be written, the run goes on without keeping them."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    checksums = {name: _checksum(array) for name, array in contiguous.items()}
    with suppress(OSError, SafetensorError), replaced(path, private=True) as temporary:
        save_file(contiguous, temporary, {"key": key, "checksums": json.dumps(checksums)})


def _checksum(array: NDArray[np.generic]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
