"""Writes GGUF files of small random models as llama.cpp's converter would."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from tests.models.gguf_converter import Tensors, converted
from tests.models.tiny import CONFIGS, random_module, token_merges, tokenizer_pieces

TRANSFORMERS_READS = ("llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "gpt2", "starcoder2")
"""Model types whose GGUF files transformers reads too."""
GGUF_ARCHITECTURES = {
    "llama": "llama",
    "mistral": "mistral3",
    "ministral3": "mistral3",
    "mixtral": "llama",
    "qwen2": "qwen2",
    "qwen2_vl_text": "qwen2vl",
    "qwen3_vl_text": "qwen3vl",
    "qwen2_moe": "qwen2moe",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "gpt_oss": "gpt-oss",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "phi": "phi2",
    "phi3": "phi3",
    "phimoe": "phimoe",
    "gpt2": "gpt2",
    "gpt_bigcode": "starcoder",
    "gpt_neox": "gptneox",
    "bloom": "bloom",
    "falcon": "falcon",
    "mpt": "mpt",
    "starcoder2": "starcoder2",
    "nemotron": "nemotron",
    "stablelm": "stablelm",
    "cohere": "command-r",
    "cohere2": "cohere2",
    "olmo": "olmo",
    "olmo2": "olmo2",
    "olmo3": "olmo2",
    "olmoe": "olmoe",
    "smollm3": "smollm3",
    "granite": "granite",
    "granitemoe": "granitemoe",
    "granitemoehybrid": "granitehybrid",
    "granitemoeshared": "granitemoe",
    "jais2": "jais2",
    "minimax_m2": "minimax-m2",
    "glm4_moe": "glm4moe",
    "exaone_moe": "exaone-moe",
    "ernie4_5_moe": "ernie4_5-moe",
    "lfm2_moe": "lfm2moe",
    "bamba": "granitehybrid",
    "glm": "chatglm",
    "glm4": "glm4",
    "exaone4": "exaone4",
    "seed_oss": "seed_oss",
    "arcee": "arcee",
    "apertus": "apertus",
    "ernie4_5": "ernie4_5",
    "hunyuan_v1_dense": "hunyuan-dense",
    "deepseek_v2": "deepseek2",
    "deepseek_v3": "deepseek2",
    "llama4_text": "llama4",
    "jamba": "jamba",
    "lfm2": "lfm2",
    "mamba": "mamba",
    "mamba2": "mamba2",
    "falcon_mamba": "mamba",
    "bert": "bert",
    "roberta": "bert",
    "xlm-roberta": "bert",
    "distilbert": "bert",
    "modernbert": "modern-bert",
    "t5": "t5",
}


def gguf_fields(config: Any) -> dict[str, Any]:
    """What the header says of a model, without the architecture's name before it."""
    model_type = config.model_type

    def first(*names: str) -> Any:
        return next((value for name in names if (value := getattr(config, name, None)) is not None), None)

    d_model = first("hidden_size", "n_embd", "d_model", "dim")
    n_layers = first("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    fields: dict[str, Any] = {
        "context_length": first("max_position_embeddings", "n_positions", "max_seq_len") or 2048,
        "embedding_length": d_model,
        "block_count": n_layers,
        "attention.head_count": first("num_attention_heads", "n_head", "n_heads", "num_heads"),
        "feed_forward_length": first("intermediate_size", "ffn_hidden_size", "n_inner", "d_ff", "hidden_dim")
        or 4 * d_model,
    }
    if model_type in ("mamba", "mamba2", "falcon_mamba"):
        fields |= {"attention.head_count": 0, "feed_forward_length": 0}
    if model_type == "mpt":
        fields["feed_forward_length"] = 4 * d_model
    kv = first("num_key_value_heads")
    if model_type == "gpt_bigcode":
        kv = 1
    if model_type == "falcon":
        kv = config.num_kv_heads if config.new_decoder_architecture else 1
    if kv is not None and model_type != "t5":
        fields["attention.head_count_kv"] = kv
    if "head_dim" in CONFIGS.get(model_type, {}) and model_type not in ("mamba2", "granite"):
        fields["attention.key_length"] = config.head_dim
    if model_type == "t5":
        fields |= {"attention.key_length": config.d_kv, "decoder_block_count": config.num_decoder_layers}
    experts = first("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    if experts:
        fields["expert_count"] = experts
        fields["expert_used_count"] = first("num_experts_per_tok") or 1
        if first("moe_intermediate_size"):
            fields["expert_feed_forward_length"] = config.moe_intermediate_size
    if model_type == "llama4_text":
        fields |= {
            "feed_forward_length": config.intermediate_size_mlp,
            "expert_feed_forward_length": config.intermediate_size,
        }
    if model_type in ("jamba", "lfm2", "lfm2_moe", "granitemoehybrid", "bamba"):
        kinds = config.layer_types if hasattr(config, "layer_types") else config.layers_block_type
        fields["attention.head_count_kv"] = [kv if "attention" in kind else 0 for kind in kinds]
    if model_type.startswith("deepseek"):
        fields |= {"attention.head_count_kv": 1, "rope.dimension_count": config.qk_rope_head_dim}
    if model_type in ("gpt_neox", "stablelm"):
        fields["use_parallel_residual"] = config.use_parallel_residual
    if model_type == "ministral3":
        fields["attention.temperature_scale"] = 0.1
    if model_type == "falcon_mamba":
        fields["ssm.dt_b_c_rms"] = True
    eps = first("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "layernorm_epsilon", "norm_eps", "norm_epsilon")
    rms = first("rms_norm_eps") is not None
    fields[f"attention.layer_norm{'_rms' if rms else ''}_epsilon"] = float(eps or 1e-5)
    return fields | _forward_fields(config)


def _forward_fields(config: Any) -> dict[str, Any]:
    """What the header says of how the model runs."""
    fields: dict[str, Any] = {}
    rope = getattr(config, "rope_parameters", None) or {}
    rope = rope.get("full_attention", rope)
    if "rope_theta" in rope:
        fields["rope.freq_base"] = float(rope["rope_theta"])
    if rope.get("rope_type") == "linear":
        fields |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}
    if rope.get("partial_rotary_factor") is not None:
        d_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        fields["rope.dimension_count"] = int(d_head * rope["partial_rotary_factor"])
    names = {
        "attention_multiplier": "attention.scale",
        "embedding_multiplier": "embedding_scale",
        "residual_multiplier": "residual_scale",
        "logits_scaling": "logit_scale",
        "logit_scale": "logit_scale",
        "final_logit_softcapping": "final_logit_softcapping",
        "attn_logit_softcapping": "attn_logit_softcapping",
        "sliding_window": "attention.sliding_window",
        "clip_qkv": "attention.clamp_kqv",
    }
    for name, field in names.items():
        value = getattr(config, name, None)
        if value is not None and not isinstance(value, str):
            fields[field] = value if name == "sliding_window" else float(value)
    if config.model_type in ("qwen2", "qwen3", "qwen2_moe", "qwen3_moe", "phi3", "starcoder2", "gpt_neox"):
        fields.pop("attention.sliding_window", None)
    if config.model_type == "mpt":
        fields = {"attention.max_alibi_bias": 8.0}
    return {} if config.model_type == "bloom" else fields


def gguf_sizes(model_type: str) -> dict[str, Any]:
    """Sizes whose rows fall into quantized blocks of 32."""
    wide = {"hidden_size": 64, "n_embd": 64, "d_model": 64, "dim": 64}
    wide |= dict.fromkeys(("intermediate_size", "ffn_hidden_size", "n_inner", "d_ff", "hidden_dim"), 96)
    wide |= {"intermediate_size_mlp": 96, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32}
    if model_type in ("granitemoehybrid", "bamba", "mamba2"):
        return {"intermediate_size": 96} if "intermediate_size" in CONFIGS[model_type] else {}
    return {name: value for name, value in wide.items() if name in CONFIGS[model_type]}


def gguf_module(model_type: str, seed: int = 0, **overrides: Any) -> Any:
    """The module that `write_gguf` stores, before quantization."""
    sizes = gguf_sizes(model_type)
    if "head_dim" in CONFIGS[model_type] and model_type != "mamba2":
        sizes = {**sizes, "head_dim": 32}
    tied = {} if model_type in ("mamba", "mamba2", "falcon_mamba") else {"tie_word_embeddings": True}
    return random_module(model_type, seed, **{**sizes, **tied, **overrides})


def saved(module: Any, directory: Path | None = None) -> Tensors:
    """The tensors of a module as its files have them."""
    from safetensors.torch import load_file

    from vsa_checks.models.quiet import quiet

    with tempfile.TemporaryDirectory() as temporary:
        place = directory or Path(temporary)
        if not (place / "model.safetensors").exists():
            with quiet():
                module.save_pretrained(place)
        return {name: tensor.float().numpy() for name, tensor in load_file(place / "model.safetensors").items()}


def write_gguf(
    path: Path,
    model_type: str = "llama",
    quantization: str | None = None,
    *,
    tokenizer: bool = True,
    seed: int = 0,
    drop: str | None = None,
    add: Tensors | None = None,
    fields: dict[str, Any] | None = None,
    module: Any = None,
    **overrides: Any,
) -> Path:
    """Writes a GGUF file of a small random model as llama.cpp's converter would.

    Quantization ("Q8_0", "Q4_1", ...) applies to matrices; embeddings are Q8_0 then. `drop` is left out, `add` added;
    `fields` changes the header (None leaves a field out). `module` is written instead of a random one.
    """
    module = module if module is not None else gguf_module(model_type, seed, **overrides)
    plain = model_type.split("#")[0]
    tensors = converted(saved(module), module.config) | (add or {})
    if drop is not None:
        del tensors[drop]
    name = GGUF_ARCHITECTURES[plain]
    stated = {f"{name}.{key}": value for key, value in gguf_fields(module.config).items()}
    stated |= _xielu_fields(module)
    stated |= (
        _tokenizer_fields(module.config.vocab_size) if tokenizer else {f"{name}.vocab_size": module.config.vocab_size}
    )
    return write_file(path, name, stated | (fields or {}), tensors, quantization)


def _xielu_fields(module: Any) -> dict[str, Any]:
    found: dict[str, list[float]] = {}
    for name, values in module.state_dict().items():
        if ".act_fn." in name:
            found.setdefault(f"xielu.{name.rpartition('.')[2]}", []).append(float(values))
    return found


def write_file(
    path: Path, architecture: str | None, fields: dict[str, Any], tensors: Tensors, quantization: str | None = None
) -> Path:
    """Writes a GGUF file of any fields and tensors."""
    import gguf

    writer = gguf.GGUFWriter(path, architecture or "")
    if architecture is None:
        writer.kv_data[0].pop("general.architecture", None)
    for key, value in fields.items():
        _add_field(writer, key, value)
    for name, tensor in tensors.items():
        embedding = name in ("token_embd.weight", "output.weight")
        kind = gguf.GGMLQuantizationType["Q8_0" if embedding and quantization else quantization or "F32"]
        block = gguf.GGML_QUANT_SIZES[kind][0]
        plain = quantization is None or tensor.ndim == 1 or not name.endswith(".weight") or "position" in name
        if plain or tensor.shape[-1] % block:
            writer.add_tensor(name, tensor)
        else:
            writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    return close(writer, path)


def _add_field(writer: Any, key: str, value: Any) -> None:
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, int) and not isinstance(value, bool) and not 0 <= value < 1 << 32:
        writer.add_int64(key, value)
    elif value is not None:
        add[type(value)](key, value)


def _tokenizer_fields(d_vocab: int) -> dict[str, Any]:
    pieces = tokenizer_pieces(d_vocab)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.token_type": [3] * 3 + [1] * (len(pieces) - 3),
        "tokenizer.ggml.merges": [" ".join(pair) for pair in token_merges(pieces)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 0,
    }


def close(writer: Any, path: Path) -> Path:
    """Write a GGUF file to its end."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def split_gguf(path: Path, tensors: Tensors, fields: dict[str, Any], architecture: str, count: int) -> list[Path]:
    """Writes a model as `count` parts, as llama.cpp splits it: the fields are in the first alone."""
    names, parts = list(tensors), []
    for at in range(count):
        part = path.with_name(f"{path.stem}-{at + 1:05d}-of-{count:05d}.gguf")
        own = {name: tensors[name] for name in names[at::count]}
        split = {"split.no": at, "split.count": count, "split.tensors.count": len(names)}
        parts.append(write_file(part, architecture if at == 0 else None, (fields if at == 0 else {}) | split, own))
    return parts


def on_a_grid(module: Any) -> Any:
    """The module with matrices that Q8_0 holds exactly, whichever way their rows lie."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                whole = torch.randint(-126, 127, parameter.shape, generator=generator)
                rows, columns = torch.arange(parameter.shape[-2])[:, None], torch.arange(parameter.shape[-1])
                whole[..., (rows + columns) % 32 == 0] = 127
                parameter.copy_(whole / 512)
    return module
