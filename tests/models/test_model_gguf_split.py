"""GGUF models that were split into several files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import tiny_gguf
from tests.models.gguf_converter import Tensors, converted
from vsa_checks.errors import ModelError
from vsa_checks.models import describe, load
from vsa_checks.models.gguf_header import read_header

pytestmark = pytest.mark.slow


def parts_of(folder: Path, seed: int = 0, count: int = 3, **changes: Any) -> tuple[Path, list[Path], Tensors]:
    """A model as one file and as parts."""
    folder.mkdir(exist_ok=True)
    module = tiny_gguf.gguf_module("llama", seed)
    whole = tiny_gguf.write_gguf(folder / "whole.gguf", "llama", module=module)
    header = read_header(whole)
    fields = {key: value for key, value in header.fields.items() if key != "general.architecture"}
    fields |= {key: header.array(key) for key in header._arrays} | changes
    tensors = converted(tiny_gguf.saved(module), module.config)
    return whole, tiny_gguf.split_gguf(folder / "model.gguf", tensors, fields, "llama", count), tensors


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_any_part_gives_the_whole_model(tmp_path: Path) -> None:
    whole, parts, tensors = parts_of(tmp_path)
    assert sum(len(read_header(part).tensors) for part in parts) == len(tensors)
    expected = load(whole)
    hashes = set()
    for part in parts:
        model = load(part)
        assert set(model) == set(expected)
        for name in expected:
            np.testing.assert_array_equal(model.array(name), expected.array(name))
        assert model.token_name(5) == expected.token_name(5)
        assert model.tokenizer.encode("a b c") == expected.tokenizer.encode("a b c")
        hashes.add(model.info.sha256)
    assert len(hashes) == 1


def test_every_part_counts_for_the_sha256(tmp_path: Path) -> None:
    _, parts, _ = parts_of(tmp_path)
    before = describe(parts[0]).sha256
    content = bytearray(parts[2].read_bytes())
    content[-1] ^= 1
    parts[2].write_bytes(content)
    assert describe(parts[0]).sha256 != before


def test_links_into_a_store_of_other_names_are_followed_by_their_own(tmp_path: Path) -> None:
    _, parts, _ = parts_of(tmp_path)
    expected, links = load(parts[0], "raw"), tmp_path / "snapshots" / "commit"
    links.mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    for number, part in enumerate(parts):
        blob = tmp_path / "blobs" / f"blob{number}"
        shutil.move(part, blob)
        os.symlink(blob, links / part.name)
    model = load(links / parts[1].name, "raw")
    for name in expected:
        np.testing.assert_array_equal(model.array(name), np.asarray(expected[name]))


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_part_is_named(tmp_path: Path, missing: int) -> None:
    _, parts, _ = parts_of(tmp_path)
    parts[missing].unlink()
    message = refusal(parts[2])
    assert parts[missing].name in message and "one of 3 files" in message


def test_parts_under_other_names_are_asked_for_by_the_names_they_need(tmp_path: Path) -> None:
    _, parts, _ = parts_of(tmp_path)
    message = refusal(parts[0].rename(tmp_path / "renamed.gguf"))
    assert "-00001-of-00003.gguf" in message and "one of 3 files" in message


def test_a_file_that_is_no_part_is_itself_whatever_its_name(tmp_path: Path) -> None:
    whole, parts, _ = parts_of(tmp_path)
    other = tiny_gguf.write_gguf(tmp_path / "other.gguf", "llama", seed=1)
    expected = load(other, "raw")
    found = load(other.rename(parts[1]), "raw")
    np.testing.assert_array_equal(found.array("embed.W_E"), expected.array("embed.W_E"))
    # And a part beside one that is none is not taken for it.
    parts[0].write_bytes(whole.read_bytes())
    assert "says that there are 1 parts, not 3" in refusal(parts[2])


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    _, parts, tensors = parts_of(tmp_path / "a")
    sound = [part.read_bytes() for part in parts]

    def refused_with(number: int, architecture: str | None, fields: dict[str, Any], names: list[str]) -> str:
        for part, content in zip(parts, sound, strict=True):
            part.write_bytes(content)
        tiny_gguf.write_file(parts[number], architecture, fields, {name: tensors[name] for name in names})
        return refusal(parts[0])

    third = list(tensors)[2::3]
    split = {"split.no": 2, "split.count": 3, "split.tensors.count": len(tensors)}
    assert "says that there are 2 parts, not 3" in refused_with(2, None, split | {"split.count": 2}, third)
    assert "says that it is part 2, not 3" in refused_with(2, None, split | {"split.no": 1}, third)
    assert "general.architecture as 'qwen2'" in refused_with(2, "qwen2", split, third)
    assert "as an earlier part does" in refused_with(2, None, split, [*third, next(iter(tensors))])
    assert f"hold {len(tensors)} tensors, and they hold" in refused_with(2, None, split, third[:-1])
    assert "split.tensors.count" in refused_with(2, None, split | {"split.tensors.count": 5}, third)
    assert "split.count in its header must be one whole number" in refused_with(
        0, "llama", {"split.count": "three"}, third
    )
