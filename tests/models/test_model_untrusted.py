"""Folders and files made to mislead: one paragraph, quickly, and before anything is built or hashed."""

from __future__ import annotations

import json
import os
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models import tiny, tiny_gguf
from vsa_checks.errors import ModelError
from vsa_checks.models import checksums, describe, load
from vsa_checks.models.checksums import content_sha256

UP = "model.layers.0.mlp.up_proj.weight"
INDEX = "model.safetensors.index.json"
DEEP = '{"a":' * 5000 + "1" + "}" * 5000


def refusal(path: Any, call: Any = load) -> str:
    with pytest.raises(ModelError) as caught:
        call(path)
    message = str(caught.value)
    assert message.isprintable()
    return message


@pytest.fixture
def unhashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing any file is an error."""

    def refuse(*_: object) -> str:
        raise AssertionError("a file was hashed before its header was understood")

    monkeypatch.setattr(checksums, "_sha256", refuse)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return tiny.write_hf(tmp_path / "model", "llama")


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return tiny.write_hf(tmp_path / "model", "llama", tokenizer=False, max_shard_size="20KB")


def config(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def index(directory: Path, name: str) -> None:
    path = directory / INDEX
    content = json.loads(path.read_text())
    content["weight_map"]["other"] = name
    path.write_text(json.dumps(content))


def header(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the header of a safetensors file and leaves its data as they are."""
    path = directory / "model.safetensors"
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    table = json.loads(content[8 : 8 + length])
    change(table)
    written = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(written)) + written + content[8 + length :])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rms_norm_eps": float("nan")}, "nan for 'rms_norm_eps'"),
        ({"rms_norm_eps": -1.0}, "at least 0"),
        ({"rope_parameters": {"rope_theta": 0, "rope_type": "default"}}, "0 for 'rope_parameters.rope_theta'"),
        ({"rope_parameters": {"rope_theta": float("inf"), "rope_type": "default"}}, "a finite number above 0"),
        ({"num_hidden_layers": 10_000}, "10,000 layers (num_hidden_layers)"),
        ({"num_hidden_layers": 1 << 62}, "up to 10,000"),
        ({"encoder_layers": 10**9}, "encoder_layers"),
        ({"num_labels": 10**7}, "up to 100,000"),
        ({"max_position_embeddings": 1 << 40}, "max_position_embeddings"),
        ({"transformers_weights": "other.safetensors"}, "names other files as its weights"),
    ],
)
@pytest.mark.usefixtures("unhashed")
def test_what_a_configuration_claims_is_looked_at_first(llama: Path, changes: dict[str, Any], said: str) -> None:
    config(llama, **changes)
    assert said in refusal(llama)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "added_tokens.json"])
@pytest.mark.usefixtures("unhashed")
def test_pipes_and_devices_are_not_opened(llama: Path, file: str) -> None:
    (llama / file).unlink(missing_ok=True)
    os.mkfifo(llama / file)
    assert "is a pipe" in refusal(llama)
    (llama / file).unlink()
    (llama / file).symlink_to("/dev/zero")
    assert "outside of that folder" in refusal(llama)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"])
@pytest.mark.usefixtures("unhashed")
def test_files_with_holes_are_not_read(llama: Path, file: str) -> None:
    os.truncate(llama / file, 10**11)
    assert "100000000000" in refusal(llama).replace(",", "") or file == "model.safetensors"


@pytest.mark.usefixtures("unhashed")
def test_an_old_pickle_with_a_hole_is_not_hashed(llama: Path) -> None:
    tiny.write_pickled(llama)
    os.truncate(llama / "pytorch_model.bin", 10**11)
    assert "pytorch_model.bin" in refusal(llama)


@pytest.mark.parametrize("name", ["../other/model.safetensors", "/etc/hostname", "", ".", "a/../../b", "a//b"])
@pytest.mark.usefixtures("unhashed")
def test_an_index_leads_nowhere_else(shards: Path, name: str) -> None:
    index(shards, name)
    assert "only files in the folder" in refusal(shards)


@pytest.mark.parametrize("content", ["[]", '{"weight_map": null}', '{"weight_map": {"a": 1}}', "{}", DEEP])
def test_an_index_of_other_types(shards: Path, content: str) -> None:
    (shards / INDEX).write_text(content)
    assert INDEX in refusal(shards, describe)


def test_links_out_of_the_folder_are_refused_but_for_the_hubs_own(tmp_path: Path, shards: Path) -> None:
    part = sorted(shards.glob("*.safetensors"))[0]
    snapshot, blobs = tmp_path / "store" / "snapshots" / "commit", tmp_path / "store" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(shards.iterdir())):
        (blobs / str(number)).write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    assert describe(snapshot).sha256 == describe(shards).sha256
    moved = tmp_path / part.name
    part.rename(moved)
    part.symlink_to(moved)
    assert f"{part.name} in {shards} is a link to {moved}" in refusal(shards)


def test_a_part_in_a_folder_below_counts_in_the_checksum(shards: Path) -> None:
    part = sorted(shards.glob("*.safetensors"))[0]
    text = (shards / INDEX).read_text()
    (shards / "below").mkdir()
    (shards / INDEX).write_text(text.replace(part.name, f"below/{part.name}"))
    part.rename(shards / "below" / part.name)
    before = content_sha256(shards)
    content = bytearray((shards / "below" / part.name).read_bytes())
    content[-1] ^= 1
    (shards / "below" / part.name).write_bytes(content)
    assert content_sha256(shards) != before


def test_a_tensor_in_two_parts(shards: Path) -> None:
    from safetensors.torch import load_file, save_file

    first, second = sorted(shards.glob("*.safetensors"))[:2]
    name, tensor = next(iter(load_file(first).items()))
    save_file(load_file(second) | {name: tensor + 1}, second, metadata={"format": "pt"})
    assert f"holds {name}, as {first.name} does" in refusal(shards, describe)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("dtype", [], "dtype"),
        ("dtype", "F64", "bytes for the shape (40, 24) of F64"),
        ("shape", ["40", "24"], "shape"),
        ("shape", [40.0, 24.0], "shape"),
        ("shape", [1 << 62, 1 << 62], "bytes for the shape"),
        ("shape", [True, 960], "shape"),
        ("data_offsets", [0, 3840], "is the next"),
        ("data_offsets", [0], "data_offsets"),
        ("data_offsets", ["0", "1"], "data_offsets"),
        ("data_offsets", [-10, 10], "data_offsets"),
    ],
)
@pytest.mark.usefixtures("unhashed")
def test_a_safetensors_header_that_lies(llama: Path, key: str, value: Any, said: str) -> None:
    header(llama, lambda table: table[UP].__setitem__(key, value))
    message = refusal(llama, describe)
    assert "not a valid safetensors file" in message and said in message


@pytest.mark.parametrize("name", ["weight_scale", "weight_scale_inv", "qweight", "input_scale"])
def test_weights_with_scales_beside_them(llama: Path, name: str) -> None:
    tiny.edit_weights(llama, **{f"model__layers__0__mlp__up_proj__{name}": torch.ones(40, 1)})
    message = refusal(llama)
    assert name in message and "packed" in message


def test_other_tensors_are_noted(llama: Path) -> None:
    tiny.edit_weights(llama, model__layers__0__mlp__expert_a__weight=torch.ones(4, 4))
    assert "model.layers.0.mlp.expert_a.weight" in load(llama).info.notes


def test_an_adapter_is_refused(llama: Path) -> None:
    (llama / "adapter_config.json").write_text("{}")
    assert "holds an adapter" in refusal(llama, describe)


def test_an_encoder_alone_and_a_decoder_that_is_read_as_encoder(tmp_path: Path) -> None:
    pair = tiny.write_hf(tmp_path / "pair", "t5", tokenizer=False)
    from safetensors.torch import load_file, save_file

    tensors = load_file(pair / "model.safetensors")
    kept = {name: one for name, one in tensors.items() if "decoder" not in name and "lm_head" not in name}
    save_file(kept, pair / "model.safetensors", metadata={"format": "pt"})
    assert "an encoder alone" in refusal(pair)
    bert = tiny.write_hf(tmp_path / "bert", "bert", tokenizer=False)
    config(bert, is_decoder=True)
    assert "is_decoder" in refusal(bert, describe)


@pytest.mark.parametrize("token", [10**9, 1 << 62, 1 << 70, -1, -(10**6), 1.5, "5", None, True])
@pytest.mark.parametrize("place", ["vocab", "added"])
def test_an_id_that_no_token_has(llama: Path, token: Any, place: str) -> None:
    path = llama / "tokenizer.json"
    content = json.loads(path.read_text())
    if place == "vocab":
        content["model"]["vocab"]["zzz"] = token
    else:
        content["added_tokens"].append({"content": "zzz", "id": token})
    path.write_text(json.dumps(content))
    info = describe(llama)
    assert not info.text
    assert "tokenizer.json" in info.text_reason and repr(token) in info.text_reason
    assert load(llama, "raw").token_name(5) == "5"


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_that_cannot_be_read_is_said(llama: Path, file: str) -> None:
    (llama / file).write_text(DEEP)
    assert file in describe(llama).text_reason


def test_a_pickle_that_claims_more_numbers_than_it_has(llama: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(llama / "model.safetensors")
    tiny.write_pickled(llama, tensors | {UP: torch.ones(1).expand(40, 24)})
    assert "has fewer numbers" in refusal(llama)


def test_a_text_of_gigabytes_in_an_old_pickle_takes_no_memory(llama: Path) -> None:
    tiny.write_pickled(llama)
    file = llama / "pytorch_model.bin"
    torch.save(torch.load(file, weights_only=True), file, _use_new_zipfile_serialization=False)
    load(llama)
    content = file.read_bytes()
    at = content.index(b"X", content.index(b"protocol_version") + 30)
    file.write_bytes(content[: at + 1] + struct.pack("<I", 4_000_000_000) + content[at + 5 :])
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 1_000_000_000, before[1]))
    try:
        assert "MemoryError" not in refusal(llama)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_an_archive_for_a_later_reader_is_refused(llama: Path) -> None:
    file = tiny.write_pickled(llama) / "pytorch_model.bin"
    content = bytearray(file.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 128
    file.write_bytes(content)
    assert "zip file version 12.8" in refusal(llama)


def test_a_tensor_of_no_numbers_with_an_axis_beyond_number(llama: Path) -> None:
    empty = {"dtype": "F32", "shape": [0, 1 << 62], "data_offsets": [0, 0]}
    header(llama, lambda table: table.update(empty=empty))
    assert "empty claims the shape (0, 4611686018427387904)" in refusal(llama)


def test_a_refused_pickle_gives_no_advice_to_run_it(llama: Path) -> None:
    class Command:
        def __reduce__(self) -> Any:
            return os.getcwd, ()

    message = refusal(tiny.write_pickled(llama, {UP: Command()}))
    assert "weights_only" not in message and "asks to run code" in message


@pytest.mark.parametrize(
    "given", [None, 3, b"gpt2", ["gpt2"], "/" + "x" * 5000, "~nosuchuser/x", "/dev/zero", "./a\0b"]
)
def test_what_is_no_name_and_no_path(given: Any) -> None:
    for call in (describe, load):
        assert refusal(given, call)


@pytest.mark.usefixtures("unhashed")
def test_a_gguf_file_longer_than_its_header_says(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama")
    for size in (path.stat().st_size + 1000, 10**11):
        os.truncate(path, size)
        assert f"the file has {size}" in refusal(path, describe)


@pytest.mark.parametrize(("kind", "count"), [(8, 1 << 62), (8, 3 * 10**8), (0, 1 << 62), (8, 1 << 40)])
@pytest.mark.usefixtures("unhashed")
def test_arrays_beyond_the_header(tmp_path: Path, kind: int, count: int) -> None:
    path = tmp_path / "model.gguf"
    start = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, kind, count)
    path.write_bytes(start)
    os.truncate(path, 3 * 10**9)
    assert f"an array of {count:,} items" in refusal(path, describe)


def test_tokens_of_a_gguf_file_that_are_no_texts(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", fields={"tokenizer.ggml.tokens": [*range(300)]})
    assert "no list of texts" in describe(path).text_reason
    assert load(path, "raw").token_name(7) == "7"


def test_tensors_that_a_gguf_file_holds_in_vain_are_described(tmp_path: Path) -> None:
    import numpy as np

    add = {"blk.0.nonsense.weight": np.ones((4, 32), np.float32)}
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", add=add)
    assert "blk.0.nonsense.weight" in describe(path).notes


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("model.norm.weight", (1,)),
        ("model.norm.weight", (1, 24)),
        ("model.layers.0.input_layernorm.weight", (1,)),
        ("model.layers.1.post_attention_layernorm.weight", (12,)),
    ],
)
def test_a_norm_of_another_width(llama: Path, name: str, shape: tuple[int, ...]) -> None:
    tiny.edit_weights(llama, **{name.replace(".", "__"): torch.ones(shape)})
    assert f"{name} in {llama} has the shape {shape}" in refusal(llama)


@pytest.mark.parametrize("name", ["q_proj.lora_A.default.weight", "q_proj.base_layer.weight"])
def test_an_adapter_among_the_weights_is_refused(llama: Path, name: str) -> None:
    tiny.edit_weights(llama, **{f"model__layers__0__self_attn__{name.replace('.', '__')}": torch.ones(24, 24)})
    assert "hold an adapter" in refusal(llama)
