"""The two packaged models: real weights, real text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vsa_checks.models import ensure_available, load
from vsa_checks.models.quiet import quiet

pytestmark = pytest.mark.slow

TEXT = "The capital of France is"


@pytest.fixture(scope="module")
def smollm2() -> Any:
    return load("smollm2-135m", "raw")


@pytest.mark.thorough
def test_the_embedded_model_equals_what_transformers_reads(smollm2: Any) -> None:
    from transformers import AutoModelForCausalLM

    path = ensure_available("smollm2-135m").path
    assert isinstance(path, Path)
    with quiet():
        reference = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
        ).eval()
    state, compared = dict(reference.named_parameters()), 1
    assert torch.equal(smollm2.W_E, state["model.embed_tokens.weight"])
    assert torch.equal(smollm2.W_U, state["model.embed_tokens.weight"].T)
    for layer in range(30):
        own, theirs = f"blocks.{layer}", f"model.layers.{layer}"
        for letter, heads in (("Q", 9), ("K", 3), ("V", 3)):
            weight = state[f"{theirs}.self_attn.{letter.lower()}_proj.weight"]
            expected = weight.reshape(heads, 64, 576).transpose(1, 2)
            assert torch.equal(smollm2[f"{own}.attn.W_{letter}"], expected)
        output = state[f"{theirs}.self_attn.o_proj.weight"].T.reshape(9, 64, 576)
        assert torch.equal(smollm2[f"{own}.attn.W_O"], output)
        for name, part in (("W_in", "up"), ("W_gate", "gate"), ("W_out", "down")):
            assert torch.equal(smollm2[f"{own}.mlp.{name}"], state[f"{theirs}.mlp.{part}_proj.weight"].T)
        compared += 7
    assert compared + 61 == len(state)  # the rest are norms, compared through the logits
    tokens = torch.tensor([[1, 504, 3575, 282, 4649, 314]])
    with torch.no_grad():
        expected = reference(tokens).logits
    logits, _ = smollm2.run_with_cache(tokens, names_filter="embed.hook_out")
    # Measured: 2e-5 on logits of up to 30.
    torch.testing.assert_close(logits, expected, atol=2e-4, rtol=1e-4)


@pytest.mark.thorough
def test_it_knows_the_capital_of_france(smollm2: Any) -> None:
    assert smollm2.token_name(7042) == " Paris"
    logits, cache = smollm2.run_with_cache(TEXT, names_filter=lambda name: name.endswith("hook_pattern"))
    assert smollm2.token_name(int(logits[0, -1].argmax())) == " Paris"
    assert len(cache) == 30
    assert smollm2.tokenizer.decode([504, 3575]) == "The capital"


def test_the_encoder_equals_what_transformers_reads() -> None:
    from transformers import BertModel

    found = ensure_available("minilm-l6")
    model = load("minilm-l6", "raw")
    with quiet():
        reference = BertModel.from_pretrained(found.path, attn_implementation="eager").eval()
    first = reference.encoder.layer[0].attention.self
    expected = first.query.weight.reshape(12, 32, 384).transpose(1, 2)
    assert torch.equal(model["blocks.0.attn.W_Q"], expected)
    assert torch.equal(model.W_E, reference.embeddings.word_embeddings.weight)
    assert model.W_U is None
    ids = model.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        hidden = reference(ids).last_hidden_state
    _, cache = model.run_with_cache(ids)
    torch.testing.assert_close(cache["blocks.5.hook_resid_post"], hidden, atol=1e-4, rtol=1e-4)
