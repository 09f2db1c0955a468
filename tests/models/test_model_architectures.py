"""Every architecture of the table, in both bases, against its own state dict and against transformer_lens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models import tiny
from tests.models.conftest import TinyModels
from vsa_checks.models import BASES, load
from vsa_checks.models.architecture import WEIGHT_NAMES
from vsa_checks.models.architectures import ARCHITECTURES
from vsa_checks.models.forward import CannotRun
from vsa_checks.models.quiet import quiet

pytestmark = pytest.mark.slow

TOKENS = torch.tensor([[5, 9, 200, 33, 7, 250]])
# Float32 rounding, measured: 1.5e-6 on activations, 5e-6 on log-probabilities. A wrong weight gives 0.1 or more.
NOISE = 2e-5

TWO_TEXTS = (
    *("t5", "t5#gated", "mt5", "umt5", "longt5"),
    *("bart", "marian", "mbart", "pegasus", "blenderbot", "m2m_100", "led"),
)
NOT_RUN = {
    "gpt_bigcode#heads": "only supports multi_query=True",
    "phi#qk_norm": "q_layernorm",
    "falcon#groups": "split_with_sizes",
    "stablelm": "computes other logits",
    "stablelm#parallel": "computes other logits",
    "phimoe": "no bridge for PhimoeForCausalLM",
    "granitemoehybrid": "rotary_emb",
    "deepseek_v2": "must match the size",
    "deepseek_v3": "must match the size",
    "xlm-roberta": "no bridge for XLMRobertaForMaskedLM",
    "distilbert": "no bridge for DistilBertForMaskedLM",
    "albert": "no bridge for AlbertForMaskedLM",
    "electra": "no bridge for ElectraForMaskedLM",
    "deberta-v2": "no bridge for DebertaV2ForMaskedLM",
    "modernbert": "no bridge for ModernBertForMaskedLM",
    "helium": "no bridge for HeliumForCausalLM",
    "cwm": "no bridge for CwmForCausalLM",
    "ministral": "no bridge for MinistralForCausalLM",
    "exaone_moe": "no bridge for ExaoneMoeForCausalLM",
    "granitemoeshared": "no bridge for GraniteMoeSharedForCausalLM",
    "glm4_moe_lite": "must match the size",
    "youtu": "must match the size",
    "camembert": "no bridge for CamembertForMaskedLM",
    "qwen2_vl_text": "no bridge for Qwen2VLTextModel",
    "qwen2_5_vl_text": "no bridge for Qwen2_5_VLTextModel",
    "qwen3_vl_text": "no bridge for Qwen3VLTextModel",
} | dict.fromkeys(TWO_TEXTS, "reads two texts at a time")
"""Which do not run, with words of the reason; their weights are read all the same."""
RUN = [name for name in tiny.CONFIGS if name not in NOT_RUN]

# transformer_lens leaves something undone or fails; the formulas are tested below instead.
PROCESSED_OTHERWISE = {
    "opt#350m": "fails",
    "xglm": "does not center what is written",
    "phi#grouped": "fails",
    "nemotron": "does nothing",
    "cohere": "leaves means where a norm has no bias",
    "cohere#qk_norm": "the same",
    "cohere2": "the same",
    "olmo": "the same",
    "vaultgemma": "refuses",
    "glm": "does not fold",
    "glm4": "does not fold",
    "bamba": "does not fold",
    "mamba": "does not fold the final norm",
    "mamba2": "the same",
    "falcon_mamba": "the same",
    "mixtral": "fails",
    "qwen2_moe": "fails",
    "qwen3_moe": "fails",
    "gpt_oss": "fails",
    "olmoe": "fails",
    "granitemoe": "fails",
    "llama4_text": "fails",
    "jamba": "fails",
    "falcon_h1": "fails",
    "minimax_m2": "fails",
    "flex_olmo": "fails",
    "glm4_moe": "fails",
    "ernie4_5_moe": "fails",
    "lfm2_moe": "fails",
}


def optional(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:  # how transformer_lens says that there is none
        return None


def test_every_architecture_of_the_table_is_tried() -> None:
    assert tiny.CONFIGS.keys() >= tiny.KINDS
    assert {name.split("#")[0] for name in tiny.CONFIGS} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", RUN)
def test_raw_weights_are_those_of_transformer_lens(model_of: TinyModels, name: str) -> None:
    model = model_of(name, "raw")
    bridge, compared = model.bridge, 0
    for layer in range(model.info.n_layers):
        for part, weights in WEIGHT_NAMES.items():
            component = optional(bridge.blocks[layer], part)
            for weight in weights:
                theirs, ours = optional(component, weight), model.get(f"blocks.{layer}.{part}.{weight}")
                assert (theirs is None) == (ours is None), (layer, weight)
                if ours is not None:
                    assert torch.equal(theirs.reshape(ours.shape), ours), (layer, weight)
                    compared += 1
    if name == "opt#350m":  # transformer_lens gives the embedding before its projection
        project = bridge.original_model.model.decoder.project_in.weight
        torch.testing.assert_close(model.W_E, bridge.embed.W_E @ project.T)
    else:
        assert torch.equal(bridge.embed.W_E, model.W_E)
        assert torch.equal(bridge.unembed.W_U, model["unembed.W_U"])
        assert torch.equal(bridge.unembed.b_U, model["unembed.b_U"])
    assert compared >= (0 if model.info.n_heads == 0 else 5)


@pytest.mark.parametrize("name", tiny.kinds_first(name for name in RUN if name not in PROCESSED_OTHERWISE))
def test_processed_weights_and_activations_are_those_of_transformer_lens(model_of: TinyModels, name: str) -> None:
    ours, raw = model_of(name, "processed"), load(model_of.directory(name), "raw")
    with quiet():
        raw.bridge.enable_compatibility_mode(disable_warnings=True)
    for weight in ours:
        _, layer, part, kind = weight.split(".") if weight.startswith("blocks.") else ("", "", "", "")
        theirs = optional(optional(raw.bridge.blocks[int(layer)], part), kind) if layer else None
        if theirs is not None:
            torch.testing.assert_close(theirs.reshape(ours[weight].shape), ours[weight], atol=NOISE, rtol=NOISE)
        elif kind.startswith("W_"):
            pytest.fail(f"transformer_lens has no {weight}")
    torch.testing.assert_close(raw.bridge.embed.W_E, ours.W_E, atol=NOISE, rtol=NOISE)
    torch.testing.assert_close(raw.bridge.unembed.W_U, ours.W_U, atol=NOISE, rtol=NOISE)
    logits, cache = ours.run_with_cache(TOKENS)
    expected, theirs = raw.bridge.run_with_cache(TOKENS)
    torch.testing.assert_close(logits, expected, atol=NOISE, rtol=NOISE)
    ends = ("hook_attn_out", "hook_mlp_out", "attn.hook_v", "attn.hook_z", "attn.hook_pattern")
    hooks = [hook for hook in cache if hook.endswith(ends)]
    assert hooks
    for hook in hooks:
        torch.testing.assert_close(cache[hook], theirs[hook].reshape(cache[hook].shape), atol=NOISE, rtol=NOISE)


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_processing_is_what_its_formulas_say(model_of: TinyModels, name: str) -> None:
    """Weights of the first layer with a norm of its own, brute force in float64 from the raw ones."""
    raw, processed = model_of(name, "raw"), model_of(name, "processed")
    flags, layer_norm = processed.effective_flags, raw.info.norm == "layer_norm"

    def folded(weight: str, norm: Any) -> np.ndarray:
        W = raw.array(weight).astype(np.float64)
        if flags["fold_ln"] and norm is not None:
            gain = np.ones(raw.info.d_model) if norm is None or norm.gain is None else norm.gain
            W = np.einsum("...dm,d->...dm", W, gain)
            if layer_norm:
                W = W - W.mean(axis=-2, keepdims=True)
        return W

    parts: dict[str, Any] = {}
    for layer in range(raw.info.n_layers):
        if f"blocks.{layer}.attn.W_Q" in raw:
            part = raw._attention(layer)
            parts |= {f"blocks.{layer}.attn.{one}": part.reads_through for one in ("W_Q", "W_K", "W_V")}
        if f"blocks.{layer}.mlp.W_in" in raw:
            part = raw._mlp(layer)
            parts |= {f"blocks.{layer}.mlp.{one}": part.reads_through for one in ("W_in", "W_gate")}
    for weight, norm in parts.items():
        if weight in raw:
            np.testing.assert_allclose(processed.array(weight), folded(weight, norm), atol=NOISE)
    for weight in [one for one in raw if one.endswith((".W_O", ".W_out"))]:
        written = raw.array(weight).astype(np.float64)
        if flags["center_writing_weights"]:
            written = written - written.mean(axis=-1, keepdims=True)
        np.testing.assert_allclose(processed.array(weight), written, atol=NOISE)
    if raw.W_U is not None:
        W_U = folded("unembed.W_U", raw._raw.final_norm())
        if flags["center_unembed"]:
            W_U = W_U - W_U.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(processed.array("unembed.W_U"), W_U, atol=NOISE)


@pytest.mark.parametrize("name", tiny.kinds_first(RUN))
def test_what_the_mlp_reads_goes_through_its_weights_to_the_same_in_both_bases(model_of, name: str) -> None:
    """Pre-activations must not depend on the basis: what is folded into W_in is taken out of what is read."""
    found = []
    for basis in BASES:
        model = model_of(name, basis)
        if "blocks.0.mlp.W_in" not in model or name == "opt#350m":
            return
        _, cache = model.run_with_cache(TOKENS, names_filter="blocks.0.mlp.hook_in")
        matrix = "W_gate" if model.info.gated else "W_in"
        found.append(cache["blocks.0.mlp.hook_in"] @ model[f"blocks.0.mlp.{matrix}"])
        found[-1] += model.get(f"blocks.0.mlp.b_{matrix[2:]}", 0.0)
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", RUN)
def test_logits_are_those_of_the_model_in_both_bases(model_of: TinyModels, name: str) -> None:
    own = tiny.random_module(name)
    with torch.no_grad():
        reference = own(TOKENS).logits
    raw, _ = model_of(name, "raw").run_with_cache(TOKENS, names_filter="embed.hook_out")
    torch.testing.assert_close(raw, reference, atol=NOISE, rtol=NOISE)
    processed, _ = model_of(name, "processed").run_with_cache(TOKENS, names_filter="embed.hook_out")
    torch.testing.assert_close(processed.log_softmax(-1), reference.log_softmax(-1), atol=NOISE, rtol=NOISE)


@pytest.mark.parametrize("name", NOT_RUN)
def test_what_does_not_run_says_why_and_gives_its_weights(model_of: TinyModels, name: str) -> None:
    model = model_of(name, "raw")
    with pytest.raises(CannotRun, match=NOT_RUN[name]):
        _ = model.bridge
    assert model.W_E.shape == (model.info.d_vocab, model.info.d_model)


def test_flags_differ_as_the_architectures_do(model_of: TinyModels) -> None:
    def flags(name: str) -> list[bool]:
        return list(model_of(name, "processed").effective_flags.values())

    # fold_ln, center_writing_weights, center_unembed, fold_value_biases
    assert flags("gpt2") == [True, True, True, True]
    assert flags("llama") == [True, False, True, False]  # RMSNorm: a mean in the residual stream is read
    assert flags("qwen2") == [True, False, True, True]
    assert flags("gemma2") == [True, False, False, False]  # a cap on the logits
    assert flags("olmo2") == [False, False, True, False]  # norms after the sublayers
    assert flags("olmo") == [True, True, True, False]
    assert flags("bert") == [False, True, True, True]
    assert flags("openai-gpt") == [False, False, True, True]  # its first layer reads the stream without a norm
    assert flags("gpt_oss") == [True, False, True, False]  # attention that does not sum to one


@pytest.mark.parametrize("offset", ["llama", "gemma"])
def test_a_norm_that_scales_by_one_is_folded(tmp_path: Path, offset: str) -> None:
    directory = tiny.write_hf(tmp_path, offset, tokenizer=False)
    neutral = torch.zeros(24) if offset == "gemma" else torch.ones(24)
    names = ("input_layernorm", "post_attention_layernorm")
    tiny.edit_weights(
        directory, **{f"model__layers__{layer}__{name}__weight": neutral for layer in (0, 1) for name in names}
    )
    raw, processed = load(directory, "raw"), load(directory, "processed")
    assert processed.effective_flags["fold_ln"]
    assert torch.equal(raw["blocks.1.mlp.W_in"], processed["blocks.1.mlp.W_in"])


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_sizes_and_attributes(model_of: TinyModels, name: str) -> None:
    model = model_of(name, "raw")
    info, row = model.info, ARCHITECTURES[name.split("#")[0]]
    assert (info.architecture, info.norm, info.causal) == (name.split("#")[0], row.norm, row.causal)
    assert info.dtype == "float32"
    assert not info.text
    assert info.text_reason
    assert all(tensor.dtype == torch.float32 and not tensor.requires_grad for tensor in model.values())
    gated = any(".W_gate" in weight for weight in model)
    assert gated == (info.gated and info.d_mlp > 0)
    said = ("saved without an unembedding", "decoder is looked at", "layers share weights")
    assert not info.notes or any(words in info.notes for words in said)
    assert model.token_name(7) == "7"
    with pytest.raises(AttributeError):
        _ = model.W_nothing
    with pytest.raises(KeyError):
        _ = model["blocks.9.attn.W_Q"]


def test_attention_patterns_are_there(model_of: TinyModels) -> None:
    for name in ("gpt2", "llama", "bert"):
        _, cache = model_of(name, "processed").run_with_cache(TOKENS)
        pattern = cache["blocks.0.attn.hook_pattern"]
        assert pattern.shape[-2:] == (TOKENS.shape[1], TOKENS.shape[1])
        torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern.sum(-1)))
        looks_ahead = bool(pattern.triu(1).any())
        assert looks_ahead == (name == "bert")


def test_an_encoder_without_head_has_no_unembedding(tmp_path: Path) -> None:
    from transformers import BertModel

    whole = tiny.random_module("bert")
    encoder = BertModel(whole.config, add_pooling_layer=False)
    encoder.load_state_dict(whole.bert.state_dict())
    encoder.save_pretrained(tmp_path)
    for basis in BASES:
        model = load(tmp_path, basis)
        assert model.W_U is None
        assert model.b_U is None
        assert "unembed.W_U" not in model
        assert not model.effective_flags["center_unembed"]
        assert not model.info.causal
        assert model.run_with_cache(TOKENS)[1]["blocks.1.hook_resid_post"].shape == (1, 6, 24)
    embeddings = whole.bert.embeddings.word_embeddings.weight.detach()
    assert torch.equal(load(tmp_path, "raw").W_E, embeddings)


def test_what_fails_only_when_it_is_looked_into_says_so(model_of: TinyModels) -> None:
    with pytest.raises(CannotRun, match="transformer_lens cannot run this model"):
        model_of("opt#350m", "raw").run_with_cache(TOKENS)


@pytest.mark.parametrize("name", tiny.kinds_first(name for name in RUN if name != "opt#350m"))
def test_without_logits_all_else_is_as_with_them(model_of: TinyModels, name: str) -> None:
    model = model_of(name, "processed")
    _, whole = model.run_with_cache(TOKENS)
    final, cache = model.run_with_cache(TOKENS, logits=False)
    names = [hook for hook in whole if hook.startswith(("hook_embed", "blocks."))]
    assert names
    assert all(torch.equal(whole[hook], cache[hook]) for hook in names)
    if model.W_U is not None:
        assert final.shape == (*TOKENS.shape, model.info.d_model)
