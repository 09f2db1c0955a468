"""Sizes of a model from its config.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vsa_checks.errors import ModelError
from vsa_checks.models.architecture import Architecture, Shape
from vsa_checks.models.architectures import ARCHITECTURES, architecture, unsupported
from vsa_checks.models.embedding_only import EMBEDDING_ONLY, embedding_row

_COMMON_KEYS = {
    "n_layers": "num_hidden_layers",
    "d_model": "hidden_size",
    "n_heads": "num_attention_heads",
    "d_mlp": "intermediate_size",
    "d_vocab": "vocab_size",
}
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers", "decoder_layers")
_WIDTHS = ("hidden_size", "n_embed", "d_model", "n_embd", "emb_dim")
_OTHER_LAYERS = ("encoder_layers", "num_encoder_layers", "num_hidden_groups", "inner_group_num")
EPSILONS = ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "rms_norm_eps", "norm_eps")
_BASES = ("rope_theta", "rotary_emb_base", "rope_local_base_freq", "global_rope_theta", "local_rope_theta")
# Classes make a table of this length, or a name for each.
_COUNTS = {
    "num_labels": 100_000,
    "inner_group_num": 1_000,
    **dict.fromkeys(("n_positions", "max_position_embeddings", "max_seq_len", "max_sequence_length"), 1 << 25),
}
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
# No model is so large; a configuration that says so would fill the memory before its weights are looked at.
_MOST, _MOST_LAYERS = 1 << 31, 10_000
# Older configurations of these have the fields of their language model beside those of the whole.
_FLAT = {"qwen2_vl": "qwen2_vl_text", "qwen2_5_vl": "qwen2_5_vl_text"}


def shape_from_config(config: Mapping[str, Any], model: str) -> Shape:
    """Sizes of a model from its config.json. Raises ModelError for a field that is not a positive whole number."""
    config = effective_config(config)
    row = row_for(config, model)
    keys = {**_COMMON_KEYS, **(row.keys or {})}

    def whole(value: Any, field: str, most: int = _MOST) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ModelError(
                f"The model {model} cannot be described: its config.json gives {value!r:.80} for {field!r}, where a "
                f"positive whole number up to {most:,} is needed. Fetch or save the model again."
            )
        return value

    def first(*fields: str, most: int = _MOST) -> int:
        for field in fields:
            if config.get(field) is not None:
                return whole(config[field], field, most)
        return whole(None, fields[0])

    d_model = first(keys["d_model"], *_WIDTHS)
    n_layers = first(keys["n_layers"], *_LAYERS, most=_MOST_LAYERS)
    d_vocab = first("vocab_size")
    if "o" not in row.layout.roles and not row.no_attention:
        d_mlp = _neurons(config, keys["d_mlp"], d_model, row)
        return Shape(n_layers, d_model, 0, 0, 0, whole(d_mlp, keys["d_mlp"]) if d_mlp != 0 else 0, d_vocab)
    n_heads = first(keys["n_heads"], "num_attention_heads", "n_head", "num_heads")
    n_kv_heads = _kv_heads(config, row, n_heads, whole)
    own_width = config.get("head_dim") or config.get("d_kv") or row.head_dim
    wrong = ""
    if d_model % n_heads and not own_width:
        wrong = f"{n_heads} heads for a width of {d_model}, which they do not divide"
    elif n_heads % n_kv_heads:
        wrong = f"{n_kv_heads} key-value heads for {n_heads} heads, which they do not divide"
    if wrong:
        raise ModelError(
            f"The model {model} cannot be described: its config.json gives {wrong}. Fetch or save the model again."
        )
    return Shape(
        n_layers=n_layers,
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        d_head=whole(own_width or d_model // n_heads, "head_dim"),
        d_mlp=whole(_neurons(config, keys["d_mlp"], d_model, row), keys["d_mlp"]),
        d_vocab=d_vocab,
    )


def check_numbers(config: Mapping[str, Any], n_tensors: int | None, model: str) -> None:
    """Look at what a config.json gives for numbers that classes compute with or count by, before any is made.

    `n_tensors` is how many tensors are stored; None where that is not known.

    Raises ModelError for an epsilon or a base of rotation that is none, and for counts beyond what is there.
    """

    def wrong(field: str, value: Any, wanted: str) -> ModelError:
        return ModelError(
            f"The model {model} cannot be described: its config.json gives {value!r:.80} for {field!r}, where {wanted} "
            "is needed. Fetch or save the model again."
        )

    for place, field, value in _fields(config, ""):
        if value is None or not isinstance(field, str):
            continue
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        if field in EPSILONS and not (plain and 0 <= value < 1e30):
            raise wrong(place, value, "a finite number of at least 0")
        if field in _BASES and not (plain and 0 < value < 1e30):
            raise wrong(place, value, "a finite number above 0")
        if plain and field in _COUNTS and value > _COUNTS[field]:
            raise wrong(place, value, f"a number up to {_COUNTS[field]:,}")
        layers = field in (*_LAYERS, *_OTHER_LAYERS)
        if plain and layers and value > _MOST_LAYERS:
            raise wrong(place, value, f"a positive whole number up to {_MOST_LAYERS:,}")
        shared = config.get("model_type") == "albert"  # layers are applied again and again
        if plain and layers and not shared and n_tensors is not None and value > n_tensors:
            raise ModelError(
                f"The model {model} cannot be loaded: its config.json asks for {value:,} layers ({place}), and there "
                f"are {n_tensors:,} tensors in all. Configuration and weights do not match: fetch the model "
                "again."
            )


def _fields(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, Any]]:
    for field, value in config.items():
        yield f"{prefix}{field}", field, value
        if isinstance(value, Mapping):
            yield from _fields(value, f"{prefix}{field}.")


def effective_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config.json that describes the language model: all of it, or text_config of several media's.

    What the latter leaves out is the default of its model type.
    """
    model_type = str(config.get("model_type"))
    text = config.get("text_config")
    if _known(model_type):
        return config
    if isinstance(text, Mapping):
        return _with_defaults(text)
    return {**config, "model_type": _FLAT[model_type]} if model_type in _FLAT else config


def _known(model_type: str) -> bool:
    return model_type in ARCHITECTURES or model_type in EMBEDDING_ONLY


def _with_defaults(config: Mapping[str, Any]) -> Mapping[str, Any]:
    complete = all(any(name in config for name in names) for names in (_LAYERS, _WIDTHS, ("vocab_size",)))
    if complete or not _known(str(config.get("model_type"))):
        return config
    from transformers import AutoConfig

    try:
        given = {key: value for key, value in config.items() if key != "model_type"}
        return {**AutoConfig.for_model(str(config["model_type"]), **given).to_dict(), **config}
    except Exception:  # what is missing or wrong is said of the fields themselves
        return config


def row_for(config: Mapping[str, Any], model: str) -> Architecture:
    """The row of the table for a configuration, with what the configuration itself changes.

    Raises ModelError for a type that is not supported.
    """
    model_type = config.get("model_type")
    model_type = model_type if isinstance(model_type, str) else str(model_type or "")
    if model_type not in ARCHITECTURES:
        row = embedding_row(config)
        if row is None:
            named = config.get("architectures")
            raise unsupported(model_type, model, named[0] if isinstance(named, list) and named else None)
        return row
    row = architecture(model_type, model)
    if row.family == "encoder" and config.get("is_decoder") is True:
        raise ModelError(
            f"The model {model} cannot be loaded: its config.json says is_decoder, so that it reads in one direction, "
            f"and {model_type} is read here as an encoder, which looks both ways. Give a model of another architecture."
        )
    if model_type == "opt" and config.get("do_layer_norm_before") is False:
        # OPT-350m norms the stream after each sum, as BERT does.
        return replace(row, layout=row.layout.having(attn_norm=None, mlp_norm=None, final_norm=""))
    return row


def _neurons(config: Mapping[str, Any], key: str, d_model: int, row: Architecture) -> Any:
    """Neurons of a layer, or of one expert. Where these model types leave it out, it is four times the width."""
    if "down" not in row.layout.roles and row.layout.experts is None:
        return 0
    found = config.get(key)
    if found is None and row.layout.experts is not None:
        found = config.get("intermediate_size")
    return 4 * d_model if found is None else found


def _kv_heads(config: Mapping[str, Any], row: Architecture, n_heads: int, whole: Any) -> int:
    model_type = config.get("model_type")
    if model_type == "falcon":
        if config.get("new_decoder_architecture"):
            return int(whole(config.get("num_kv_heads") or n_heads, "num_kv_heads"))
        return 1 if config.get("multi_query", True) else n_heads
    if model_type == "gpt_bigcode":
        return 1 if config.get("multi_query", True) else n_heads
    if model_type in ONE_KEY_HEAD_EACH or row.family != "decoder":
        return n_heads
    return int(whole(config.get("num_key_value_heads") or row.n_kv_heads or n_heads, "num_key_value_heads"))


ONE_KEY_HEAD_EACH = ("gpt2", "openai-gpt", "gpt_neo", "gpt_neox", "gptj", "codegen", "opt", "xglm", "bloom", "mpt")
"""Decoders whose classes know no grouped heads, whatever a stray field of the configuration says."""


def expert_count(config: Mapping[str, Any]) -> int:
    """Experts of each mixture; 0 for a model without."""
    for field in _EXPERTS:
        if isinstance(config.get(field), int):
            return int(config[field])
    return 0
