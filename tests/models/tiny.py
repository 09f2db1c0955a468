"""Writes small random models: Hugging Face directories, a hub's cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.tiny_configs import CONFIGS as CONFIGS  # others take it from here

D_VOCAB = 300
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"


KINDS = {
    *("gpt2", "gpt_neox", "gptj", "opt", "bloom", "falcon", "phi#grouped", "mpt", "cohere", "cohere#qk_norm"),
    *("llama", "mixtral", "gpt_oss", "gemma2", "gemma3_text", "olmo2", "granitemoehybrid", "qwen2_moe", "deepseek_v3"),
    *("bamba", "lfm2", "mamba", "bert", "t5", "t5#gated", "bart"),
}
"""One architecture of each kind of norms, biases, blocks in parallel, experts, states and encoders."""


def kinds_first(names: Iterable[str]) -> list[Any]:
    """Architectures to try: one of each kind in `make test`, the others in `make thorough`."""
    return [name if name in KINDS else pytest.param(name, marks=pytest.mark.thorough) for name in names]


def random_module(model_type: str, seed: int = 0, **overrides: Any) -> Any:
    """A transformers module of a small configuration, every parameter random (norms around one)."""
    import transformers
    from transformers import AutoConfig

    from vsa_checks.models.architectures import ARCHITECTURES

    values = {"vocab_size": D_VOCAB, **CONFIGS[model_type], **overrides}
    plain = model_type.split("#")[0]
    config = AutoConfig.for_model(plain, **values)
    module = getattr(transformers, ARCHITECTURES[plain].hf_class)._from_config(
        config, attn_implementation="eager", dtype=torch.float32
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            parameter.copy_(noise + 1 if parameter.ndim == 1 and name.endswith("weight") else noise)
    return module.eval()


def write_hf(
    directory: Path,
    model_type: str = "llama",
    *,
    tokenizer: bool = True,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    max_shard_size: str = "1GB",
    **overrides: Any,
) -> Path:
    """Writes a Hugging Face directory of a small random model; `overrides` are configuration fields."""
    from vsa_checks.models.quiet import quiet

    with quiet():
        module = random_module(model_type, seed, **overrides).to(dtype)
        module.save_pretrained(directory, max_shard_size=max_shard_size)
    if tokenizer:
        write_tokenizer(directory, module.config.vocab_size)
    return directory


def write_pickled(directory: Path, content: Any = None) -> Path:
    """Turns the weights of a directory into a .bin file, of `content` where it is given."""
    from safetensors.torch import load_file

    weights = directory / "model.safetensors"
    torch.save(load_file(weights) if content is None else content, directory / "pytorch_model.bin")
    weights.unlink()
    return directory


def edit_weights(directory: Path, **changes: torch.Tensor | None) -> Path:
    """Replaces tensors of a safetensors file, named with two underscores for a dot; None drops one."""
    from safetensors.torch import load_file, save_file

    path = directory / "model.safetensors"
    tensors = load_file(path)
    for key, value in changes.items():
        name = key.replace("__", ".")
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value.clone()
    save_file(tensors, path, metadata={"format": "pt"})
    return directory


def tokenizer_pieces(d_vocab: int) -> list[str]:
    """Byte-level pieces: three special tokens, the 256 bytes, then pairs of them."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = "abcdefghijklmnopqrstuvwxyz"
    pairs = [first + second for first in "Ġ" + letters for second in letters]
    return ["<pad>", "<s>", "</s>", *sorted(ByteLevel.alphabet()), *pairs][:d_vocab]


def token_merges(pieces: list[str]) -> list[tuple[str, str]]:
    """The two halves of every piece that is a pair."""
    return [(piece[0], piece[1]) for piece in pieces if len(piece) == 2]


def write_tokenizer(directory: Path, d_vocab: int = D_VOCAB) -> None:
    """Writes a byte-level tokenizer of d_vocab tokens with a beginning-of-text token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = tokenizer_pieces(d_vocab)
    vocabulary = {piece: at for at, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, token_merges(pieces)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(piece, special=True) for piece in pieces[:3]])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(directory)


def write_hub_cache(cache: Path, repository: str, commit: str, model: Path, reference: str | None = None) -> Path:
    """Copies a directory into a hub cache as the snapshot of a commit, a reference such as "main" to it."""
    store = cache / f"models--{repository.replace('/', '--')}"
    snapshot = store / "snapshots" / commit
    shutil.copytree(model, snapshot)
    if reference is not None:
        (store / "refs").mkdir(exist_ok=True)
        (store / "refs" / reference).write_text(commit)
    return snapshot


def write_registry(path: Path, **entries: dict[str, Any]) -> Path:
    """Writes a list of named models; values are written as JSON, which TOML reads."""
    lines: list[str] = []
    for name, table in entries.items():
        lines += [f"[{json.dumps(name)}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()), ""]
    path.write_text("\n".join(lines))
    return path
