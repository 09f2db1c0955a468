"""GGUF files of every architecture: the same weights as the directory that they were converted from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import tiny, tiny_gguf
from tests.models.models_page import NOT_CONVERTED
from vsa_checks.errors import ModelError
from vsa_checks.models import BASES, Model, describe, load
from vsa_checks.models.architectures import ARCHITECTURES

pytestmark = pytest.mark.slow

# llama.cpp's converter takes one key head for granted in both.
ENCODERS = ("bert", "roberta", "xlm-roberta", "distilbert", "modernbert")
"""Converted without their prediction heads, and all but ModernBERT as BERT."""
HEADLESS = ("qwen2_vl_text", "qwen3_vl_text")
"""Whose directory alone is without a head."""
BIASED: dict[str, dict[str, Any]] = {
    "llama": {"attention_bias": True, "mlp_bias": True},
    "qwen3": {"attention_bias": True},
    "phimoe": {"attention_bias": True, "lm_head_bias": True},
    "glm4": {"attention_bias": True},
    "olmo2": {"attention_bias": True},
    "starcoder2": {"use_bias": True},
}
SIZES = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "d_vocab", "n_experts", "expert_layers")
KINDS = ("gated", "norm", "causal", "parallel")
NAMES = [name for name in tiny.CONFIGS if name.split("#")[0] in tiny_gguf.GGUF_ARCHITECTURES]


def pair(folder: Path, name: str, quantization: str | None = None, **overrides: Any) -> tuple[Path, Path]:
    """A directory and a GGUF file of the same model."""
    sizes = tiny_gguf.gguf_sizes(name) if quantization else {}
    module = tiny.random_module(name, **sizes, **overrides)
    if quantization:
        tiny_gguf.on_a_grid(module)
    directory = folder / "directory"
    tiny_gguf.saved(module, directory)
    path = tiny_gguf.write_gguf(folder / "model.gguf", name, quantization, module=module, tokenizer=False)
    return directory, path


def assert_equal(found: Model, expected: Model, name: str = "") -> None:
    headless = name in ENCODERS + HEADLESS
    assert set(found) ^ set(expected) == ({"unembed.W_U", "unembed.b_U"} if headless else set())
    for weight in set(found) & set(expected):
        np.testing.assert_array_equal(found.array(weight), expected.array(weight), err_msg=weight)
    compared = found.effective_flags.keys() - ({"center_unembed"} if headless else set())
    assert all(found.effective_flags[flag] == expected.effective_flags[flag] for flag in compared)


def test_every_architecture_with_a_row_for_gguf_is_tried() -> None:
    assert set(tiny_gguf.GGUF_ARCHITECTURES) >= {name for name, row in ARCHITECTURES.items() if row.gguf is not None}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_CONVERTED])
def test_weights_are_those_of_the_directory(tmp_path: Path, name: str) -> None:
    directory, path = pair(tmp_path, name)
    for basis in BASES:
        assert_equal(load(path, basis), load(directory, basis), name)
    ours, theirs = load(path).info, load(directory).info
    assert ours.architecture == ("bert" if name in ENCODERS[:-1] else theirs.architecture)
    assert [getattr(ours, field) for field in SIZES + KINDS] == [getattr(theirs, field) for field in SIZES + KINDS]
    assert ours.n_kv_heads == theirs.n_kv_heads or name.startswith("deepseek")  # whose keys are not made head by head
    assert "does not use" not in ours.notes


@pytest.mark.parametrize("name", tiny.kinds_first(name for name in NAMES if name not in NOT_CONVERTED))
def test_quantized_weights_are_those_of_the_directory(tmp_path: Path, name: str) -> None:
    directory, path = pair(tmp_path, name, "Q8_0")
    assert "Q8_0" in (describe(path).quantization or "")
    assert_equal(load(path, "raw"), load(directory, "raw"), name)


@pytest.mark.parametrize("name", BIASED)
def test_biases_are_those_of_the_directory(tmp_path: Path, name: str) -> None:
    directory, path = pair(tmp_path, name, **BIASED[name])
    assert_equal(load(path, "raw"), load(directory, "raw"))
    assert any(".b_" in weight for weight in load(path, "raw"))


def test_the_biases_of_experts_are_read(tmp_path: Path) -> None:
    module = tiny.random_module("gpt_oss")
    model = load(tiny_gguf.write_gguf(tmp_path / "model.gguf", "gpt_oss", module=module, tokenizer=False), "raw")
    experts = module.model.layers[1].mlp.experts
    prefix = "blocks.1.mlp.experts.2"
    assert np.array_equal(model.array(f"{prefix}.b_gate"), experts.gate_up_proj_bias[2, ::2].detach())
    assert np.array_equal(model.array(f"{prefix}.b_in"), experts.gate_up_proj_bias[2, 1::2].detach())
    assert np.array_equal(model.array(f"{prefix}.b_out"), experts.down_proj_bias[2].detach())
    assert np.array_equal(model.array(f"{prefix}.W_gate"), experts.gate_up_proj[2, :, ::2].detach())


@pytest.mark.parametrize("name", NOT_CONVERTED)
def test_more_key_heads_than_the_converter_says_are_refused(tmp_path: Path, name: str) -> None:
    _, path = pair(tmp_path, name)
    with pytest.raises(ModelError, match=r"blk\.0\.attn_qkv\.weight .* has the shape \(72, 24\)"):
        load(path)


def test_the_norms_of_falcon_lie_where_llama_cpp_reads_them(tmp_path: Path) -> None:
    directory, path = pair(tmp_path, "falcon#groups")

    def norms(model: Model) -> list[Any]:
        return [part.reads_through for part in (model._attention(1), model._mlp(1))]

    ours, theirs = norms(load(path, "raw")), norms(load(directory, "raw"))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.gain, other.gain)
        np.testing.assert_array_equal(mine.bias, other.bias)
    assert not np.array_equal(ours[0].gain, ours[1].gain)


@pytest.mark.parametrize(
    "name", ["llama", "gpt_oss", "seed_oss", "gemma3_text", "nemotron", "stablelm#parallel", "olmo2"]
)
def test_norms_are_those_of_the_directory(tmp_path: Path, name: str) -> None:
    directory, path = pair(tmp_path, name)
    ours, theirs = load(path, "raw"), load(directory, "raw")

    def gains(model: Model) -> list[Any]:
        parts = [model._attention(1)]
        parts.append(model._mlp(1, 0) if model.info.n_experts else model._mlp(1))
        norms = [norm for part in parts for norm in (part.reads_through, part.written_through)]
        norms.append(model._raw.final_norm())
        return [None if norm is None else norm.gain for norm in norms] + [parts[0].q_norm, parts[0].k_norm]

    for mine, other in zip(gains(ours), gains(theirs), strict=True):
        assert (mine is None) == (other is None)
        if mine is not None:
            np.testing.assert_allclose(mine, other, atol=1e-6)


def test_the_rows_of_q_and_k_are_put_back_in_order(tmp_path: Path) -> None:
    module = tiny_gguf.gguf_module("llama")
    model = load(tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", module=module), "raw")
    own = module.model.layers[0].self_attn.k_proj.weight.detach()
    assert np.array_equal(model.array("blocks.0.attn.W_K"), own.T.reshape(64, 2, 16).transpose(0, 1))


def test_a_model_of_no_row_is_refused_with_those_that_have_one(tmp_path: Path) -> None:
    fields = {"falcon-h1.block_count": 1}
    path = tiny_gguf.write_file(tmp_path / "model.gguf", "falcon-h1", fields, {"a.weight": np.ones(4, np.float32)})
    with pytest.raises(ModelError, match=r"'falcon-h1', which is not supported.*gpt-oss, gpt2, gptneox"):
        describe(path)


def test_a_scale_beside_a_matrix_multiplies_it(tmp_path: Path) -> None:
    scales = {"blk.0.ffn_up.scale": np.array([0.25], np.float32)}
    plain = load(tiny_gguf.write_gguf(tmp_path / "plain.gguf", "llama"), "raw")
    scaled = load(tiny_gguf.write_gguf(tmp_path / "scaled.gguf", "llama", add=scales), "raw")
    name = "blocks.0.mlp.W_in"
    np.testing.assert_array_equal(scaled.array(name), 0.25 * plain.array(name))
    np.testing.assert_array_equal(scaled.array("blocks.0.mlp.W_gate"), plain.array("blocks.0.mlp.W_gate"))
    assert "does not use" not in scaled.info.notes


STARTED = """
import hashlib, sys
from unittest.mock import patch
from vsa_checks.workbench.loading import load

with patch("hashlib.file_digest", side_effect=hashlib.file_digest) as hashed:
    model = load(sys.argv[1], "processed", "cpu", layers=[1])
    load(sys.argv[1], "raw", "cpu")
read = {key[1] for key in model._parts._parts if len(key) > 1}
print(hashed.call_count, read, {"torch", "transformers", "scipy.stats"} & set(sys.modules))
"""


def test_a_part_is_read_alone_hashed_once_and_without_libraries_of_models(tmp_path: Path) -> None:
    """What a run of one layer does before it measures: the other layers are not unpacked."""
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf")
    command = [sys.executable, "-c", STARTED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("1 {1} set()\n", 0), done.stderr
