"""A tensor that the model's class has and the files lack is refused, in whatever kind of model it is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models import tiny
from vsa_checks.errors import ModelError
from vsa_checks.models import load

pytestmark = pytest.mark.slow

HOLES: dict[str, tuple[str, dict[str, Any], str]] = {
    "one matrix of attention in a hybrid": ("jamba", {}, "layers.1.self_attn.o_proj.weight"),
    "a norm in a hybrid": ("jamba", {}, "layers.1.input_layernorm.weight"),
    "one matrix of a dense MLP in a hybrid": ("jamba", {}, "layers.0.feed_forward.down_proj.weight"),
    "one matrix of a dense MLP before mixtures": ("deepseek_v3", {}, "layers.0.mlp.down_proj.weight"),
    "all experts of a layer": ("qwen3_moe", {}, "layers.1.mlp.experts."),
    "a bias of queries": ("llama", {"attention_bias": True}, "layers.1.self_attn.q_proj.bias"),
    "a fused bias": ("gpt2", {}, "h.1.attn.c_attn.bias"),
    "a bias of what is written": ("gpt2", {}, "h.0.mlp.c_proj.bias"),
    "a bias of a norm": ("gpt2", {}, "h.0.ln_1.bias"),
    "all biases of queries, keys and values": ("qwen2", {}, "_proj.bias"),
}


@pytest.mark.parametrize("case", HOLES)
def test_a_missing_tensor_is_refused_by_name(case: str, tmp_path: Path) -> None:
    kind, options, missing = HOLES[case]
    tiny.write_hf(tmp_path, kind, tokenizer=False, **options)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    kept = {name: tensor for name, tensor in tensors.items() if missing not in name}
    assert len(kept) < len(tensors)
    save_file(kept, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="missing from its weights") as caught:
        load(tmp_path)
    assert missing.rstrip(".").split(".")[-1] in str(caught.value) or "its experts" in str(caught.value)


def test_what_reads_the_stream_without_a_norm_gives_the_same_in_both_bases(tmp_path: Path) -> None:
    tiny.write_hf(tmp_path, "modernbert", tokenizer=False)
    raw, processed = load(tmp_path, "raw"), load(tmp_path, "processed")
    for letter in "QKV":
        name = f"blocks.0.attn.W_{letter}"
        found = [model.token_vectors()[7] @ model.array(name) for model in (raw, processed)]
        np.testing.assert_allclose(found[0], found[1], atol=1e-5)
        assert not np.allclose(raw.array(f"blocks.1.attn.W_{letter}"), processed.array(f"blocks.1.attn.W_{letter}"))


def test_all_layers_at_once_are_given_only_where_all_have_the_weight(tmp_path: Path) -> None:
    model = load(tiny.write_hf(tmp_path, "jamba", tokenizer=False), "raw")
    with pytest.raises(ModelError, match="only layers 1 have a W_Q"):
        _ = model.W_Q
    assert isinstance(model["blocks.1.attn.W_Q"], torch.Tensor)


@pytest.mark.parametrize("name", ["", " ", "@main"])
def test_no_name_is_no_model(name: str) -> None:
    with pytest.raises(ModelError, match="has no name"):
        load(name)


def test_layers_that_are_applied_many_times_are_said(tmp_path: Path) -> None:
    model = load(tiny.write_hf(tmp_path, "albert", tokenizer=False, num_hidden_layers=6), "raw")
    assert "1 stored for 6" in model.info.notes


def test_norms_without_weights_are_norms_all_the_same(tmp_path: Path) -> None:
    tiny.write_hf(tmp_path, "opt", tokenizer=False, layer_norm_elementwise_affine=False)
    raw, processed = load(tmp_path, "raw"), load(tmp_path, "processed")
    W = raw.array("blocks.0.mlp.W_in")
    np.testing.assert_allclose(processed.array("blocks.0.mlp.W_in"), W - W.mean(axis=0), atol=1e-6)
