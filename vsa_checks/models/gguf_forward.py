"""Builds the transformers module of a GGUF file, dequantized tensor by tensor.

llama.cpp's converter renames fields and tensors, and changes some tensors (rows of Q and K permuted, norms plus one,
transposes). What to undo comes from transformers' own tables; tests hold the result equal to that of its loader.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vsa_checks.errors import ModelError
from vsa_checks.models.architectures import ARCHITECTURES, gguf_model_type
from vsa_checks.models.description import gguf_shape
from vsa_checks.models.gguf_header import GGUFHeader, TensorEntry, read_header, tensor_bytes
from vsa_checks.models.hf_weights import module_from_tensors

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

# Blocks dequantized at a time: large enough for numpy to be fast, small beside the tensor.
_BLOCKS = 1 << 18
# Factors for long contexts; transformers takes them from the configuration instead.
_NOT_WEIGHTS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


def module_from_gguf(path: Path, model: str) -> tuple[PreTrainedModel, str]:
    """The module of a GGUF file, and a note on tensors that its architecture does not use ("" for none).

    Raises ModelError for a damaged file, an unsupported architecture or type, and tensors that are missing or have
    the wrong shape.
    """
    import torch
    import transformers
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor

    header = read_header(path)
    config = gguf_config(header, model)
    with torch.device("meta"):
        skeleton = getattr(transformers, ARCHITECTURES[config.model_type].hf_class)(config)
    processor = TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)(config=config.to_dict())
    names = tensor_names(header.architecture, list(skeleton.state_dict()), config.num_hidden_layers)
    tensors: dict[str, torch.Tensor] = {}
    unused: list[str] = []
    for entry in header.tensors.values():
        if entry.name not in names:
            if entry.name not in _NOT_WEIGHTS:
                unused.append(entry.name)
            continue
        values = processor.process(
            weights=dequantize(header, entry),
            name=entry.name,
            tensor_key_mapping=names,
            parsed_parameters={"tensors": tensors},
        )
        # Without a name the processor has stored the tensor itself.
        if values.name is not None:
            tensors[names[values.name]] = torch.from_numpy(np.ascontiguousarray(values.weights))
    module, _ = module_from_tensors(config, tensors, model, path)
    note = f"The file also holds tensors that its architecture does not use: {', '.join(unused)}." if unused else ""
    return module, note


def tensor_names(architecture: str, parameters: list[str], n_layers: int) -> dict[str, str]:
    """GGUF tensor name -> parameter name of the transformers module.

    The gguf package's table is built once: it takes 30 ms, and transformers builds one per submodule.
    """
    from gguf.constants import MODEL_ARCH_NAMES
    from gguf.tensor_mapping import get_tensor_name_map

    code = next(code for code, name in MODEL_ARCH_NAMES.items() if name == architecture)
    table = get_tensor_name_map(code, n_layers)
    names: dict[str, str] = {}
    # Some models are listed without the name of their outermost module.
    for strip in (0, 1):
        for parameter in parameters:
            stem, dot, kind = parameter.rpartition(".")
            found = table.get_name(".".join(stem.split(".")[strip:]))
            if found is not None:
                names.setdefault(f"{found}{dot}{kind}", parameter)
    return names


def gguf_config(header: GGUFHeader, model: str) -> Any:
    """The transformers configuration of a GGUF file, from its header fields and tensor shapes.

    Raises ModelError for an unsupported architecture and for missing fields.
    """
    from transformers import AutoConfig
    from transformers.integrations.ggml import GGUF_CONFIG_DEFAULTS_MAPPING, GGUF_CONFIG_MAPPING

    name = header.architecture
    model_type = gguf_model_type(name, model)
    shape = gguf_shape(header, model)
    values: dict[str, Any] = dict(GGUF_CONFIG_DEFAULTS_MAPPING.get(name, {}))
    for key, target in GGUF_CONFIG_MAPPING[name].items():
        if target is not None and f"{name}.{key}" in header.fields:
            values[target] = header.fields[f"{name}.{key}"]
    for key, target in GGUF_CONFIG_MAPPING["tokenizer"].items():
        token = header.fields.get(f"tokenizer.{key}")
        if isinstance(token, int) and token < shape.d_vocab:
            values[target] = token
    values["vocab_size"] = shape.d_vocab
    values["tie_word_embeddings"] = "output.weight" not in header.tensors
    if model_type == "gpt2":
        # transformers' table lacks these, which would leave them at GPT-2's own defaults.
        values |= {"n_inner": shape.d_mlp, "n_positions": int(values.get("n_ctx", 1024))}
    elif model_type != "bloom":
        values |= {"num_key_value_heads": shape.n_kv_heads, "intermediate_size": shape.d_mlp}
        values["head_dim"] = shape.d_head
    for bias, flag in (("attn_q.bias", "attention_bias"), ("ffn_up.bias", "mlp_bias")):
        if model_type in ("llama", "qwen3") and f"blk.0.{bias}" in header.tensors:
            values[flag] = True
    try:
        return AutoConfig.for_model(model_type, **values)
    except Exception as problem:  # any complaint about the configuration is the same to the person
        raise ModelError(
            f"The model {model} cannot be loaded: the header of {header.path} gives no valid {model_type} "
            f"configuration ({type(problem).__name__}: {str(problem).splitlines()[0][:200]}). Convert the "
            "model again."
        ) from None


def dequantize(header: GGUFHeader, entry: TensorEntry) -> np.ndarray:
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
