"""Model types whose layers are not known: their embeddings are read, and what is missing says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models import tiny
from vsa_checks.errors import ModelError
from vsa_checks.models import BASES, describe, load
from vsa_checks.models.architectures import ARCHITECTURES
from vsa_checks.models.embedding_only import EMBEDDING_ONLY
from vsa_checks.models.forward import CannotRun
from vsa_checks.models.quiet import quiet

pytestmark = pytest.mark.slow

# One configuration for all: each type takes the fields that it knows.
_FIELDS: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "head_dim": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "moe_intermediate_size": 8,
    "n_routed_experts": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "embedding_size": 32,
    "d_model": 32,
    "n_embd": 32,
    "emb_dim": 32,
    "n_layer": 2,
    "n_head": 4,
    "num_layers": 2,
    "num_heads": 4,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "d_ff": 16,
    "d_kv": 8,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}
MODELS = (
    *("afmoe", "bitnet", "nanochat", "qwen3_next", "recurrent_gemma", "rwkv", "jetmoe", "nemotron_h", "olmo_hybrid"),
    *("biogpt", "ctrl", "xlm", "mpnet", "roformer", "nllb-moe", "switch_transformers", "qwen3_5_text", "ultrabert"),
    *("big_bird", "convbert", "ernie", "flaubert", "longformer", "modernbert-decoder", "nomic_bert", "xmod"),
)


def module_of(model_type: str) -> Any:
    import transformers

    with quiet():
        config = transformers.AutoConfig.for_model(model_type, **_FIELDS)
        module = getattr(transformers, EMBEDDING_ONLY[model_type])(config)
    bias = getattr(module.get_output_embeddings(), "bias", None)
    if bias is not None:
        with torch.no_grad():
            bias.copy_(torch.linspace(-1, 1, 300))
    return module


@pytest.mark.parametrize("model_type", MODELS)
def test_the_embeddings_are_those_of_the_class(tmp_path: Path, model_type: str) -> None:
    module = module_of(model_type)
    module.save_pretrained(tmp_path)
    reason = f"layers of model type {model_type} are not in this package's table"
    for basis in BASES:
        model = load(tmp_path, basis)
        assert torch.equal(model.W_E, module.get_input_embeddings().weight)
        after = module.get_output_embeddings()
        assert torch.equal(model["unembed.W_U"], after.weight.T)
        bias = getattr(after, "bias", None)
        assert torch.equal(model["unembed.b_U"], torch.zeros(300) if bias is None else bias)
        assert set(model) <= {"embed.W_E", "unembed.W_U", "unembed.b_U"}
        assert not any(model.effective_flags.values())
        assert (model.info.n_heads, model.info.d_mlp, model.info.architecture) == (0, 0, model_type)
        assert reason in model.info.notes
        for matrix in ("W_Q", "W_out"):
            assert model.why_missing(1, matrix) == f"layer 1 of this model has no {matrix}: {reason}"
        with pytest.raises(CannotRun, match="not in this package's table"):
            model.run_with_cache(torch.tensor([[1, 2]]))


@pytest.mark.thorough
def test_no_type_is_in_both_tables() -> None:
    import transformers

    assert not set(EMBEDDING_ONLY) & set(ARCHITECTURES)
    assert all(hasattr(transformers, hf_class) for hf_class in EMBEDDING_ONLY.values())


def code_of_its_own(directory: Path, **tensors: torch.Tensor | None) -> Path:
    """A directory whose class is code of its repository."""
    tiny.write_hf(directory, "llama", tokenizer=False)
    tiny.edit_weights(directory, **tensors)
    config = json.loads((directory / "config.json").read_text())
    auto_map = {"AutoModelForCausalLM": "modeling.Model"}
    (directory / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": auto_map}))
    (directory / "modeling.py").write_text("raise SystemExit('this was run')")
    return directory


def test_code_of_a_repository_is_not_run_and_its_embedding_found_by_name_and_shape(tmp_path: Path) -> None:
    directory = code_of_its_own(tmp_path)
    expected = tiny.random_module("llama").state_dict()
    model = load(directory, "raw")
    assert torch.equal(model.W_E, expected["model.embed_tokens.weight"])
    assert torch.equal(model["unembed.W_U"], expected["lm_head.weight"].T)
    assert describe(directory).architecture == "own"


@pytest.mark.parametrize(
    "tensors",
    [
        {"model__embed_tokens__weight": None, "model__something__weight": torch.ones(300, 24)},
        {"model__other__wte__weight": torch.ones(300, 24)},
        {"model__embed_tokens__weight": torch.ones(300, 16)},
    ],
    ids=["no name", "two names", "another width"],
)
def test_an_embedding_that_cannot_be_told_is_refused(tmp_path: Path, tensors: dict[str, Any]) -> None:
    directory = code_of_its_own(tmp_path, **tensors)
    with pytest.raises(ModelError, match="code of its own repository, which is not run here") as caught:
        load(directory)
    assert "300 tokens in 24 dimensions" in str(caught.value)
