"""The transformers configuration of a GGUF file, from its header, for the architectures that are run from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from vsa_checks.errors import ModelError, first_line
from vsa_checks.models.architecture import Shape
from vsa_checks.models.forward import CannotRun
from vsa_checks.models.gguf_description import all_tensors, gguf_causal, gguf_parallel, gguf_shape, gguf_type
from vsa_checks.models.gguf_header import GGUFHeader

Values = dict[str, Any]
_CHANGES_LOGITS = (
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "attention.output_scale",
    "attention.scale",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.temperature_scale",
    "attn_logit_softcapping",
    "embedding_scale",
    "expert_weights_norm",
    "expert_weights_scale",
    "final_logit_softcapping",
    "logit_scale",
    "residual_scale",
)
"""Fields that make a model another function, whatever its architecture."""


class Header:
    """The fields of one architecture in a GGUF header, the sizes of the model and the names of its tensors."""

    def __init__(self, headers: list[GGUFHeader], model: str) -> None:
        self.headers, self.header = headers, headers[0]
        self.name = self.header.architecture
        self.shape: Shape = gguf_shape(headers, model)
        self.tensors = all_tensors(headers)
        self._asked: set[str] = set()

    def number(self, key: str, default: float | None = None, least: float = -inf) -> float | None:
        """A field as a number; the default where it is absent."""
        self._asked.add(key)
        return self.header.number(f"{self.name}.{key}", default, least)

    def whole(self, key: str, default: int = 0) -> int:
        """A field as a whole number; the default where it is absent."""
        self._asked.add(key)
        return self.header.whole(f"{self.name}.{key}", default)

    def flag(self, key: str, default: bool) -> bool:
        """A field that is true or false; the default where it is absent."""
        self._asked.add(key)
        return bool(self.header.fields.get(f"{self.name}.{key}", default))

    def check_all_asked(self) -> None:
        """Raises CannotRun for a field that changes what is computed and that nothing above has asked for."""
        for key in _CHANGES_LOGITS:
            field = f"{self.name}.{key}"
            given = self.header.has_array(field) or self.header.fields.get(field, 0) not in (0, False)
            if given and key not in self._asked:
                raise CannotRun(f"its header gives {field}, which is not read of this architecture")

    def has(self, part: str) -> bool:
        """Whether the first layer has a tensor."""
        return f"blk.0.{part}" in self.tensors

    @property
    def eps(self) -> float:
        """What norms add to the variance."""
        found = self.number("attention.layer_norm_rms_epsilon", self.number("attention.layer_norm_epsilon", 1e-5))
        return found or 0.0

    @property
    def theta(self) -> float:
        """Base of the rotary frequencies, which llama.cpp takes for 10,000 where a file does not give it."""
        return self.number("rope.freq_base", 10000.0, least=0) or 10000.0

    @property
    def rotated(self) -> float:
        """The share of a head's dimensions that is rotated."""
        return self.whole("rope.dimension_count", self.shape.d_head) / self.shape.d_head

    @property
    def linear_factor(self) -> float:
        """By what positions are divided; 1 where they are not. Raises CannotRun for any other scaling."""
        kind = self.header.fields.get(f"{self.name}.rope.scaling.type", "linear")
        if kind not in ("linear", "none"):
            raise CannotRun(f"its rotary positions are scaled by {kind}, which is not read from GGUF files")
        long = sorted(name for name in self.tensors if name.startswith("rope_factors_"))
        if long:
            raise CannotRun(f"its rotary positions are scaled by {', '.join(long)}, which is not read from GGUF files")
        factor = self.number("rope.scaling.factor", self.number("rope.scale_linear", 1.0), least=0)
        return 1.0 if kind == "none" else factor or 1.0

    @property
    def rope(self) -> Values:
        """Rotary positions as the classes of transformers take them."""
        factor = self.linear_factor
        scaled: Values = {"rope_type": "default"} if factor == 1 else {"rope_type": "linear", "factor": factor}
        return scaled | {"rope_theta": self.theta}


def _common(header: Header) -> Values:
    shape = header.shape
    return {
        "hidden_size": shape.d_model,
        "num_hidden_layers": shape.n_layers,
        "num_attention_heads": shape.n_heads,
        "num_key_value_heads": shape.n_kv_heads,
        "intermediate_size": shape.d_mlp,
        "max_position_embeddings": header.whole("context_length", 2048),
    }


def _rotary(header: Header, eps: str = "rms_norm_eps", **more: Any) -> Values:
    """Of those with rotary positions, which differ in a few fields."""
    found = _common(header) | {"head_dim": header.shape.d_head, "rope_parameters": header.rope, eps: header.eps}
    if header.rotated != 1:
        found["partial_rotary_factor"] = header.rotated
    return found | more


def _llama(header: Header) -> Values:
    return _rotary(header, attention_bias=header.has("attn_output.bias"), mlp_bias=header.has("ffn_up.bias"))


def _windowed(header: Header) -> Values:
    return _rotary(header, sliding_window=header.whole("attention.sliding_window") or None)


def _scale(header: Header, large: int) -> float:
    """By the root of what queries are divided: as llama.cpp has it, which knows the largest model by its layers."""
    shape = header.shape
    return shape.d_model / shape.n_heads if shape.n_layers == large else shape.d_head


def _gemma2(header: Header) -> Values:
    return _rotary(
        header,
        sliding_window=header.whole("attention.sliding_window", 4096),
        attn_logit_softcapping=header.number("attn_logit_softcapping", 50.0),
        final_logit_softcapping=header.number("final_logit_softcapping", 30.0),
        query_pre_attn_scalar=_scale(header, 46),
    )


def _gemma3(header: Header) -> Values:
    local = {"rope_type": "default", "rope_theta": header.number("rope.freq_base_swa", 10000.0)}
    return _rotary(
        header,
        rope_parameters={"full_attention": header.rope, "sliding_attention": local},
        sliding_window=header.whole("attention.sliding_window", 4096),
        final_logit_softcapping=header.number("final_logit_softcapping"),
        query_pre_attn_scalar=_scale(header, 62),
    )


def _gpt2(header: Header) -> Values:
    shape = header.shape
    found: Values = {"n_embd": shape.d_model, "n_layer": shape.n_layers, "n_head": shape.n_heads}
    found |= {"n_inner": shape.d_mlp, "layer_norm_epsilon": header.eps}
    positions = header.tensors.get("position_embd.weight")
    return found | {"n_positions": positions.shape[0] if positions is not None else 1024}


def _neox(header: Header) -> Values:
    found = _rotary(header, "layer_norm_eps", attention_bias=header.has("attn_qkv.bias"))
    found |= {"rotary_pct": header.rotated, "use_parallel_residual": gguf_parallel(header.headers, "gpt_neox")}
    return {name: value for name, value in found.items() if name != "num_key_value_heads"}


def _bloom(header: Header) -> Values:
    shape = header.shape
    found: Values = {"hidden_size": shape.d_model, "n_layer": shape.n_layers, "n_head": shape.n_heads}
    return found | {"layer_norm_epsilon": header.eps}


def _falcon(header: Header) -> Values:
    grouped = header.shape.n_kv_heads > 1
    return _common(header) | {
        "rope_parameters": header.rope,
        "layer_norm_epsilon": header.eps,
        "ffn_hidden_size": header.shape.d_mlp,
        "new_decoder_architecture": grouped,
        "num_kv_heads": header.shape.n_kv_heads if grouped else None,
        "multi_query": True,
        "parallel_attn": True,
        "alibi": False,
        "bias": header.has("attn_qkv.bias"),
    }


def _granite(header: Header) -> Values:
    scale = header.number("attention.scale", header.shape.d_head**-0.5)
    return _llama(header) | {
        "attention_multiplier": scale,
        "embedding_multiplier": header.number("embedding_scale", 1.0),
        "residual_multiplier": header.number("residual_scale", 1.0),
        "logits_scaling": header.number("logit_scale", 1.0),
    }


def _cohere(header: Header) -> Values:
    found = _rotary(header, "layer_norm_eps", logit_scale=header.number("logit_scale", 1.0))
    return found | {"use_qk_norm": header.has("attn_q_norm.weight")}


def _cohere2(header: Header) -> Values:
    found = _rotary(header, "layer_norm_eps", logit_scale=header.number("logit_scale", 1.0))
    return found | {"sliding_window": header.whole("attention.sliding_window", 4096)}


def _without_windows(header: Header) -> Values:
    if header.whole("attention.sliding_window"):
        raise CannotRun("which of its layers see a window alone is not read from GGUF files")
    return _rotary(header, sliding_window=None, layer_types=["full_attention"] * header.shape.n_layers)


def _seed(header: Header) -> Values:
    return _rotary(header, attention_bias=header.has("attn_q.bias"), attention_out_bias=header.has("attn_output.bias"))


def _starcoder2(header: Header) -> Values:
    return _rotary(header, "norm_epsilon", use_bias=header.has("attn_q.bias"), sliding_window=None)


def _mpt(header: Header) -> Values:
    shape = header.shape
    largest = header.number("attention.max_alibi_bias") or 0.0
    if shape.d_mlp != 4 * shape.d_model or not largest.is_integer() or largest < 1:
        raise CannotRun("its class knows neither positions that are learned nor an MLP of another width")
    alibi = {"alibi": True, "alibi_bias_max": int(largest)}
    return {
        "d_model": shape.d_model,
        "n_layers": shape.n_layers,
        "n_heads": shape.n_heads,
        "max_seq_len": header.whole("context_length", 2048),
        "layer_norm_epsilon": header.eps,
        "attn_config": {**alibi, "clip_qkv": header.number("attention.clamp_kqv") or None},
    }


def _mixture(header: Header, count: str, normed: bool | None = None) -> Values:
    """Of a mixture of experts; normed: whether llama.cpp makes the weights of the chosen experts sum to one."""
    found = {count: header.whole("expert_count"), "num_experts_per_tok": header.whole("expert_used_count")}
    if normed is not None:
        found["norm_topk_prob"] = header.flag("expert_weights_norm", normed)
    return found | {"moe_intermediate_size": header.shape.d_mlp}


def _qwen2_moe(header: Header) -> Values:
    shared = header.tensors.get("blk.0.ffn_up_shexp.weight")
    width = shared.shape[0] if shared is not None else 0
    found = _rotary(header, shared_expert_intermediate_size=width)
    return found | _mixture(header, "num_experts", False)


RUN: Mapping[str, Callable[[Header], Values]] = {
    "apertus": _rotary,
    "arcee": _llama,
    "bloom": _bloom,
    "cohere": _cohere,
    "cohere2": _cohere2,
    "ernie4_5": lambda header: _rotary(header, use_bias=header.has("attn_q.bias")),
    "exaone4": _without_windows,
    "falcon": _falcon,
    "gemma": _rotary,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "glm": lambda header: _rotary(header, attention_bias=header.has("attn_q.bias")),
    "glm4": lambda header: _rotary(header, attention_bias=header.has("attn_q.bias")),
    "gpt2": _gpt2,
    "gpt_bigcode": lambda header: _gpt2(header) | {"multi_query": True},
    "gpt_neox": _neox,
    "granite": _granite,
    "granitemoe": lambda header: _granite(header) | _mixture(header, "num_local_experts"),
    "hunyuan_v1_dense": lambda header: _rotary(header, attention_bias=header.has("attn_q.bias")),
    "llama": _llama,
    "mistral": _windowed,
    "mixtral": lambda header: _rotary(header, sliding_window=None) | _mixture(header, "num_local_experts"),
    "mpt": _mpt,
    "nemotron": lambda header: _rotary(header, "norm_eps"),
    "olmo": lambda header: _rotary(header, clip_qkv=header.number("attention.clamp_kqv")),
    "olmo2": _rotary,
    "olmoe": lambda header: _rotary(header, clip_qkv=None) | _mixture(header, "num_experts", False),
    "phi": lambda header: _rotary(header, "layer_norm_eps"),
    "phi3": _windowed,
    "qwen2": _rotary,
    "qwen3": lambda header: _rotary(header, attention_bias=header.has("attn_q.bias")),
    "qwen2_moe": _qwen2_moe,
    "qwen3_moe": lambda header: _rotary(header) | _mixture(header, "num_experts", True),
    "seed_oss": _seed,
    "smollm3": lambda header: _llama(header) | {"use_sliding_window": False},
    "starcoder2": _starcoder2,
}
"""Model types that are run from GGUF files; tests hold their logits equal to those of the same model as a directory."""


def gguf_config(headers: list[GGUFHeader], model: str) -> Any:
    """The transformers configuration of a GGUF file.

    Raises CannotRun for an architecture whose configuration is not read, and for fields that are no configuration.
    """
    from transformers import AutoConfig

    model_type = gguf_type(headers, model)
    if not gguf_causal(headers[0], model_type):
        raise CannotRun(f"its header gives {headers[0].architecture}.attention.causal as false, which is not run")
    if model_type not in RUN:
        name = headers[0].architecture
        raise CannotRun(f"the configuration of GGUF architecture {name!r} is not read, only its weights")
    header = Header(headers, model)
    try:
        values = RUN[model_type](header)
    except CannotRun:
        raise
    except ModelError as problem:
        raise CannotRun(f"its configuration is not in the file. {problem}") from None
    header.check_all_asked()
    values |= {"vocab_size": header.shape.d_vocab, "tie_word_embeddings": "output.weight" not in header.tensors}
    for key, field in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        token = headers[0].fields.get(f"tokenizer.ggml.{field}_token_id")
        # The classes' own defaults may lie beyond a small vocabulary.
        values[f"{key}_token_id"] = token if isinstance(token, int) and token < header.shape.d_vocab else None
    try:
        return AutoConfig.for_model(model_type, **values)
    except Exception as problem:  # any complaint about the configuration is the same to the person
        reason = first_line(problem)
        raise CannotRun(f"its header gives no configuration of a {model_type} model ({reason})") from None
