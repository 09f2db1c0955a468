"""figures.npz: the arrays that a report's pictures need and results.json does not hold, written and read back.

A file from anywhere is read within bounds: no pickles, no header that asks for more than the file holds, known types.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vsa_checks.errors import VsaChecksError
from vsa_checks.reading import MB, Unreadable, parse_json, read_bytes

Array = NDArray[np.generic]
FILE_NAME = "figures.npz"
VERSION = 1
MOST_BYTES = 64 * MB
MOST_UNPACKED = 256 * MB
MOST_ARRAYS = 200_000
KINDS = {"int8": "|i1", "uint8": "|u1", "int32": "<i4", "int64": "<i8", "float32": "<f4"}
"""The types that arrays of the file have, as numpy writes them."""
_HEADER = 4_096
ABOUT, RESULTS = "about", "results"


class FiguresError(VsaChecksError):
    """A figures.npz that is none, or that belongs to other results."""


def words(value: Any) -> NDArray[np.uint8]:
    """Text, or lists of it, as an array: its JSON in UTF-8, with half characters written out."""
    text = json.dumps(value, ensure_ascii=False)
    return np.frombuffer(text.encode("utf-8", "backslashreplace"), np.uint8)


def in_words(array: Array) -> Any:
    """What `words` made an array of. Raises FiguresError for anything else."""
    try:
        return parse_json(np.ascontiguousarray(array, np.uint8).tobytes(), path=FILE_NAME, what="The text in")
    except (Unreadable, ValueError) as problem:
        raise FiguresError(f"{problem}.") from None


def digest(results: str | bytes) -> str:
    """What names the results that arrays belong to: the sha256 of what results.json holds, as it stands there."""
    return hashlib.sha256(results.encode() if isinstance(results, str) else results).hexdigest()


def packed(arrays: Mapping[str, Array]) -> bytes:
    """The arrays as an .npz file."""
    content = io.BytesIO()
    plain: dict[str, Any] = dict(sorted(arrays.items()))
    np.savez_compressed(content, allow_pickle=False, **plain)
    return content.getvalue()


def as_text(arrays: Mapping[str, Array]) -> str:
    """The arrays as text, for what only carries text; nothing for none."""
    return base64.b64encode(packed(arrays)).decode("ascii") if arrays else ""


def from_text(text: str) -> dict[str, Array]:
    """The arrays that `as_text` wrote. Raises FiguresError."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        raise FiguresError("The arrays of a measurement are not base64.") from None
    return unpacked(content) if content else {}


def file_of(texts: Iterable[str], results: str | bytes) -> bytes:
    """figures.npz of one run: all arrays of its subjects, and which results they belong to.

    Parameters
    ----------
    texts
        What `as_text` made of each subject's arrays.
    results
        What results.json holds.
    """
    whole: dict[str, Array] = {ABOUT: words({"version": VERSION, RESULTS: digest(results)})}
    for text in texts:
        whole.update(from_text(text))
    return packed(whole)


@dataclass(frozen=True)
class Kept:
    """The arrays of a report; where they cannot be used, none, and why in a sentence."""

    arrays: dict[str, Array]
    why_none: str = ""


NO_ARRAYS = Kept({}, f"There is no {FILE_NAME} next to the results.")


def read_file(folder: Path, results: str | bytes) -> Kept:
    """The arrays of a report.

    Parameters
    ----------
    folder
        Where figures.npz lies beside results.json.
    results
        What results.json holds, byte for byte: a document that was read may be in the form of a later version.
    """
    try:
        content = read_bytes(folder / FILE_NAME, limit=MOST_BYTES, what="The file")
    except Unreadable as problem:
        missing = f"There is no {FILE_NAME} next to the results."
        return Kept({}, missing if problem.missing else f"{FILE_NAME} {problem.reason}.")
    return of_results(content, results)


def of_results(content: bytes, results: str | bytes) -> Kept:
    """The arrays that the content of a figures.npz holds, if it belongs to these results."""
    try:
        found = unpacked(content)
        about = in_words(found.pop(ABOUT)) if ABOUT in found else None
    except FiguresError as problem:
        return Kept({}, f"{FILE_NAME} cannot be used. {problem}")
    if not isinstance(about, dict) or about.get("version") != VERSION:
        return Kept({}, f"{FILE_NAME} has a version that this program cannot read.")
    if about.get(RESULTS) != digest(results):
        return Kept({}, f"{FILE_NAME} belongs to a different run.")
    return Kept(found)


def unpacked(content: bytes) -> dict[str, Array]:
    """The arrays of an .npz file. Raises FiguresError for what `packed` does not write."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if any(one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for one in members):
                raise FiguresError("It is not packed as a report's file is.")
            if len(members) > MOST_ARRAYS or sum(member.file_size for member in members) > MOST_UNPACKED:
                raise FiguresError("It holds more than any report can.")
            return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as problem:
        raise FiguresError(f"It is damaged ({problem}).") from None
    except (ValueError, TypeError, tokenize.TokenError) as problem:
        raise FiguresError(f"It is not a file of plain arrays ({problem}).") from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename[:80]!r} has an unexpected compression")
    with archive.open(member) as file:
        data = file.read(member.file_size + 1)
    stream = io.BytesIO(data)
    if npy.read_magic(stream) != (1, 0):
        raise ValueError(f"{member.filename[:80]!r} has an unexpected header")
    try:
        shape, fortran, dtype = npy.read_array_header_1_0(stream, max_header_size=_HEADER)
    except (tokenize.TokenError, SyntaxError, TypeError, RecursionError, MemoryError):
        # numpy reads a header as Python, and lets some of what Python makes of a damaged one through.
        raise ValueError(f"{member.filename[:80]!r} has a damaged header") from None
    if dtype.str not in KINDS.values() or fortran or any(not 0 <= length < 2**31 for length in shape):
        raise ValueError(f"{member.filename[:80]!r} is of the type {dtype.str[:20]}")
    if math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f"{member.filename[:80]!r} does not have the length that its header says")
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)
