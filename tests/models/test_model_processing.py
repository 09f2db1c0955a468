"""The processed basis against TransformerLens's formulas, written here once more from the definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models import tiny
from vsa_checks.errors import UsageError
from vsa_checks.models import Model, load

pytestmark = pytest.mark.slow

# The formulas are computed in float64, the loader works in float32: rounding reaches 3e-7 here, and leaving out
# any one step moves some weight by more than 1e-2.
NOISE = 1e-6


def gpt2_formulas(parameters: dict[str, torch.Tensor], n_heads: int) -> dict[str, torch.Tensor]:
    def centered(weight: torch.Tensor, axis: int) -> torch.Tensor:
        return weight - weight.mean(axis, keepdim=True)

    own = {name.removeprefix("transformer."): tensor.double() for name, tensor in parameters.items()}
    embedding = own["wte.weight"]
    expected = {
        "embed.W_E": centered(embedding, -1),
        "pos_embed.W_pos": centered(own["wpe.weight"], -1),
        "unembed.W_U": centered(centered((embedding * own["ln_f.weight"]).T, 0), 1),
        "unembed.b_U": centered(embedding @ own["ln_f.bias"], 0),
    }
    for layer in range(2):
        block = {n.removeprefix(f"h.{layer}."): t for n, t in own.items() if n.startswith(f"h.{layer}.")}
        fused, fused_bias = block["attn.c_attn.weight"], block["attn.c_attn.bias"]
        names = dict(zip("QKV", zip(fused.chunk(3, 1), fused_bias.chunk(3), strict=True), strict=True))
        biases = {}
        for letter, (weight, bias) in names.items():
            folded = centered(block["ln_1.weight"][:, None] * weight, 0)
            expected[f"blocks.{layer}.attn.W_{letter}"] = split_heads(folded, n_heads)
            biases[letter] = bias + block["ln_1.bias"] @ weight
        for letter in "QK":
            expected[f"blocks.{layer}.attn.b_{letter}"] = biases[letter].reshape(n_heads, -1)
        writing = centered(block["attn.c_proj.weight"], -1)
        expected |= {
            f"blocks.{layer}.attn.b_V": torch.zeros(n_heads, fused.shape[1] // 3 // n_heads).double(),
            f"blocks.{layer}.attn.W_O": writing.reshape(n_heads, -1, writing.shape[1]),
            f"blocks.{layer}.attn.b_O": centered(block["attn.c_proj.bias"] + biases["V"] @ writing, 0),
            f"blocks.{layer}.mlp.W_in": centered(block["ln_2.weight"][:, None] * block["mlp.c_fc.weight"], 0),
            f"blocks.{layer}.mlp.b_in": block["mlp.c_fc.bias"] + block["ln_2.bias"] @ block["mlp.c_fc.weight"],
            f"blocks.{layer}.mlp.W_out": centered(block["mlp.c_proj.weight"], -1),
            f"blocks.{layer}.mlp.b_out": centered(block["mlp.c_proj.bias"], 0),
        }
    return expected


def llama_formulas(parameters: dict[str, torch.Tensor], d_head: int) -> dict[str, torch.Tensor]:
    own = {name.removeprefix("model."): tensor.double() for name, tensor in parameters.items()}
    unembedding = own["lm_head.weight"] * own["norm.weight"]
    expected = {"embed.W_E": own["embed_tokens.weight"], "unembed.W_U": (unembedding - unembedding.mean(0)).T}
    expected["unembed.b_U"] = torch.zeros(len(unembedding)).double()
    for layer in range(2):
        block = {n.removeprefix(f"layers.{layer}."): t for n, t in own.items() if n.startswith(f"layers.{layer}.")}
        for letter in "QKV":
            weight = block[f"self_attn.{letter.lower()}_proj.weight"] * block["input_layernorm.weight"]
            heads = weight.shape[0] // d_head
            expected[f"blocks.{layer}.attn.W_{letter}"] = split_heads(weight.T, heads)
        output = block["self_attn.o_proj.weight"].T
        expected[f"blocks.{layer}.attn.W_O"] = output.reshape(-1, d_head, output.shape[1])
        for part, name in (("up", "W_in"), ("gate", "W_gate")):
            weight = block[f"mlp.{part}_proj.weight"] * block["post_attention_layernorm.weight"]
            expected[f"blocks.{layer}.mlp.{name}"] = weight.T
        expected[f"blocks.{layer}.mlp.W_out"] = block["mlp.down_proj.weight"].T
    return expected


def split_heads(weight: torch.Tensor, n_heads: int) -> torch.Tensor:
    """(d_model, n_heads * d_head) to (n_heads, d_model, d_head)."""
    return weight.reshape(len(weight), n_heads, -1).transpose(0, 1)


def own_parameters(model_type: str, **overrides: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in tiny.random_module(model_type, **overrides).named_parameters()}


def assert_equal_weights(model: Model, expected: dict[str, torch.Tensor]) -> None:
    assert set(model) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(model[name].double(), tensor, atol=NOISE, rtol=NOISE)


@pytest.mark.parametrize(
    "overrides",
    [{}, {"vocab_size": 17}, {"n_head": 1}, {"n_inner": 8}, {"n_inner": 72}],
    ids=["plain", "few-tokens", "one-head", "narrow", "triple"],
)
def test_gpt2_is_folded_and_centered(tmp_path: Path, overrides: dict[str, Any]) -> None:
    tiny.write_hf(tmp_path, "gpt2", tokenizer=False, **overrides)
    assert_equal_weights(load(tmp_path), gpt2_formulas(own_parameters("gpt2", **overrides), overrides.get("n_head", 4)))


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"head_dim": 16},
        {"num_key_value_heads": 1},
        {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 24},
        {"intermediate_size": 8},
    ],
    ids=["plain", "wide-heads", "one-kv-head", "d_head-is-d_model", "narrow"],
)
def test_llama_is_folded(tmp_path: Path, overrides: dict[str, Any]) -> None:
    tiny.write_hf(tmp_path, "llama", tokenizer=False, **overrides)
    assert_equal_weights(
        load(tmp_path), llama_formulas(own_parameters("llama", **overrides), overrides.get("head_dim", 6))
    )


def test_raw_is_as_stored(tmp_path: Path) -> None:
    tiny.write_hf(tmp_path / "gpt2", "gpt2", tokenizer=False)
    tiny.write_hf(tmp_path / "llama", "llama", tokenizer=False)
    gpt2, own = load(tmp_path / "gpt2", "raw"), own_parameters("gpt2")
    fused = own["transformer.h.1.attn.c_attn.weight"].chunk(3, 1)
    assert torch.equal(gpt2["blocks.1.attn.W_K"], split_heads(fused[1], 4))
    assert torch.equal(gpt2["blocks.1.mlp.W_in"], own["transformer.h.1.mlp.c_fc.weight"])
    assert torch.equal(gpt2["pos_embed.W_pos"], own["transformer.wpe.weight"])
    assert torch.equal(gpt2["unembed.W_U"], own["transformer.wte.weight"].T)
    llama, own = load(tmp_path / "llama", "raw"), own_parameters("llama")
    assert torch.equal(llama["blocks.0.attn.W_V"], split_heads(own["model.layers.0.self_attn.v_proj.weight"].T, 2))
    assert torch.equal(llama["blocks.0.mlp.W_gate"], own["model.layers.0.mlp.gate_proj.weight"].T)
    assert torch.equal(llama["unembed.W_U"], own["lm_head.weight"].T)


@pytest.mark.parametrize(
    ("model_type", "overrides"),
    [
        ("gpt2", {"n_inner": 24}),
        ("gpt2", {"vocab_size": 24}),
        ("gemma2", {"intermediate_size": 24}),
        ("bert", {"intermediate_size": 24}),
    ],
)
def test_sizes_that_coincide_are_not_confused(tmp_path: Path, model_type: str, overrides: dict[str, Any]) -> None:
    """transformer_lens tells some weights apart by size; these formulas do not."""
    tiny.write_hf(tmp_path, model_type, tokenizer=False, **overrides)
    processed, raw = load(tmp_path), load(tmp_path, "raw")
    assert set(processed) == set(raw) | {name for name in processed if ".b_" in name}
    if model_type == "gpt2":
        assert_equal_weights(processed, gpt2_formulas(own_parameters("gpt2", **overrides), 4))
    logits = [model.run_with_cache(torch.tensor([[5, 9, 20]]))[0].log_softmax(-1) for model in (processed, raw)]
    torch.testing.assert_close(*logits, atol=2e-5, rtol=2e-5)


def test_an_unknown_basis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="processed, raw"):
        load(tmp_path, "centered")  # type: ignore[arg-type]


def test_stored_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    tiny.write_hf(tmp_path, "llama", tokenizer=False, dtype=torch.bfloat16)
    model = load(tmp_path, "raw")
    assert model.info.dtype == "bfloat16"
    stored = own_parameters("llama")["model.embed_tokens.weight"].bfloat16().float()
    assert torch.equal(model.W_E, stored)
    # Processing happens in float32: the folded weights are no bfloat16 numbers any more.
    folded = load(tmp_path)["blocks.0.attn.W_Q"]
    assert not torch.equal(folded, folded.bfloat16().float())
