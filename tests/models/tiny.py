"""Writes small random models: Hugging Face directories, a hub's cache, GGUF files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

D_VOCAB = 300
_SIZES: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 32,
}
_GROUPED = {**_SIZES, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_GPT2 = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 32, "n_inner": 40}

# Head widths that are not d_model / n_heads, grouped heads and odd widths wherever the type allows them.
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": _GPT2,
    "gpt_neo": {
        "hidden_size": 24,
        "num_layers": 2,
        "num_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 32,
        "attention_types": [[["global", "local"], 1]],
    },
    "gpt_neox": _SIZES,
    "gptj": {**_GPT2, "rotary_dim": 4},
    "opt": {
        "hidden_size": 24,
        "word_embed_proj_dim": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 40,
        "max_position_embeddings": 32,
    },
    "phi": {**_SIZES, "hidden_size": 32, "partial_rotary_factor": 0.5},
    "bloom": {"hidden_size": 24, "n_layer": 2, "n_head": 4},
    "starcoder2": _GROUPED,
    "bert": _SIZES,
    "llama": _GROUPED,
    "mistral": {**_GROUPED, "sliding_window": None},
    "qwen2": _GROUPED,
    "qwen3": {**_GROUPED, "head_dim": 8},
    "gemma": {**_GROUPED, "head_dim": 8},
    "gemma2": {**_GROUPED, "head_dim": 8},
    "gemma3_text": {**_GROUPED, "head_dim": 8},
    "phi3": _GROUPED,
    "olmo": _GROUPED,
    "olmo2": _GROUPED,
    "smollm3": _GROUPED,
    "granite": _GROUPED,
}


def random_module(model_type: str, seed: int = 0, **overrides: Any) -> Any:
    """A transformers module of a small configuration, every parameter random (norms around one)."""
    import transformers
    from transformers import AutoConfig

    from vsa_checks.models.architectures import ARCHITECTURES

    values = {"vocab_size": D_VOCAB, **CONFIGS[model_type], **overrides}
    config = AutoConfig.for_model(model_type, **values)
    module = getattr(transformers, ARCHITECTURES[model_type].hf_class)._from_config(
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


GGUF_ARCHITECTURES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "phi3": "phi3",
    "gpt2": "gpt2",
    "starcoder2": "starcoder2",
}
# Rows of quantized matrices come in blocks of 32.
GGUF_SIZES: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
_GGUF_TENSORS = {
    "embed_tokens.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "norm.bias": "output_norm.bias",
    "wte.weight": "token_embd.weight",
    "wpe.weight": "position_embd.weight",
    "ln_f.weight": "output_norm.weight",
    "ln_f.bias": "output_norm.bias",
}
_GGUF_PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.c_fc": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.c_proj": "ffn_down",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
}


def gguf_module(model_type: str, seed: int = 0, **overrides: Any) -> Any:
    """The module that `write_gguf` stores, before quantization."""
    sizes = {"n_embd": 64, "n_inner": 96} if model_type == "gpt2" else GGUF_SIZES
    if "head_dim" in CONFIGS[model_type]:
        sizes = {**sizes, "head_dim": 32}
    return random_module(model_type, seed, **{**sizes, "tie_word_embeddings": True, **overrides})


def write_gguf(
    path: Path,
    model_type: str = "llama",
    quantization: str | None = None,
    *,
    tokenizer: bool = True,
    seed: int = 0,
    drop: str | None = None,
    **overrides: Any,
) -> Path:
    """Writes a GGUF file of a small random model as llama.cpp's converter would, less the tensor `drop`.

    Quantization ("Q8_0", "Q4_1", ...) applies to matrices; embeddings are Q8_0 then.
    """
    import gguf

    module = gguf_module(model_type, seed, **overrides)
    config = module.config
    writer = gguf.GGUFWriter(path, GGUF_ARCHITECTURES[model_type])
    grouped = model_type != "gpt2"
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size if grouped else config.n_inner)
    writer.add_head_count(config.num_attention_heads)
    if grouped:
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_rope_freq_base(10000.0)
    if "head_dim" in CONFIGS[model_type]:
        writer.add_key_length(config.head_dim)
    if model_type in ("gpt2", "starcoder2"):
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if tokenizer:
        pieces = tokenizer_pieces(config.vocab_size)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(pieces)
        writer.add_token_types([3] * 3 + [1] * (len(pieces) - 3))
        writer.add_token_merges([" ".join(pair) for pair in token_merges(pieces)])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_pad_token_id(0)
    else:
        writer.add_vocab_size(config.vocab_size)
    for name, tensor in _gguf_tensors(module, model_type).items():
        if name == drop:
            continue
        if quantization is None or tensor.ndim == 1 or name == "position_embd.weight":
            writer.add_tensor(name, tensor)
        else:
            kind = gguf.GGMLQuantizationType["Q8_0" if name == "token_embd.weight" else quantization]
            writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    return close(writer, path)


def close(writer: Any, path: Path) -> Path:
    """Write a GGUF file to its end."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _gguf_tensors(module: Any, model_type: str) -> dict[str, np.ndarray]:
    """Tensors under llama.cpp's names and conventions, written down here apart from any library's tables."""
    config = module.config
    parts = dict(_GGUF_PARTS)
    if model_type in ("gemma2", "gemma3_text"):
        parts |= {
            "post_attention_layernorm": "post_attention_norm",
            "pre_feedforward_layernorm": "ffn_norm",
            "post_feedforward_layernorm": "post_ffw_norm",
        }
    else:
        parts["post_attention_layernorm"] = "ffn_norm"
    found: dict[str, np.ndarray] = {}
    for name, tensor in module.named_parameters():
        values = tensor.detach().numpy().copy()
        short = name.removeprefix("model.").removeprefix("transformer.")
        if short.startswith(("layers.", "h.")):
            _, layer, rest = short.split(".", 2)
            stem, kind = rest.rsplit(".", 1)
            target = f"blk.{layer}.{parts[stem]}.{kind}"
        else:
            target = "output.weight" if short == "lm_head.weight" else _GGUF_TENSORS[short]
        if model_type == "llama" and ".attn_q." in target:
            values = _rotary_pairs(values, config.num_attention_heads)
        if model_type == "llama" and ".attn_k." in target:
            values = _rotary_pairs(values, config.num_key_value_heads)
        if model_type == "gpt2" and values.ndim == 2 and ".c_" in name:
            values = values.T.copy()
        if model_type.startswith("gemma") and target.endswith("norm.weight"):
            values = values + 1
        found[target] = values
    return found


def _rotary_pairs(values: np.ndarray, n_heads: int) -> np.ndarray:
    # llama.cpp rotates neighbours (2i, 2i+1), transformers halves (i, i + d_head/2): the rows of Q and K
    # move.
    d_head = values.shape[0] // n_heads
    order = [half * (d_head // 2) + i for i in range(d_head // 2) for half in (0, 1)]
    return np.concatenate([values[head * d_head :][:d_head][order] for head in range(n_heads)])
