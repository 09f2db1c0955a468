"""Kinds of a known type that its configuration or its files choose, each against the module that it was saved from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models import tiny, tiny_gguf
from vsa_checks.errors import ModelError
from vsa_checks.models import describe, load
from vsa_checks.models.architectures import ARCHITECTURES
from vsa_checks.models.forward import CannotRun
from vsa_checks.models.quiet import quiet
from vsa_checks.models.shapes import effective_config, expert_count, row_for, shape_from_config

pytestmark = pytest.mark.slow

TOKENS = torch.tensor([[5, 9, 200, 33, 7, 250]])
# Float32 rounding, measured: 2e-6. A wrong weight gives 0.1 or more.
NOISE = 2e-5
DERIVED = ("head_dim", "qk_rope_head_dim")
"""Of attention that is made in steps, whose heads are not read."""
MIXTURES = (
    *("mixtral", "qwen2_moe", "qwen3_moe", "phimoe", "olmoe", "granitemoe", "granitemoehybrid", "minimax_m2"),
    *("flex_olmo", "glm4_moe", "exaone_moe", "ernie4_5_moe", "deepseek_v3", "jamba", "lfm2_moe"),
)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_field_that_is_left_out_is_what_the_class_takes_it_for(model_type: str) -> None:
    from transformers import AutoConfig

    whole = AutoConfig.for_model(model_type).to_dict()
    for field in whole.keys() - {"model_type", *(DERIVED if ARCHITECTURES[model_type].no_attention else ())}:
        assert facts({key: value for key, value in whole.items() if key != field}) == facts(whole), field


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_a_configuration_as_it_is_saved_needs_nothing_of_its_class(tmp_path: Path, name: str) -> None:
    """So that a model is described in milliseconds."""
    from transformers import AutoConfig

    AutoConfig.for_model(name.split("#")[0], **{"vocab_size": 300, **tiny.CONFIGS[name]}).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert effective_config(config) is config


def test_layers_that_are_counted_by_a_list_of_their_kinds() -> None:
    config = {"model_type": "nemotron_h", "vocab_size": 300, "hidden_size": 32}
    config |= {"layers_block_type": ["linear_attention", "mlp", "full_attention"]}
    config |= {"time_step_limit": [0.0, {"__float__": "Infinity"}]}  # as it is saved
    assert shape_from_config(config, "x").n_layers == 3


def facts(config: dict[str, Any]) -> tuple[Any, ...]:
    config = dict(effective_config(config))
    row = row_for(config, "x")
    return (
        shape_from_config(config, "x"),
        expert_count(config) if row.layout.experts is not None else 0,
        row.is_parallel(config),
        row.is_gated(config),
        row.is_causal(config),
    )


@pytest.mark.parametrize("model_type", ["bart", "marian", "mbart", "pegasus", "blenderbot", "led"])
def test_the_bias_on_all_logits_is_that_of_the_unembedding(tmp_path: Path, model_type: str) -> None:
    module = tiny.random_module(model_type)
    module.final_logits_bias.copy_(torch.arange(300.0) / 100)
    module.save_pretrained(tmp_path)
    raw, processed = load(tmp_path, "raw"), load(tmp_path, "processed")
    assert torch.equal(raw["unembed.b_U"], torch.arange(300.0) / 100)
    hidden = torch.randn(3, 24)
    with torch.no_grad():
        expected = module.lm_head(hidden) + module.final_logits_bias
    torch.testing.assert_close(hidden @ raw["unembed.W_U"] + raw["unembed.b_U"], expected, atol=NOISE, rtol=NOISE)
    centered = torch.arange(300.0) / 100 - 1.495
    folds = processed.effective_flags["fold_ln"]  # the norm's bias, where there is one, is added
    assert folds or torch.allclose(processed["unembed.b_U"], centered, atol=NOISE)


@pytest.mark.parametrize(
    ("model_type", "head", "sizes"),
    [
        ("bert", "cls.predictions.decoder", {}),
        ("roberta", "lm_head.decoder", {}),
        ("deberta-v2", "cls.predictions.decoder", {}),
        ("albert", "predictions.decoder", {"embedding_size": 24}),
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_a_bias_of_the_unembeddings_own_is_used_as_transformers_does(
    tmp_path: Path, model_type: str, head: str, sizes: dict[str, Any], tied: bool
) -> None:
    from safetensors.torch import load_file, save_file

    module = tiny.random_module(model_type, tie_word_embeddings=tied, **sizes)
    module.save_pretrained(tmp_path)
    own = torch.linspace(-1, 1, 300)
    tensors = load_file(tmp_path / "model.safetensors") | {f"{head}.bias": own}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with quiet():
        again = type(module).from_pretrained(tmp_path)
    assert torch.equal(again.get_output_embeddings().bias, own)
    assert torch.equal(load(tmp_path, "raw")["unembed.b_U"], own)


@pytest.mark.parametrize("model_type", ["albert", "electra"])
def test_a_prediction_head_narrower_than_the_stream_is_no_unembedding(tmp_path: Path, model_type: str) -> None:
    """Older files hold the tied matrix twice, in the embedding's width."""
    module = tiny.random_module(model_type)
    module.config.save_pretrained(tmp_path)
    torch.save(module.state_dict(), tmp_path / "pytorch_model.bin")
    model = load(tmp_path, "raw")
    assert model.W_U is None
    assert "unembed.b_U" not in model
    assert load(tmp_path, "processed").W_U is None
    assert module.get_output_embeddings().weight.shape == (300, 16)


@pytest.mark.parametrize("name", MIXTURES)
def test_experts_in_one_tensor_are_those_of_many(tmp_path: Path, name: str) -> None:
    module = tiny.random_module(name)
    module.save_pretrained(tmp_path / "many")
    module.save_pretrained(tmp_path / "one", save_original_format=False)
    many, one = load(tmp_path / "many", "raw"), load(tmp_path / "one", "raw")
    assert set(many) == set(one)
    assert any(".experts.2." in weight or ".experts.1." in weight for weight in one)
    assert all(torch.equal(many[weight], one[weight]) for weight in many)
    assert one.info.expert_layers == many.info.expert_layers
    assert one.note == many.note


def test_the_newer_name_of_an_unembedding_is_read(tmp_path: Path) -> None:
    module = tiny.random_module("gpt_neox")
    module.save_pretrained(tmp_path, save_original_format=False)
    model = load(tmp_path, "raw")
    assert torch.equal(model["unembed.W_U"], module.get_output_embeddings().weight.T)
    assert model.note == ""
    torch.testing.assert_close(model.run_with_cache(TOKENS)[0], module(TOKENS).logits, atol=NOISE, rtol=NOISE)


@pytest.mark.parametrize("fields", [{}, {"block_multiple_of": 16, "block_ffn_dim_multiplier": 1.5}])
def test_lfm2_makes_another_width_of_the_one_it_is_given(tmp_path: Path, fields: dict[str, Any]) -> None:
    tiny.write_hf(
        tmp_path, "lfm2", tokenizer=False, **{"block_auto_adjust_ff_dim": True, "block_multiple_of": 4} | fields
    )
    state = tiny.random_module(
        "lfm2", **{"block_auto_adjust_ff_dim": True, "block_multiple_of": 4} | fields
    ).state_dict()
    W_in = load(tmp_path, "raw")["blocks.1.mlp.W_in"]
    assert torch.equal(W_in, state["model.layers.1.feed_forward.w3.weight"].T)
    assert describe(tmp_path).d_mlp == W_in.shape[1] != 40


def test_an_encoder_decoder_of_two_vocabularies(tmp_path: Path) -> None:
    changes = {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 280}
    module = tiny.random_module("marian", **changes)
    module.save_pretrained(tmp_path)
    model = load(tmp_path, "raw")
    assert model.info.d_vocab == 280
    assert torch.equal(model.W_E, module.model.decoder.embed_tokens.weight)


def test_a_granite_without_experts_has_the_mlp_that_it_calls_shared(tmp_path: Path) -> None:
    changes = {"num_local_experts": 0, "shared_intermediate_size": 28}
    module = tiny.random_module("granitemoehybrid", **changes)
    module.save_pretrained(tmp_path)
    for basis in ("raw", "processed"):
        model = load(tmp_path, basis)
        assert (model.info.d_mlp, model.info.n_experts, model.info.gated) == (28, 0, True)
        gain = module.model.layers[1].post_attention_layernorm.weight if basis == "processed" else torch.ones(32)
        rows = module.model.layers[1].shared_mlp.input_linear.weight * gain
        torch.testing.assert_close(model["blocks.1.mlp.W_gate"], rows[:28].T)
        torch.testing.assert_close(model["blocks.1.mlp.W_in"], rows[28:].T)
        assert torch.equal(model["blocks.0.mlp.W_out"], module.model.layers[0].shared_mlp.output_linear.weight.T)


def test_a_gguf_granite_without_experts_has_an_mlp(tmp_path: Path) -> None:
    module = tiny.random_module("granitemoehybrid", num_local_experts=0, shared_intermediate_size=40)
    path = tiny_gguf.write_gguf(tmp_path / "a.gguf", "granitemoehybrid", module=module, tokenizer=False)
    model = load(path, "raw")
    rows = module.model.layers[1].shared_mlp.input_linear.weight
    assert torch.equal(model["blocks.1.mlp.W_gate"], rows[:40].T)
    assert torch.equal(model["blocks.1.mlp.W_in"], rows[40:].T)
    assert "does not use" not in model.info.notes


def test_a_gguf_decoder_that_looks_both_ways_says_so_and_is_not_run(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "a.gguf", fields={"llama.attention.causal": False})
    model = load(path)
    assert not model.info.causal
    with pytest.raises(CannotRun, match=r"llama\.attention\.causal"):
        _ = model.bridge


def test_sums_with_the_output_of_a_norm_are_refused(tmp_path: Path) -> None:
    tiny.write_hf(tmp_path, "bloom", tokenizer=False, apply_residual_connection_post_layernorm=True)
    with pytest.raises(ModelError, match="apply_residual_connection_post_layernorm, so that each layer adds"):
        describe(tmp_path)


@pytest.mark.parametrize("size", [0, 3])
def test_the_convolution_of_deberta_is_said(tmp_path: Path, size: int) -> None:
    tiny.write_hf(tmp_path, "deberta-v2", tokenizer=False, conv_kernel_size=size)
    notes = load(tmp_path, "raw").info.notes
    assert ("A convolution beside layer 0 adds to the stream that layer 1 reads" in notes) is (size > 0)


def test_an_embedding_that_deberta_widens_is_refused_for_what_it_is(tmp_path: Path) -> None:
    tiny.write_hf(tmp_path, "deberta-v2", tokenizer=False, embedding_size=16)
    with pytest.raises(ModelError, match="embedding_size of 16 and a hidden_size of 24"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("model_type", "field"), [("gemma3_text", {"use_bidirectional_attention": True}), ("qwen2", {"is_causal": False})]
)
def test_a_decoder_that_looks_both_ways_says_so(tmp_path: Path, model_type: str, field: dict[str, Any]) -> None:
    module = tiny.random_module(model_type, **field)
    module.save_pretrained(tmp_path)
    with torch.no_grad():
        other = TOKENS.clone()
        other[0, -1] = 11
        sees_ahead = not torch.equal(module(TOKENS).logits[0, 0], module(other).logits[0, 0])
    model = load(tmp_path, "processed")
    assert model.info.causal is not sees_ahead
    W_U, reason = model.readout()
    assert W_U is not None
    assert reason == ""


@pytest.mark.parametrize("clip", [None, 0.2])
def test_a_bias_of_values_that_are_clipped_is_not_folded(tmp_path: Path, clip: float | None) -> None:
    tiny.write_hf(tmp_path, "olmo", tokenizer=False, attention_bias=True, clip_qkv=clip)
    raw, processed = load(tmp_path, "raw"), load(tmp_path, "processed")
    assert processed.effective_flags["fold_value_biases"] is (clip is None)
    if clip is not None:
        assert torch.equal(raw["blocks.0.attn.b_V"], processed["blocks.0.attn.b_V"])
        expected = raw["blocks.0.attn.b_O"] - raw["blocks.0.attn.b_O"].mean()
        torch.testing.assert_close(processed["blocks.0.attn.b_O"], expected)
    module = tiny.random_module("olmo", attention_bias=True, clip_qkv=clip)
    path = tiny_gguf.write_gguf(tmp_path / "a.gguf", "olmo", module=module, tokenizer=False)
    assert load(path, "processed").effective_flags == processed.effective_flags
