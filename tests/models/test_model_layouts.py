"""Weights against the state dict of their class, and fused and grouped matrices against its own computation."""

from __future__ import annotations

import pytest
import torch

from tests.models import tiny
from tests.models.conftest import TinyModels

pytestmark = pytest.mark.slow

# Float32 rounding, measured: 1.5e-6. A wrong weight gives 0.1 or more.
NOISE = 2e-5

# Where a state dict has each matrix of the first layer, for those that transformer_lens does not run.
PLACES = {
    "stablelm": ("model.layers.0.self_attn.{}_proj", "model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj"),
    "xlm-roberta": (
        "roberta.encoder.layer.0.attention.self.{}",
        "roberta.encoder.layer.0.intermediate.dense",
        "roberta.encoder.layer.0.output.dense",
    ),
    "distilbert": (
        "distilbert.transformer.layer.0.attention.{}_lin",
        "distilbert.transformer.layer.0.ffn.lin1",
        "distilbert.transformer.layer.0.ffn.lin2",
    ),
    "albert": (
        "albert.encoder.albert_layer_groups.0.albert_layers.0.attention.{}",
        "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn",
        "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn_output",
    ),
    "electra": (
        "electra.encoder.layer.0.attention.self.{}",
        "electra.encoder.layer.0.intermediate.dense",
        "electra.encoder.layer.0.output.dense",
    ),
    "deberta-v2": (
        "deberta.encoder.layer.0.attention.self.{}_proj",
        "deberta.encoder.layer.0.intermediate.dense",
        "deberta.encoder.layer.0.output.dense",
    ),
    "phi#qk_norm": ("model.layers.0.self_attn.{}_proj", "model.layers.0.mlp.fc1", "model.layers.0.mlp.fc2"),
    "t5": (
        "decoder.block.0.layer.0.SelfAttention.{}",
        "decoder.block.0.layer.2.DenseReluDense.wi",
        "decoder.block.0.layer.2.DenseReluDense.wo",
    ),
    "umt5": (
        "decoder.block.0.layer.0.SelfAttention.{}",
        "decoder.block.0.layer.2.DenseReluDense.wi_1",
        "decoder.block.0.layer.2.DenseReluDense.wo",
    ),
    "camembert": (
        "roberta.encoder.layer.0.attention.self.{}",
        "roberta.encoder.layer.0.intermediate.dense",
        "roberta.encoder.layer.0.output.dense",
    ),
    "helium": ("model.layers.0.self_attn.{}_proj", "model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj"),
    "cwm": ("model.layers.0.self_attn.{}_proj", "model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj"),
    "ministral": ("model.layers.0.self_attn.{}_proj", "model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj"),
    "exaone_moe": ("model.layers.0.self_attn.{}_proj", "model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj"),
    "qwen2_5_vl_text": ("layers.0.self_attn.{}_proj", "layers.0.mlp.up_proj", "layers.0.mlp.down_proj"),
    "qwen3_vl_text": ("layers.0.self_attn.{}_proj", "layers.0.mlp.up_proj", "layers.0.mlp.down_proj"),
    "led": ("led.decoder.layers.0.self_attn.{}_proj", "led.decoder.layers.0.fc1", "led.decoder.layers.0.fc2"),
} | dict.fromkeys(
    ("bart", "marian", "pegasus", "blenderbot", "m2m_100"),
    ("model.decoder.layers.0.self_attn.{}_proj", "model.decoder.layers.0.fc1", "model.decoder.layers.0.fc2"),
)
LONG_NAMES = {"xlm-roberta", "albert", "electra", "deberta-v2", "camembert"}


@pytest.mark.parametrize("name", PLACES)
def test_weights_of_what_does_not_run_are_those_of_its_state_dict(model_of: TinyModels, name: str) -> None:
    model, state = model_of(name, "raw"), tiny.random_module(name).state_dict()
    attention, up, down = PLACES[name]
    info = model.info
    for letter, long, heads in (
        ("q", "query", info.n_heads),
        ("k", "key", info.n_kv_heads),
        ("v", "value", info.n_kv_heads),
    ):
        stored = state[attention.format(long if name in LONG_NAMES else letter) + ".weight"]
        for head in range(heads):
            rows = stored[head * info.d_head : (head + 1) * info.d_head]
            assert torch.equal(model[f"blocks.0.attn.W_{letter.upper()}"][head], rows.T)
    assert torch.equal(model["blocks.0.mlp.W_in"], state[f"{up}.weight"].T)
    assert torch.equal(model["blocks.0.mlp.W_out"], state[f"{down}.weight"].T)


def test_grouped_heads_of_falcon_are_split_as_its_own_attention_does(model_of: TinyModels) -> None:
    model, module = model_of("falcon#groups", "raw"), tiny.random_module("falcon#groups")
    attention = module.transformer.h[0].self_attention
    x = torch.randn(1, 3, model.info.d_model)
    with torch.no_grad():
        query, key, value = attention._split_heads(attention.query_key_value(x))
    each = model.info.n_heads // model.info.n_kv_heads
    for letter, theirs in (("Q", query), ("K", key[:, :, ::each]), ("V", value[:, :, ::each])):
        ours = torch.einsum("bpd,hdr->bphr", x, model[f"blocks.0.attn.W_{letter}"])
        torch.testing.assert_close(ours, theirs.reshape(ours.shape), atol=NOISE, rtol=NOISE)


def test_heads_of_gpt_bigcode_are_split_as_its_own_attention_does(model_of: TinyModels) -> None:
    model, module = model_of("gpt_bigcode#heads", "raw"), tiny.random_module("gpt_bigcode#heads")
    x = torch.randn(1, 3, model.info.d_model)
    with torch.no_grad():
        fused = module.transformer.h[0].attn.c_attn(x).view(1, 3, model.info.n_heads, 3 * model.info.d_head)
    for letter, theirs in zip("QKV", fused.split(3 * [model.info.d_head], dim=3), strict=True):
        bias = model[f"blocks.0.attn.b_{letter}"]
        ours = torch.einsum("bpd,hdr->bphr", x, model[f"blocks.0.attn.W_{letter}"]) + bias
        torch.testing.assert_close(ours, theirs, atol=NOISE, rtol=NOISE)


@pytest.mark.parametrize(
    "name",
    [
        *("mixtral", "qwen2_moe", "gpt_oss", "granitemoe", "phimoe", "llama4_text", "jamba", "minimax_m2", "flex_olmo"),
        *("glm4_moe", "exaone_moe", "ernie4_5_moe", "glm4_moe_lite", "granitemoeshared", "lfm2_moe"),
    ],
)
def test_experts_write_what_the_model_writes(model_of: TinyModels, name: str) -> None:
    """One expert's own computation against the sum that the model's mixture gives when it alone is chosen."""
    model, module = model_of(name, "raw"), tiny.random_module(name)
    layer = model.info.expert_layers[0]
    mixture = next(
        one
        for path, one in module.named_modules()
        if path.startswith(f"model.layers.{layer}.") and path.endswith("experts")
    )
    x = torch.randn(3, model.info.d_model)
    prefix = f"blocks.{layer}.mlp.experts.1"
    gate, up = x @ model[f"{prefix}.W_gate"], x @ model[f"{prefix}.W_in"]
    if f"{prefix}.b_gate" in model:
        gate, up = gate + model[f"{prefix}.b_gate"], up + model[f"{prefix}.b_in"]
    if name == "gpt_oss":
        gate, up = gate.clamp(max=mixture.limit), up.clamp(-mixture.limit, mixture.limit)
        hidden = (up + 1) * gate * torch.sigmoid(gate * mixture.alpha)
    else:
        hidden = torch.nn.functional.silu(gate) * up
    ours = hidden @ model[f"{prefix}.W_out"] + model.get(f"{prefix}.b_out", 0.0)
    chosen = torch.ones(3, 1, dtype=torch.long)
    with torch.no_grad():
        if name == "llama4_text":
            both = mixture(torch.cat([torch.zeros_like(x), x]))
            theirs = both.reshape(2, 3, -1)[1]
        else:
            theirs = mixture(x, chosen, torch.ones(3, 1))
    torch.testing.assert_close(ours, theirs.reshape(ours.shape), atol=NOISE, rtol=NOISE)
