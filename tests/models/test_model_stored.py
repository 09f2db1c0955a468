"""What is stored otherwise than transformers writes it now: read right, or read less, and said."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models import tiny
from vsa_checks.models import BASES, describe, load
from vsa_checks.models.parts import Kept, Part
from vsa_checks.models.quiet import quiet

TOKENS = torch.tensor([[5, 9, 20]])
pytestmark = pytest.mark.slow

Tensors = dict[str, torch.Tensor]


def stored(directory: Path, change: Callable[[Tensors], Tensors]) -> Path:
    """Rewrites the tensors of a directory."""
    tensors = change(load_file(directory / "model.safetensors"))
    copies = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(copies, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def configured(directory: Path, **changes: Any) -> Path:
    """Changes fields of the configuration; None takes one out."""
    config = {**json.loads((directory / "config.json").read_text()), **changes}
    (directory / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return directory


def same_weights(one: Path, other: Path) -> None:
    for basis in BASES:
        ours, theirs = load(one, basis), load(other, basis)
        assert set(ours) == set(theirs)
        assert all(np.array_equal(ours.array(name), theirs.array(name)) for name in ours)


@pytest.mark.parametrize("model_type", ["llama", "gemma", "gpt_neox", "mixtral"])
def test_a_decoder_saved_without_its_head_has_no_unembedding(tmp_path: Path, model_type: str) -> None:
    directory = tiny.write_hf(tmp_path, model_type, tokenizer=False, tie_word_embeddings=False)
    stored(directory, lambda t: {k: v for k, v in t.items() if k not in ("lm_head.weight", "embed_out.weight")})
    for basis in BASES:
        model = load(directory, basis)
        assert model.W_U is None and "unembed.W_U" not in model
        assert not model.effective_flags["center_unembed"]
        assert model.readout() == (None, "the model has no unembedding that reads the stream")
        assert "saved without an unembedding" in model.info.notes
        _, cache = model.run_with_cache(TOKENS)
        assert cache["blocks.1.hook_resid_post"].shape == (1, 3, 24)


def test_an_unembedding_that_is_stored_beside_a_tied_embedding_is_used_as_transformers_does(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    directory = tiny.write_hf(tmp_path, "llama", tokenizer=False, tie_word_embeddings=True)
    head = torch.randn(tiny.D_VOCAB, 24)
    stored(directory, lambda t: {**t, "lm_head.weight": head})
    with quiet(), torch.no_grad():
        reference = AutoModelForCausalLM.from_pretrained(directory)(TOKENS).logits
    raw = load(directory, "raw")
    assert torch.equal(raw["unembed.W_U"], head.T)
    assert "lm_head.weight is stored and differs" in raw.info.notes
    torch.testing.assert_close(raw.run_with_cache(TOKENS)[0], reference, atol=2e-5, rtol=2e-5)
    stored(directory, lambda t: {**t, "lm_head.weight": t["model.embed_tokens.weight"]})
    assert load(directory, "raw").info.notes == ""


@pytest.mark.parametrize(
    ("model_type", "bias"),
    [("llama", "model.layers.0.self_attn.q_proj.bias"), ("qwen3", "model.layers.1.self_attn.v_proj.bias")],
)
def test_biases_that_the_configuration_leaves_out_are_not_read_and_said(
    tmp_path: Path, model_type: str, bias: str
) -> None:
    plain = tiny.write_hf(tmp_path / "plain", model_type, tokenizer=False)
    more = tiny.write_hf(tmp_path / "more", model_type, tokenizer=False)
    stored(more, lambda t: {**t, bias: torch.ones(t[bias.replace("bias", "weight")].shape[0])})
    same_weights(plain, more)
    assert f"tensors that its configuration leaves out: {bias}." in load(more, "raw").info.notes


def test_layers_that_the_configuration_leaves_out_are_said(tmp_path: Path) -> None:
    model = load(configured(tiny.write_hf(tmp_path, "gpt2", tokenizer=False), n_layer=1), "raw")
    assert model.info.n_layers == 1 and "blocks.1.attn.W_Q" not in model
    assert "transformer.h.1.attn.c_attn.bias" in model.info.notes


def test_a_stray_field_of_grouped_heads_changes_nothing(tmp_path: Path) -> None:
    plain = tiny.write_hf(tmp_path / "plain", "gpt_neox", tokenizer=False)
    stray = configured(tiny.write_hf(tmp_path / "stray", "gpt_neox", tokenizer=False), num_key_value_heads=2)
    same_weights(plain, stray)
    logits = [load(directory).run_with_cache(TOKENS)[0] for directory in (plain, stray)]
    assert torch.equal(*logits)


def old_gpt2(tensors: Tensors) -> Tensors:
    mask = torch.ones(1, 1, 32, 32).tril()
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    return {**bare, "h.0.attn.bias": mask, "h.1.attn.bias": mask, "h.0.attn.masked_bias": torch.tensor(-1e4)}


def old_bert(tensors: Tensors) -> Tensors:
    words = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
    renamed = {}
    for name, tensor in tensors.items():
        for new, old in words:
            name = name.replace(new, old)
        renamed[name] = tensor
    return {**renamed, "bert.embeddings.position_ids": torch.arange(32)[None]}


@pytest.mark.parametrize(("model_type", "change"), [("gpt2", old_gpt2), ("bert", old_bert)])
def test_names_of_older_versions_are_read(
    tmp_path: Path, model_type: str, change: Callable[[Tensors], Tensors]
) -> None:
    new = tiny.write_hf(tmp_path / "new", model_type, tokenizer=False)
    old = stored(tiny.write_hf(tmp_path / "old", model_type, tokenizer=False), change)
    same_weights(new, old)
    assert load(old).info.notes == ""
    logits = [load(directory).run_with_cache(TOKENS)[0] for directory in (new, old)]
    torch.testing.assert_close(*logits)


def test_a_missing_list_of_classes_is_not_needed(tmp_path: Path) -> None:
    directory = configured(tiny.write_hf(tmp_path, "qwen2", tokenizer=False), architectures=None)
    assert load(directory).run_with_cache(TOKENS)[0].shape == (1, 3, tiny.D_VOCAB)


def test_an_embedding_kept_with_the_decoder_is_found(tmp_path: Path) -> None:
    plain = tiny.write_hf(tmp_path / "plain", "t5", tokenizer=False)
    moved = tiny.write_hf(tmp_path / "moved", "t5", tokenizer=False)
    rename = {"shared.weight": "decoder.embed_tokens.weight"}
    stored(moved, lambda t: {rename.get(name, name): tensor for name, tensor in t.items()})
    same_weights(plain, moved)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer.model"])
def test_a_tokenizer_that_is_a_pointer_is_named(tmp_path: Path, file: str) -> None:
    directory = tiny.write_hf(tmp_path, "llama", tokenizer=False)
    (directory / file).write_bytes(tiny.LFS_POINTER)
    info = describe(directory)
    assert not info.text
    assert file in info.text_reason and "git lfs pull" in info.text_reason


def test_no_more_is_kept_than_the_budget() -> None:
    def part(size: int) -> Part:
        return Part({"W": np.zeros(size, np.float32)})

    kept = Kept(most_bytes=100 * 4)
    for key, size in enumerate((40, 40, 30, 200, 90, 5)):
        assert kept.get(key, partial(part, size)).weights["W"].size == size
        assert kept.nbytes <= 400
    first = kept.get(5, lambda: part(1))
    assert first.weights["W"].size == 5  # the last one is still there
    assert kept.get(0, lambda: part(7)).weights["W"].size == 7  # the first had to go
