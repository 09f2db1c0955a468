"""Pickles that would keep torch busy without end, or make room for gigabytes: refused, and sound ones read."""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models import tiny
from tests.models.test_model_untrusted import refusal
from vsa_checks.models.pickled import all_pickled
from vsa_checks.models.plain_pickles import LONGEST, check_plain

NONE, MARK, STOP, EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT = b"N", b"(", b".", b")", b"]", b"}"
TUPLE, TUPLE1, TUPLE2, REDUCE, BUILD, APPEND, SETITEM, PERSID = b"t", b"\x85", b"\x86", b"R", b"b", b"a", b"s", b"Q"
HEAD = b"\x80\x02"


def put(at: int) -> bytes:
    return b"q" + bytes([at])


def get(at: int) -> bytes:
    return b"h" + bytes([at])


def word(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def named(module: str, name: str) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode()


def whole(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


DOUBLED = EMPTY_TUPLE + put(0) + b"".join(get(at) + TUPLE2 + put(at + 1) for at in range(60))
"""A tuple of two tuples of two tuples ..., 60 times over."""
TENSOR = (
    *(named("torch._utils", "_rebuild_tensor_v2"), MARK, MARK, word("storage"), named("torch", "FloatStorage")),
    *(word("0"), word("cpu"), whole(2), TUPLE, PERSID, whole(0), whole(2), TUPLE1, whole(1), TUPLE1),
    *(b"\x89", named("collections", "OrderedDict"), EMPTY_TUPLE, REDUCE, TUPLE, REDUCE),
)
HOSTILE = {
    "a long name": (named("torch", "x" * 5000), "a name that is too long"),
    "a long module": (b"c" + b"y" * 5_000_000, "a name that is too long"),
    "a long word": (word("z" * 2_000_000), "a word that is too long"),
    "a word of gigabytes": (b"X\xff\xff\xff\xff", "a word that is too long"),
    "a name of a function": (named("os", "system"), "it asks for os.system"),
    "a name in another alphabet": (named("torch", "ＦloatStorage"), "damaged"),
    "room for gigabytes": (
        named("builtins", "bytearray") + whole(1 << 33) + TUPLE1 + REDUCE,
        "it asks for builtins.bytearray",
    ),
    "a storage of gigabytes": (named("torch", "FloatStorage") + whole(1 << 33) + TUPLE1 + REDUCE, "no function of"),
    "a word that is called": (word("w" * 900_000) + EMPTY_TUPLE + REDUCE, "no function of"),
    "doubled tuples as a key": (EMPTY_DICT + DOUBLED + NONE + SETITEM, "the same parts too often"),
    "doubled tuples that are called": (DOUBLED + EMPTY_TUPLE + REDUCE, "the same parts too often"),
    "doubled tuples as a storage": (word("storage") + DOUBLED + TUPLE2 + PERSID, "the same parts too often"),
    "a list in itself": (EMPTY_LIST + put(0) + get(0) + APPEND + get(0) + APPEND, "what cannot be changed"),
    "a tensor of another size": (
        b"".join(TENSOR) + NONE + whole(0) + whole(1 << 40) + TUPLE1 + TUPLE2 + BUILD,
        "what cannot be changed",
    ),
    "more steps than tensors take": (MARK + NONE * 510_000 + TUPLE, "too long"),
    "many long words": (MARK + word("v" * 900_000) * 12 + TUPLE, "too long"),
    "a step that torch does not know": (NONE + b"0", "more than tensors"),
    "nothing to take from": (APPEND, "more than there is"),
    "no mark": (TUPLE, "damaged"),
    "a memo that was never written": (get(7), "damaged"),
    "no end": (NONE * 3, "damaged"),
}


@pytest.mark.parametrize("older", [False, True], ids=["archive", "older format"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_pickle_that_holds_more_than_tensors(tmp_path: Path, kind: str, older: bool) -> None:
    steps, said = HOSTILE[kind]
    model = tiny.write_pickled(tiny.write_hf(tmp_path / "model", "llama", tokenizer=False))
    file = model / "pytorch_model.bin"
    content = HEAD + steps + (b"" if kind == "no end" else STOP)
    if older:
        torch.save({}, file, _use_new_zipfile_serialization=False)
        first = file.read_bytes()
        # after a number, a version and the machine's sizes
        file.write_bytes(first[: [at for at in range(len(first)) if first.startswith(HEAD, at)][3]] + content)
    else:
        _replace_pickle(file, content)
    # a cut pickle is said to be damaged by both; the rest has its reason
    message = refusal(model)
    assert said in message or (said == "damaged" and "cannot be read" in message)
    assert "pytorch_model.bin" in message


def _replace_pickle(file: Path, content: bytes) -> None:
    import zipfile

    with zipfile.ZipFile(file) as archive:
        parts = {one.filename: archive.read(one) for one in archive.infolist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content if name.endswith("data.pkl") else part)


def _sound() -> dict[str, Any]:
    layer = torch.nn.Linear(3, 4)
    shared = torch.arange(6.0).reshape(2, 3)
    return {
        "state_dict": layer.state_dict(),
        "parameters": dict(layer.named_parameters()),
        "one tensor twice": {"a": shared, "b": shared, "c": shared.T},
        "types": {name: torch.ones(3, dtype=getattr(torch, name)) for name in ("bfloat16", "float16", "int8", "bool")},
        "types that the older format lacks": {
            name: torch.ones(3, dtype=getattr(torch, name)) for name in ("float8_e4m3fn", "uint16")
        },
        "beside other things": {
            "tensor": shared,
            "size": torch.Size([2, 3]),
            "set": {1, 2},
            "plain": [None, True, 2.5, 2**70, (1, 2, 3, 4), {"x": ()}, OrderedDict(a=1)],
            "training": torch.optim.Adam(layer.parameters()).state_dict(),
        },
    }


@pytest.mark.parametrize(
    ("kind", "older"),
    [(kind, older) for kind in _sound() for older in (False, True) if not (older and "lacks" in kind)],
)
def test_plain_tensors_are_read(tmp_path: Path, kind: str, older: bool) -> None:
    torch.manual_seed(0)
    content, file = _sound()[kind], tmp_path / "pytorch_model.bin"
    torch.save(content, file, _use_new_zipfile_serialization=not older)
    found = all_pickled((file,), "x")
    wanted = {name: one for name, one in content.items() if isinstance(one, torch.Tensor)}
    assert found.keys() == wanted.keys() and len(wanted) > 0
    assert all(torch.equal(found[name].float(), one.float()) for name, one in wanted.items())


def test_as_many_tensors_as_the_largest_models_have_in_a_file() -> None:
    """Ten thousand take less than the bounds."""
    written = io.BytesIO()
    number = torch.ones(1)
    torch.save({f"model.layers.{at}.mlp.experts.{at}.down_proj.weight": number[:] for at in range(10_000)}, written)
    written.seek(0)
    content = torch._C.PyTorchFileReader(written).get_record("data.pkl")
    assert len(content) < LONGEST
    check_plain(io.BytesIO(content))
