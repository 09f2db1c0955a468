"""Claims on architectures whose norms, blocks and heads are not GPT-2's, from their state dicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.claim_tests import claim_test
from tests.models.tiny import random_module, write_tokenizer
from tests.oracles import Rows, cosine
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models.texts import shipped_text
from vsa_checks.sections.heads_on_text import on_text
from vsa_checks.sections.pursued import token_bundles
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.activations import in_text, read, sinks

pytestmark = pytest.mark.slow
D, HEADS, KV = 24, 4, 2


def gain(n: int, seed: int = 0) -> Rows:
    """Far from even, and of both signs."""
    rng = np.random.default_rng([seed, n])
    return np.asarray(rng.choice([-1, 1], n) * np.exp(1.5 * rng.standard_normal(n)))


def state_of(module: Any) -> dict[str, Rows]:
    return {name: tensor.numpy().astype(np.float64) for name, tensor in module.state_dict().items()}


def put(module: Any, name: str, values: Rows) -> None:
    module.state_dict()[name].copy_(torch.from_numpy(np.asarray(values)))


def bench_of(module: Any, directory: Path) -> Workbench:
    module.save_pretrained(directory)
    write_tokenizer(directory, 300)
    return Workbench(str(directory))


def measure(claim: str, bench: Workbench, layer: int | None = None, matrix: str | None = None) -> Measurement:
    return claim_test(claim).measure(bench, Subject(claim, "raw", layer, matrix))


@pytest.mark.parametrize(("kind", "plus"), [("qwen3", 0.0), ("gemma3_text", 1.0), ("olmo2", 0.0)])
def test_what_attention_compares_has_the_gains_of_its_norms(kind: str, plus: float, tmp_path: Path) -> None:
    """A norm of each head's queries (Qwen3; Gemma3 adds one to the weight), or of all heads' together (OLMo2)."""
    module = random_module(kind)
    prefix = "model.layers.1.self_attn"
    gains = {}
    for name, heads in (("q", HEADS), ("k", KV)):
        n = len(module.state_dict()[f"{prefix}.{name}_norm.weight"])
        by = gain(n, heads)
        put(module, f"{prefix}.{name}_norm.weight", by - plus)
        r = module.state_dict()[f"{prefix}.{name}_proj.weight"].shape[0] // heads
        gains[name] = np.resize(by, (heads, r))  # one for each head, or the same for all
    state = state_of(module)
    maps = {
        name: state[f"{prefix}.{name}_proj.weight"].reshape(heads, -1, D).transpose(0, 2, 1) * gains[name][:, None, :]
        for name, heads in (("q", HEADS), ("k", KV))
    }
    r = maps["q"].shape[2]
    squares = [
        np.linalg.svd(maps["q"][head] @ maps["k"][head // 2].T, compute_uv=False)[:r] ** 2 for head in range(HEADS)
    ]
    expected = np.median([one.sum() ** 2 / (r * (one**2).sum()) for one in squares])
    assert measure("attention-qk-isometry", bench_of(module, tmp_path), 1).value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "words", "norm", "neurons"),
    [
        ("bloom", "word_embeddings", "word_embeddings_layernorm", "h.0.mlp.dense_h_to_4h"),
        (
            "bert",
            "embeddings.word_embeddings",
            "embeddings.LayerNorm",
            "encoder.layer.0.intermediate.dense",
        ),
    ],
)
def test_tokens_are_what_the_stream_begins_with(kind: str, words: str, norm: str, neurons: str, tmp_path: Path) -> None:
    """Neurons that are sums of three tokens after the norm that follows W_E; the claims on W_E are of W_E."""
    module = random_module(kind)
    base = f"{module.base_model_prefix}."
    state = state_of(module)
    rows = state[f"{base}{words}.weight"]
    middle = rows - rows.mean(axis=1, keepdims=True)
    tokens = middle / np.sqrt((middle**2).mean(axis=1, keepdims=True) + 1e-5)
    tokens = tokens * state[f"{base}{norm}.weight"] + state[f"{base}{norm}.bias"]
    tokens -= tokens.mean(axis=0)
    n = len(state[f"{base}{neurons}.weight"])
    chosen = np.random.default_rng(0).integers(300, size=(n, 3))
    put(module, f"{base}{neurons}.weight", tokens[chosen].sum(axis=1))
    bench = bench_of(module, tmp_path)
    vectors = bench.token_vectors("raw") - bench.token_vectors("raw").mean(axis=0)
    assert vectors == pytest.approx(tokens, abs=1e-3)
    # In 24 dimensions the first token of a greedy choice is often another: what counts is that some are exact.
    assert np.quantile(token_bundles(bench, "raw", 0, "W_in").cosine_at(3), 0.9) > 0.9999
    found = measure("embedding-mean-zero", bench)
    mean = rows.mean(axis=0)
    assert found.value == pytest.approx(mean @ mean / (rows**2).sum(axis=1).mean(), rel=1e-5)
    assert "A norm follows the word embeddings" in found.details["notes"][0]


@pytest.mark.parametrize(
    ("kind", "options", "parallel"),
    [
        ("gpt_neox", {"use_parallel_residual": True}, True),
        ("gpt_neox", {"use_parallel_residual": False}, False),
        ("gptj", {}, True),
        ("phi", {}, True),
        ("llama", {}, False),
    ],
)
def test_heads_feed_the_neurons_of_their_layer_only_where_these_read_what_they_wrote(
    kind: str, options: dict[str, Any], parallel: bool, tmp_path: Path
) -> None:
    bench = bench_of(random_module(kind, **options), tmp_path)
    if parallel:
        with pytest.raises(NotChecked, match="attention and MLP of a layer read the same stream"):
            measure("circuits-bound-tokens", bench, 0, "W_in")
    else:
        assert measure("circuits-bound-tokens", bench, 0, "W_in").n_examined == 40


def test_an_encoders_heads_are_not_said_to_copy(tmp_path: Path) -> None:
    """BERT's prediction head is more than a norm: what heads write has no straight way to the unembedding."""
    found = measure("attention-rebinds", bench_of(random_module("bert"), tmp_path), 1)
    assert "copying_heads" not in found.details and "copies" not in found.details["by_head"][0]
    assert "prediction head" in found.details["notes"][1]


@pytest.mark.parametrize(
    ("kind", "post"),
    [
        ("gemma2", 1.0),
        pytest.param("olmo2", 0.0, marks=pytest.mark.thorough),
        pytest.param("llama", None, marks=pytest.mark.thorough),
    ],
)
def test_bound_tokens_on_text_pass_the_norm_after_attention(kind: str, post: float | None, tmp_path: Path) -> None:
    """cos^2 of what each head adds to the stream with its most attended token, bound, from the state dict."""
    module = random_module(kind)
    state: dict[str, Any] = {name: tensor.numpy().astype(np.float64) for name, tensor in module.state_dict().items()}
    name = "model.layers.1.post_attention_layernorm.weight"
    by = np.ones(24) if post is None else np.asarray(gain(24), np.float64)
    if post is not None:
        module.state_dict()[name].copy_(torch.from_numpy(by - post))
    module.save_pretrained(tmp_path)
    write_tokenizer(tmp_path, 300)
    text = shipped_text()
    bench = Workbench(str(tmp_path), text=replace(text, passages=tuple(one[:1000] for one in text.passages)))
    found = on_text(bench, "raw")[1]
    W_V = state["model.layers.1.self_attn.v_proj.weight"]
    W_O = state["model.layers.1.self_attn.o_proj.weight"]
    r, levels = W_V.shape[0] // 2, []
    hooks = ("blocks.1.attn.hook_pattern", "blocks.1.attn.hook_z")
    for seen in read(bench, "raw", hooks, ""):
        pattern, tokens = seen.cache[hooks[0]], seen.window.tokens
        z = seen.cache[hooks[1]].reshape(len(tokens), 4, r)
        allowed = in_text(seen.window) & ~sinks(pattern, True)
        each = []
        for at in np.flatnonzero(allowed):
            sources = [source for source in range(at + 1) if allowed[source]]
            if len(sources) < 2:
                continue
            row = []
            for head in range(4):
                most = max(sources, key=lambda source: pattern[head, at, source])
                token = state["model.embed_tokens.weight"][tokens[most]]
                write = W_O[:, head * r : (head + 1) * r].T * by
                value = token @ W_V[head // 2 * r : (head // 2 + 1) * r].T
                row.append(cosine(z[at, head].astype(np.float64) @ write, value @ write) ** 2)
            each.append(row)
        if each:
            levels.append(np.mean(each, axis=0))
    assert len(levels) == len(found.level) >= 7
    assert np.stack(found.level) == pytest.approx(np.stack(levels), abs=1e-4)
