"""Tensors of .bin files are those that torch reads, and of the file's own numbers."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models import tiny
from tests.models.pickles import (
    APPEND,
    EMPTY_LIST,
    NUMBERS,
    SETITEM,
    archive,
    named_a,
    older,
    read,
    refusal,
    same,
    stored,
    tensor,
    value,
    word,
)
from vsa_checks.errors import ModelError
from vsa_checks.models import describe, load
from vsa_checks.models.pickled import all_held, all_tensors, one_tensor


def _sound() -> dict[str, Any]:
    layer = torch.nn.Linear(3, 4)
    shared = torch.arange(6.0).reshape(2, 3)
    marked = {"tensor": torch.arange(2.0), "parameter": torch.nn.Parameter(torch.ones(2))}
    for one in marked.values():
        one.origin = "here"  # type: ignore[attr-defined]
    types = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    return {
        "state_dict": layer.state_dict(),
        "parameters": dict(layer.named_parameters()),
        "with attributes": marked,
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
    views = [number[:] for _ in names]  # not one object, which would be written once
    torch.save(dict(zip(names, views, strict=True)), tmp_path / "pytorch_model.bin")
    assert list(read(tmp_path / "pytorch_model.bin")) == names


def test_a_model_with_pickled_weights_is_run_as_with_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any library's reader of pickles."""
    plain = tiny.write_hf(tmp_path / "plain", "gpt2")
    pickled = tiny.write_pickled(Path(shutil.copytree(plain, tmp_path / "pickled")))
    tokens = torch.tensor([[1, 5, 200, 7]])
    for module, reader in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, reader, None)
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


# --- damaged files ----------------------------------------------------------------------------------------------------


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
