"""Names and conventions of llama.cpp's converter, written down from the names in a saved model's files.

They stand apart from the package's own tables, which the tests hold against them.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]

_OUTSIDE = {
    "embed_tokens": "token_embd",
    "wte": "token_embd",
    "embed_in": "token_embd",
    "word_embeddings": "token_embd",
    "embeddings": "token_embd",
    "embeddings.word_embeddings": "token_embd",
    "embeddings.tok_embeddings": "token_embd",
    "shared": "token_embd",
    "wpe": "position_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "word_embeddings_layernorm": "token_embd_norm",
    "embeddings.LayerNorm": "token_embd_norm",
    "embeddings.norm": "token_embd_norm",
    "embedding_norm": "token_embd_norm",
    "norm": "output_norm",
    "final_norm": "output_norm",
    "norm_f": "output_norm",
    "ln_f": "output_norm",
    "final_layernorm": "output_norm",
    "final_layer_norm": "output_norm",
    "decoder.final_layer_norm": "dec.output_norm",
    "encoder.final_layer_norm": "enc.output_norm",
    "lm_head": "output",
    "embed_out": "output",
}
_PARTS = {
    "attn_norm": (
        "input_layernorm",
        "ln_1",
        "norm_1",
        "ln_mlp",
        "attention_layernorm",
        "operator_norm",
        "attn_norm",
        "norm",
    ),
    "attn_norm_2": ("ln_attn",),
    "attn_q": ("self_attn.q_proj", "attention.self.query", "attention.q_lin"),
    "attn_k": ("self_attn.k_proj", "attention.self.key", "attention.k_lin"),
    "attn_v": ("self_attn.v_proj", "attention.self.value", "attention.v_lin"),
    "attn_qkv": (
        "self_attn.qkv_proj",
        "attn.c_attn",
        "attention.query_key_value",
        "self_attention.query_key_value",
        "attn.Wqkv",
    ),
    "attn_output": (
        "self_attn.o_proj",
        "self_attn.dense",
        "self_attn.out_proj",
        "attn.c_proj",
        "attention.dense",
        "self_attention.dense",
        "attn.out_proj",
        "attn.Wo",
        "attention.output.dense",
        "attention.out_lin",
    ),
    "attn_q_norm": ("self_attn.q_norm", "self_attn.q_layernorm", "self_attn.query_layernorm"),
    "attn_k_norm": ("self_attn.k_norm", "self_attn.k_layernorm", "self_attn.key_layernorm"),
    "attn_sinks": ("self_attn.sinks",),
    "attn_q_a": ("self_attn.q_a_proj",),
    "attn_q_b": ("self_attn.q_b_proj",),
    "attn_q_a_norm": ("self_attn.q_a_layernorm",),
    "attn_kv_a_mqa": ("self_attn.kv_a_proj_with_mqa",),
    "attn_kv_a_norm": ("self_attn.kv_a_layernorm",),
    "attn_kv_b": ("self_attn.kv_b_proj",),
    "attn_output_norm": ("attention.output.LayerNorm", "sa_layer_norm"),
    "layer_output_norm": ("output.LayerNorm", "output_layer_norm"),
    "post_attention_norm": ("post_self_attn_layernorm",),
    "post_ffw_norm": ("post_feedforward_layernorm", "post_mlp_layernorm"),
    "ffn_norm": (
        "ln_2",
        "norm_2",
        "pre_feedforward_layernorm",
        "feedforward_layernorm",
        "ffn_norm",
        "pre_ff_layernorm",
        "mlp_norm",
    ),
    "ffn_gate": ("mlp.gate_proj", "feed_forward.gate_proj", "feed_forward.w1"),
    "ffn_up": (
        "mlp.up_proj",
        "mlp.gate_up_proj",
        "mlp.c_fc",
        "mlp.fc1",
        "mlp.dense_h_to_4h",
        "ffn.up_proj",
        "ffn.lin1",
        "mlp.Wi",
        "feed_forward.up_proj",
        "feed_forward.w3",
        "intermediate.dense",
    ),
    "ffn_down": (
        "mlp.down_proj",
        "mlp.c_proj",
        "mlp.fc2",
        "mlp.dense_4h_to_h",
        "ffn.down_proj",
        "ffn.lin2",
        "mlp.Wo",
        "feed_forward.down_proj",
        "feed_forward.w2",
        "output.dense",
    ),
    "ffn_gate_inp": (
        "mlp.gate",
        "mlp.router",
        "block_sparse_moe.gate",
        "block_sparse_moe.router.layer",
        "feed_forward.router",
        "feed_forward.gate",
    ),
    "exp_probs_b": (
        "mlp.gate.e_score_correction",
        "mlp.e_score_correction",
        "mlp.moe_statics.e_score_correction",
        "block_sparse_moe.e_score_correction",
        "feed_forward.expert_bias",
    ),
    "ffn_gate_inp_shexp": ("mlp.shared_expert_gate",),
    "ffn_gate_shexp": (
        "mlp.shared_expert.gate_proj",
        "mlp.shared_experts.gate_proj",
        "feed_forward.shared_expert.gate_proj",
    ),
    "ffn_up_shexp": ("mlp.shared_expert.up_proj", "mlp.shared_experts.up_proj", "feed_forward.shared_expert.up_proj"),
    "ffn_down_shexp": (
        "mlp.shared_expert.down_proj",
        "mlp.shared_experts.down_proj",
        "feed_forward.shared_expert.down_proj",
    ),
    "ssm_in": ("mixer.in_proj", "mamba.in_proj"),
    "shortconv.in_proj": ("conv.in_proj",),
}
_BY_PART = {name: target for target, names in _PARTS.items() for name in names}
_T5_PARTS = {
    "layer.0.layer_norm": "attn_norm",
    "layer.0.SelfAttention.q": "attn_q",
    "layer.0.SelfAttention.k": "attn_k",
    "layer.0.SelfAttention.v": "attn_v",
    "layer.0.SelfAttention.o": "attn_o",
    "layer.0.SelfAttention.relative_attention_bias": "attn_rel_b",
}
_T5_CROSS = {
    "layer.1.layer_norm": "cross_attn_norm",
    "layer.1.EncDecAttention.q": "cross_attn_q",
    "layer.1.EncDecAttention.k": "cross_attn_k",
    "layer.1.EncDecAttention.v": "cross_attn_v",
    "layer.1.EncDecAttention.o": "cross_attn_o",
}
_T5_MLP = {
    "layer_norm": "ffn_norm",
    "DenseReluDense.wi": "ffn_up",
    "DenseReluDense.wi_0": "ffn_gate",
    "DenseReluDense.wi_1": "ffn_up",
    "DenseReluDense.wo": "ffn_down",
}
_PERMUTED = (
    "llama",
    "mistral",
    "ministral3",
    "mixtral",
    "olmo",
    "smollm3",
    "granite",
    "granitemoe",
    "granitemoehybrid",
    "granitemoeshared",
    "bamba",
    "arcee",
)
_PLUS_ONE = ("gemma", "gemma2", "gemma3_text", "nemotron")
_NORM_AFTER_ATTENTION = ("gemma2", "gemma3_text", "olmo2", "olmo3", "exaone4", "gpt_oss", "seed_oss", "glm4_moe")
_EXPERT = re.compile(r"(.*)experts\.(\d+)\.(gate_proj|up_proj|down_proj|w1|w2|w3)\.weight")
_EXPERT_MATRIX = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down", "w1": "gate", "w3": "up", "w2": "down"}
_LAYER = re.compile(r"(?:.*?\.)??(?:layers|h|blocks|block|layer)\.(\d+)\.(.+)")
_NOT_CONVERTED = ("pooler.", "cls.", "vocab_", "lm_head.decoder", "head.", "decoder.bias", "decoder.weight", "inv_freq")


def converted(state: Tensors, config: Any) -> Tensors:
    """The tensors of a saved model under llama.cpp's names and conventions."""
    model_type = config.model_type
    found: Tensors = {}
    experts: dict[str, dict[int, np.ndarray]] = {}
    per_head: dict[str, dict[int, np.ndarray]] = {}
    for name, values in state.items():
        encoder = model_type in ("bert", "roberta", "xlm-roberta", "distilbert", "modernbert")
        if encoder and (name.startswith(_NOT_CONVERTED) or "lm_head" in name):
            continue
        if match := _EXPERT.fullmatch(name):
            layer = _layer_of(name)
            target = f"blk.{layer}.ffn_{_EXPERT_MATRIX[match[3]]}_exps.weight"
            experts.setdefault(target, {})[int(match[2])] = values
        elif match := re.fullmatch(r"(.*layernorm)\.norms\.(\d+)\.weight", name):
            short = match[1].split(".", 3)[3]
            per_head.setdefault(f"blk.{_layer_of(name)}.{_BY_PART[short]}.weight", {})[int(match[2])] = values
        else:
            for target, changed in _one(name, values, config).items():
                assert target not in found, target
                found[target] = np.ascontiguousarray(changed)
    for group in (experts, per_head):
        found |= {target: np.stack([parts[at] for at in sorted(parts)]) for target, parts in group.items()}
    return found


def _layer_of(name: str) -> str:
    match = _LAYER.fullmatch(name)
    assert match is not None, name
    return match[1]


def _one(name: str, values: np.ndarray, config: Any) -> Tensors:
    """What becomes of one tensor: mostly one of another name."""
    model_type = config.model_type
    match = _LAYER.fullmatch(name)
    if match is None:
        short = re.sub(r"^(model|transformer|gpt_neox|backbone|bert|roberta|distilbert)\.", "", name)
        stem, kind = short.rsplit(".", 1)
        if model_type in _PLUS_ONE and stem == "norm" and kind == "weight":
            values = values + 1
        if stem == "embeddings.position_embeddings" and model_type in ("roberta", "xlm-roberta"):
            values = values[config.pad_token_id + 1 :]
        return {f"{_OUTSIDE[stem]}.{kind}": values}
    layer, rest = match[1], match[2]
    block = f"blk.{layer}."
    if model_type == "t5":
        side = "dec" if name.startswith("decoder") else "enc"
        stem, kind = rest.rsplit(".", 1)
        mlp = stem.removeprefix("layer.2." if side == "dec" else "layer.1.")
        parts = {**_T5_PARTS, **(_T5_CROSS if side == "dec" else {})}
        return {f"{side}.{block}{parts[stem] if stem in parts else _T5_MLP[mlp]}.{kind}": values}
    if rest.startswith("block_sparse_moe.input_linear"):
        gate, up = np.split(values, 2, axis=1)
        return {f"{block}ffn_gate_exps.weight": gate, f"{block}ffn_up_exps.weight": up}
    if rest.startswith("block_sparse_moe.output_linear"):
        return {f"{block}ffn_down_exps.weight": values}
    if rest.startswith("shared_mlp"):
        end = "_shexp.weight" if config.num_local_experts else ".weight"
        if "output" in rest:
            return {f"{block}ffn_down{end}": values}
        gate, up = np.split(values, 2, axis=0)
        return {f"{block}ffn_gate{end}": gate, f"{block}ffn_up{end}": up}
    if ".experts.gate_up_proj" in rest:
        kind = "bias" if rest.endswith("_bias") else "weight"
        rows = values if kind == "bias" else values.swapaxes(1, 2)
        halves = (rows[:, ::2], rows[:, 1::2]) if model_type == "gpt_oss" else np.split(rows, 2, axis=1)
        return {f"{block}ffn_gate_exps.{kind}": halves[0], f"{block}ffn_up_exps.{kind}": halves[1]}
    if ".experts.down_proj" in rest:
        kind = "bias" if rest.endswith("_bias") else "weight"
        return {f"{block}ffn_down_exps.{kind}": values if kind == "bias" else values.swapaxes(1, 2)}
    if rest == "self_attn.sinks":
        return {f"{block}attn_sinks.weight": values}
    if rest.startswith(("mixer.", "mamba.", "conv.")) and "in_proj" not in rest:
        return {}
    if ".act_fn." in rest or "rotary" in rest:
        return {}
    rest = rest.replace("e_score_correction_bias", "e_score_correction.bias")
    rest = rest.replace("feed_forward.expert_bias", "feed_forward.expert_bias.bias")
    stem, kind = rest.rsplit(".", 1)
    if stem == "post_attention_layernorm":
        target = "post_attention_norm" if model_type in _NORM_AFTER_ATTENTION else "ffn_norm"
    else:
        target = _BY_PART[stem]
    return {f"{block}{target}.{kind}": _changed(target, kind, values, config)}


def _changed(target: str, kind: str, values: np.ndarray, config: Any) -> np.ndarray:
    model_type = config.model_type
    if model_type in _PERMUTED and target in ("attn_q", "attn_k"):
        heads = config.num_attention_heads if target == "attn_q" else config.num_key_value_heads
        return _rotary_pairs(values, heads)
    if model_type == "gpt2" and values.ndim == 2:
        return values.T
    if target == "attn_qkv" and model_type in ("gpt_neox", "bloom"):
        heads = config.num_attention_heads
        each = values.reshape(heads, 3, -1, *values.shape[1:])
        return np.concatenate([each[:, at].reshape(-1, *values.shape[1:]) for at in range(3)])
    if target == "attn_qkv" and model_type == "falcon":
        groups = config.num_kv_heads if config.new_decoder_architecture else 1
        each = values.reshape(groups, config.num_attention_heads // groups + 2, -1, *values.shape[1:])
        parts = each[:, :-2], each[:, [-2]], each[:, [-1]]
        return np.concatenate([part.reshape(-1, *values.shape[1:]) for part in parts])
    if model_type in _PLUS_ONE and target.endswith("norm") and kind == "weight":
        return values + 1
    return values


def _rotary_pairs(values: np.ndarray, n_heads: int) -> np.ndarray:
    # llama.cpp rotates neighbours (2i, 2i+1), transformers halves (i, i + d_head/2): the rows of Q and K
    # move.
    d_head = values.shape[0] // n_heads
    order = [half * (d_head // 2) + i for i in range(d_head // 2) for half in (0, 1)]
    return np.concatenate([values[head * d_head :][:d_head][order] for head in range(n_heads)])
