"""What has to be known of a model type before its weights are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vsa_checks.models.layout import Layout

LAYER_NORM = "layer_norm"
RMS_NORM = "rms_norm"
UNKNOWN_NORM = "unknown"
WEIGHT_NAMES = {
    "attn": ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O"),
    "mlp": ("W_in", "W_gate", "W_out", "b_in", "b_gate", "b_out"),
}
"""TransformerLens's names of the weights of a layer, by part; a model may lack some."""
Family = Literal["decoder", "encoder", "encoder-decoder"]


@dataclass(frozen=True)
class Shape:
    """Sizes of a model: layers, residual width, query heads, key-value heads, head width, neurons, tokens.

    A model without attention has no heads, one without MLP no neurons. In a mixture of experts d_mlp is one expert's.
    """

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_mlp: int
    d_vocab: int


@dataclass(frozen=True)
class Gguf:
    """How llama.cpp's converter writes an architecture.

    names: llama.cpp's names of it. permuted: rows of Q and K are reordered within each head. norm_plus_one: norm
    weights have the offset added. roles, layer, final_norm: names of modules that differ from the common ones.
    gate_in_up: gate and up are one matrix of the name of up.
    """

    names: tuple[str, ...]
    permuted: bool = False
    norm_plus_one: bool = False
    roles: Mapping[str, str] | None = None
    gate_in_up: bool = False
    layer: str = ""
    final_norm: str = ""


@dataclass(frozen=True)
class Architecture:
    """What has to be known of a model type before its weights are read.

    Attributes
    ----------
    hf_class : str
        The class of transformers that runs it.
    layout : Layout
        Where its weights lie.
    norm : str
    gated : bool or None
        Whether the MLP has a gate; None where its configuration says so.
    family : {"decoder", "encoder", "encoder-decoder"}
    keys : mapping of str to str
        The configuration fields that do not have the common name.
    head_dim : int or None
        The model type's own default, where its configuration may leave the field out.
    parallel : bool or str
        Whether attention and MLP of a layer read the same stream; a text names the configuration field that says so,
        and begins with "!" where the field's default is true.
    norm_offset : float
        What is added to the weight of a norm before it scales.
    soft_cap : float or None
        The model type's default cap on the logits.
    uneven : str
        Why some layers have no attention or no MLP; "" if all have both.
    no_attention : str
        Why its attention has no matrices of the four kinds; "" if it has.
    unweighted_norms : bool
        Whether the norms that layers read through have no weights.
    first_layer_unnormed : bool
        Whether attention of the first layer reads the stream itself.
    not_run : str
        Why its weights are read and the model itself is not run; "" if it is.
    gguf : Gguf or None
        None where GGUF files of it are not read.
    """

    hf_class: str
    layout: Layout
    norm: str = RMS_NORM
    gated: bool | None = True
    family: Family = "decoder"
    keys: Mapping[str, str] | None = None
    head_dim: int | None = None
    parallel: bool | str = False
    norm_offset: float = 0.0
    soft_cap: float | None = None
    uneven: str = ""
    no_attention: str = ""
    unweighted_norms: bool = False
    first_layer_unnormed: bool = False
    not_run: str = ""
    gguf: Gguf | None = None

    @property
    def causal(self) -> bool:
        """Whether a position sees only what comes before it, where the configuration does not say otherwise."""
        return self.family != "encoder"

    @property
    def reads_through_norm(self) -> bool:
        """Whether attention and MLP read the stream through a norm of their own, which can be folded into them."""
        return "attn_norm" in self.layout.roles or "mlp_norm" in self.layout.roles or self.unweighted_norms

    @property
    def norms_what_is_written(self) -> bool:
        """Whether a norm scales what attention and MLP write before it is added to the stream."""
        return "attn_out_norm" in self.layout.roles

    def is_parallel(self, config: Mapping[str, Any]) -> bool:
        """Whether attention and MLP of a layer read the same stream, with this configuration."""
        if isinstance(self.parallel, bool):
            return self.parallel
        field = self.parallel.lstrip("!")
        given = config.get(field)
        default = self.parallel.startswith("!")
        return bool(default if given is None else given) or bool(
            field == "parallel_attn" and config.get("new_decoder_architecture")
        )

    def is_causal(self, config: Mapping[str, Any]) -> bool:
        """Whether a position sees only what comes before it, with this configuration."""
        both_ways = config.get("use_bidirectional_attention") or config.get("is_causal") is False
        return self.causal and not (both_ways and self.family == "decoder")

    def is_gated(self, config: Mapping[str, Any]) -> bool:
        """Whether the MLP has a gate, with this configuration."""
        if self.gated is not None:
            return self.gated
        return str(config.get("feed_forward_proj", "relu")).startswith("gated")
