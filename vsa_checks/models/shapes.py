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
_FOUR_TIMES_WIDER = ("gpt2", "openai-gpt", "gpt_bigcode", "gpt_neo", "gptj", "codegen", "bloom", "falcon", "mpt")
"""Types whose MLP is four times as wide as the stream where the configuration does not say otherwise."""
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
    # An encoder-decoder may have two vocabularies, of which this is the decoder's.
    own_tokens = config.get("share_encoder_decoder_embeddings") is False
    d_vocab = first("decoder_vocab_size", "vocab_size") if own_tokens else first("vocab_size")
    if "o" not in row.layout.roles and not row.no_attention:
        d_mlp = _neurons(config, keys["d_mlp"], d_model, row)
        return Shape(n_layers, d_model, 0, 0, 0, whole(d_mlp, keys["d_mlp"]) if d_mlp != 0 else 0, d_vocab)
    n_heads = first(keys["n_heads"], "num_attention_heads", "n_head", "num_heads")
    n_kv_heads = _kv_heads(config, row, n_heads, whole)
    own_width = config.get("head_dim") or config.get("d_kv") or row.head_dim
    if row.no_attention and not own_width:  # of such heads the rotated part
        own_width = config.get("qk_rope_head_dim")
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

    What it leaves out of sizes is the default of its model type.
    """
    model_type = str(config.get("model_type"))
    text = config.get("text_config")
    if _known(model_type):
        return _with_defaults(config)
    if isinstance(text, Mapping):
        return _with_defaults(text)
    return _with_defaults({**config, "model_type": _FLAT[model_type]}) if model_type in _FLAT else config


def _known(model_type: str) -> bool:
    return model_type in ARCHITECTURES or model_type in EMBEDDING_ONLY


def _with_defaults(config: Mapping[str, Any]) -> Mapping[str, Any]:
    if not _known(str(config.get("model_type"))) or _is_complete(config):
        return config
    from transformers import AutoConfig

    try:
        # Infinity stands in files as a mapping that classes do not take, and no size is one.
        given = {key: value for key, value in config.items() if key != "model_type" and "__float__" not in str(value)}
        made = AutoConfig.for_model(str(config["model_type"]), **given)
        # Some classes count their layers by a list of what these are.
        counted = {name: found for name in _COMMON_KEYS.values() if isinstance(found := getattr(made, name, None), int)}
        return {**counted, **made.to_dict(), **config}
    except Exception:  # what is missing or wrong is said of the fields themselves
        return config


def _is_complete(config: Mapping[str, Any]) -> bool:
    """Whether no field is absent that sizes are read from."""
    row = ARCHITECTURES.get(str(config["model_type"]))
    needed: list[tuple[str, ...]] = [("vocab_size",)]
    if row is None:
        needed += [_LAYERS, _WIDTHS]
    else:
        keys = {**_COMMON_KEYS, **(row.keys or {})}
        attention = "o" in row.layout.roles or row.no_attention
        mlp = "down" in row.layout.roles or row.layout.experts is not None
        needed += [(keys[name],) for name in ("n_layers", "d_model")]
        needed += [(keys["n_heads"],)] if attention else []
        needed += [(keys["d_mlp"],)] if mlp and config["model_type"] not in _FOUR_TIMES_WIDER else []
        needed += [("num_key_value_heads",)] if attention and _may_group(config, row) else []
        needed += [("feed_forward_proj",), ("d_kv",)] if row.gated is None else []
        needed += [_EXPERTS] if row.layout.experts is not None else []
    return all(any(name in config for name in names) for names in needed)


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
    width = config.get("hidden_size", 1536)
    if model_type == "deberta-v2" and config.get("embedding_size", width) != width:
        raise ModelError(
            f"The model {model} cannot be loaded: its config.json gives an embedding_size of "
            f"{config['embedding_size']!r:.80} and a hidden_size of {width!r:.80}, and how this type widens one to "
            "the other is not read here. Give a model where the two are the same."
        )
    if model_type == "bloom" and config.get("apply_residual_connection_post_layernorm"):
        raise ModelError(
            f"The model {model} cannot be loaded: its config.json says apply_residual_connection_post_layernorm, so "
            "that each layer adds to the output of a norm instead of to the stream, which is not read here. Give a "
            "model where it is false."
        )
    if model_type == "granitemoehybrid" and config.get("num_local_experts") == 0:
        # Without experts the one that is called shared is the whole MLP.
        dense = row.layout.having(
            experts=None, gate_up="shared_mlp.input_linear", down="shared_mlp.output_linear", up=None, gate=None
        )
        return replace(row, layout=dense, keys={**(row.keys or {}), "d_mlp": "shared_intermediate_size"})
    if model_type == "opt" and config.get("do_layer_norm_before") is False:
        # OPT-350m norms the stream after each sum, as BERT does.
        return replace(row, layout=row.layout.having(attn_norm=None, mlp_norm=None, final_norm=""))
    return row


def _neurons(config: Mapping[str, Any], key: str, d_model: int, row: Architecture) -> Any:
    """Neurons of a layer, or of one expert. Where a configuration leaves it out, it is four times the width."""
    if "down" not in row.layout.roles and row.layout.experts is None:
        return 0
    found = config.get(key)
    if found is None and row.layout.experts is not None:
        found = config.get("intermediate_size")
    if config.get("model_type") == "lfm2":
        return _neurons_of_lfm2(config, found)
    return 4 * d_model if found is None else found


def _neurons_of_lfm2(config: Mapping[str, Any], given: Any) -> Any:
    """Neurons of LFM2's layers, whose class makes another number of what is given unless it is told not to."""
    given = config.get("block_ff_dim", given)
    multiple, factor = config.get("block_multiple_of", 256), config.get("block_ffn_dim_multiplier", 1.0)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (given, multiple, factor or 1))
    if not config.get("block_auto_adjust_ff_dim", True) or not numbers or multiple < 1:
        return given
    found = int(2 * given / 3)
    return found if factor is None else multiple * -(-int(factor * found) // multiple)


def _kv_heads(config: Mapping[str, Any], row: Architecture, n_heads: int, whole: Any) -> int:
    model_type = config.get("model_type")
    if model_type == "falcon":
        if config.get("new_decoder_architecture"):
            return int(whole(config.get("num_kv_heads") or n_heads, "num_kv_heads"))
        return 1 if config.get("multi_query", True) else n_heads
    if model_type == "gpt_bigcode":
        return 1 if config.get("multi_query", True) else n_heads
    if not _may_group(config, row):
        return n_heads
    return int(whole(config.get("num_key_value_heads") or n_heads, "num_key_value_heads"))


def _may_group(config: Mapping[str, Any], row: Architecture) -> bool:
    """Whether several query heads may share a key-value head, as a field of the common name says."""
    others = ("falcon", "gpt_bigcode", *ONE_KEY_HEAD_EACH)
    return config.get("model_type") not in others and row.family == "decoder"


ONE_KEY_HEAD_EACH = ("gpt2", "openai-gpt", "gpt_neo", "gpt_neox", "gptj", "codegen", "opt", "xglm", "bloom", "mpt")
"""Decoders whose classes know no grouped heads, whatever a stray field of the configuration says."""


def expert_count(config: Mapping[str, Any]) -> int:
    """Experts of each mixture; 0 for a model without."""
    for field in _EXPERTS:
        if isinstance(config.get(field), int):
            return int(config[field])
    return 0
