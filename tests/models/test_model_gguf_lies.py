"""GGUF files that are damaged, or whose header says something else than their tensors: one paragraph each."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from tests.models import tiny, tiny_gguf
from tests.models.gguf_converter import converted
from vsa_checks.errors import ModelError
from vsa_checks.models import describe, load
from vsa_checks.models.gguf_header import read_header

pytestmark = pytest.mark.slow

# d_model 64, 4 heads of 16, 2 key-value heads, 96 neurons, 2 layers, 300 tokens.
LIES: dict[str, tuple[dict[str, Any], str]] = {
    "more heads": ({"llama.attention.head_count": 8}, "attention.head_count_kv as 2, but blk.0.attn_k.weight has 32"),
    "fewer heads": ({"llama.attention.head_count": 2}, "attn_k.weight has 32 rows for heads of 32"),
    "heads that do not divide": ({"llama.attention.head_count": 3}, "there are 3 heads"),
    "no heads": ({"llama.attention.head_count": 0}, "attention.head_count in its header must be"),
    "heads beyond number": ({"llama.attention.head_count": 1 << 31}, "would have 0 dimensions"),
    "negative heads": ({"llama.attention.head_count": -4}, "but it is -4"),
    "more key heads": ({"llama.attention.head_count_kv": 4}, "attn_k.weight has 32 rows"),
    "a text for a number": ({"llama.attention.head_count": "four"}, "but it is 'four'"),
    "heads of another width": ({"llama.attention.key_length": 32}, "attn_q.weight has 64 rows for heads of 32"),
    "more rotated than there is": ({"llama.rope.dimension_count": 32}, "of which 32 are rotated"),
    "more layers": ({"llama.block_count": 3}, "all of layer 2, of the 3 that llama.block_count says"),
    "layers beyond number": ({"llama.block_count": 1 << 40}, "1,099,511,627,776"),
    "no layers": ({"llama.block_count": 0}, "llama.block_count in its header must be"),
    "layers in words": ({"llama.block_count": "2"}, "but it is '2'"),
    "other layers in each": ({"llama.feed_forward_length": [96, 64]}, "given per layer"),
    "a wider stream": ({"llama.embedding_length": 128}, "token_embd.weight has the shape (300, 64)"),
    "a stream without width": ({"llama.embedding_length": None}, "llama.embedding_length in its header must be"),
    "more neurons": ({"llama.feed_forward_length": 128}, "has the shape (96, 64)"),
    "more tokens": ({"llama.vocab_size": 301}, "token_embd.weight has 300 rows"),
    "an epsilon in words": ({"llama.attention.layer_norm_rms_epsilon": "tiny"}, "one finite number"),
    "an epsilon that is none": ({"llama.attention.layer_norm_rms_epsilon": float("nan")}, "one finite number"),
    "an epsilon below zero": ({"llama.attention.layer_norm_rms_epsilon": -1.0}, "one finite number of at least 0"),
    "experts that are not there": ({"llama.expert_count": 4}, "missing from its weights"),
    "experts in words": ({"llama.expert_count": "four"}, "but it is 'four'"),
    "no alignment": ({"general.alignment": 0}, "power of two"),
    "an odd alignment": ({"general.alignment": 24}, "power of two"),
    "an alignment in words": ({"general.alignment": "32"}, "power of two"),
}


def refusal(path: Path, call: Any = load) -> str:
    with pytest.raises(ModelError) as caught:
        call(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("case", LIES)
def test_a_header_that_says_something_else_is_refused(tmp_path: Path, case: str) -> None:
    fields, words = LIES[case]
    module = tiny_gguf.gguf_module("llama")
    tensors = converted(tiny_gguf.saved(module), module.config)
    stated = {f"llama.{key}": value for key, value in tiny_gguf.gguf_fields(module.config).items()}
    alignment = fields.get("general.alignment")
    path = tiny_gguf.write_file(
        tmp_path / "model.gguf", "llama", stated | ({} if alignment is not None else fields), tensors
    )
    if alignment is not None:
        _put_in_front(path, "general.alignment", alignment)
    assert words in refusal(path)


def _put_in_front(path: Path, key: str, value: int | str) -> None:
    """A field before all others: the gguf package's writer refuses what a file may well hold."""
    content = path.read_bytes()
    name = struct.pack("<Q", len(key)) + key.encode()
    if isinstance(value, str):
        name += struct.pack("<IQ", 8, len(value)) + value.encode()
    else:
        name += struct.pack("<II", 4, value)
    (fields,) = struct.unpack_from("<Q", content, 16)
    path.write_bytes(content[:16] + struct.pack("<Q", fields + 1) + name + content[24:])


def test_fewer_layers_than_there_are_tensors_of_are_noted(tmp_path: Path) -> None:
    model = load(tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", fields={"llama.block_count": 1}), "raw")
    assert model.info.n_layers == 1
    assert "blk.1.attn_k.weight" in model.info.notes and "does not use" in model.info.notes


def test_experts_of_another_number_are_refused(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "mixtral", fields={"llama.expert_count": 4})
    assert "llama.expert_count as 4, but blk.0.ffn_" in refusal(path)
    path = tiny_gguf.write_gguf(tmp_path / "none.gguf", "mixtral", fields={"llama.expert_count": 0})
    assert "llama.expert_count as 0, but blk.0.ffn_" in refusal(path)


def _table(path: Path) -> tuple[bytearray, dict[str, int]]:
    """The bytes of a file, and where the number of axes of each tensor stands."""
    content = bytearray(path.read_bytes())
    places = {}
    for name in read_header(path).tensors:
        key = struct.pack("<Q", len(name)) + name.encode()
        places[name] = content.index(key) + len(key)
    return content, places


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", tokenizer=False)


def test_two_tensors_of_one_name(plain: Path) -> None:
    content, _ = _table(plain)
    plain.write_bytes(content.replace(b"blk.1.attn_q.weight", b"blk.0.attn_q.weight", 1))
    assert "two tensors of the name blk.0.attn_q.weight" in refusal(plain, describe)


def test_two_tensors_on_the_same_bytes(plain: Path) -> None:
    content, places = _table(plain)
    struct.pack_into("<Q", content, places["blk.1.attn_q.weight"] + 4 + 16 + 4, 64)
    plain.write_bytes(content)
    assert "lie on the same bytes" in refusal(plain, describe)


@pytest.mark.parametrize(("axes", "words"), [((1 << 63, 1 << 62), "should end at byte"), ((0, 64), "claims the shape")])
def test_axes_that_no_tensor_has(plain: Path, axes: tuple[int, int], words: str) -> None:
    content, places = _table(plain)
    struct.pack_into("<QQ", content, places["blk.1.attn_q.weight"] + 4, *axes)
    plain.write_bytes(content)
    assert words in refusal(plain, describe)


@pytest.mark.parametrize("rank", [0, 5, 1 << 31])
def test_more_axes_or_fewer_than_a_tensor_has(plain: Path, rank: int) -> None:
    content, places = _table(plain)
    struct.pack_into("<I", content, places["blk.1.attn_q.weight"], rank)
    plain.write_bytes(content)
    assert f"claims {rank} axes" in refusal(plain, describe)


def test_a_type_that_is_not_known(plain: Path) -> None:
    content, places = _table(plain)
    struct.pack_into("<I", content, places["blk.1.attn_q.weight"] + 4 + 16, 999)
    plain.write_bytes(content)
    assert "has type 999" in refusal(plain, describe)


def test_a_field_given_twice(plain: Path) -> None:
    _put_in_front(plain, "llama.block_count", 2)
    assert "gives 'llama.block_count' twice" in refusal(plain, describe)


def test_a_big_endian_file_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama", endianess=gguf.GGUFEndian.BIG)
    writer.add_tensor("token_embd.weight", np.ones((3, 4), dtype=np.float32))
    tiny_gguf.close(writer, path)
    assert "it is big-endian" in refusal(path, describe)


@pytest.mark.parametrize(
    ("place", "patch", "words"),
    [
        (4, b"\x01\x00\x00\x00", ("version 1",)),
        (8, b"\xff" * 8, ("cut short", "nonsense")),
        (16, b"\xff" * 8, ("cut short", "nonsense", "twice")),
        (24, b"\xff" * 8, ("cut short", "nonsense")),
        (24, b"\xff" * 7 + b"\x7f", ("cut short", "nonsense")),
    ],
)
def test_a_damaged_header(plain: Path, place: int, patch: bytes, words: tuple[str, ...]) -> None:
    sound = plain.read_bytes()
    plain.write_bytes(sound[:place] + patch + sound[place + len(patch) :])
    message = refusal(plain, describe)
    assert any(word in message for word in words), message


def test_no_change_of_a_header_gives_anything_but_a_model_or_a_paragraph(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", num_hidden_layers=1)
    sound = path.read_bytes()
    end = min(entry.start for entry in read_header(path).tensors.values())
    generator = np.random.default_rng(0)
    refused = 0
    for trial in range(300):
        content = bytearray(sound)
        for place in generator.integers(4, end, size=1 + trial % 3):
            content[place] = generator.integers(0, 256)
        damaged = tmp_path / f"{trial}.gguf"
        damaged.write_bytes(content)
        try:
            load(damaged, "raw")
        except ModelError as problem:
            assert "\n" not in str(problem)
            refused += 1
        damaged.unlink()
    assert refused > 30


def test_a_header_without_its_fields(tmp_path: Path) -> None:
    path = tiny_gguf.write_file(tmp_path / "model.gguf", "llama", {}, {})
    assert "token_embd.weight" in refusal(path, describe)
    path = tiny_gguf.write_file(tmp_path / "none.gguf", None, {}, {})
    assert "no general.architecture" in refusal(path, describe)


OTHER_VALUES = (0, 1, 2, 3, -1, 1 << 31, 1 << 40, 1.5, "x", True, None, [2, 3])


@pytest.mark.parametrize(
    "name", ["llama", "gemma3_text", "mixtral", "phi3", "glm4_moe", "jamba", "lfm2", "t5#gated", "falcon"]
)
def test_no_number_in_a_header_gives_other_weights(tmp_path: Path, name: str) -> None:
    module = tiny.random_module(name)
    tensors = converted(tiny_gguf.saved(module), module.config)
    prefix = tiny_gguf.GGUF_ARCHITECTURES[name.split("#")[0]]
    stated = {f"{prefix}.{key}": value for key, value in tiny_gguf.gguf_fields(module.config).items()}
    path = tmp_path / "model.gguf"
    expected = load(tiny_gguf.write_file(path, prefix, stated, tensors), "raw")
    weights = {weight: expected.array(weight) for weight in expected}
    for key, other in ((key, other) for key in stated for other in OTHER_VALUES):
        tiny_gguf.write_file(path, prefix, {**stated, key: other}, tensors)
        try:
            found = load(path, "raw")
        except ModelError as problem:
            assert "\n" not in str(problem)
            continue
        for weight in found:
            np.testing.assert_array_equal(found.array(weight), weights[weight], err_msg=f"{key} {other}")
        assert set(found) == set(weights) or "does not use" in found.info.notes
