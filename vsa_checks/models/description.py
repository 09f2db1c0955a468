"""What a model is, from its registry entry, config.json or GGUF header. No torch."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict
from math import prod
from pathlib import Path

from vsa_checks.errors import ModelError
from vsa_checks.models.architectures import Shape, architecture, gguf_model_type, shape_from_config
from vsa_checks.models.files import FLOAT_NAMES, file_sha256, find_weights, read_config, stored_dtype, weights_sha256
from vsa_checks.models.gguf_header import GGUFHeader, read_header
from vsa_checks.models.info import ModelInfo
from vsa_checks.models.registry import RegistryEntry
from vsa_checks.models.sources import Located, Registry, locate, registry_entry
from vsa_checks.models.vocabulary import directory_token_count, gguf_token_count, text_state

_EMBEDDING, _UNEMBEDDING = "token_embd.weight", "output.weight"


def describe(name_or_path: str | os.PathLike[str], registry: Registry | None = None) -> ModelInfo:
    """Describe a model without loading it: identity and sizes, in milliseconds and without torch.

    Parameters
    ----------
    name_or_path : str or path-like
        Name of a registered model, or path of a Hugging Face directory or a GGUF file.
    registry : mapping of str to RegistryEntry, optional
        The models that have names; by default those of fixtures/models.toml.

    Returns
    -------
    ModelInfo
        For a hub model that is not in the cache, what the registry says of it.

    Raises
    ------
    ModelError
        For a model that is not found, a damaged file, and an architecture that is not supported.
    """
    return describe_located(locate(name_or_path, registry))


def describe_located(found: Located) -> ModelInfo:
    """`describe` for a model that was already found."""
    if found.path is None:
        return _from_registry(found)
    path = found.path
    info = _from_gguf(found, read_header(path)) if found.is_gguf else _from_directory(found, path)
    if found.entry is not None:
        _agree(found.entry, info)
    return info


def _from_registry(found: Located) -> ModelInfo:
    entry = registry_entry(found)
    return _info(
        found,
        entry.architecture,
        entry.shape,
        sha256=entry.sha256,
        dtype=entry.dtype,
        quantization=entry.quantization,
        text=(True, ""),
    )


def _from_directory(found: Located, directory: Path) -> ModelInfo:
    config = read_config(directory, found.name)
    model_type = str(config.get("model_type"))
    shape = shape_from_config(config, found.name)
    weights = find_weights(directory, found.name)
    return _info(
        found,
        model_type,
        shape,
        sha256=weights_sha256(weights.files),
        dtype=stored_dtype(weights, config, found.name),
        quantization=None,
        text=text_state(directory_token_count(directory), shape.d_vocab),
    )


def _from_gguf(found: Located, header: GGUFHeader) -> ModelInfo:
    if int(header.fields.get("split.count", 1)) > 1:
        raise ModelError(
            f"The model {found.name} cannot be loaded: {header.path} is one part of a model split into "
            f"{header.fields['split.count']} files. Join them with llama.cpp's llama-gguf-split --merge."
        )
    model_type = gguf_model_type(header.architecture, found.name)
    shape = gguf_shape(header, found.name)
    dtype, quantization = _gguf_storage(header)
    return _info(
        found,
        model_type,
        shape,
        sha256=file_sha256(header.path),
        dtype=dtype,
        quantization=quantization,
        text=text_state(gguf_token_count(header), shape.d_vocab),
        licence=str(header.fields.get("general.license") or ""),
    )


def _info(
    found: Located,
    model_type: str,
    shape: Shape,
    *,
    sha256: str | None,
    dtype: str,
    quantization: str | None,
    text: tuple[bool, str],
    licence: str = "",
) -> ModelInfo:
    row = architecture(model_type, found.name)
    entry = found.entry
    return ModelInfo(
        name=found.name,
        source=found.source,
        location=found.location,
        sha256=sha256,
        revision=found.revision,
        architecture=model_type,
        **asdict(shape),
        dtype=dtype,
        quantization=quantization,
        is_paper_model=entry is not None and entry.is_paper_model,
        gated=row.gated,
        norm=row.norm,
        causal=row.causal,
        licence=entry.licence if entry is not None else licence or "not stated",
        notes=entry.notes if entry is not None else "",
        text=text[0],
        text_reason=text[1],
    )


def gguf_shape(header: GGUFHeader, model: str) -> Shape:
    """Sizes of the model in a GGUF file. Raises ModelError, which names the field or tensor that is missing.

    Vocabulary and head width come from the shapes of tensors, because the header may leave them out.
    """
    prefix = header.architecture

    def number(key: str, default: int | None = None) -> int:
        value = header.fields.get(f"{prefix}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            per_layer = ", given per layer," if header.has_array(f"{prefix}.{key}") else ""
            raise ModelError(
                f"The model {model} cannot be loaded: {prefix}.{key}{per_layer} was looked for in the header "
                f"of {header.path} as one positive number and is {value!r}. Convert the model again, or give "
                "another."
            )
        return value

    if _EMBEDDING not in header.tensors:
        raise missing_tensors(model, header.path, [_EMBEDDING])
    n_heads, d_model = number("attention.head_count"), number("embedding_length")
    per_layer_kv = header.has_array(f"{prefix}.attention.head_count_kv")
    query = header.tensors.get("blk.0.attn_q.weight")
    d_head = query.shape[0] // n_heads if query else number("attention.key_length", d_model // n_heads)
    return Shape(
        n_layers=number("block_count"),
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=number("attention.head_count_kv", None if per_layer_kv else n_heads),
        d_head=d_head,
        d_mlp=number("feed_forward_length", 4 * d_model),
        d_vocab=header.tensors[_EMBEDDING].shape[0],
    )


def missing_tensors(model: str, path: Path, names: list[str]) -> ModelError:
    """The error for weights that are missing from a file or directory."""
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    verb = "is" if len(names) == 1 else "are"
    return ModelError(
        f"The model {model} cannot be loaded: {listed} {verb} missing from its weights in {path}. Fetch, "
        "save or convert the model again."
    )


def _gguf_storage(header: GGUFHeader) -> tuple[str, str | None]:
    """Type of most weights, and the quantization in words (None if nothing is quantized)."""
    matrices: Counter[str] = Counter()
    embeddings: Counter[str] = Counter()
    for entry in header.tensors.values():
        if len(entry.shape) > 1:
            group = embeddings if entry.name in (_EMBEDDING, _UNEMBEDDING) else matrices
            group[entry.type_name] += prod(entry.shape)

    def words(group: Counter[str]) -> str:
        return " and ".join(FLOAT_NAMES.get(kind, kind) for kind, _ in group.most_common())

    main = matrices.most_common(1)[0][0] if matrices else "F32"
    quantized = any(kind not in FLOAT_NAMES for kind in (*matrices, *embeddings))
    in_words = f"{words(matrices)} matrices, {words(embeddings)} embeddings" if quantized else None
    return FLOAT_NAMES.get(main, main), in_words


def _agree(entry: RegistryEntry, info: ModelInfo) -> None:
    """Raises ModelError if the registry, shown before the weights are there, says anything else than the files."""
    stated = {"architecture": entry.architecture, **asdict(entry.shape), "dtype": entry.dtype}
    stated["quantization"] = entry.quantization
    wrong = [
        f"{key} {getattr(info, key)!r} instead of {value!r}"
        for key, value in stated.items()
        if getattr(info, key) != value
    ]
    if wrong:
        raise ModelError(
            f"The model {entry.name} is not what the list of named models says: its files have "
            f"{', '.join(wrong)}. Correct the list, or fetch the model again."
        )
