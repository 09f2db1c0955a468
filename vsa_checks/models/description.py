"""What a model is, from its registry entry, config.json or GGUF header. No torch."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vsa_checks.errors import ModelError
from vsa_checks.models.architecture import Architecture, Shape
from vsa_checks.models.architectures import ARCHITECTURES, architecture
from vsa_checks.models.checksums import weights_sha256
from vsa_checks.models.files import check_folder, find_weights, is_pointer, read_config, refuse_pointer
from vsa_checks.models.gguf_description import (
    gguf_causal,
    gguf_expert_layers,
    gguf_experts,
    gguf_gated,
    gguf_parallel,
    gguf_shape,
    gguf_storage,
    gguf_type,
)
from vsa_checks.models.gguf_parts import read_parts
from vsa_checks.models.gguf_weights import unused_note
from vsa_checks.models.info import ModelInfo
from vsa_checks.models.registry import RegistryEntry
from vsa_checks.models.shapes import check_numbers, effective_config, expert_count, row_for, shape_from_config
from vsa_checks.models.sources import Located, Registry, locate, registry_entry, with_config
from vsa_checks.models.stored_facts import shapes_and_dtype
from vsa_checks.models.tensor_names import by_module_name, check_experts, check_sizes, expert_layers, stored_layout
from vsa_checks.models.vocabulary import TOKENIZER_FILES, directory_text_state, gguf_text_state


def describe(name_or_path: str | os.PathLike[str], registry: Registry | None = None) -> ModelInfo:
    """Describe a model without loading it: identity and sizes, in milliseconds and without torch.

    Parameters
    ----------
    name_or_path : str or path-like
        Short name, ORG/NAME[@REVISION] of the hub, or path of a Hugging Face directory or a GGUF file.
    registry : mapping of str to RegistryEntry, optional
        The models that have short names; by default those of fixtures/models.toml.

    Returns
    -------
    ModelInfo
        For a hub model that is not in the cache, what the registry or else its config.json says of it; the latter is
        fetched alone.

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
    info = _from_gguf(found, path) if found.is_gguf else _from_directory(found, path)
    if found.entry is not None:
        _agree(found.entry, info)
    return info


def _from_registry(found: Located) -> ModelInfo:
    entry = registry_entry(found)
    if entry.shape is None:
        return _from_hub(with_config(found))
    return _info(
        found,
        entry.architecture,
        entry.shape,
        sha256=entry.sha256,
        dtype=entry.dtype,
        quantization=entry.quantization,
        text=(True, ""),
        gated=architecture(entry.architecture, found.name).is_gated({}),
    )


def _from_hub(found: Located) -> ModelInfo:
    """From config.json, before the weights are there. A tokenizer that was not fetched yet is taken to be usable."""
    assert found.config is not None
    config = read_config(found.config, found.name)
    check_numbers(config, None, found.name)
    effective = effective_config(config)
    dtype = config.get("dtype") or config.get("torch_dtype") or effective.get("dtype") or effective.get("torch_dtype")
    fetched = any((found.config / name).exists() for name in TOKENIZER_FILES)
    d_vocab = shape_from_config(config, found.name).d_vocab
    text = directory_text_state(found.config, d_vocab) if fetched else (True, "")
    return _from_config(found, config, sha256=None, dtype=str(dtype or "float32"), text=text)


def _from_directory(found: Located, directory: Path) -> ModelInfo:
    if found.source != "package":  # an installer may link its files to where it keeps them
        check_folder(directory, found.name)
    config = read_config(directory, found.name)
    weights = find_weights(directory, found.name)
    shapes, dtype = shapes_and_dtype(weights, found.name)
    check_numbers(config, len(shapes), found.name)
    shape = shape_from_config(config, found.name)
    effective = effective_config(config)
    layout = stored_layout(row_for(effective, found.name).layout, shapes)
    if layout.embed:
        check_sizes(shapes, layout, shape, found.name, directory)
        check_experts(shapes, layout, shape.n_layers, expert_count(effective), found.name, directory)
    return _from_config(
        found,
        config,
        sha256=weights_sha256(weights.files),
        dtype=dtype,
        text=_text_of(directory, shape.d_vocab),
        names=shapes,
    )


def _text_of(directory: Path, d_vocab: int) -> tuple[bool, str]:
    """Whether a directory has a usable tokenizer, and why not."""
    for file in (directory / name for name in TOKENIZER_FILES):
        if file.is_file() and is_pointer(file):
            return False, f"its {file.name} is a git-lfs pointer, which stands in for the file (run: git lfs pull)"
    return directory_text_state(directory, d_vocab)


def _from_config(
    found: Located,
    config: Mapping[str, Any],
    *,
    sha256: str | None,
    dtype: str,
    text: tuple[bool, str],
    names: Collection[str] | None = None,
) -> ModelInfo:
    effective = effective_config(config)
    row, shape = row_for(effective, found.name), shape_from_config(config, found.name)
    n_experts = expert_count(effective) if row.layout.experts is not None else 0
    layers: tuple[int, ...] = ()
    if n_experts:
        layers = tuple(range(shape.n_layers))  # until the names of the tensors are known
        if names is not None:
            layout = stored_layout(row.layout, names)
            layers = expert_layers(layout, by_module_name(names, layout), shape.n_layers)
    return _info(
        found,
        str(effective.get("model_type")),
        shape,
        row=row,
        sha256=sha256,
        dtype=dtype,
        quantization=None,
        text=text,
        parallel=row.is_parallel(effective),
        gated=row.is_gated(effective),
        n_experts=n_experts,
        expert_layers=layers,
        causal=row.is_causal(effective),
    )


def _from_gguf(found: Located, path: Path) -> ModelInfo:
    refuse_pointer(path, found.name)
    headers = read_parts(path, found.name)
    header = headers[0]
    shape = gguf_shape(headers, found.name)
    dtype, quantization = gguf_storage(headers)
    model_type = gguf_type(headers, found.name)
    return _info(
        found,
        model_type,
        shape,
        sha256=weights_sha256(tuple(part.path for part in headers)),
        dtype=dtype,
        quantization=quantization,
        text=gguf_text_state(header, shape.d_vocab),
        licence=str(header.fields.get("general.license") or ""),
        notes=unused_note(headers, ARCHITECTURES[model_type], shape),
        parallel=gguf_parallel(headers, model_type),
        gated=gguf_gated(headers, model_type),
        n_experts=gguf_experts(header),
        expert_layers=gguf_expert_layers(headers, shape.n_layers),
        causal=gguf_causal(header, model_type),
    )


def _info(
    found: Located,
    model_type: str,
    shape: Shape,
    *,
    row: Architecture | None = None,
    sha256: str | None,
    dtype: str,
    quantization: str | None,
    text: tuple[bool, str],
    licence: str = "",
    notes: str = "",
    parallel: bool = False,
    gated: bool = True,
    n_experts: int = 0,
    expert_layers: tuple[int, ...] = (),
    causal: bool | None = None,
) -> ModelInfo:
    row = row or architecture(model_type, found.name)
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
        gated=gated,
        norm=row.norm,
        causal=row.causal if causal is None else causal,
        licence=entry.licence if entry is not None else licence or "not stated",
        notes=" ".join(filter(None, (entry.notes if entry is not None else "", notes))),
        text=text[0],
        text_reason=text[1],
        parallel=parallel,
        n_experts=n_experts,
        expert_layers=expert_layers,
    )


def _agree(entry: RegistryEntry, info: ModelInfo) -> None:
    """Raises ModelError if the registry, shown before the weights are there, says anything else than the files."""
    if entry.shape is None:  # it says nothing
        return
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
