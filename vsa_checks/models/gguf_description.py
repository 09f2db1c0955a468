"""What the header of a GGUF file says of its model: type, sizes, experts, how the weights are stored."""

from __future__ import annotations

import re
from collections import Counter
from math import prod

from vsa_checks.errors import ModelError
from vsa_checks.models.architecture import Architecture, Shape
from vsa_checks.models.architectures import ARCHITECTURES, gguf_model_type
from vsa_checks.models.gguf_header import GGUFHeader, TensorEntry
from vsa_checks.models.safetensors_files import FLOAT_NAMES
from vsa_checks.models.tensor_names import missing_tensors

_EMBEDDING, _UNEMBEDDING = "token_embd.weight", "output.weight"


def all_tensors(headers: list[GGUFHeader]) -> dict[str, TensorEntry]:
    """The tensors of all parts by name."""
    return {name: entry for part in headers for name, entry in part.tensors.items()}


def gguf_type(headers: list[GGUFHeader], model: str) -> str:
    """The Hugging Face model type of a GGUF file. Raises ModelError for an architecture that is not supported.

    llama.cpp has one architecture for several types where nothing but a field or a few tensors tells them apart.
    """
    header, name = headers[0], headers[0].architecture

    def says(key: str) -> bool:
        return f"{name}.{key}" in header.fields

    if name == "llama" and gguf_experts(header):
        return "mixtral"
    if name == "olmo2" and says("attention.sliding_window"):
        return "olmo3"
    if name == "mistral3" and says("attention.temperature_scale"):
        return "ministral3"
    if name == "mamba" and header.fields.get("mamba.ssm.dt_b_c_rms") is True:
        return "falcon_mamba"
    if name == "granitehybrid" and not (gguf_experts(header) or says("embedding_scale") or says("logit_scale")):
        return "bamba"
    if name == "granitemoe" and any(".ffn_up_shexp." in tensor for part in headers for tensor in part.tensors):
        return "granitemoeshared"
    if header.has_array(f"{name}.rope.dimension_sections") and name == "glm4":
        raise ModelError(
            f"The model {model} cannot be loaded: {header.path} is the text part of a multimodal model, whose "
            "rows of queries and keys llama.cpp's converter reorders. Give the model's Hugging Face directory."
        )
    if name == "deepseek2" and any(".exp_probs_b." in tensor for part in headers for tensor in part.tensors):
        return "deepseek_v3"
    return gguf_model_type(name, model)


def gguf_experts(header: GGUFHeader) -> int:
    """Experts of each mixture; 0 for a model without."""
    return header.whole(f"{header.architecture}.expert_count", 0)


def gguf_expert_layers(headers: list[GGUFHeader], n_layers: int) -> tuple[int, ...]:
    """The layers whose MLP is a mixture of experts. Raises ModelError where a tensor has another number of experts."""
    found, wanted = [], gguf_experts(headers[0])
    for name, entry in all_tensors(headers).items():
        match = re.fullmatch(r"blk\.(\d+)\.ffn_(?:gate|up|down)_exps\.weight", name)
        if match is None or int(match[1]) >= n_layers:
            continue
        if len(entry.shape) != 3 or entry.shape[0] != wanted:
            raise _unlike(headers[0], "expert_count", wanted, f"{name} has the shape {entry.shape}")
        found.append(int(match[1]))
    if wanted:
        names, path = all_tensors(headers), headers[0].path
        dense = "down" in ARCHITECTURES[gguf_type(headers, str(path))].layout.roles
        kinds = ("ffn_down_exps.weight", "ffn_down.weight")[: 1 + dense]
        without = [at for at in range(n_layers) if not any(f"blk.{at}.{kind}" in names for kind in kinds)]
        if without:
            raise missing_tensors(str(path), path, [f"blk.{without[0]}.{kinds[0]}"], list(names))
    return tuple(sorted(set(found)))


def gguf_parallel(headers: list[GGUFHeader], model_type: str) -> bool:
    """Whether attention and MLP of a layer read the same stream."""
    row = ARCHITECTURES[model_type]
    if isinstance(row.parallel, bool):
        return row.parallel
    stated = headers[0].fields.get(f"{headers[0].architecture}.use_parallel_residual")
    if model_type == "gpt_neox":
        return stated is not False
    # The others have a norm before the MLP only where it reads what attention has written; llama.cpp goes by it.
    return not any("blk.0.ffn_norm.weight" in part.tensors for part in headers)


def gguf_causal(header: GGUFHeader, model_type: str) -> bool:
    """Whether a position sees only what comes before it."""
    stated = header.fields.get(f"{header.architecture}.attention.causal")
    return ARCHITECTURES[model_type].causal and stated is not False


def gguf_gated(headers: list[GGUFHeader], model_type: str) -> bool:
    """Whether the MLP has a gate."""
    row = ARCHITECTURES[model_type]
    if row.gated is not None:
        return row.gated
    return any("dec.blk.0.ffn_gate.weight" in part.tensors for part in headers)


def gguf_shape(headers: list[GGUFHeader], model: str) -> Shape:
    """Sizes of the model in a GGUF file.

    Raises ModelError, which names the field or tensor that is missing or says something else than the tensors.
    """
    header, tensors = headers[0], all_tensors(headers)
    prefix = header.architecture
    row = ARCHITECTURES[gguf_type(headers, model)]
    if _EMBEDDING not in tensors:
        raise missing_tensors(model, header.path, [_EMBEDDING], list(tensors))
    d_vocab = tensors[_EMBEDDING].shape[0]
    stated = header.whole(f"{prefix}.vocab_size", d_vocab)
    if stated != d_vocab:
        raise _unlike(header, "vocab_size", stated, f"{_EMBEDDING} has {d_vocab:,} rows")
    d_model = header.whole(f"{prefix}.embedding_length", least=1)
    if tensors[_EMBEDDING].shape[1:] != (d_model,):
        raise _unlike(header, "embedding_length", d_model, f"{_EMBEDDING} has the shape {tensors[_EMBEDDING].shape}")
    n_layers = _layers(header, row, tensors, model)
    if "o" not in row.layout.roles and not row.no_attention:
        return Shape(n_layers, d_model, 0, 0, 0, 0, d_vocab)
    n_heads, n_kv_heads, d_head = _heads(header, row, tensors, d_model)
    experts = gguf_experts(header) and f"{prefix}.expert_feed_forward_length" in header.fields
    mlp = header.whole(f"{prefix}.{'expert_' if experts else ''}feed_forward_length", 4 * d_model, least=1)
    return Shape(n_layers, d_model, n_heads, n_kv_heads, d_head, mlp, d_vocab)


def _layers(header: GGUFHeader, row: Architecture, tensors: dict[str, TensorEntry], model: str) -> int:
    prefix = header.architecture
    n_layers = header.whole(f"{prefix}.block_count", least=1)
    if row.family == "encoder-decoder":
        n_layers = header.whole(f"{prefix}.decoder_block_count", n_layers, least=1)
    # Layers that predict tokens further on come after the model's own.
    n_layers -= min(header.whole(f"{prefix}.nextn_predict_layers", 0), n_layers - 1)
    layer = (row.gguf.layer if row.gguf is not None else "") or "blk.{}."
    pattern = re.compile(re.escape(layer).replace(r"\{\}", r"(\d{1,9})") + ".+")
    present = {int(match[1]) for match in map(pattern.fullmatch, tensors) if match is not None}
    if n_layers > len(present):
        absent = next(at for at in range(len(present) + 1) if at not in present)
        more = f" (all of layer {absent}, of the {n_layers:,} that {prefix}.block_count says)"
        raise missing_tensors(model, header.path, [f"{layer.format(absent)}*{more}"], list(tensors))
    return n_layers


def _heads(
    header: GGUFHeader, row: Architecture, tensors: dict[str, TensorEntry], d_model: int
) -> tuple[int, int, int]:
    """Query heads, key-value heads and head width as the header has them, which the tensors must agree with."""
    prefix = header.architecture
    n_heads = header.whole(f"{prefix}.attention.head_count", least=1)
    if row.no_attention:
        return n_heads, n_heads, header.whole(f"{prefix}.rope.dimension_count", max(1, d_model // n_heads), least=1)
    d_head = header.whole(f"{prefix}.attention.key_length", d_model // n_heads)
    n_kv_heads = header.whole(f"{prefix}.attention.head_count_kv", n_heads, least=1)
    rotated = header.whole(f"{prefix}.rope.dimension_count", 0)
    if d_head < 1 or rotated > d_head:
        found = f"a head would have {d_head} dimensions, of which {rotated or 1} are rotated"
        raise _unlike(header, "attention.head_count", n_heads, found)
    if n_heads % n_kv_heads:
        raise _unlike(header, "attention.head_count_kv", n_kv_heads, f"there are {n_heads} heads")
    for role, heads in (("q", n_heads), ("k", n_kv_heads), ("v", n_kv_heads)):
        for name, entry in tensors.items():
            if re.search(rf"(^|\.)blk\.\d+\.attn_{role}\.weight$", name) and entry.shape[0] != heads * d_head:
                field = "attention.head_count" if role == "q" else "attention.head_count_kv"
                raise _unlike(header, field, heads, f"{name} has {entry.shape[0]:,} rows for heads of {d_head}")
    return n_heads, n_kv_heads, d_head


def _unlike(header: GGUFHeader, field: str, value: int, found: str) -> ModelError:
    return ModelError(
        f"The model {header.path} cannot be loaded: its header gives {header.architecture}.{field} as {value}, but "
        f"{found}. Header and weights do not match: fetch or convert the model again."
    )


def gguf_storage(headers: list[GGUFHeader]) -> tuple[str, str | None]:
    """Type of most weights, and the quantization in words (None if nothing is quantized)."""
    matrices: Counter[str] = Counter()
    embeddings: Counter[str] = Counter()
    for entry in all_tensors(headers).values():
        if len(entry.shape) > 1:
            group = embeddings if entry.name in (_EMBEDDING, _UNEMBEDDING) else matrices
            group[entry.type_name] += prod(entry.shape)

    def words(group: Counter[str]) -> str:
        return " and ".join(FLOAT_NAMES.get(kind, kind) for kind, _ in group.most_common())

    main = matrices.most_common(1)[0][0] if matrices else "F32"
    quantized = any(kind not in FLOAT_NAMES for kind in (*matrices, *embeddings))
    in_words = f"{words(matrices)} matrices, {words(embeddings)} embeddings" if quantized else None
    return FLOAT_NAMES.get(main, main), in_words
