"""Every supported architecture, in both bases, against what it computes: no table of names is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.models import tiny
from vsa_checks.models import BASES, Basis, Model, load
from vsa_checks.models.architectures import ARCHITECTURES

pytestmark = pytest.mark.slow

TOKENS = torch.tensor([[5, 9, 200, 33, 7, 250]])
# Float32 rounding, measured: 1.5e-6 on activations, 5e-6 on log-probabilities. A wrong weight gives 0.1 or more.
NOISE = 2e-5

_loaded: dict[tuple[str, Basis], Model] = {}


@pytest.fixture
def model_of(tmp_path_factory: pytest.TempPathFactory) -> object:
    def get(model_type: str, basis: Basis) -> Model:
        if (model_type, basis) not in _loaded:
            directory = tmp_path_factory.mktemp(model_type)
            tiny.write_hf(directory, model_type, tokenizer=False)
            _loaded[model_type, basis] = load(directory, basis)
        return _loaded[model_type, basis]

    return get


def bias(model: Model, name: str) -> torch.Tensor | float:
    return model.get(name, 0.0)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_weights_are_those_that_the_activations_went_through(model_of, model_type: str, basis: Basis) -> None:
    model = model_of(model_type, basis)
    _, cache = model.run_with_cache(TOKENS)
    compared = 0
    for layer in range(model.info.n_layers):
        block = f"blocks.{layer}"
        for letter in "QKV":
            hooked = f"{block}.attn.{letter.lower()}.hook_in"
            entering = cache[hooked if hooked in cache else f"{block}.attn.hook_in"]
            weight = model[f"{block}.attn.W_{letter}"]
            leaving = torch.einsum("bpd,hde->bphe", entering, weight) + bias(model, f"{block}.attn.b_{letter}")
            torch.testing.assert_close(leaving, cache[f"{block}.attn.hook_{letter.lower()}"], atol=NOISE, rtol=NOISE)
            compared += 1
        z = cache[f"{block}.attn.hook_z"].reshape(*TOKENS.shape, model.info.n_heads, model.info.d_head)
        out = torch.einsum("bphe,hed->bpd", z, model[f"{block}.attn.W_O"]) + bias(model, f"{block}.attn.b_O")
        torch.testing.assert_close(out, cache[f"{block}.attn.o.hook_out"], atol=NOISE, rtol=NOISE)
        matrices = [("in", "W_in", "b_in"), ("out", "W_out", "b_out")]
        matrices += [("gate", "W_gate", "b_gate")] if model.info.gated else []
        for part, weight_name, bias_name in matrices:
            entering = cache[f"{block}.mlp.out.hook_in" if part == "out" else f"{block}.mlp.hook_in"]
            leaving = entering @ model[f"{block}.mlp.{weight_name}"] + bias(model, f"{block}.mlp.{bias_name}")
            torch.testing.assert_close(leaving, cache[f"{block}.mlp.{part}.hook_out"], atol=NOISE, rtol=NOISE)
            compared += 1
    assert compared == model.info.n_layers * (6 if model.info.gated else 5)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_processing_leaves_the_function_as_it_is(model_of, tmp_path: Path, model_type: str) -> None:
    own = tiny.random_module(model_type)
    with torch.no_grad():
        reference = own(TOKENS).logits.log_softmax(-1)
    for basis in BASES:
        logits, _ = model_of(model_type, basis).run_with_cache(TOKENS, names_filter="embed.hook_out")
        torch.testing.assert_close(logits.log_softmax(-1), reference, atol=NOISE, rtol=NOISE)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_flags_are_what_is_seen_in_the_weights(model_of, model_type: str) -> None:
    raw, processed = model_of(model_type, "raw"), model_of(model_type, "processed")
    assert not any(raw.effective_flags.values())
    flags = processed.effective_flags

    def changed(name: str) -> bool:
        return not torch.equal(raw[name], processed[name])

    def mean(name: str, axis: int) -> float:
        return float(processed[name].mean(axis).abs().max())

    reading = [changed(f"blocks.1.{name}") for name in ("attn.W_Q", "attn.W_K", "attn.W_V", "mlp.W_in")]
    assert reading == [flags["fold_ln"]] * 4
    writing = ["embed.W_E", "blocks.1.attn.W_O", "blocks.1.mlp.W_out"]
    assert [changed(name) for name in writing] == [flags["center_writing_weights"]] * 3
    assert [mean(name, -1) < 1e-6 for name in writing] == [flags["center_writing_weights"]] * 3
    assert (mean("unembed.W_U", -1) < 1e-6) == flags["center_unembed"]
    values = processed.get("blocks.1.attn.b_V")
    assert (values is not None and not values.any()) == flags["fold_value_biases"]
    assert (values is None) == (not flags["fold_value_biases"])


def test_flags_differ_as_the_architectures_do(model_of) -> None:
    def flags(model_type: str) -> list[bool]:
        return list(model_of(model_type, "processed").effective_flags.values())

    # fold_ln, center_writing_weights, center_unembed, fold_value_biases
    assert flags("gpt2") == [True, True, True, True]
    assert flags("llama") == [True, False, True, False]  # RMSNorm: a mean in the residual stream is read
    assert flags("qwen2") == [True, False, True, True]
    assert flags("gemma2") == [True, False, False, False]  # a cap on the logits
    assert flags("olmo2") == [False, False, True, False]  # norms after the sublayers
    assert flags("bert") == [False, True, True, True]


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_sizes_and_attributes(model_of, model_type: str) -> None:
    model = model_of(model_type, "raw")
    info, row = model.info, ARCHITECTURES[model_type]
    assert (info.architecture, info.gated, info.norm, info.causal) == (model_type, row.gated, row.norm, row.causal)
    assert info.dtype == "float32"
    assert not info.text
    assert info.text_reason
    assert model.W_E.shape == (info.d_vocab, info.d_model)
    assert model.W_U is not None
    assert model.W_U.shape == (info.d_model, info.d_vocab)
    assert model.W_K.shape == (info.n_layers, info.n_kv_heads, info.d_model, info.d_head)
    assert model.W_Q.shape == (info.n_layers, info.n_heads, info.d_model, info.d_head)
    assert model.W_O.shape == (info.n_layers, info.n_heads, info.d_head, info.d_model)
    assert model.W_in.shape == (info.n_layers, info.d_model, info.d_mlp)
    assert model.W_out.shape == (info.n_layers, info.d_mlp, info.d_model)
    assert (model.W_gate is not None) == info.gated
    assert (model.W_pos is not None) == (model_type in ("gpt2", "gpt_neo", "opt", "bert"))
    assert all(tensor.dtype == torch.float32 and not tensor.requires_grad for tensor in model.values())
    assert model.token_name(7) == "7"
    with pytest.raises(AttributeError):
        _ = model.W_nothing
    with pytest.raises(KeyError):
        _ = model["blocks.9.attn.W_Q"]


def test_attention_patterns_are_there(model_of) -> None:
    for model_type in ("gpt2", "llama", "bert"):
        _, cache = model_of(model_type, "processed").run_with_cache(TOKENS)
        pattern = cache["blocks.0.attn.hook_pattern"]
        assert pattern.shape[-2:] == (TOKENS.shape[1], TOKENS.shape[1])
        torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern.sum(-1)))
        looks_ahead = bool(pattern.triu(1).any())
        assert looks_ahead == (model_type == "bert")


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
    embeddings = whole.bert.embeddings.word_embeddings.weight.detach()
    assert torch.equal(load(tmp_path, "raw").W_E, embeddings)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_without_logits_all_else_is_as_with_them(model_of, model_type: str) -> None:
    model = model_of(model_type, "processed")
    logits, whole = model.run_with_cache(TOKENS)
    final, cache = model.run_with_cache(TOKENS, logits=False)
    names = [name for name in whole if name.startswith(("hook_embed", "blocks."))]
    assert names and all(torch.equal(whole[name], cache[name]) for name in names)
    if model.W_U is not None:
        assert final.shape == (*TOKENS.shape, model.info.d_model)
    assert torch.equal(model.run_with_cache(TOKENS)[0], logits)
