"""GGUF files: against the model they were written from, and against transformers' own loader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models import tiny, tiny_gguf
from vsa_checks.errors import ModelError
from vsa_checks.models import Model, describe, load
from vsa_checks.models.gguf_header import read_header
from vsa_checks.models.gguf_weights import dequantize

pytestmark = pytest.mark.slow

TOKENS = torch.tensor([[5, 9, 200, 33, 7, 250]])
QUANTIZED = [None, "Q8_0", "Q4_1"]


def hf_parameters(model: Model) -> dict[str, torch.Tensor]:
    """Parameters of the module under a model, under transformers' names."""
    found = {}
    for name, parameter in model.bridge.original_model.named_parameters():
        found[name.replace("._original_component", "")] = parameter.detach()
    return found


def by_transformers(path: Path) -> Any:
    from transformers import AutoModelForCausalLM

    from vsa_checks.models.quiet import quiet

    with quiet():
        return AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
        ).eval()


def logits_of(module: Any, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = module(tokens).logits
    return logits


@pytest.mark.parametrize("quantization", QUANTIZED)
@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gemma3_text"])
def test_tensors_equal_those_of_transformers(tmp_path: Path, model_type: str, quantization: str | None) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", model_type, quantization)
    model, reference = load(path, "raw"), by_transformers(path)
    found, compared = hf_parameters(model), 0
    for name, parameter in reference.named_parameters():
        stem, kind = name.rsplit(".", 1)
        short = stem.rsplit(".", 1)[-1]
        own = next(
            tensor
            for key, tensor in found.items()
            if key in (name, f"{stem.removesuffix(short)}{short.removesuffix('_proj')}.{kind}")
        )
        assert torch.equal(own, parameter), name
        compared += 1
    assert compared == len(list(reference.parameters()))
    if model_type != "gemma3_text":  # transformers leaves what scales Gemma's queries at a default of its own
        logits, _ = model.run_with_cache(TOKENS, names_filter="embed.hook_out")
        torch.testing.assert_close(logits, logits_of(reference, TOKENS), atol=2e-5, rtol=2e-5)


def test_gpt2_tensors_equal_those_of_transformers(tmp_path: Path) -> None:
    # transformers' own table takes GPT-2's d_mlp and positions for granted: give it those.
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "gpt2", "Q8_0", n_inner=256, n_positions=1024)
    model, reference = load(path, "raw"), by_transformers(path)
    state = dict(reference.named_parameters())
    for layer in range(2):
        fused = state[f"transformer.h.{layer}.attn.c_attn.weight"]
        stacked = torch.cat(
            [model[f"blocks.{layer}.attn.W_{letter}"].transpose(0, 1).reshape(64, 64) for letter in "QKV"], 1
        )
        assert torch.equal(stacked, fused)
        for part, name in (("c_fc", "W_in"), ("c_proj", "W_out")):
            assert torch.equal(model[f"blocks.{layer}.mlp.{name}"], state[f"transformer.h.{layer}.mlp.{part}.weight"])
    assert torch.equal(model.W_E, state["transformer.wte.weight"])
    assert model.W_pos is not None
    assert torch.equal(model.W_pos, state["transformer.wpe.weight"])
    logits, _ = model.run_with_cache(TOKENS, names_filter="embed.hook_out")
    torch.testing.assert_close(logits, logits_of(reference, TOKENS), atol=2e-5, rtol=2e-5)


def test_the_rows_of_q_and_k_are_put_back_in_order(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama")
    header = read_header(path)
    stored = dequantize(header, header.tensors["blk.0.attn_k.weight"])
    own = tiny_gguf.gguf_module("llama").model.layers[0].self_attn.k_proj.weight.detach()
    assert not np.array_equal(stored, own.numpy())
    expected = own.T.reshape(64, 2, 16).transpose(0, 1)
    assert torch.equal(load(path, "raw")["blocks.0.attn.W_K"], expected)


def test_both_bases_compute_the_same(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", "Q4_1")
    log_probs = [
        load(path, basis).run_with_cache(TOKENS, "embed.hook_out")[0].log_softmax(-1) for basis in ("raw", "processed")
    ]
    torch.testing.assert_close(*log_probs, atol=2e-5, rtol=2e-5)
    assert load(path).effective_flags["fold_ln"]


def test_an_untied_unembedding_is_read(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", tie_word_embeddings=False)
    model = load(path, "raw")
    assert model.W_U is not None
    assert torch.equal(model.W_U, tiny_gguf.gguf_module("llama", tie_word_embeddings=False).lm_head.weight.T)
    assert not torch.equal(model.W_U, model.W_E.T)


def test_the_header_equals_what_the_package_reads(tmp_path: Path) -> None:
    import gguf

    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "qwen2", "Q8_0")
    ours, theirs = read_header(path), gguf.GGUFReader(path)
    for key, field in theirs.fields.items():
        if key.startswith("GGUF."):
            continue
        if ours.has_array(key):
            assert ours.array(key) == field.contents(), key
        else:
            assert ours.fields[key] == field.contents(), key
    assert [*ours.tensors] == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        mine = ours.tensors[tensor.name]
        assert (mine.start, mine.nbytes) == (tensor.data_offset, tensor.n_bytes)
        assert mine.shape == tuple(reversed(tensor.shape.tolist()))
        assert mine.type_name == tensor.tensor_type.name


def test_sizes_and_quantization_are_described(tmp_path: Path) -> None:
    info = describe(tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", "Q4_1"))
    assert (info.n_layers, info.d_model, info.n_heads, info.n_kv_heads) == (2, 64, 4, 2)
    assert (info.d_head, info.d_mlp, info.d_vocab) == (16, 96, tiny.D_VOCAB)
    assert (info.dtype, info.quantization) == ("Q4_1", "Q4_1 matrices, Q8_0 embeddings")
    assert info.text
    assert info.sha256 is not None
    info = describe(tiny_gguf.write_gguf(tmp_path / "gemma.gguf", "gemma3_text"))
    assert (info.architecture, info.d_head, info.norm, info.gated) == ("gemma3_text", 32, "rms_norm", True)


def test_a_file_without_tokens_serves_without_text(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", tokenizer=False)
    model = load(path, "raw")
    assert not model.info.text
    assert "no tokenizer" in model.info.text_reason
    assert model.tokenizer is None
    assert model.token_name(12) == "12"
    with pytest.raises(ModelError, match="token ids"):
        model.run_with_cache("some text")


def test_unused_tensors_are_noted(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama")
    assert "does not use" not in load(path, "raw").info.notes
    sinks = {"blk.0.attn_sinks.weight": np.ones(4, dtype=np.float32)}
    path = tiny_gguf.write_gguf(tmp_path / "more.gguf", "llama", add=sinks)
    assert "blk.0.attn_sinks.weight" in load(path, "raw").info.notes


@pytest.mark.thorough
def test_a_large_vocabulary_stays_small_in_memory_and_nothing_is_printed(tmp_path: Path) -> None:
    # In a process of its own: the peak of this one says nothing. 262,144 tokens are 64 MiB in 64 dimensions.
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "gemma3_text", "Q8_0", tokenizer=False, vocab_size=262_144)
    directory = tiny.write_hf(tmp_path / "gemma2", "gemma2")
    code = (
        "import json, resource, sys\n"
        "import torch, transformers, transformer_lens\n"
        "from transformers import Gemma3ForCausalLM\n"
        "from vsa_checks.models import load\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "model = load(sys.argv[1])\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(json.dumps([list(model.W_E.shape), list(model.W_U.shape), peak]))\n"
        "load(sys.argv[2]).run_with_cache('words')\n"  # a cap on the logits: transformer_lens warns
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(directory)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    embedding, unembedding, peak_kib = json.loads(done.stdout)
    assert embedding == [262_144, 64]
    assert unembedding == [64, 262_144]
    # Measured 4.7 embeddings (W_E, W_U, and more in passing); with transformer_lens's own copies 7.5.
    assert peak_kib < 6 * 64 * 1024
    assert done.stderr == ""
