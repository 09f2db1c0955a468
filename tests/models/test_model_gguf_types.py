"""Every type that tensors of a GGUF file may have: unpacked as the gguf package does, or refused by name."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.models import tiny_gguf
from vsa_checks.errors import ModelError
from vsa_checks.models import gguf_weights, load
from vsa_checks.models.gguf_header import read_header
from vsa_checks.models.gguf_weights import dequantize

pytestmark = pytest.mark.slow

REFUSED = ("Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "Q1_0")
SHAPE = (3, 512)


def packed(kind: gguf.GGMLQuantizationType) -> np.ndarray:
    """Rows of a type: of random values where the package can pack them, else of random blocks."""
    generator = np.random.default_rng(0)
    values = generator.standard_normal(SHAPE).astype(np.float32)
    if kind.name == "F64":
        return values.astype(np.float64)
    try:
        return gguf.quants.quantize(values, kind)
    except NotImplementedError:
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        rows = generator.integers(0, 256, (SHAPE[0], SHAPE[1] // block * block_bytes), dtype=np.uint8)
        if kind.name.startswith("I") and kind.name[1:].isdigit():
            return rows.view(np.dtype(f"int{kind.name[1:]}"))
        return rows


def written(path: Path, kind: gguf.GGMLQuantizationType, rows: np.ndarray) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("before", np.ones(3, dtype=np.float32))
    writer.add_tensor("packed", rows, raw_dtype=kind)
    return tiny_gguf.close(writer, path)


def test_every_type_of_the_package_is_tried_or_refused() -> None:
    kinds = {kind.name for kind in gguf.GGMLQuantizationType}
    assert kinds >= {"BF16", "IQ1_S", "TQ1_0", "MXFP4", "NVFP4"}
    assert kinds >= set(REFUSED)


@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value).*:RuntimeWarning")
@pytest.mark.parametrize("name", [kind.name for kind in gguf.GGMLQuantizationType if kind.name not in REFUSED])
def test_unpacking_in_parts_equals_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    kind = gguf.GGMLQuantizationType[name]
    rows = packed(kind)
    expected = rows.astype(np.float32) if name == "F64" else gguf.quants.dequantize(rows, kind)
    header = read_header(written(tmp_path / "one.gguf", kind, rows))
    entry = header.tensors["packed"]
    assert (entry.shape, entry.type_name) == (SHAPE, name)
    for blocks in (1, 4, 1 << 18):
        monkeypatch.setattr(gguf_weights, "_BLOCKS", blocks)
        np.testing.assert_array_equal(dequantize(header, entry), expected)
    np.testing.assert_array_equal(dequantize(header, header.tensors["before"]), np.ones(3))


@pytest.mark.parametrize("name", REFUSED)
def test_a_matrix_that_cannot_be_unpacked_is_refused_by_its_type(tmp_path: Path, name: str) -> None:
    kind = gguf.GGMLQuantizationType[name]
    module = tiny_gguf.gguf_module("llama", hidden_size=512, num_attention_heads=4)
    source = read_header(tiny_gguf.write_gguf(tmp_path / "plain.gguf", "llama", module=module, tokenizer=False))
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in source.fields.items():
        if key != "general.architecture":
            tiny_gguf._add_field(writer, key, value)
    for entry in source.tensors.values():
        if entry.name == "blk.1.ffn_up.weight":
            block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
            rows = np.zeros((entry.shape[0], entry.shape[1] // block * block_bytes), np.uint8)
            rows = rows.view(f"int{name[1:]}") if name.startswith("I") else rows
            writer.add_tensor(entry.name, rows, raw_dtype=kind)
        else:
            writer.add_tensor(entry.name, dequantize(source, entry))
    tiny_gguf.close(writer, path)
    with pytest.raises(ModelError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "blk.1.ffn_up.weight" in message and f"stored as {name}" in message
