"""Opens the stored weights of a model that was found: a directory's, or a GGUF file's."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vsa_checks.errors import ModelError
from vsa_checks.models.architecture import Architecture
from vsa_checks.models.embedding_only import with_embedding
from vsa_checks.models.files import find_weights, read_config
from vsa_checks.models.forward import class_parameters, read_class_config
from vsa_checks.models.info import ModelInfo
from vsa_checks.models.raw_weights import Opened, RawWeights
from vsa_checks.models.shapes import EPSILONS, check_numbers, effective_config, row_for
from vsa_checks.models.sources import Located
from vsa_checks.models.storage import Stored, open_weights
from vsa_checks.models.tensor_names import by_module_name, check_experts, check_sizes, missing_tensors, stored_layout

# What older versions of the classes kept beside the weights, and heads that no claim looks at.
_NO_WEIGHTS = (
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".attention.masked_bias",
    ".rotary_emb.inv_freq",
    "position_ids",
    "token_type_embeddings.weight",
    ".act_fn.beta",
    ".act_fn.eps",
    ".e_score_correction_bias",
)
# As the libraries that pack weights name what they put beside them.
_SCALES = re.compile(
    r"(weight|input|output|activation|act|[kvqo])_(scale|zero_point)(_inv|_\d|_shift)?$"
    r"|\.(scales|qweight|qzeros|g_idx|SCB|weight_packed|weight_shape|weight_global_scale)$"
    r"|\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..+)$"
)
_ADAPTED = re.compile(r"\.(lora_(A|B|embedding_A|embedding_B)|base_layer|modules_to_save)\.")
_OTHER_HEADS = ("pooler.", "cls.seq_relationship.", "nsp_cls.")


def open_directory(found: Located, info: ModelInfo) -> Opened:
    """The weights of a directory, and a note on what of them is not read or not as its configuration says.

    Raises ModelError for a damaged file, and for a configuration that the model's class refuses.
    """
    assert found.path is not None
    directory, model = found.path, found.name
    whole = read_config(directory, model)
    config = effective_config(whole)
    several = config.get("model_type") != whole.get("model_type")  # media, of which it is the language model's
    row = row_for(config, model)
    stored = open_weights(find_weights(directory, model), model)
    row = replace(row, layout=stored_layout(row.layout, stored.names))
    class_config = read_class_config(directory, model) if row.hf_class else None
    text_config = class_config.get_text_config() if class_config is not None else None
    defaults = text_config.to_dict() if text_config is not None else {}
    notes, expected = [], None
    if not row.layout.embed:
        row, tied = with_embedding(row, stored, config, text_config, info, model)
        notes.append(f"Its embeddings alone are read: {row.not_run}.")
    else:
        shapes = {name: stored.shape(name) for name in stored.names}
        check_numbers(whole, len(shapes), model)
        check_sizes(shapes, row.layout, info, model, directory)
        check_experts(shapes, row.layout, info.n_layers, info.n_experts, model, directory)
        _check_positions(shapes, row, text_config, model, directory)
        expected = class_parameters(text_config, row, model)
        tied = _is_tied(class_config, row, list(stored.names))
        if several:
            row = replace(row, not_run="the language model of a model of several media: weights only")
    _refuse_adapter(stored, model)
    _refuse_scales(stored, expected, model)
    raw = RawWeights(
        stored,
        row,
        row.layout,
        info,
        model=model,
        place=str(directory),
        expected=expected,
        norm_offset=row.norm_offset,
        parallel=info.parallel,
        gated=info.gated,
        n_experts=info.n_experts,
        tied=tied,
    )
    if expected is not None:
        _require(raw, expected)
        notes += [_unused(raw, expected, several=several), _untied(raw)]
        if row.causal and not raw.has_unembedding():
            notes.append("It was saved without an unembedding.")
        if info.architecture == "albert":
            notes.insert(0, _applications(config))
        if info.architecture == "deberta-v2" and config.get("conv_kernel_size", 0):
            notes.insert(0, "A convolution beside layer 0 adds to the stream that layer 1 reads; it is not examined.")
        if row.family == "encoder-decoder":
            notes.insert(0, "Its decoder is looked at, with what that attends to in itself.")
    cap = expected is None or _caps_logits(config, row)  # what is not known could be capped
    return Opened(raw, info, " ".join(filter(None, notes)), _eps({**defaults, **config}), cap, _clips_values(config))


def _applications(config: Mapping[str, Any]) -> str:
    """In one sentence, that ALBERT applies a stored layer many times."""
    applied, groups = config.get("num_hidden_layers"), config.get("num_hidden_groups", 1)
    inner = config.get("inner_group_num", 1)
    more = f"; of the {inner} that follow each other within a group the first is looked at" if inner != 1 else ""
    return f"Its layers share weights: {groups} stored for {applied}, each looked at once{more}."


def _require(raw: RawWeights, expected: set[str]) -> None:
    """Raises ModelError if a tensor of the layers or norms is missing that the model's class has."""
    layout, stored = raw.layout, raw.module_names
    modules = [name for name in (layout.final_norm, layout.embed_norm, layout.embed_project) if name]
    for layer in range(raw.shape.n_layers):
        modules += [layout.layer.format(layer) + module for module in layout.roles.values()]
    wanted = [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")]
    missing = [name for name in wanted if name in expected and name not in stored]
    if raw.n_experts:
        having = {layer for layer in range(raw.shape.n_layers) if _has_experts(expected, layout.layer.format(layer))}
        lost = sorted(having - set(raw.expert_layers()))
        missing += [f"{layout.layer.format(layer)}* (its experts)" for layer in lost]
    if missing:
        raise missing_tensors(raw.model, raw.place, missing, list(raw.stored.names))


def _has_experts(expected: set[str], prefix: str) -> bool:
    return any(name.startswith(prefix) and (".experts." in name or "input_linear" in name) for name in expected)


def _is_tied(class_config: Any, row: Architecture, names: list[str]) -> bool:
    """Whether W_U is W_E where no W_U is stored. An encoder saved without its head has none."""
    own = getattr(class_config, "tie_word_embeddings", None)
    text = getattr(class_config.get_text_config(), "tie_word_embeddings", None)
    if not (text if own is None else own):
        return False
    if row.causal:
        return True
    head = row.layout.unembed.split(".")[0] + "."
    return any(name.startswith(head) for name in names)


def _untied(raw: RawWeights) -> str:
    """In one sentence, that an unembedding is stored which the configuration says to be the embedding, and is not."""
    names = raw.module_names
    embed, unembed = f"{raw.layout.embed}.weight", f"{raw.layout.unembed}.weight"
    if not raw.tied or unembed not in names or names[unembed] == names[embed] or raw.layout.project_out:
        return ""
    matrix, _ = raw.unembedding()
    if matrix is None or np.array_equal(matrix.T, raw.embedding()):
        return ""
    return (
        f"Its configuration says that the unembedding is the embedding; {names[unembed]} is stored and differs, and is "
        "what transformers and this package use."
    )


def _check_positions(
    shapes: Mapping[str, tuple[int, ...]], row: Architecture, text_config: Any, model: str, place: Path
) -> None:
    """Raises ModelError where the configuration asks for more positions than are stored."""
    asked = getattr(text_config, "max_position_embeddings", None)
    name = by_module_name(shapes, row.layout).get(f"{row.layout.positions}.weight")
    if name is not None and isinstance(asked, int) and asked > shapes[name][0]:
        raise ModelError(
            f"The model {model} cannot be loaded: {name} in {place} has the shape {shapes[name]}, its configuration "
            f"asks for {asked:,} positions. Configuration and weights do not match: fetch the model again."
        )


def _refuse_adapter(stored: Stored, model: str) -> None:
    """Raises ModelError where tensors of an adapter were stored among a model's own."""
    name = next((name for name in stored.names if _ADAPTED.search(name)), "")
    if name:
        raise ModelError(
            f"The model {model} is refused: its weights hold an adapter ({name:.200}), which is not applied here, "
            "so the numbers would be those of another model. Merge it (merge_and_unload of peft) and save that."
        )


def _refuse_scales(stored: Stored, expected: Collection[str] | None, model: str) -> None:
    """Raises ModelError where matrices were stored with scales beside them, without which they mean nothing."""
    names = [name for name in stored.names if _SCALES.search(name) and (expected is None or name not in expected)]
    if names:
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        raise ModelError(
            f"The model {model} cannot be loaded: its weights are packed, though its configuration does not say so: "
            f"{names[0]:.200}{more} scale or index other tensors, which mean nothing without. Unpack it (with "
            "dequantize of transformers), or give it as a GGUF file."
        )


def _unused(raw: RawWeights, expected: set[str], *, several: bool) -> str:
    """In one sentence, the stored tensors that the model's class does not have."""
    own = {name.split(".")[1] for name in expected if name.startswith(raw.layout.prefix) and "." in name}
    ignored = sorted(
        stored
        for name, stored in raw.module_names.items()
        if name not in expected
        # Of a model of several media only what belongs to its language model.
        and (not several or (name.startswith(raw.layout.prefix) and name.split(".")[1] in own))
        and name != f"{raw.layout.unembed}.weight"
        and not (raw.n_experts and ("expert" in name or "block_sparse_moe" in name))
        and not stored.endswith(_NO_WEIGHTS)
        and not any(head in stored for head in _OTHER_HEADS)
    )
    if not ignored:
        return ""
    more = f" and {len(ignored) - 8:,} more" if len(ignored) > 8 else ""
    return f"The files also hold tensors that its configuration leaves out: {', '.join(ignored[:8])}{more}."


def _eps(config: Mapping[str, Any]) -> float:
    for field in EPSILONS:
        if isinstance(config.get(field), int | float):
            return float(config[field])
    return 1e-5


def _clips_values(config: Mapping[str, Any]) -> bool:
    of_attention = config.get("attn_config")  # MPT's
    nested = of_attention.get("clip_qkv") if isinstance(of_attention, Mapping) else None
    return bool(config.get("clip_qkv") or nested)


def _caps_logits(config: Mapping[str, Any], row: Architecture) -> bool:
    return bool(config.get("final_logit_softcapping", row.soft_cap))
