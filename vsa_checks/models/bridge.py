"""Weights by TransformerLens names: wraps a transformers module, processes it, and reads it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from vsa_checks.errors import ModelError
from vsa_checks.models.architectures import WEIGHT_NAMES
from vsa_checks.models.info import ModelInfo

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel

FLAGS = ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases")
_PROBE_TOKENS = 4
# Rounding in float32 moves log-probabilities by less than 1e-5 on all tested architectures.
_SAME_FUNCTION = 0.01
# Largest mean that rounding to float32 leaves after centering, relative to the largest weight.
_CENTERED = 1e-4


class _WithoutCopies(TorchFunctionMode):
    """Within it, clone() returns the tensor itself.

    transformer_lens copies all weights at each of its three steps and writes into none of the copies. With them a model
    of 262,144 tokens in 640 dimensions takes 6.3 GB and 19 s to process, without them 3.1 GB and 3 s.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.clone:
            return args[0]
        return func(*args, **(kwargs or {}))


def wrap(module: PreTrainedModel) -> TransformerBridge:
    """The TransformerBridge around a transformers module, in the raw basis and without tokenizer."""
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    # A neutral name: transformer_lens treats some models by their names.
    return build_bridge_from_module(
        module, module.config.architectures[0], hf_config=module.config, model_name="local-model"
    )


def process(bridge: TransformerBridge, info: ModelInfo, unembedding: bool) -> dict[str, bool]:
    """Process the weights of a bridge in place as TransformerLens does by default, and say which steps took effect.

    Raises ModelError if the processed model does not compute what the raw one does, or if a weight that should be
    centered is not.
    """
    tokens = torch.arange(min(_PROBE_TOKENS, bridge.cfg.n_ctx)).remainder(info.d_vocab)[None]
    with torch.no_grad():
        before = bridge(tokens).log_softmax(-1)
        query, norm_is_identity = bridge.blocks[0].attn.W_Q, _norm_is_identity(bridge)
        with _WithoutCopies():
            bridge.enable_compatibility_mode(disable_warnings=True)
        after = bridge(tokens).log_softmax(-1)
    change = float((after - before).abs().max())
    if not change <= _SAME_FUNCTION * max(1.0, float(before.abs().max())):
        raise _confused(info, f"changes its log-probabilities by {change:.3g}, where it should leave them as they are")
    folded = not torch.equal(query, bridge.blocks[0].attn.W_Q)
    flags = _flags(bridge, folded, norm_is_identity, unembedding)
    uncentered = _uncentered(bridge, flags)
    if uncentered:
        raise _confused(info, f"leaves {uncentered} with a mean, where it should be centered")
    return flags


def _flags(bridge: TransformerBridge, folded: bool, norm_is_identity: bool, unembedding: bool) -> dict[str, bool]:
    from transformer_lens.utilities.activation_functions import softcap_enabled

    config, adapter = bridge.cfg, bridge.adapter
    layer_norm = config.normalization_type in ("LN", "LNPre") and not getattr(config, "final_rms", False)
    soft_cap = softcap_enabled(getattr(config, "output_logits_soft_cap", None))
    return {
        # Folding a norm that scales by one changes no weight, so `folded` cannot show it.
        "fold_ln": folded or (bool(getattr(adapter, "supports_fold_ln", True)) and norm_is_identity),
        "center_writing_weights": layer_norm and bool(getattr(adapter, "supports_center_writing_weights", True)),
        "center_unembed": unembedding and not soft_cap,
        "fold_value_biases": _optional(bridge.blocks[0].attn, "b_V") is not None,
    }


def _uncentered(bridge: TransformerBridge, flags: dict[str, bool]) -> str:
    """Name of a weight that has a mean although its flag says that it was centered; "" for none."""
    last = bridge.blocks[-1]
    writing = {"W_E": bridge.embed.W_E, "W_O": last.attn.W_O, "W_out": last.mlp.W_out}
    rows = dict(writing) if flags["center_writing_weights"] else {}
    if flags["center_unembed"]:
        rows["W_U"] = bridge.unembed.W_U
    for name, weight in rows.items():
        low, high = torch.aminmax(weight.detach())
        if float(weight.detach().mean(-1).abs().max()) > _CENTERED * max(-float(low), float(high)):
            return name
    return ""


def _confused(info: ModelInfo, what: str) -> ModelError:
    return ModelError(
        f"The model {info.name} cannot be given in the processed basis: transformer_lens's processing "
        f"{what}. Seen where sizes coincide that it tells apart by size, such as d_mlp = d_model or d_vocab "
        f"= d_model; here d_model is {info.d_model}, d_mlp {info.d_mlp}, d_vocab {info.d_vocab}. Use the raw "
        "basis: --basis raw."
    )


def read_tensors(bridge: TransformerBridge, info: ModelInfo, unembedding: bool) -> dict[str, torch.Tensor]:
    """All weights of a bridge by TransformerLens names, as views of its memory (key and value heads as stored).

    Raises ModelError if their shapes are not those that `info` states.
    """
    tensors: dict[str, torch.Tensor | None] = {
        "embed.W_E": bridge.embed.W_E,
        "pos_embed.W_pos": _optional(bridge, "W_pos"),
    }
    for layer, block in enumerate(bridge.blocks):
        for part, names in WEIGHT_NAMES.items():
            component = getattr(block, part)
            tensors |= {f"blocks.{layer}.{part}.{name}": _optional(component, name) for name in names}
    if unembedding:
        tensors |= {"unembed.W_U": bridge.unembed.W_U, "unembed.b_U": bridge.unembed.b_U}
    found = {name: tensor.detach() for name, tensor in tensors.items() if tensor is not None}
    _check_shapes(found, info)
    return found


def expected_shapes(info: ModelInfo) -> dict[str, tuple[int, ...]]:
    """TransformerLens name -> shape of every weight matrix that a model of these sizes has."""
    query, kv = (info.n_heads, info.d_model, info.d_head), (info.n_kv_heads, info.d_model, info.d_head)
    per_block = {
        "attn.W_Q": query,
        "attn.W_K": kv,
        "attn.W_V": kv,
        "attn.W_O": (info.n_heads, info.d_head, info.d_model),
        "mlp.W_in": (info.d_model, info.d_mlp),
        "mlp.W_out": (info.d_mlp, info.d_model),
    }
    if info.gated:
        per_block["mlp.W_gate"] = (info.d_model, info.d_mlp)
    shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (info.d_vocab, info.d_model)}
    for layer in range(info.n_layers):
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in per_block.items()}
    return shapes


def _check_shapes(found: dict[str, torch.Tensor], info: ModelInfo) -> None:
    expected = expected_shapes(info)
    if "unembed.W_U" in found:
        expected["unembed.W_U"] = (info.d_model, info.d_vocab)
    matrices = {name: tuple(tensor.shape) for name, tensor in found.items() if ".W_" in name and "W_pos" not in name}
    for name in sorted(set(expected) | set(matrices)):
        if expected.get(name) != matrices.get(name):
            raise ModelError(
                f"The model {info.name} cannot be used: {name} has the shape {matrices.get(name)} where its "
                f"configuration leads to {expected.get(name)}. Configuration and weights do not belong "
                "together: fetch, save or convert the model again."
            )


def _norm_is_identity(bridge: TransformerBridge) -> bool:
    weight = _optional(_optional(bridge.blocks[0], "ln1"), "weight")
    if weight is None:
        return True
    neutral = 0.0 if getattr(bridge.cfg, "rmsnorm_uses_offset", False) else 1.0
    return bool((weight == neutral).all())


def _optional(owner: Any, name: str) -> Any:
    """An attribute of a bridge component, or None: absent biases and W_pos raise AttributeError there."""
    try:
        return getattr(owner, name)
    except AttributeError:
        return None
