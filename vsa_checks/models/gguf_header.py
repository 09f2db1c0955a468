"""Reads what comes before the weights in a GGUF file: header fields and where each tensor lies.

The gguf package's own reader builds one object per vocabulary entry, which takes four seconds for 49,152 tokens.
Walking the bytes takes milliseconds, so that a model can be described while tests are collected.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from io import BufferedReader
from itertools import pairwise
from math import inf, isfinite, nan, prod
from pathlib import Path
from typing import Any

import numpy as np

from vsa_checks.errors import ModelError
from vsa_checks.reading import Unreadable, open_regular

# Type codes of the format, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST_STRING = 1 << 28
_LONGEST_NAME = 127
# Those of the largest models have 30 MB, 70 fields and 3,000 tensors.
_LONGEST_HEADER, _MOST_FIELDS, _MOST_TENSORS = 100_000_000, 1 << 16, 1 << 17
_MOST_ALIGNMENT = 1 << 20
_MAX_RANK = 4
_TRUNCATED = "The file is cut short or damaged: fetch it again."


class _Bad(Exception):
    """Says what is wrong with the file; whoever knows its name turns this into a ModelError."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of the file: `shape` with the slowest axis first, `nbytes` bytes from byte `start` on."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    start: int
    nbytes: int


@dataclass(frozen=True)
class _ArrayField:
    item_type: int
    count: int
    start: int


@dataclass(frozen=True)
class GGUFHeader:
    """Fields and tensor table of one GGUF file; arrays stay on disk until `array(key)` asks for them."""

    path: Path
    fields: dict[str, Any]
    tensors: dict[str, TensorEntry]
    _arrays: dict[str, _ArrayField] = field(repr=False, default_factory=dict)

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture."""
        return str(self.fields["general.architecture"])

    def whole(self, key: str, default: int | None = None, least: int = 0) -> int:
        """A field that must be a whole number of at least `least`.

        An array counts as one number where all its items but zeros are the same, as for the layers without attention of
        a hybrid. Raises ModelError for anything else, and for a missing field without default.
        """
        value = self.fields.get(key, default)
        per_layer = ""
        if key in self._arrays:
            items = set(self.array(key)) - {0}
            value = items.pop() if len(items) == 1 else None if items else 0
            per_layer = ", given per layer,"
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ModelError(
                f"The model {self.path} cannot be loaded: {key}{per_layer} in its header must be one whole "
                f"number of at least {least}, but it is {value!r:.80}. Convert the model again, or give another."
            )
        return value

    def number(self, key: str, default: float | None = None, least: float = -inf) -> float | None:
        """A field that must be a finite number of at least `least`; the default where it is absent.

        Raises ModelError for anything else.
        """
        value = self.fields.get(key, default)
        if value is None and key not in self._arrays:
            return None
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        found = float(value) if plain and value is not None else nan
        if not (isfinite(found) and found >= least):
            wanted = f"one finite number{f' of at least {least:g}' if isfinite(least) else ''}"
            raise ModelError(
                f"The model {self.path} cannot be loaded: {key} in its header must be {wanted}, but it is "
                f"{value!r:.80}. Convert the model again, or give another."
            )
        return found

    def has_array(self, key: str) -> bool:
        """Whether the header holds an array field of this name."""
        return key in self._arrays

    def count_texts(self, key: str) -> int:
        """How many items an array field of texts holds; 0 when it is absent or of another type."""
        place = self._arrays.get(key)
        return place.count if place is not None and place.item_type == _STRING else 0

    def texts(self, key: str) -> list[str]:
        """The items of an array field of texts; an empty list when it is absent or of another type."""
        return self.array(key) if self.count_texts(key) else []

    def array(self, key: str) -> list[Any]:
        """The items of an array field, read from the file now; an empty list when it is absent."""
        place = self._arrays.get(key)
        if place is None:
            return []
        try:
            with open_regular(self.path, what="the file") as file, _mapped(file) as data:
                cursor = _Cursor(data, place.start)
                if place.item_type == _STRING:
                    return [cursor.string() for _ in range(place.count)]
                return list(cursor.unpack(f"{place.count}{_SCALARS[place.item_type]}"))
        except (_Bad, Unreadable, struct.error, ValueError) as problem:
            raise ModelError(
                f"The model {self.path} cannot be loaded: {key} in its header is not what it was a moment ago "
                f"({problem}). Leave the file alone while it is read."
            ) from None


def read_header(path: str | os.PathLike[str]) -> GGUFHeader:
    """Header of a GGUF file; read once per process while the file does not change.

    Raises ModelError if the file is not GGUF, is cut short, or uses a version or type not known here.
    """
    file = Path(path)
    stat = file.stat()
    return _read(str(file), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _read(path: str, size: int, _mtime: int) -> GGUFHeader:
    try:
        if size < 24:
            with open_regular(path, what="the file") as file:
                magic = file.read(4)
            raise _Bad(_not_gguf(magic) if magic != b"GGUF" else f"it holds only {size} bytes. {_TRUNCATED}")
        with open_regular(path, what="the file") as file, _mapped(file) as data:
            return _parse(Path(path), data, size)
    except Unreadable as problem:
        raise ModelError(f"The model {path} cannot be loaded: {problem}. Give another file.") from None
    except _Bad as problem:
        raise ModelError(f"The file {path} cannot be read as a GGUF model: {problem}") from None
    except (struct.error, OverflowError, ValueError) as problem:
        raise ModelError(
            f"The file {path} cannot be read as a GGUF model: its header breaks off or holds nonsense "
            f"({problem}). {_TRUNCATED}"
        ) from None


def _not_gguf(magic: bytes) -> str:
    return f"it starts with {magic!r} instead of b'GGUF'. Give a .gguf file or a Hugging Face directory."


def _parse(path: Path, data: mmap.mmap, size: int) -> GGUFHeader:
    if data[:4] != b"GGUF":
        raise _Bad(_not_gguf(data[:4]))
    cursor = _Cursor(data, 4)
    (version,) = cursor.unpack("I")
    if version not in (2, 3):
        if int.from_bytes(struct.pack("<I", version), "big") in (2, 3):
            raise _Bad(
                "it is big-endian, and little-endian files are read. Convert it again for a little-endian machine."
            )
        raise _Bad(f"it says version {version}; versions 2 and 3 are read. Convert it again.")
    n_tensors, n_fields = cursor.unpack("QQ")
    if n_tensors > _MOST_TENSORS or n_fields > _MOST_FIELDS:
        raise _Bad(f"its header claims {n_tensors:,} tensors and {n_fields:,} fields. {_TRUNCATED}")
    fields: dict[str, Any] = {}
    arrays: dict[str, _ArrayField] = {}
    for _ in range(n_fields):
        key = cursor.string()
        if key in fields or key in arrays:
            raise _Bad(f"its header gives {key[:80]!r} twice. Convert it again.")
        (kind,) = cursor.unpack("I")
        if kind == _ARRAY:
            arrays[key] = cursor.skip_array()
        else:
            fields[key] = cursor.scalar(kind)
    # A model that was split has its fields in the first part alone.
    if "general.architecture" not in fields and "split.count" not in fields:
        raise _Bad("its header has no general.architecture. Convert the model again with llama.cpp's converter.")
    return GGUFHeader(path, fields, _tensor_table(cursor, n_tensors, fields, arrays, size), arrays)


def _tensor_table(
    cursor: _Cursor, count: int, fields: dict[str, Any], arrays: Collection[str], size: int
) -> dict[str, TensorEntry]:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    rows: list[tuple[str, tuple[int, ...], int, int]] = []
    for _ in range(count):
        name = cursor.string()
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise _Bad(f"a tensor's name is {name!r:.80}. {_TRUNCATED}")
        (rank,) = cursor.unpack("I")
        if not 1 <= rank <= _MAX_RANK:
            raise _Bad(f"tensor {name} claims {rank} axes. {_TRUNCATED}")
        dims = cursor.unpack(f"{rank}Q")
        type_code, offset = cursor.unpack("IQ")
        rows.append((name, tuple(reversed(dims)), type_code, offset))
    alignment = fields.get("general.alignment", 32)
    whole = isinstance(alignment, int) and not isinstance(alignment, bool) and "general.alignment" not in arrays
    if not whole or not 1 <= alignment <= _MOST_ALIGNMENT or alignment & (alignment - 1):
        raise _Bad(f"its general.alignment is {alignment!r:.80}, where a power of two is needed. Convert it again.")
    data_start = -(-cursor.at // alignment) * alignment
    tensors: dict[str, TensorEntry] = {}
    for name, shape, type_code, offset in rows:
        try:
            kind = GGMLQuantizationType(type_code)
        except ValueError:
            raise _Bad(f"tensor {name} has type {type_code}, unknown to this gguf package. Update gguf.") from None
        block, block_bytes = GGML_QUANT_SIZES[kind]
        if prod(shape) == 0 or shape[-1] % block:
            raise _Bad(f"tensor {name} of type {kind.name} claims the shape {shape}. {_TRUNCATED}")
        nbytes = prod(shape) // block * block_bytes
        start = data_start + offset
        if start + nbytes > size:
            raise _Bad(f"tensor {name} should end at byte {start + nbytes}, the file has {size}. {_TRUNCATED}")
        if name in tensors:
            raise _Bad(f"it holds two tensors of the name {name}. Convert it again.")
        tensors[name] = TensorEntry(name, shape, kind.name, start, nbytes)
    _check_apart(tensors)
    longest = data_start + sum(-(-entry.nbytes // alignment) * alignment for entry in tensors.values())
    if size > longest:
        raise _Bad(f"its tensors end by byte {longest}, the file has {size}. {_TRUNCATED}")
    return tensors


def _check_apart(tensors: dict[str, TensorEntry]) -> None:
    places = sorted(tensors.values(), key=lambda entry: entry.start)
    for one, following in pairwise(places):
        if one.start + one.nbytes > following.start:
            raise _Bad(f"its tensors {one.name} and {following.name} lie on the same bytes. Convert it again.")


class _Cursor:
    """Reads little-endian values one after another."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
        self.data = data
        self.at = at

    def unpack(self, layout: str) -> tuple[Any, ...]:
        layout = "<" + layout
        values = struct.unpack_from(layout, self.data, self.at)
        self.at += struct.calcsize(layout)
        return values

    def string(self) -> str:
        (length,) = self.unpack("Q")
        if length > _LONGEST_STRING or self.at + length > len(self.data):
            raise _Bad(f"a text of {length} bytes starts at byte {self.at} of {len(self.data)}. {_TRUNCATED}")
        # Some vocabularies hold tokens that are not valid UTF-8 by themselves.
        text = self.data[self.at : self.at + length].decode("utf-8", errors="replace")
        self.at += length
        return text

    def scalar(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind not in _SCALARS:
            raise _Bad(f"a header field has type {kind}, which the format does not know. {_TRUNCATED}")
        return self.unpack(_SCALARS[kind])[0]

    def skip_array(self) -> _ArrayField:
        kind, count = self.unpack("IQ")
        place = _ArrayField(kind, count, self.at)
        if kind == _STRING:
            at, data = self.at, self.data
            if count > (len(data) - at) // 8:  # each text has its length before it
                raise _too_many(count)
            take = struct.Struct("<Q").unpack_from
            for _ in range(count):
                at += 8 + take(data, at)[0]
            self.at = at
        elif kind in _SCALARS:
            self.at += int(count) * struct.calcsize("<" + _SCALARS[kind])
        else:
            raise _Bad(f"a header field is an array of type {kind}, which is not read here.")
        if self.at > len(self.data):
            raise _too_many(count)
        return place


def _too_many(count: int) -> _Bad:
    return _Bad(f"an array of {count:,} items runs past the end of the file, or of any header. {_TRUNCATED}")


def _mapped(file: BufferedReader) -> mmap.mmap:
    """The part of a file that a header can be in."""
    size = os.fstat(file.fileno()).st_size
    return mmap.mmap(file.fileno(), min(size, _LONGEST_HEADER), access=mmap.ACCESS_READ)


def tensor_bytes(header: GGUFHeader, entry: TensorEntry) -> np.ndarray:
    """The stored bytes of one tensor as a read-only memory map (uint8, one axis)."""
    return np.memmap(header.path, dtype=np.uint8, mode="r", offset=entry.start, shape=(entry.nbytes,))
