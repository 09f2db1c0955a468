"""What safetensors files hold, from their headers, which must agree with the files' own sizes. No torch."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from vsa_checks.errors import ModelError
from vsa_checks.models.files import refuse_pointer
from vsa_checks.reading import Unreadable, check, open_regular, parse_json

FLOAT_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_BYTES = {"F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
_LONGEST_HEADER = 100_000_000
_MOST_AXES, _MOST_NUMBERS = 16, 1 << 50
_Whole = Annotated[int, Field(ge=0, lt=1 << 63)]


class Entry(TypedDict):
    """One tensor of a safetensors file; `data_offsets` count from where the data start."""

    dtype: Annotated[str, Field(max_length=16)]
    shape: Annotated[list[_Whole], Field(max_length=_MOST_AXES)]
    data_offsets: Annotated[list[_Whole], Field(min_length=2, max_length=2)]


def all_entries(files: tuple[Path, ...], model: str) -> dict[str, tuple[Path, int, Entry]]:
    """Name of each tensor in safetensors files -> its file, where the data start there, and its entry.

    Raises ModelError for a damaged file and for a tensor that stands in two of them.
    """
    found: dict[str, tuple[Path, int, Entry]] = {}
    for file in files:
        header, data_start = safetensors_header(file, model)
        twice = sorted(found.keys() & header.keys())
        if twice:
            raise ModelError(
                f"The model {model} cannot be loaded: {file} holds {twice[0]:.200}, as {found[twice[0]][0].name} does, "
                "and it is unclear which of the two is meant. Fetch or save the model again."
            )
        found |= {name: (file, data_start, entry) for name, entry in header.items()}
    return found


def safetensors_header(path: Path, model: str) -> tuple[dict[str, Entry], int]:
    """The tensors of a safetensors file by name, and where the data start.

    Raises ModelError if the header cannot be read, or says something else than the size of the file.
    """

    def bad(what: str) -> ModelError:
        return ModelError(
            f"The model {model} cannot be loaded: {path} is not a valid safetensors file ({what}). The file is "
            "cut short or damaged: fetch it again."
        )

    refuse_pointer(path, model)
    try:
        with open_regular(path, what="the file") as file:
            size = file.seek(0, 2)
            file.seek(0)
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 0 < length <= min(size - 8, _LONGEST_HEADER):
                raise bad(f"it claims a header of {length} bytes and has {size} in all")
            header = parse_json(file.read(length), path=path, what="the file", schema=dict[str, Any])
            check(header.pop("__metadata__", {}), dict[str, str], path=path, what="the file")
            check(header, dict[str, Entry], path=path, what="the file")
    except Unreadable as problem:
        raise bad(f"its header {problem.reason}") from None
    wrong = _wrong_places(header, size - 8 - length)
    if wrong:
        raise bad(wrong)
    return header, 8 + length


def _wrong_places(header: dict[str, Entry], n_bytes: int) -> str:
    """What is wrong with the tensors' places: they follow each other without gaps, as long as their shapes say."""
    at = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if begin != at or end < begin:
            return f"{name:.200} lies at bytes {begin} to {end} of the data, where byte {at} is the next"
        wanted = prod(entry["shape"]) * _BYTES.get(entry["dtype"], 1)
        if end - begin != wanted and (entry["dtype"] in _BYTES or end - begin > wanted):
            return f"{name:.200} has {end - begin} bytes for the shape {tuple(entry['shape'])} of {entry['dtype']}"
        if prod(max(axis, 1) for axis in entry["shape"]) > _MOST_NUMBERS:  # an axis of 0 makes any other free
            return f"{name:.200} claims the shape {tuple(entry['shape'])}"
        at = end
    return "" if at == n_bytes else f"it should have {at} bytes of data and has {n_bytes}"
