"""The architectures this package reads: which class builds each, and which configuration fields hold its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vsa_checks.errors import ModelError

LAYER_NORM = "layer_norm"
RMS_NORM = "rms_norm"
WEIGHT_NAMES = {
    "attn": ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O"),
    "mlp": ("W_in", "W_gate", "W_out", "b_in", "b_gate", "b_out"),
}
"""TransformerLens's names of the weights of a layer, by part; a model may lack some."""


@dataclass(frozen=True)
class Architecture:
    """What has to be known of a model type before its weights are read.

    `keys` names the configuration fields that do not have the common name. `head_dim` is the model type's own
    default, where its configuration may leave the field out and d_model / n_heads would be wrong.
    """

    hf_class: str
    gated: bool
    norm: str
    causal: bool = True
    keys: Mapping[str, str] | None = None
    head_dim: int | None = None
    gguf_names: tuple[str, ...] = ()


_GPT2_KEYS = {"n_layers": "n_layer", "d_model": "n_embd", "n_heads": "n_head", "d_mlp": "n_inner"}
_NEO_KEYS = {"n_layers": "num_layers", "n_heads": "num_heads"}
_BLOOM_KEYS = {"n_layers": "n_layer", "n_heads": "n_head", "d_mlp": "n_inner"}

# Every row is loaded from a small directory in tests/models/test_model_architectures.py, in both bases.
ARCHITECTURES: dict[str, Architecture] = {
    "gpt2": Architecture("GPT2LMHeadModel", False, LAYER_NORM, keys=_GPT2_KEYS, gguf_names=("gpt2",)),
    "gpt_neo": Architecture("GPTNeoForCausalLM", False, LAYER_NORM, keys=_NEO_KEYS),
    "gpt_neox": Architecture("GPTNeoXForCausalLM", False, LAYER_NORM),
    "gptj": Architecture("GPTJForCausalLM", False, LAYER_NORM, keys=_GPT2_KEYS),
    "opt": Architecture("OPTForCausalLM", False, LAYER_NORM, keys={"d_mlp": "ffn_dim"}),
    "phi": Architecture("PhiForCausalLM", False, LAYER_NORM),
    "bloom": Architecture("BloomForCausalLM", False, LAYER_NORM, keys=_BLOOM_KEYS),
    "starcoder2": Architecture("Starcoder2ForCausalLM", False, LAYER_NORM, gguf_names=("starcoder2",)),
    "bert": Architecture("BertForMaskedLM", False, LAYER_NORM, causal=False),
    "llama": Architecture("LlamaForCausalLM", True, RMS_NORM, gguf_names=("llama",)),
    "mistral": Architecture("MistralForCausalLM", True, RMS_NORM),
    "qwen2": Architecture("Qwen2ForCausalLM", True, RMS_NORM, gguf_names=("qwen2",)),
    "qwen3": Architecture("Qwen3ForCausalLM", True, RMS_NORM, head_dim=128, gguf_names=("qwen3",)),
    "gemma": Architecture("GemmaForCausalLM", True, RMS_NORM, head_dim=256),
    "gemma2": Architecture("Gemma2ForCausalLM", True, RMS_NORM, head_dim=256, gguf_names=("gemma2",)),
    "gemma3_text": Architecture("Gemma3ForCausalLM", True, RMS_NORM, head_dim=256, gguf_names=("gemma3",)),
    "phi3": Architecture("Phi3ForCausalLM", True, RMS_NORM, gguf_names=("phi3",)),
    "olmo": Architecture("OlmoForCausalLM", True, LAYER_NORM),
    "olmo2": Architecture("Olmo2ForCausalLM", True, RMS_NORM),
    "smollm3": Architecture("SmolLM3ForCausalLM", True, RMS_NORM),
    "granite": Architecture("GraniteForCausalLM", True, RMS_NORM),
}

_COMMON_KEYS = {
    "n_layers": "num_hidden_layers",
    "d_model": "hidden_size",
    "n_heads": "num_attention_heads",
    "d_mlp": "intermediate_size",
    "d_vocab": "vocab_size",
}


@dataclass(frozen=True)
class Shape:
    """Sizes of a model: layers, residual width, query heads, key-value heads, head width, neurons, tokens."""

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_mlp: int
    d_vocab: int


def architecture(model_type: str, model: str) -> Architecture:
    """The row of the table for a Hugging Face model type. Raises ModelError for a type that is not supported."""
    if model_type in ARCHITECTURES:
        return ARCHITECTURES[model_type]
    raise ModelError(
        f"The model {model} has the architecture {model_type!r}, which is not supported. Supported are: "
        f"{', '.join(sorted(ARCHITECTURES))}. Give a model of one of these."
    )


def gguf_model_type(gguf_name: str, model: str) -> str:
    """The Hugging Face model type of a GGUF architecture. Raises ModelError for one that is not supported."""
    for model_type, row in ARCHITECTURES.items():
        if gguf_name in row.gguf_names:
            return model_type
    known = sorted(name for row in ARCHITECTURES.values() for name in row.gguf_names)
    raise ModelError(
        f"The GGUF file {model} has the architecture {gguf_name!r}, which is not supported. Supported in "
        f"GGUF are: {', '.join(known)}. Give a model of one of these, or a Hugging Face directory "
        f"({', '.join(sorted(ARCHITECTURES))})."
    )


def shape_from_config(config: Mapping[str, Any], model: str) -> Shape:
    """Sizes of a model from its config.json. Raises ModelError for a field that is not a positive whole number."""
    row = architecture(str(config.get("model_type")), model)
    keys = {**_COMMON_KEYS, **(row.keys or {})}

    def whole(value: Any, field: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ModelError(
                f"The model {model} cannot be described: its config.json gives {value!r} for {field!r}, "
                "where a positive whole number is needed. Fetch or save the model again."
            )
        return value

    def first(*fields: str) -> int:
        for field in fields:
            if config.get(field) is not None:
                return whole(config[field], field)
        return whole(None, fields[0])

    d_model = first(keys["d_model"], "hidden_size", "n_embed")
    n_heads = first(keys["n_heads"], "num_attention_heads")
    d_head = config.get("head_dim") or row.head_dim or d_model // n_heads
    # Where these model types allow null, it means four times the width.
    d_mlp = config.get(keys["d_mlp"]) or 4 * d_model
    n_kv_heads = config.get("num_key_value_heads") or (8 if row.hf_class.startswith("Mistral") else n_heads)
    return Shape(
        n_layers=first(keys["n_layers"], "num_hidden_layers"),
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=whole(n_kv_heads, "num_key_value_heads"),
        d_head=whole(d_head, "head_dim"),
        d_mlp=whole(d_mlp, keys["d_mlp"]),
        d_vocab=first("vocab_size"),
    )
