"""The tensors of .bin files, which are archives of a pickle and of numbers, or pickles with numbers after them.

What a file holds is found without torch.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vsa_checks.errors import ModelError, first_line, visible
from vsa_checks.models.files import refuse_pointer
from vsa_checks.models.plain_pickles import LONGEST, NotPlain, Other, Pairs, Stored, Strided, read_plain
from vsa_checks.reading import GB, open_regular

if TYPE_CHECKING:
    import torch

_ARCHIVE = b"PK\x03\x04"
# What torch writes around each of the files in its archive, and around all.
_AROUND_EACH, _AROUND_ALL = 8192, 1 << 20
_LONGEST_LIST, _LOCAL_HEADER = 8_000_000, struct.Struct("<4s22xHH")
# The older format: a number, its version, the machine's sizes, the tensors, and the keys of their numbers.
_OLD_PICKLES, _OLD_NUMBER, _OLD_VERSION, _LONGEST_OLD = 5, 0x1950A86A20F9469CFC6C, 1001, 20 * GB
_MOST_NUMBERS = 1 << 50
_KINDS = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "UntypedStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
_BYTES = {
    **dict.fromkeys(("complex128",), 16),
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32", "complex32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool"), 1),
    **dict.fromkeys((f"float8_{kind}" for kind in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu")), 1),
}


@dataclass(frozen=True, eq=False)
class Held:
    """A tensor in a file: the name of its type in torch, and where its storage starts, with its length in bytes."""

    tensor: Strided
    dtype: str
    file: Path
    start: int
    length: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.tensor.size


def all_tensors(held: Mapping[str, Held], model: str) -> dict[str, torch.Tensor]:
    """Tensors from their files; those of one storage share it. Raises ModelError for a file that has changed."""
    storages: dict[tuple[Path, int, int], bytearray] = {}
    found = {}
    for name, one in held.items():
        place = one.file, one.start, one.length
        if place not in storages:
            storages[place] = _read(*place, model)
        found[name] = _strided(one, storages[place], one.tensor.offset)
    return found


def one_tensor(held: Held, model: str, index: int | None = None) -> torch.Tensor:
    """A tensor from its file, or its part `index` along the first axis; no more is read than this reaches over.

    Raises ModelError for a file that has changed.
    """
    one = held.tensor
    if index is not None:
        one = replace(one, offset=one.offset + index * one.stride[0], size=one.size[1:], stride=one.stride[1:])
    size = _BYTES[held.dtype]
    length = max(_reach(one) - one.offset, 0) * size
    return _strided(replace(held, tensor=one), _read(held.file, held.start + one.offset * size, length, model), 0)


def all_held(files: tuple[Path, ...], model: str) -> dict[str, Held]:
    """What .bin files hold, by name.

    Raises ModelError for a pickle that is damaged or holds more than tensors, and for a tensor that is in two files.
    """
    found: dict[str, Held] = {}
    for file in files:
        own = _pickled(file, model)
        twice = sorted(found.keys() & own.keys())
        if twice:
            raise ModelError(
                f"The model {model} cannot be loaded: {file} holds {twice[0]:.200}, as another of its files does, and "
                "which of the two is meant is not said. Save the model again."
            )
        found |= own
    return found


def _pickled(file: Path, model: str) -> dict[str, Held]:
    refuse_pointer(file, model)
    with _said(file, model), open_regular(file, what="the file") as opened:
        held = _listed(opened)
        content, places = _of_archive(held, opened) if held is not None else _of_older(opened)
        if not isinstance(content, Pairs):
            kind = {Strided: "tensor", Other: "something else"}.get(type(content), type(content).__name__)
            raise ModelError(
                f"The model {model} cannot be loaded: {file} holds a {kind} where named tensors are needed. Save the "
                "model's state_dict again."
            )
        found: dict[str, Held] = {}
        for name, one in content.pairs:
            if isinstance(one, Strided):
                called = str(name) if type(name) is int else name
                if not isinstance(called, str) or called in found:
                    raise NotPlain("it holds a tensor that has no name of its own")
                found[called] = _held(called, one, file, places)
    return found


@contextmanager
def _said(file: Path, model: str) -> Iterator[None]:
    """Whatever is wrong with the file, it is the same to the person."""
    try:
        yield
    except ModelError:
        raise
    except NotPlain as problem:
        raise ModelError(
            f"The model {model} is refused: {file.name} in {file.parent} is a pickle that asks to run code, holds more "
            f"than tensors or is damaged ({visible(str(problem)):.200}), and only plain tensors are read. Convert it "
            "to safetensors where you trust it."
        ) from None
    except Exception as problem:  # zipfile and genops raise all kinds
        why = visible(str(problem)) if isinstance(problem, _Damaged) else first_line(problem)
        raise ModelError(
            f"The model {model} cannot be loaded: {file.name} in {file.parent} cannot be read ({why}). Fetch, save or "
            "convert the model again."
        ) from None


class _Damaged(Exception):
    """What the file says of itself does not agree with it."""


# --- archives ---------------------------------------------------------------------------------------------------------


class _InPieces(io.BufferedIOBase):
    """A file that is not read in longer pieces than the list of an archive's files needs."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        found = self._file.read(_LONGEST_LIST + 1 if size is None or size < 0 else min(size, _LONGEST_LIST + 1))
        if len(found) > _LONGEST_LIST:
            raise _Damaged("the list of its files is too long")
        return found


def _listed(opened: BinaryIO) -> list[zipfile.ZipInfo] | None:
    """The files in an archive; None for the older format, which is none."""
    size = opened.seek(0, 2)
    opened.seek(0)
    if opened.read(4) != _ARCHIVE:  # which says nothing of its length
        if size > _LONGEST_OLD:
            raise _Damaged(f"it has {size:,} bytes and is no archive")
        return None
    with zipfile.ZipFile(_InPieces(opened)) as archive:
        held = archive.infolist()
    if any(one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1 for one in held):
        raise _Damaged("its archive is compressed, as torch never does")
    if any(one.compress_size != one.file_size for one in held) or len({one.filename for one in held}) < len(held):
        raise _Damaged("its archive does not say clearly what it holds")
    if any(one.filename.endswith(".pkl") and one.file_size > LONGEST for one in held):
        raise _Damaged("the list of its tensors is too long")
    named = sum(one.file_size for one in held)
    if not named <= size <= named + _AROUND_EACH * len(held) + _AROUND_ALL:
        raise _Damaged(f"it has {size:,} bytes for {named:,} bytes of content")
    return held


def _of_archive(held: list[zipfile.ZipInfo], opened: BinaryIO) -> tuple[Any, dict[str, tuple[int, int]]]:
    """What the pickle in an archive holds, and where in the file the numbers of each key start, with their length."""
    size = opened.seek(0, 2)
    places = {one.filename: (_start(one, opened, size), one.file_size) for one in held}
    (pickled,) = [name for name in places if name.count("/") == 1 and name.endswith("/data.pkl")] or [""]
    if not pickled:
        raise _Damaged("its archive has no data.pkl")
    folder = pickled.removesuffix("data.pkl")
    if _content(opened, *places.get(f"{folder}byteorder", (0, 0)))[:8] not in (b"", b"little"):
        raise _Damaged("its numbers are not little-endian")
    (content,), _ = read_plain(io.BytesIO(_content(opened, *places[pickled])), 1)
    data = f"{folder}data/"
    return content, {name.removeprefix(data): place for name, place in places.items() if name.startswith(data)}


def _start(one: zipfile.ZipInfo, opened: BinaryIO, size: int) -> int:
    """Where the content of a stored file begins."""
    if one.header_offset >= 0:
        known, name, extra = _LOCAL_HEADER.unpack(_content(opened, one.header_offset, _LOCAL_HEADER.size))
        start: int = one.header_offset + _LOCAL_HEADER.size + name + extra
        if known == _ARCHIVE and start + one.file_size <= size:
            return start
    raise _Damaged(f"{one.filename:.200} is not where its archive says")


def _content(opened: BinaryIO, start: int, length: int) -> bytes:
    opened.seek(start)
    return opened.read(min(length, LONGEST))


# --- the older format -------------------------------------------------------------------------------------------------


def _of_older(opened: BinaryIO) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The same of a file of pickles, behind which each key's numbers follow their count."""
    size = opened.seek(0, 2)
    opened.seek(0)
    (number, version, machine, content, keys), referred = read_plain(opened, _OLD_PICKLES)
    if (number, version) != (_OLD_NUMBER, _OLD_VERSION) or not isinstance(machine, Pairs):
        raise _Damaged("it is no file of torch's")
    if any(name == "little_endian" and value is False for name, value in machine.pairs):
        raise _Damaged("its numbers are not little-endian")
    kinds: dict[str, Stored] = {}
    for stored in referred:
        other = kinds.setdefault(stored.key, stored)
        if (other.kind, other.numel) != (stored.kind, stored.numel):
            raise _Damaged(f"{stored.key:.200} stands for numbers of two kinds")
    places: dict[str, tuple[int, int]] = {}
    at = opened.tell()
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, str) or key in places or key not in kinds:
            raise _Damaged("the list of its numbers is another than that of its tensors")
        (count,) = struct.unpack("<q", _content(opened, at, 8))
        length = count * _BYTES[_type_of(kinds[key].kind)]
        if count != kinds[key].numel or at + 8 + length > size:
            raise _Damaged(f"it has other numbers than its tensors need ({key:.200})")
        places[key] = (at + 8, length)
        at += 8 + length
    return content, places


# --- tensors ----------------------------------------------------------------------------------------------------------


def _type_of(kind: str) -> str:
    found = _KINDS.get(kind, kind)
    if found not in _BYTES:
        raise NotPlain(f"it holds numbers of the kind {kind:.100}")
    return found


def _held(name: str, one: Strided, file: Path, places: dict[str, tuple[int, int]]) -> Held:
    """A tensor whose numbers are all there."""
    stored, dtype = one.stored, _type_of(one.dtype or one.stored.kind)
    start, length = places.get(stored.key, (0, -1))
    if length != stored.numel * _BYTES[_type_of(stored.kind)]:
        raise _Damaged(f"it has other numbers than {name:.200} needs")
    needed = max(math.prod(one.size), _reach(one)) * _BYTES[dtype]
    if needed > length or math.prod(max(n, 1) for n in one.size) >= _MOST_NUMBERS:
        raise _Damaged(f"{name:.200} claims the shape {visible(str(one.size)):.100} and has fewer numbers")
    return Held(one, dtype, file, start, length)


def _reach(one: Strided) -> int:
    """How many numbers of its storage lie before the end of a tensor."""
    if not math.prod(one.size):
        return 0
    return one.offset + sum((n - 1) * step for n, step in zip(one.size, one.stride, strict=True)) + 1


def _read(file: Path, start: int, length: int, model: str) -> bytearray:
    """Bytes of a file that is there as it was when it was looked at; torch wants them to be writable."""
    found = bytearray(length)
    with _said(file, model), open_regular(file, what="the file") as opened:
        opened.seek(start)
        if opened.readinto(found) < length:
            raise _Damaged("it ends before the numbers that it said to hold")
    return found


def _strided(held: Held, numbers: bytearray, offset: int) -> torch.Tensor:
    """A tensor of numbers from this one on."""
    import torch

    dtype, size = getattr(torch, held.dtype), _BYTES[held.dtype]
    if not math.prod(held.shape):
        return torch.empty(held.shape, dtype=dtype)
    return torch.frombuffer(numbers, dtype=dtype, count=len(numbers) // size).as_strided(
        held.shape, held.tensor.stride, offset
    )
