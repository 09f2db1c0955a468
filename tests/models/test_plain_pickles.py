"""Tensors of .bin files are those that torch reads; files made to keep torch busy, or to lead it astray, do neither."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.containers import archived
from tests.models import tiny
from vsa_checks.errors import ModelError
from vsa_checks.models import describe, load
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


DOUBLED = EMPTY_TUPLE + put(0) + b"".join(get(at) + TUPLE2 + put(at + 1) for at in range(60))
"""A tuple of two tuples of two tuples ..., 60 times over."""
DEEP = EMPTY_TUPLE + TUPLE1 * 300_000
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


@pytest.mark.parametrize("kind", WRITERS)
def test_the_builders_of_these_tests_write_what_torch_reads(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "pytorch_model.bin"
    WRITERS[kind](path, named_a(tensor(stored(word("0"), value(2), *([NONE] if kind == "older format" else [])))))
    for found in (torch.load(path, weights_only=True), read(path)):
        assert found["a"].tolist() == [1.0, 2.0]


PASSED_OVER = {
    "doubled tuples as a key": under(DOUBLED, NONE),
    "deep tuples as a key": under(DEEP, NONE),
    "keys that are all alike to a dictionary": EMPTY_DICT
    + b"".join(value(at * (2**61 - 1)) + NONE + SETITEM for at in range(20_000)),
    "room for gigabytes": named_a(call("builtins.bytearray", value(1 << 33))),
    "a set of doubled tuples": named_a(call("builtins.set", EMPTY_LIST + DOUBLED + APPEND)),
    "a size of what is no tuple": named_a(call("torch.Size", tensor(stored(), value(0), value((2,)), value((0,))))),
    "a tensor as a key": under(tensor(stored()), NONE),
    "a list in itself": named_a(EMPTY_LIST + put(0) + get(0) + APPEND),
    "attributes that hide methods": ORDERED + under(word("items"), NONE) + BUILD,
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", PASSED_OVER)
def test_what_no_tensor_needs_is_passed_over(tmp_path: Path, kind: str, writer: str) -> None:
    path = tmp_path / "pytorch_model.bin"
    WRITERS[writer](path, named_a(tensor(stored())) + word("rest") + PASSED_OVER[kind] + SETITEM)
    found = read(path)
    assert {name: one.tolist() for name, one in found.items()} == {"a": [1.0, 2.0]}


SIZES = value((1 << 40,)), value((1,))
REFUSED = {
    "a long name": (named("torch." + "x" * 5000), "a name that is too long"),
    "a long module": (b"c" + b"y" * 5_000_000, "a name that is too long"),
    "a long word": (word("z" * 2_000_000), "a word that is too long"),
    "a word of gigabytes": (b"X\xff\xff\xff\xff", "a word that is too long"),
    "many long words": (MARK + word("v" * 900_000) * 12 + TUPLE, "the list of its tensors is too long"),
    "more steps than tensors take": (MARK + NONE * 810_000 + TUPLE, "the list of its tensors is too long"),
    "a function of the system": (call("os.system", word("true")), "it asks for os.system"),
    "a function of torch": (call("torch.load", word("x")), "it calls torch.load"),
    "a storage of gigabytes": (call("torch.FloatStorage", value(1 << 33)), "it calls torch.FloatStorage"),
    "an ordered dictionary of one long list many times": (
        MARK
        + named("collections.OrderedDict")
        + put(0)
        + tuple_of(EMPTY_LIST + MARK + (NONE + NONE + TUPLE2) * 60_000 + b"e")
        + put(1)
        + REDUCE
        + (get(0) + get(1) + REDUCE) * 400
        + TUPLE,
        "the list of its tensors is too long",
    ),
    "a tensor of many arguments many times": (
        named("torch._utils._rebuild_tensor_v2") + tuple_of(stored(), NONE * 300_000) + REDUCE,
        "from other things",
    ),
    "names and nothing else": (named("torch.a") * 50_000, "the list of its tensors is too long"),
    "no numbers along axes beyond number": (
        named_a(tensor(stored(), value(0), value((0, 1 << 39, 1 << 39)), value((1, 1, 1)))),
        "has fewer numbers",
    ),
    "a name in another alphabet": (named("torch.ＦloatStorage"), "cannot be read"),
    "a word that is called": (word("w" * 900_000) + EMPTY_TUPLE + REDUCE, "it calls what is no function"),
    "a tensor without a name": (under(DOUBLED, tensor(stored())), "no name of its own"),
    "two tensors of one name": (named_a(tensor(stored())) + word("a") + tensor(stored()) + SETITEM, "no name of its"),
    "storage of a list": (EMPTY_LIST + STORED, "no storage"),
    "storage under a number": (stored(value(7)), "no storage"),
    "storage under doubled tuples": (stored(DOUBLED), "no storage"),
    "storage of less than nothing": (stored(word("0"), value(-1)), "no storage"),
    "storage of as many as a tensor says": (stored(word("0"), tensor(stored())), "no storage"),
    "a view of a storage": (stored(word("0"), value(2), value(("1", 0, 2))), "no storage"),
    "a tensor of a word": (tensor(word("0")), "from other things"),
    "a tensor of attributes": (tensor(ORDERED + under(word("dtype"), NONE) + BUILD), "from other things"),
    "a parameter of nothing": (call("torch._utils._rebuild_parameter", NONE, FALSE, ORDERED), "what is no tensor"),
    "a negative stride": (tensor(stored(), value(1), value((2,)), value((-1,))), "axes of no known length"),
    "a size of truth": (tensor(stored(), value(0), value((True,))), "axes of no known length"),
    "many axes": (tensor(stored(), value(0), value((1,) * 300), value((1,) * 300)), "from other things"),
    "a tensor made anew": (
        tensor(stored()) + tuple_of(NONE, value(0), *SIZES) + BUILD,
        "changes what is no container",
    ),
    "more numbers than there are": (named_a(tensor(stored(), value(0), value((3,)))), "has fewer numbers"),
    "numbers behind the end": (named_a(tensor(stored(), value(1))), "has fewer numbers"),
    "a stride behind the end": (named_a(tensor(stored(), value(0), value((2,)), value((2,)))), "has fewer numbers"),
    "one number a billion times": (
        named_a(tensor(stored(), value(0), value((1 << 30,)), value((0,)))),
        "has fewer numbers",
    ),
    "terabytes": (named_a(tensor(stored(), value(0), *SIZES)), "has fewer numbers"),
    "more storage than there is": (named_a(tensor(stored(word("0"), value(1 << 40)), value(0))), "other numbers"),
    "numbers of no known kind": (
        named_a(tensor(stored().replace(b"FloatStorage", b"Tensor"), value(0))),
        "numbers of the kind Tensor",
    ),
    "a step that torch does not know": (NONE + b"0", "more than tensors"),
    "nothing to take from": (APPEND, "more than there is"),
    "no mark": (TUPLE, "cannot be read"),
    "a memo that was never written": (get(7), "cannot be read"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", REFUSED)
def test_more_than_tensors_is_refused(tmp_path: Path, kind: str, writer: str) -> None:
    steps, said = REFUSED[kind]
    WRITERS[writer](tmp_path / "pytorch_model.bin", steps)
    message = refusal(tmp_path / "pytorch_model.bin")
    assert said in message and "pytorch_model.bin" in message and len(message) < 1000


def test_a_list_of_tensors_has_no_names(tmp_path: Path) -> None:
    archive(tmp_path / "pytorch_model.bin", EMPTY_LIST + tensor(stored()) + APPEND)
    assert "holds a list where named tensors are needed" in refusal(tmp_path / "pytorch_model.bin")


def test_an_archive_with_two_lists_of_its_files(tmp_path: Path) -> None:
    """zipfile takes the list just before the end, other readers the one that the end names."""
    path = tmp_path / "pytorch_model.bin"
    archive(path, named_a(tensor(stored())))
    content = path.read_bytes()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    path.write_bytes(content[:end] + content[start:])
    assert "is not where its archive says" in refusal(path)


def test_an_archive_whose_files_lie_before_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    archive(path, named_a(tensor(stored())))
    content = bytearray(path.read_bytes())
    end = content.index(b"PK\x05\x06")
    listed = [at + 42 for at in range(len(content)) if content.startswith(b"PK\x01\x02", at)]
    for at in (end + 16, *listed[:-1]):
        struct.pack_into("<I", content, at, struct.unpack_from("<I", content, at)[0] + 1000)
    path.write_bytes(content)
    assert "is not where its archive says" in refusal(path)


def test_two_storages_of_an_archive_that_begin_together(tmp_path: Path) -> None:
    """The list of its files may give the same numbers two names and lengths."""
    path = tmp_path / "pytorch_model.bin"
    both = named_a(tensor(stored(word("1"), value(0)), value(0), value((0,)))) + word("b") + tensor(stored()) + SETITEM
    archive(path, both, **{"data/1": b""})
    content = bytearray(path.read_bytes())
    listed = {}
    for at in (at for at in range(len(content)) if content.startswith(b"PK\x01\x02", at)):
        (length,) = struct.unpack_from("<H", content, at + 28)
        listed[bytes(content[at + 46 : at + 46 + length])] = at + 42
    one, other = (listed[name] for name in (b"archive/data/0", b"archive/data/1"))
    content[other : other + 4] = content[one : one + 4]
    path.write_bytes(content)
    assert {name: found.tolist() for name, found in read(path).items()} == {"a": [], "b": [1.0, 2.0]}


def test_a_file_that_is_cut_after_it_was_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    older(path, named_a(tensor(stored())))
    held = all_held((path,), "x")
    os.truncate(path, path.stat().st_size - 1)
    for call in (lambda: all_tensors(held, "x"), lambda: one_tensor(held["a"], "x")):
        with pytest.raises(ModelError, match="ends before the numbers"):
            call()


def test_an_archive_that_holds_a_file_twice(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    archive(path, named_a(tensor(stored())))
    with zipfile.ZipFile(path, "a") as more, pytest.warns(UserWarning, match="Duplicate name"):
        more.writestr(zipfile.ZipInfo("archive/data/0"), b"12345678")
    assert "does not say clearly what it holds" in refusal(path)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"data/0": NUMBERS[:4]}, "other numbers than a needs"),
        ({"data/0": NUMBERS * 2}, "other numbers than a needs"),
        ({"byteorder": b"big"}, "not little-endian"),
        ({"more/data.pkl": b""}, ""),
    ],
)
def test_an_archive_beside_its_pickle(tmp_path: Path, other: dict[str, bytes], said: str) -> None:
    path = tmp_path / "pytorch_model.bin"
    archive(path, named_a(tensor(stored())), **other)
    if said:
        assert said in refusal(path)
    else:
        assert read(path)["a"].tolist() == [1.0, 2.0]


COUNT = struct.pack("<q", 2)


@pytest.mark.parametrize(
    ("keys", "behind", "said"),
    [
        ((), b"", "other numbers than a needs"),
        (("0", "0"), (COUNT + NUMBERS) * 2, "the list of its numbers is another"),
        (("1",), COUNT + NUMBERS, "the list of its numbers is another"),
        (("0",), struct.pack("<q", 3) + NUMBERS * 2, "it has other numbers than its tensors need"),
        (("0",), COUNT + NUMBERS[:7], "it has other numbers than its tensors need"),
        (("0",), b"1234", "cannot be read"),
    ],
)
def test_numbers_behind_the_pickles_are_those_of_the_tensors(
    tmp_path: Path, keys: tuple[str, ...], behind: bytes, said: str
) -> None:
    older(tmp_path / "pytorch_model.bin", named_a(tensor(stored())), keys, behind)
    assert said in refusal(tmp_path / "pytorch_model.bin")


class Own(torch.Tensor):
    """A class of tensors of one's own."""


def _sound() -> dict[str, Any]:
    layer = torch.nn.Linear(3, 4)
    shared = torch.arange(6.0).reshape(2, 3)
    with_attribute = torch.nn.Parameter(torch.ones(2))
    with_attribute.origin = "here"  # type: ignore[attr-defined]
    types = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    return {
        "state_dict": layer.state_dict(),
        "parameters": dict(layer.named_parameters()) | {"with an attribute": with_attribute},
        "one tensor twice": {"a": shared, "b": shared, "c": shared.T, "d": shared[1:, ::2]},
        "types": {name: torch.arange(3).to(getattr(torch, name)) for name in (*types, "complex64")},
        "empty": {"none": torch.zeros(0), "no row": torch.zeros(0, 5), "number": torch.tensor(2.5)},
        "types that the older format lacks": {
            name: torch.ones(3, dtype=getattr(torch, name)) for name in ("float8_e4m3fn", "uint16")
        },
        "beside other things": {
            "tensor": shared,
            "size": torch.Size([2, 3]),
            "type": torch.float16,
            "set": {1, 2},
            "counted": Counter("abc"),
            "bytes": b"abc",
            "plain": [None, True, 2.5, 2**70, 1j, (1, 2, 3, 4), {"x": ()}, OrderedDict(a=1)],
            "training": torch.optim.Adam(layer.parameters()).state_dict(),
            3: "a number as a key",
            4: shared,
        },
    }


@pytest.mark.parametrize(
    ("kind", "old"), [(kind, old) for kind in _sound() for old in (False, True) if not (old and "lacks" in kind)]
)
def test_plain_tensors_are_those_that_torch_reads(tmp_path: Path, kind: str, old: bool) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save(_sound()[kind], path, _use_new_zipfile_serialization=not old)
    assert_as_torch_reads(path)


def assert_as_torch_reads(path: Path) -> None:
    found = read(path)
    loaded = torch.load(path, weights_only=True).items()
    wanted = {str(name): one for name, one in loaded if isinstance(one, torch.Tensor)}
    assert found.keys() == wanted.keys() and len(wanted) > 0
    for name, one in wanted.items():
        mine = found[name]
        assert same(mine, one.detach()), name
        assert mine.stride() == one.stride() or not one.numel(), name


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    size=st.lists(st.integers(0, 4), max_size=4),
    order=st.randoms(use_true_random=False),
    kind=st.sampled_from(["float32", "float64", "bfloat16", "int8"]),
    old=st.booleans(),
)
def test_any_view_of_any_numbers(
    tmp_path_factory: pytest.TempPathFactory, size: list[int], order: Any, kind: str, old: bool
) -> None:
    whole = torch.arange(1000).to(getattr(torch, kind))
    axes = order.sample(range(len(size)), len(size))
    part = whole[order.randrange(300) :][: torch.Size(size).numel()].reshape(size).permute(axes)
    cut = tuple(slice(order.randrange(2), None, order.choice((1, 2))) for _ in size)
    path = tmp_path_factory.mktemp("views") / "pytorch_model.bin"
    torch.save(
        {"part": part[cut], "odd": torch.ones(3, dtype=torch.int8), "whole": whole},
        path,
        _use_new_zipfile_serialization=not old,
    )
    assert_as_torch_reads(path)


def test_as_many_tensors_as_the_largest_models_have_in_a_file(tmp_path: Path) -> None:
    number = torch.ones(1)
    names = [f"model.layers.{at}.mlp.experts.{at}.down_proj.weight" for at in range(8_000)]
    torch.save(dict.fromkeys(names, number[:]), tmp_path / "pytorch_model.bin")
    assert list(read(tmp_path / "pytorch_model.bin")) == names


def test_a_model_with_pickled_weights_is_run_as_with_others(tmp_path: Path) -> None:
    plain = tiny.write_hf(tmp_path / "plain", "gpt2")
    pickled = tiny.write_pickled(Path(shutil.copytree(plain, tmp_path / "pickled")))
    tokens = torch.tensor([[1, 5, 200, 7]])
    one, other = (load(folder, "processed").run_with_cache(tokens)[0] for folder in (plain, pickled))
    assert torch.equal(one, other)


def test_a_model_with_pickled_weights_is_described_by_them(tmp_path: Path) -> None:
    folder = tiny.write_pickled(tiny.write_hf(tmp_path, "llama", dtype=torch.float16))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    assert describe(folder).dtype == "float16"
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 400}))
    with pytest.raises(ModelError, match=r"has the shape \(300, 24\), its configuration asks for 400 tokens"):
        describe(folder)
