"""Folders as people have them are read: hub snapshots of all forms, and files beside the model that are not its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.models import tiny
from vsa_checks.errors import ModelError
from vsa_checks.models import describe
from vsa_checks.models.files import check_folder, read_config, refuse_link_out


def snapshot(home: Path, *below: str) -> Path:
    """A snapshot of the hub's cache, or a folder in it, whose file is a link into the blobs."""
    blob = home / "blobs" / "0f"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"x")
    folder = home.joinpath("snapshots", "1" * 40, *below)
    folder.mkdir(parents=True)
    (folder / "part.gguf").symlink_to(os.path.relpath(blob, folder))
    return folder


def refused(file: Path) -> str:
    """What is said of a file in its folder; nothing if it may be read."""
    try:
        refuse_link_out(file, file.parent, "o/n")
    except ModelError as problem:
        return str(problem)
    return ""


@pytest.mark.parametrize("below", [(), ("Q4_K_M",)])
def test_a_file_of_a_snapshot_or_of_a_folder_in_it(tmp_path: Path, below: tuple[str, ...]) -> None:
    assert refused(snapshot(tmp_path / "models--o--n", *below) / "part.gguf") == ""


def test_blobs_that_were_moved_to_another_disk(tmp_path: Path) -> None:
    home = tmp_path / "models--o--n"
    folder = snapshot(home)
    (home / "blobs").rename(tmp_path / "large")
    (home / "blobs").symlink_to(tmp_path / "large")
    assert refused(folder / "part.gguf") == ""


def test_a_link_that_leaves_a_snapshot_is_refused(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "models--o--n")
    (tmp_path / "other").write_bytes(b"x")
    (folder / "other.gguf").symlink_to(tmp_path / "other")
    assert "other.gguf" in refused(folder / "other.gguf") and "is a link to" in refused(folder / "other.gguf")


def test_a_set_of_data_beside_the_model_may_be_long(tmp_path: Path) -> None:
    folder = tiny.write_hf(tmp_path, "llama")
    for name in ("train.json", "tokenizer_extra.json"):
        with (folder / name).open("wb") as file:
            file.truncate(400_000_000)
        if name == "train.json":
            check_folder(folder, "a model")
        else:
            with pytest.raises(ModelError, match="400,000,000 bytes"):
                check_folder(folder, "a model")


@pytest.mark.parametrize(("line", "right"), [('"vocab_size": 5, "vocab_size": 5', True), ('"a": 1, "a": 2', False)])
def test_a_key_given_twice(tmp_path: Path, line: str, right: bool) -> None:
    (tmp_path / "config.json").write_text("{" + line + "}")
    if right:
        assert read_config(tmp_path, "a model") == {"vocab_size": 5}
    else:
        with pytest.raises(ModelError, match="twice, with different values"):
            read_config(tmp_path, "a model")


def test_weights_that_are_said_not_to_be_packed(tmp_path: Path) -> None:
    folder = tiny.write_hf(tmp_path, "llama", quantization_config=None)
    config = (folder / "config.json").read_text().rstrip().removesuffix("}")
    (folder / "config.json").write_text(config + ', "quantization_config": null}')
    assert describe(str(folder)).architecture == "llama"
