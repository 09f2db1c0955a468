"""The hub: what a cache holds is used without network, and an unreachable hub costs seconds and one paragraph."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models import tiny
from tests.models.hub_stand_in import HubStandIn
from vsa_checks.errors import ModelError
from vsa_checks.models import RegistryEntry, default_model, describe, ensure_available, hub_cache, load, read_registry

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def entry(model_type: str, **changes: Any) -> dict[str, Any]:
    shape = {"n_layers": 2, "d_model": 24, "n_heads": 4, "d_head": 6, "d_mlp": 40, "d_vocab": tiny.D_VOCAB}
    shape["n_kv_heads"] = 4 if model_type == "gpt2" else 2
    common = {"source": "hub", "revision": "main", "licence": "MIT", "dtype": "float32"}
    return {**common, "id": f"people/tiny-{model_type}", "architecture": model_type, **shape, **changes}


@pytest.fixture
def registry(tmp_path: Path) -> dict[str, RegistryEntry]:
    return read_registry(
        tiny.write_registry(
            tmp_path / "models.toml",
            small=entry("gpt2", is_paper_model=True, aliases=["tiny-gpt2"]),
            other=entry("llama", revision=COMMIT),
        )
    )


@pytest.mark.parametrize(("name", "model_type"), [("small", "gpt2"), ("other", "llama")])
def test_a_cached_model_needs_no_network(
    hub: Path, tmp_path: Path, registry: dict[str, RegistryEntry], name: str, model_type: str
) -> None:
    directory = tiny.write_hf(tmp_path / "own", model_type)
    reference = "main" if name == "small" else None
    tiny.write_hub_cache(hub, registry[name].id, COMMIT, directory, reference)
    model = load(name, "raw", registry=registry)
    info = model.info
    assert (info.name, info.source, info.location) == (name, "hub", f"people/tiny-{model_type}")
    assert (info.revision, info.is_paper_model) == (COMMIT, name == "small")
    assert info.sha256 == describe(directory).sha256
    assert torch.equal(model.W_E, load(directory, "raw").W_E)
    assert info.text
    # The tokenizer adds its beginning-of-text token; nothing is read again by name.
    logits, cache = model.run_with_cache("al ck")
    ids = [1, *model.tokenizer.encode("al ck", add_special_tokens=False)]
    assert "".join(model.token_name(token) for token in ids) == "<s>al ck"
    assert cache["blocks.0.attn.hook_pattern"].shape == (1, 4, len(ids), len(ids))
    assert logits.shape == (1, len(ids), tiny.D_VOCAB)
    torch.testing.assert_close(model.run_with_cache(ids)[0], logits)


def test_a_cache_under_an_older_name_serves(hub: Path, tmp_path: Path, registry: dict[str, RegistryEntry]) -> None:
    directory = tiny.write_hf(tmp_path / "own", "gpt2", tokenizer=False)
    tiny.write_hub_cache(hub, "tiny-gpt2", COMMIT, directory, "main")
    assert describe("small", registry).sha256 is not None


def test_another_revision_or_half_a_download_does_not_serve(
    hub: Path, tmp_path: Path, registry: dict[str, RegistryEntry]
) -> None:
    directory = tiny.write_hf(tmp_path / "own", "llama", tokenizer=False)
    tiny.write_hub_cache(hub, registry["other"].id, "f" * 40, directory, "main")
    assert describe("other", registry).sha256 is None
    snapshot = tiny.write_hub_cache(hub, registry["other"].id, COMMIT, directory)
    assert describe("other", registry).sha256 is not None
    (snapshot / "model.safetensors").unlink()
    assert describe("other", registry).sha256 is None


@pytest.mark.parametrize("content", [b"\xff" * 40, b"0" * 300, b"../../../own", b"", COMMIT.encode() * 100])
def test_a_reference_that_names_no_commit_leads_nowhere(
    content: bytes, hub: Path, tmp_path: Path, registry: dict[str, RegistryEntry]
) -> None:
    directory = tiny.write_hf(tmp_path / "own", "gpt2", tokenizer=False)
    snapshot = tiny.write_hub_cache(hub, registry["small"].id, COMMIT, directory, "main")
    assert describe("small", registry).sha256 is not None
    (snapshot.parent.parent / "refs" / "main").write_bytes(content)
    assert describe("small", registry).sha256 is None


def test_what_a_cache_holds_must_be_the_named_model(
    hub: Path, tmp_path: Path, registry: dict[str, RegistryEntry]
) -> None:
    directory = tiny.write_hf(tmp_path / "own", "llama", tokenizer=False, num_hidden_layers=1)
    tiny.write_hub_cache(hub, registry["other"].id, COMMIT, directory)
    with pytest.raises(ModelError, match="n_layers 1 instead of 2"):
        load("other", registry=registry)


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_the_cache_is_where_the_environment_says(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: dict[str, RegistryEntry], variable: str
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv(variable, str(tmp_path / "place"))
    below = {"HF_HUB_CACHE": "", "HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}[variable]
    assert hub_cache.cache_directory() == tmp_path / "place" / below
    directory = tiny.write_hf(tmp_path / "own", "gpt2", tokenizer=False)
    tiny.write_hub_cache(tmp_path / "place" / below, registry["small"].id, COMMIT, directory, "main")
    assert ensure_available("small", registry).path is not None


def test_an_unreachable_hub_is_one_paragraph_within_ten_seconds(hub: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ModelError) as caught:
        load("gpt2")
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert "\n" not in message
    for part in ("model gpt2", "openai-community/gpt2", str(hub), "http://127.0.0.1:9", "HF_HOME", "smollm2-135m"):
        assert part in message


def test_the_default_is_the_paper_model_where_it_can_be_had(
    hub: Path, tmp_path: Path, registry: dict[str, RegistryEntry]
) -> None:
    name, reason = default_model()
    assert name == "smollm2-135m"
    assert "gpt2" in reason
    assert str(hub) in reason
    assert "cannot be reached" in reason
    assert "\n" not in reason
    directory = tiny.write_hf(tmp_path / "own", "gpt2", tokenizer=False)
    tiny.write_hub_cache(hub, registry["small"].id, COMMIT, directory, "main")
    assert default_model(registry) == ("small", f"the paper's own model, cached in {hub}")


def test_the_default_is_the_paper_model_where_the_hub_answers(server: HubStandIn) -> None:
    paper = read_registry()["gpt2"]
    server.commit(paper.id, {"config.json": b"{}"}, paper.revision, "main")
    assert default_model() == ("gpt2", f"the paper's own model, from {server.url}")
    server.answer = (429, {})
    name, reason = default_model()
    assert name == "smollm2-135m"
    assert f"the hub at {server.url} answers 429" in reason


def test_files_as_the_hub_has_them_for_gpt2(hub: Path, tmp_path: Path, registry: dict[str, RegistryEntry]) -> None:
    # Names without the outer module, buffers of old versions among the weights, few fields in the configuration.
    from safetensors.torch import save_file

    module = tiny.random_module("gpt2")
    directory = tmp_path / "own"
    directory.mkdir()
    tensors = {name: p.detach().clone() for name, p in module.transformer.named_parameters()}
    tensors |= {f"h.{layer}.attn.bias": torch.ones(1, 1, 32, 32).tril() for layer in range(2)}
    save_file(tensors, directory / "model.safetensors")
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_ctx": 32, "vocab_size": tiny.D_VOCAB}
    config |= tiny.CONFIGS["gpt2"]
    (directory / "config.json").write_text(json.dumps(config))
    tiny.write_hub_cache(hub, registry["small"].id, COMMIT, directory, "main")
    model = load("small", registry=registry)
    tokens = torch.tensor([[3, 1, 4, 1, 5]])
    with torch.no_grad():
        expected = module(tokens).logits.log_softmax(-1)
    logits, _ = model.run_with_cache(tokens)
    torch.testing.assert_close(logits.log_softmax(-1), expected, atol=2e-5, rtol=2e-5)
    assert model.effective_flags == dict.fromkeys(model.effective_flags, True)
