"""What is said of a model before its weights are read."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.models import tiny, tiny_gguf
from vsa_checks.errors import ModelError
from vsa_checks.models import describe, read_registry
from vsa_checks.models.architectures import ARCHITECTURES
from vsa_checks.models.safetensors_files import safetensors_header
from vsa_checks.models.shapes import shape_from_config

HEAVY = ("torch", "transformers", "transformer_lens")


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    directory = tiny.write_hf(tmp_path / "llama", "llama")
    gguf = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", "Q8_0")
    code = (
        "import json, sys\n"
        "from vsa_checks.models import default_model, describe, load, read_registry\n"
        "names = [describe(name).architecture for name in sys.argv[1:]]\n"
        f"print(json.dumps([names, default_model()[0], [m for m in {HEAVY} if m in sys.modules]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "gpt2", "smollm2-135m", "minilm-l6", str(directory), str(gguf)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )
    names, default, heavy = json.loads(done.stdout)
    assert names == ["gpt2", "llama", "bert", "llama", "llama"]
    assert default == "smollm2-135m"
    assert heavy == []


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_sizes_come_from_the_configuration(tmp_path: Path, name: str) -> None:
    """Against what transformers' own configuration says under its common names."""
    from transformers import AutoConfig

    config = AutoConfig.for_model(name.split("#")[0], **{"vocab_size": 77, **tiny.CONFIGS[name]})
    config.save_pretrained(tmp_path)
    shape = shape_from_config(json.loads((tmp_path / "config.json").read_text()), "a model")
    layers = {"albert": config.num_hidden_layers // 2}.get(name, config.num_hidden_layers)  # one group of layers
    assert (shape.n_layers, shape.d_model, shape.d_vocab) == (layers, config.hidden_size, 77)
    if shape.n_heads and not ARCHITECTURES[name.split("#")[0]].no_attention:
        assert shape.n_heads == config.num_attention_heads
        wide = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
        assert shape.d_head == (wide or config.hidden_size // config.num_attention_heads)
    if name in ("mamba", "mamba2", "falcon_mamba"):
        assert (shape.d_mlp, shape.n_heads) == (0, 0)
        return
    fields = ("moe_intermediate_size", "intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim", "d_ff")
    found = [getattr(config, field, None) for field in (*fields, "decoder_ffn_dim", "hidden_dim")]
    assert shape.d_mlp == next((one for one in found if one), 4 * config.hidden_size)


def test_fields_that_old_configurations_leave_out() -> None:
    gpt2 = {"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2, "vocab_size": 5, "n_inner": None}
    assert (shape_from_config(gpt2, "x").d_mlp, shape_from_config(gpt2, "x").n_kv_heads) == (32, 2)
    llama = {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    llama |= {"intermediate_size": 4, "vocab_size": 5}
    assert (shape_from_config(llama, "x").n_kv_heads, shape_from_config(llama, "x").d_head) == (2, 4)
    wide = {**llama, "hidden_size": 64, "num_attention_heads": 16}
    assert shape_from_config({**wide, "model_type": "mistral"}, "x").n_kv_heads == 8
    assert shape_from_config({**wide, "model_type": "gemma2"}, "x").d_head == 256
    for wrong, name in (
        ({**llama, "vocab_size": "many"}, "vocab_size"),
        ({**llama, "hidden_size": None}, "hidden_size"),
    ):
        with pytest.raises(ModelError, match=name):
            shape_from_config(wrong, "x")


def test_a_directory_is_described_with_its_checksum(tmp_path: Path) -> None:
    info = describe(tiny.write_hf(tmp_path, "qwen2", dtype=torch.float16))
    assert info.sha256 == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert (info.source, info.location, info.name) == ("path", str(tmp_path), str(tmp_path))
    assert (info.dtype, info.quantization, info.revision) == ("float16", None, None)
    assert info.text
    assert not info.is_paper_model
    assert info.licence == "not stated"


def test_the_checksum_of_several_files_is_over_their_names_and_checksums(tmp_path: Path) -> None:
    tiny.write_hf(tmp_path, "llama", max_shard_size="20KB")
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 2
    lines = [f"{shard.name} {hashlib.sha256(shard.read_bytes()).hexdigest()}\n" for shard in shards]
    assert describe(tmp_path).sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_safetensors_header_is_read_without_torch(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tiny.write_hf(tmp_path, "llama", tokenizer=False)
    header, _ = safetensors_header(tmp_path / "model.safetensors", "x")
    tensors = load_file(tmp_path / "model.safetensors")
    assert {name: tuple(entry["shape"]) for name, entry in header.items()} == {
        name: tuple(tensor.shape) for name, tensor in tensors.items()
    }


def test_the_named_models(hub: Path) -> None:
    registry = read_registry()
    assert {"gpt2", "smollm2-135m", "minilm-l6"} <= set(registry)
    gpt2 = describe("gpt2")
    assert gpt2 == describe("openai-community/gpt2")
    assert gpt2.is_paper_model
    assert (gpt2.n_layers, gpt2.n_heads, gpt2.d_model, gpt2.d_mlp, gpt2.d_vocab) == (12, 12, 768, 3072, 50257)
    assert (gpt2.sha256, len(gpt2.revision or "")) == (None, 40)
    embedded = describe("smollm2-135m")
    assert (embedded.n_kv_heads, embedded.d_head, embedded.d_vocab) == (3, 64, 49152)
    assert embedded.quantization == "Q4_1 matrices, Q8_0 embeddings"
    assert embedded.licence == "Apache-2.0"
    assert embedded.text
    assert not embedded.is_paper_model
    encoder = describe("minilm-l6")
    assert not encoder.causal
    assert encoder.text
    assert [name for name, entry in registry.items() if entry.is_paper_model] == ["gpt2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x]\nsource = 'ftp'", "source 'ftp'"),
        ("[x]\nsource = 'hub'", "lacks id"),
        ("[x]\nsource = 'package'\nlicence = ''\nsha256 = ''", "lacks licence, distribution, file, sha256"),
        ("[x]\nsource = 'hub'\nid = 'a/b'\nn_layers = 2", "lacks architecture, dtype, d_model"),
        ("x = 3", "gives 3 for x"),
        ("[x", "cannot be read as TOML"),
    ],
)
def test_a_wrong_list_of_models_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        read_registry(path)
    assert str(path) in str(caught.value)


def test_a_list_of_models_that_has_changed_is_read_again(tmp_path: Path) -> None:
    for id_ in ("a/b", "a/c"):
        path = tiny.write_registry(tmp_path / "models.toml", x={"source": "hub", "id": id_})
        found = read_registry(path)
        assert [(name, entry.id) for name, entry in found.items()] == [("x", id_)]
        found.clear()  # what one caller does with it changes nothing for others
        assert list(read_registry(path)) == ["x"]


def test_the_list_of_models_can_be_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSA_CHECKS_MODELS", str(tmp_path / "none.toml"))
    with pytest.raises(ModelError, match=r"none\.toml"):
        describe("gpt2")


@pytest.mark.parametrize(
    ("n_tokens", "reason"), [(0, "no tokenizer"), (30, "30"), (280, ""), (300, ""), (320, "do not belong together")]
)
def test_a_tokenizer_must_fit_the_model(tmp_path: Path, n_tokens: int, reason: str) -> None:
    tiny.write_hf(tmp_path, "llama", tokenizer=False)
    if n_tokens:
        tiny.write_tokenizer(tmp_path, n_tokens)
    info = describe(tmp_path)
    assert info.text == (not reason) and bool(info.text_reason) == bool(reason)
    assert reason in info.text_reason
