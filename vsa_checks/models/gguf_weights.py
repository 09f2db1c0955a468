"""The tensors of a GGUF file, whole or split, dequantized one at a time; and what of them is which weight."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import ModelError
from vsa_checks.models import layouts
from vsa_checks.models.architecture import Architecture, Gguf, Shape
from vsa_checks.models.architectures import ARCHITECTURES
from vsa_checks.models.gguf_description import gguf_experts, gguf_gated, gguf_parallel, gguf_type
from vsa_checks.models.gguf_header import GGUFHeader, TensorEntry, tensor_bytes
from vsa_checks.models.gguf_parts import read_parts
from vsa_checks.models.info import ModelInfo
from vsa_checks.models.layout import Layout
from vsa_checks.models.raw_weights import Opened, RawWeights
from vsa_checks.models.sources import Located

Array = NDArray[np.float32]
# Blocks dequantized at a time: large enough for numpy to be fast, small beside the tensor.
_BLOCKS = 1 << 18
_OF_OTHERS = (".scale", ".input_scale")
_NOT_WEIGHTS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


class GgufTensors:
    """The tensors of the parts of a GGUF model by their names in the file."""

    def __init__(self, headers: list[GGUFHeader], model: str) -> None:
        self._model = model
        self._entries = {entry.name: (header, entry) for header in headers for entry in header.tensors.values()}

    @property
    def names(self) -> Collection[str]:
        """Names of all tensors."""
        return self._entries.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one tensor."""
        return self._entries[name][1].shape

    def read(self, name: str, index: int | None = None) -> Array:
        """One tensor as float32, or its part `index` along the first axis, in memory of its own."""
        header, entry = self._entries[name]
        if index is not None:
            nbytes = entry.nbytes // entry.shape[0]
            entry = replace(entry, shape=entry.shape[1:], start=entry.start + index * nbytes, nbytes=nbytes)
        values = dequantize(header, entry)
        scale = name.removesuffix("weight") + "scale"
        if name.endswith(".weight") and scale in self._entries:
            # One number for the matrix, or for each expert, which llama.cpp multiplies what it gives by.
            factors = dequantize(*self._entries[scale]).reshape(-1)
            values *= factors[index if index is not None and len(factors) > 1 else 0]
        return values


def open_gguf(found: Located, info: ModelInfo) -> Opened:
    """The weights of a GGUF file.

    Raises ModelError for tensors that are missing.
    """
    assert found.path is not None
    headers = read_parts(found.path, found.name)
    header = headers[0]
    row = ARCHITECTURES[info.architecture]
    raw = raw_weights(headers, row, info, found.name, found.path)
    prefix = f"{header.architecture}.attention.layer_norm"
    eps = header.number(f"{prefix}_rms_epsilon", header.number(f"{prefix}_epsilon", 1e-5, least=0), least=0)
    cap = bool(header.number(f"{header.architecture}.final_logit_softcapping", row.soft_cap))
    clips = bool(header.number(f"{header.architecture}.attention.clamp_kqv"))
    return Opened(raw, info, "", eps or 0.0, cap, clips)


def raw_weights(headers: list[GGUFHeader], row: Architecture, shape: Shape, model: str, path: Path) -> RawWeights:
    """How the weights in the parts of a GGUF model are read."""
    assert row.gguf is not None
    tensors, model_type = GgufTensors(headers, model), gguf_type(headers, model)
    return RawWeights(
        tensors,
        row,
        gguf_layout(row, row.gguf, gguf_experts(headers[0])),
        shape,
        model=model,
        place=str(path),
        expected=_expected(tensors.names, row, shape.n_layers),
        norm_offset=0.0 if row.gguf.norm_plus_one else row.norm_offset,
        permuted=row.gguf.permuted,
        parallel=gguf_parallel(headers, model_type),
        gated=gguf_gated(headers, model_type),
        n_experts=gguf_experts(headers[0]),
        tied="output.weight" not in tensors.names and row.family != "encoder",
    )


def _expected(names: Collection[str], row: Architecture, n_layers: int) -> Collection[str] | None:
    """Names of the tensors that the architecture has, where it lacks a norm that others of its kind have; else None."""
    if row.hf_class != "ModernBertForMaskedLM":
        return None
    # Its first layer reads the embeddings, which are normed already.
    norms = {f"blk.{layer}.{norm}_norm.weight" for layer in range(n_layers) for norm in ("attn", "ffn")}
    return {*names, *norms} - {"blk.0.attn_norm.weight"}


def gguf_layout(row: Architecture, quirks: Gguf, n_experts: int) -> Layout:
    """The names of an architecture's tensors in a GGUF file. Without experts a mixture is an MLP."""
    common = layouts.GGUF
    # A matrix may be three, whichever way the model's own files have it; one that is fused there stays so.
    attention = {"qkv"} if "o" in row.layout.roles else set()
    mlp = {"gate", "up", "down"} if row.layout.experts is not None and not n_experts else set()
    wanted = (set(row.layout.roles) | attention | mlp) & set(common.roles)
    if quirks.gate_in_up:
        wanted -= {"up", "gate"}
    roles = {role: name for role, name in common.roles.items() if role in wanted}
    if quirks.gate_in_up:
        roles["gate_up"] = common.roles["up"]
    return replace(
        common,
        layer=quirks.layer or common.layer,
        roles=roles | dict(quirks.roles or {}),
        final_norm=(quirks.final_norm or common.final_norm) if row.layout.final_norm else "",
        positions=common.positions if row.layout.positions else "",
        embed_norm=common.embed_norm if row.layout.embed_norm else "",
        experts=common.experts if row.layout.experts is not None and n_experts else None,
    )


def unused_note(headers: list[GGUFHeader], row: Architecture, shape: Shape) -> str:
    """In one sentence, the tensors that neither this package reads nor llama.cpp's table of the architecture lists."""
    assert row.gguf is not None
    names = [name for header in headers for name in header.tensors]
    layout = gguf_layout(row, row.gguf, gguf_experts(headers[0]))
    unused = _unused(names, layout, shape, headers[0].architecture)
    if not unused:
        return ""
    more = f" and {len(unused) - 8:,} more" if len(unused) > 8 else ""
    return f"The file also holds tensors that its architecture does not use: {', '.join(unused[:8])}{more}."


def _unused(names: Collection[str], layout: Layout, shape: Shape, architecture: str) -> list[str]:
    from gguf.constants import MODEL_ARCH_NAMES, MODEL_TENSORS, TENSOR_NAMES

    code = next((code for code, name in MODEL_ARCH_NAMES.items() if name == architecture), None)
    listed = {TENSOR_NAMES[tensor].replace("{bid}", "#") for tensor in MODEL_TENSORS.get(code, ())} if code else set()
    layer = layout.layer.replace("{}", "#")
    own = {layout.embed, layout.final_norm, layout.positions, layout.embed_norm, layout.unembed}
    listed |= own | {layer + role for role in layout.roles.values()}
    unused = []
    for name in names:
        # For long contexts, of the tensors of other types, and no weights.
        if name in _NOT_WEIGHTS or name.endswith(_OF_OTHERS):
            continue
        stem = name.rpartition(".")[0]
        number = re.search(r"(?<=blk\.)\d+", stem)
        beyond = number is not None and name.startswith(layer.split("#")[0]) and int(number[0]) >= shape.n_layers
        if beyond or re.sub(r"(?<=blk\.)\d+", "#", stem) not in listed:
            unused.append(name)
    return sorted(unused)


def dequantize(header: GGUFHeader, entry: TensorEntry) -> Array:
    """One tensor of the file as float32, shape `entry.shape`, in memory of its own."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize as dequantize_rows

    kind = GGMLQuantizationType[entry.type_name]
    block, block_bytes = GGML_QUANT_SIZES[kind]
    stored = tensor_bytes(header, entry)
    values = np.empty(prod(entry.shape), dtype=np.float32)
    plain = {"F64": np.float64, "F32": np.float32, "F16": np.float16}.get(entry.type_name)
    if plain is not None:
        values[:] = stored.view(plain)
        return values.reshape(entry.shape)
    try:
        for start in range(0, len(stored) // block_bytes, _BLOCKS):
            part = stored[start * block_bytes : (start + _BLOCKS) * block_bytes]
            # One long row: the package works row by row, and rows of a model are short.
            values[start * block : (start + _BLOCKS) * block] = dequantize_rows(part.reshape(1, -1), kind).reshape(-1)
    except NotImplementedError:
        raise ModelError(
            f"The model {header.path} cannot be loaded: its tensor {entry.name} is stored as "
            f"{entry.type_name}, which the gguf package cannot unpack. Convert the model to another type, "
            "such as Q8_0 or F16."
        ) from None
    return values.reshape(entry.shape)
