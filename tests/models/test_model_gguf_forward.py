"""Models that are run from a GGUF file: the logits of the module that it was converted from, or a reason in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models import tiny, tiny_gguf
from vsa_checks.models import load
from vsa_checks.models.forward import CannotRun
from vsa_checks.models.gguf_config import RUN

pytestmark = pytest.mark.slow

TOKENS = torch.tensor([[5, 9, 200, 33, 7, 250, 11, 12, 77, 3]])
MULTIPLIERS = {
    "attention_multiplier": 0.3,
    "embedding_multiplier": 2.0,
    "residual_multiplier": 0.5,
    "logits_scaling": 3.0,
}
# Layers enough for every kind of them, windows shorter than the text, and what llama.cpp takes for granted.
OVERRIDES: dict[str, dict[str, Any]] = {
    "gemma2": {"query_pre_attn_scalar": 8, "num_hidden_layers": 3, "sliding_window": 4},
    "gemma3_text": {"query_pre_attn_scalar": 8, "num_hidden_layers": 7, "sliding_window": 4},
    "cohere": {"logit_scale": 0.3},
    "cohere2": {"num_hidden_layers": 5, "sliding_window": 4, "logit_scale": 0.3},
    "smollm3": {"num_hidden_layers": 5},
    "granite": MULTIPLIERS,
    "granitemoe": MULTIPLIERS,
    "olmo": {"clip_qkv": 0.5},
    "exaone4": {"sliding_window": None, "layer_types": ["full_attention"] * 2},
    "apertus": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e5}},
    "qwen3_moe": {"norm_topk_prob": True},
    "nemotron": {"partial_rotary_factor": 0.34},
    "llama": {"attention_bias": True, "mlp_bias": True, "rms_norm_eps": 0.1},
    "gpt2": {"layer_norm_epsilon": 0.1},
    "mpt": {"layer_norm_epsilon": 0.1},
    "mistral": {"sliding_window": 4},
}
# transformer_lens does not run these, and the converter takes one key head for granted in the last two.
NOT_RUN = ("phi#qk_norm", "falcon#groups", "gpt_bigcode#heads", "falcon#heads")
NAMES = [name for name in tiny.CONFIGS if name.split("#")[0] in RUN and name not in NOT_RUN]


def logits_of(module: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = module(TOKENS).logits
    return logits


def assert_runs_alike(path: Path, module: Any) -> None:
    found, _ = load(path, "raw").run_with_cache(TOKENS, names_filter="embed.hook_out")
    torch.testing.assert_close(found, logits_of(module), atol=5e-5, rtol=5e-5)


def reason(path: Path) -> str:
    model = load(path, "raw")
    with pytest.raises(CannotRun) as caught:
        _ = model.bridge
    assert model.W_E.shape == (model.info.d_vocab, model.info.d_model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", tiny.kinds_first(NAMES))
def test_logits_are_those_of_the_module(tmp_path: Path, name: str) -> None:
    module = tiny.random_module(name, **OVERRIDES.get(name, {}))
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", name, module=module, tokenizer=False)
    assert_runs_alike(path, module)
    processed, _ = load(path).run_with_cache(TOKENS, names_filter="embed.hook_out")
    torch.testing.assert_close(processed.log_softmax(-1), logits_of(module).log_softmax(-1), atol=5e-5, rtol=5e-5)


@pytest.mark.parametrize("normed", [True, False])
def test_a_mixture_says_whether_the_weights_of_its_experts_sum_to_one(tmp_path: Path, normed: bool) -> None:
    module = tiny.random_module("qwen3_moe", norm_topk_prob=normed)
    fields = {"qwen3moe.expert_weights_norm": normed}
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "qwen3_moe", module=module, tokenizer=False, fields=fields)
    assert_runs_alike(path, module)


def test_every_model_type_that_runs_is_tried() -> None:
    assert {name.split("#")[0] for name in NAMES} == set(RUN)


@pytest.mark.parametrize(
    "name", ["phi#qk_norm", "falcon#groups", "stablelm", "gpt_oss", "jamba", "mamba", "bert", "t5"]
)
def test_what_does_not_run_says_why_and_gives_its_weights(tmp_path: Path, name: str) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", name, module=tiny.random_module(name), tokenizer=False)
    assert reason(path)


LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}


SCALED = ("qwen2", "qwen3", "smollm3", "olmo2", "granite", "starcoder2")


@pytest.mark.parametrize("name", ["llama", *(pytest.param(name, marks=pytest.mark.thorough) for name in SCALED)])
def test_linear_scaling_of_positions_gives_the_same_patterns(tmp_path: Path, name: str) -> None:
    module = tiny.random_module(name, rope_parameters=LINEAR)
    plain = tiny.random_module(name, rope_parameters={**LINEAR, "rope_type": "default"})
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", name, module=module, tokenizer=False)
    assert_runs_alike(path, module)
    assert float((logits_of(module) - logits_of(plain)).abs().max()) > 1e-2
    hook = "blocks.1.attn.hook_pattern"
    tiny_gguf.saved(module, tmp_path / "directory")
    patterns = [load(one, "raw").run_with_cache(TOKENS, hook)[1][hook] for one in (path, tmp_path / "directory")]
    torch.testing.assert_close(*patterns, atol=1e-5, rtol=1e-5)


def test_gemma_scales_the_positions_of_its_full_layers_alone(tmp_path: Path) -> None:
    rope = {"full_attention": LINEAR, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    module = tiny.random_module("gemma3_text", **OVERRIDES["gemma3_text"], rope_parameters=rope)
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "gemma3_text", module=module, tokenizer=False)
    assert_runs_alike(path, module)


LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def llama_3_factors(d_head: int) -> np.ndarray:
    """What llama.cpp's converter writes for Llama 3's scaling, frequency by frequency."""
    found = []
    for at in range(0, d_head, 2):
        wavelength = 2 * np.pi * 10000.0 ** (at / d_head)
        if wavelength < 64 / 4.0:
            found.append(1.0)
        elif wavelength > 64 / 1.0:
            found.append(8.0)
        else:
            smooth = (64 / wavelength - 1.0) / (4.0 - 1.0)
            found.append(1 / ((1 - smooth) / 8.0 + smooth))
    return np.array(found, np.float32)


@pytest.mark.parametrize("name", ["llama", "smollm3", "apertus"])
def test_the_frequencies_of_llama_3_are_divided(tmp_path: Path, name: str) -> None:
    sizes = {"hidden_size": 64, "max_position_embeddings": 128}
    module = tiny.random_module(name, **sizes, rope_parameters=LLAMA_3)
    factors = llama_3_factors(16)
    assert 1.0 in factors and 8.0 in factors
    for add, same in (({"rope_freqs.weight": factors}, True), ({}, False)):
        path = tiny_gguf.write_gguf(tmp_path / "model.gguf", name, module=module, add=add, tokenizer=False)
        if same:
            assert_runs_alike(path, module)
            assert "does not use" not in load(path, "raw").info.notes
        else:
            with pytest.raises(AssertionError, match="not close"):
                assert_runs_alike(path, module)


@pytest.mark.parametrize(
    ("fields", "add", "words"),
    [
        ({"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}, {}, "scaled by yarn"),
        ({"llama.rope.scaling.type": "longrope"}, {}, "scaled by longrope"),
        ({"llama.rope.scaling.type": 3}, {}, "scaled by 3"),
        ({}, {"rope_factors_long.weight": np.ones(8, np.float32)}, "rope_factors_long.weight"),
        ({}, {"rope_freqs.weight": np.ones(5, np.float32)}, "rope_freqs.weight"),
        ({"llama.rope.freq_base": "high"}, {}, "rope.freq_base"),
        ({"llama.rope.freq_base": -1.0}, {}, "rope.freq_base"),
        ({"llama.rope.scaling.factor": float("inf")}, {}, "rope.scaling.factor"),
        ({"llama.context_length": "long"}, {}, "llama.context_length"),
        ({"llama.attention.scale": 0.5}, {}, "llama.attention.scale"),
        ({"llama.attention.sliding_window": 128}, {}, "llama.attention.sliding_window"),
        ({"llama.final_logit_softcapping": 30.0}, {}, "llama.final_logit_softcapping"),
        ({}, {"blk.0.attn_q.bias": np.ones(64, np.float32)}, "q_proj.bias"),
    ],
)
def test_what_the_class_cannot_be_told_is_not_run(
    tmp_path: Path, fields: dict[str, Any], add: dict[str, np.ndarray], words: str
) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", fields=fields, add=add, tokenizer=False)
    assert words in reason(path)


def test_a_small_vocabulary_without_padding_token_runs(tmp_path: Path) -> None:
    module = tiny.random_module("phi3")
    assert module.config.vocab_size < 32_000
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "phi3", module=module, tokenizer=False)
    assert_runs_alike(path, module)


def test_special_tokens_beyond_the_vocabulary_are_left_out(tmp_path: Path) -> None:
    module = tiny.random_module("llama")
    fields = {"tokenizer.ggml.padding_token_id": 5000}
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", module=module, tokenizer=False, fields=fields)
    assert_runs_alike(path, module)
