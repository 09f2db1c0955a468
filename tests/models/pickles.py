"""Builds .bin files step by step, and reads them."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fuzz.containers import archived
from vsa_checks.errors import ModelError
from vsa_checks.models.pickled import all_held, all_tensors, one_tensor

NONE, FALSE, MARK, STOP, EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT = b"N", b"\x89", b"(", b".", b")", b"]", b"}"
TUPLE, TUPLE1, TUPLE2, REDUCE, BUILD, APPEND, SETITEM, STORED = b"t", b"\x85", b"\x86", b"R", b"b", b"a", b"s", b"Q"
HEAD = b"\x80\x02"


def put(at: int) -> bytes:
    return b"q" + bytes([at])


def get(at: int) -> bytes:
    return b"h" + bytes([at])


def value(of: Any) -> bytes:
    return pickle.dumps(of, 2)[2:-1]


def word(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def named(name: str) -> bytes:
    module, _, last = name.rpartition(".")
    return b"c" + f"{module}\n{last}\n".encode()


def tuple_of(*parts: bytes) -> bytes:
    return MARK + b"".join(parts) + TUPLE


def call(name: str, *arguments: bytes) -> bytes:
    return named(name) + tuple_of(*arguments) + REDUCE


ORDERED = call("collections.OrderedDict")


def stored(key: bytes = word("0"), numel: bytes = value(2), *view: bytes) -> bytes:
    return tuple_of(word("storage"), named("torch.FloatStorage"), key, word("cpu"), numel, *view) + STORED


def tensor(of: bytes, offset: bytes = value(0), size: bytes = value((2,)), stride: bytes = value((1,))) -> bytes:
    return call("torch._utils._rebuild_tensor_v2", of, offset, size, stride, FALSE, ORDERED)


def under(name: bytes, of: bytes) -> bytes:
    """A dictionary with one entry."""
    return EMPTY_DICT + name + of + SETITEM


def named_a(of: bytes) -> bytes:
    return under(word("a"), of)


NUMBERS = struct.pack("<2f", 1.0, 2.0)


def archive(path: Path, steps: bytes, **other: bytes) -> None:
    parts = {"data.pkl": HEAD + steps + STOP, "byteorder": b"little", "data/0": NUMBERS, "version": b"3\n"} | other
    path.write_bytes(archived({f"archive/{name}": content for name, content in parts.items()}))


def older(
    path: Path, steps: bytes, keys: tuple[str, ...] = ("0",), behind: bytes = struct.pack("<q", 2) + NUMBERS
) -> None:
    machine = {"protocol_version": 1001, "little_endian": True}
    before = b"".join(pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001, machine))
    path.write_bytes(before + HEAD + steps + STOP + pickle.dumps(list(keys), 2) + behind)


WRITERS: dict[str, Callable[[Path, bytes], None]] = {"archive": archive, "older format": older}


def read(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a file, which are the same one by one and part by part."""
    held = all_held((path,), "x")
    found = all_tensors(held, "x")
    for name, tensor in found.items():
        for part, other in [(None, tensor), *enumerate(tensor if tensor.ndim else [])][:4]:
            assert same(one_tensor(held[name], "x", part), other), name
    return found


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    bits = (torch.view_as_real(x) if x.is_complex() else x for x in (one, other))
    return torch.equal(*(x.double() for x in bits))


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read(path)
    return str(caught.value)
