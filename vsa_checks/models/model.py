"""A loaded model: weights by TransformerLens names, token names, and activations on demand."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vsa_checks.errors import ModelError, UsageError
from vsa_checks.models.architecture import LAYER_NORM, WEIGHT_NAMES
from vsa_checks.models.description import describe_located
from vsa_checks.models.memory import free_memory
from vsa_checks.models.raw_weights import Opened
from vsa_checks.models.sources import Located, Registry, ensure_available
from vsa_checks.models.tokenizer import attach_tokenizer, load_tokenizer, vocabulary_of
from vsa_checks.models.weights_in_basis import BASES, Basis, WeightsInBasis

if TYPE_CHECKING:
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    from vsa_checks.models.vocabulary import Vocabulary

_UNREAD: Any = object()
_STREAM_HOOKS = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out", "hook_embed")
"""Hooks of the residual stream and of what is added to it."""
_READS = re.compile(r"blocks\.\d+\.(attn(\.[qkv])?|mlp(\.(in|gate))?)\.hook_in")
"""Hooks of what attention and MLP read, after their norm."""


def load(
    name_or_path: str | os.PathLike[str],
    basis: Basis = "processed",
    device: str = "cpu",
    registry: Registry | None = None,
    *,
    check: bool = True,
    kept_bytes: int | None = None,
    no_run: str = "",
) -> Model:
    """Load a model in one basis of its weights.

    Parameters
    ----------
    name_or_path : str or path-like
        Name of a registered model, or path of a Hugging Face directory or a GGUF file.
    basis : {"processed", "raw"}
        "processed" is TransformerLens's default processing as far as the architecture allows it (`effective_flags` of
        the result says how far), "raw" the weights as stored.
    device : str
        Where activations are computed, such as "cuda"; the weights stay on the CPU.
    registry : mapping of str to RegistryEntry, optional
        The models that have names; by default those of fixtures/models.toml.
    check : bool
        Whether to read every weight now, so that one that is missing, misshapen or not finite is reported here and not
        where it is first used.
    kept_bytes : int, optional
        Memory for weights that were read; what does not fit is read again when it is asked for. By default a third of
        what is free.
    no_run : str
        Why the model must not be run, only its weights read; "" if it may.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        For a model that cannot be found, read or trusted.
    UsageError
        For an unknown basis.
    """
    if basis not in BASES:
        raise UsageError(f"The basis {basis!r} of the weights is not known. Use one of: {', '.join(BASES)}.")
    found = ensure_available(name_or_path, registry)
    info = describe_located(found)
    assert found.path is not None

    from vsa_checks.models.gguf_weights import open_gguf
    from vsa_checks.models.opening import open_directory
    from vsa_checks.models.quiet import quiet

    if found.is_gguf:
        opened = open_gguf(found, info)  # without transformers, which alone takes most of a second to import
    else:
        with quiet():
            opened = open_directory(found, info)
    model = Model(opened, basis, found, device, free_memory() // 3 if kept_bytes is None else kept_bytes, no_run)
    if check:
        model.check()
    return model


class Model(WeightsInBasis):
    """Weights of one model in one basis: a mapping from TransformerLens names to float32 CPU tensors.

    The names are embed.W_E (d_vocab, d_model), unembed.W_U (d_model, d_vocab) and, for each layer i, blocks.i.attn.W_Q
    (n_heads, d_model, d_head), W_K and W_V (n_kv_heads, d_model, d_head), W_O (n_heads, d_head, d_model), and
    blocks.i.mlp.W_in and W_gate (d_model, d_mlp) and W_out (d_mlp, d_model), with their biases b_Q, b_in and so on. In
    a mixture of experts they are blocks.i.mlp.experts.e.W_in and so on. A weight is read when it is asked for; as many
    as fit into the memory set aside are kept. model.W_Q and the like give all layers at once. Do not write into them.

    Attributes
    ----------
    info : ModelInfo
        Identity and sizes.
    basis : {"processed", "raw"}
    effective_flags : dict of str to bool
        Which steps of TransformerLens's weight processing take effect.
    note : str
        What of the stored weights is not read, or is not as the configuration says; empty for most models.
    """

    def __init__(
        self, opened: Opened, basis: Basis, found: Located, device: str, kept_bytes: int, no_run: str = ""
    ) -> None:
        super().__init__(opened, basis, kept_bytes)
        self.note = opened.note
        self.info = replace(opened.info, notes=" ".join(filter(None, (opened.info.notes, opened.note))))
        self._no_run = no_run
        self._bridge: TransformerBridge | None = None
        self._found = found
        self._device = device
        self._tokenizer: Any = _UNREAD
        self._text_reason = ""
        self._vocabulary: Vocabulary | None = _UNREAD

    @property
    def W_E(self) -> torch.Tensor:
        """Token embeddings (d_vocab, d_model)."""
        return self["embed.W_E"]

    @property
    def W_pos(self) -> torch.Tensor | None:
        """Position embeddings (n_positions, d_model); None where positions are not learned vectors."""
        return self.get("pos_embed.W_pos")

    @property
    def W_U(self) -> torch.Tensor | None:
        """Unembedding (d_model, d_vocab); None for an encoder without language-model head."""
        return self.get("unembed.W_U")

    @property
    def b_U(self) -> torch.Tensor | None:
        """Unembedding bias (d_vocab,); None for an encoder without language-model head."""
        return self.get("unembed.b_U")

    def stacked(self, part: str, name: str) -> torch.Tensor | None:
        """One weight of all layers, such as ("attn", "W_Q"), copied into (n_layers, ...); None if absent."""
        import torch

        found = [self.get(f"blocks.{layer}.{part}.{name}") for layer in range(self.info.n_layers)]
        present = [tensor for tensor in found if tensor is not None]
        if present and len(present) < len(found):
            layers = ", ".join(str(layer) for layer, tensor in enumerate(found) if tensor is not None)
            raise ModelError(
                f"Of the model {self.info.name} only layers {layers} have a {name}: ask for one of them, as in "
                f"model['blocks.{layers.split(',')[0]}.{part}.{name}']."
            )
        return torch.stack(present) if present else None

    def __getattr__(self, name: str) -> Any:
        # W_Q, b_in and the like: stacked over layers.
        if name[:2] in ("W_", "b_"):
            for part, names in WEIGHT_NAMES.items():
                if name in names:
                    return self.stacked(part, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The names of the tokens, read on first use; None without a tokenizer, and where only that knows them."""
        if self._vocabulary is _UNREAD:
            self._vocabulary = vocabulary_of(self._found) if self.info.text else None
        return self._vocabulary

    def token_name(self, token: int) -> str:
        """Readable name of a token, leading space kept; its id as text where there is no tokenizer."""
        if not self.info.text:
            return str(token)
        if self.vocabulary is not None:
            return self.vocabulary.name(token)
        piece = self.tokenizer.convert_ids_to_tokens(token) if self.tokenizer is not None else None
        return str(token) if piece is None else str(piece).replace("▁", " ")

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer, read on first use (seconds for a GGUF file); None if there is none to use.

        `text_reason` then says why. Its encode adds a beginning-of-text token if it has one; add_special_tokens=False
        leaves it out.
        """
        if self._tokenizer is _UNREAD:
            self._tokenizer, self._text_reason = None, self.info.text_reason
            if self.info.text:
                self._tokenizer, self._text_reason = load_tokenizer(self._found)
        return self._tokenizer

    @property
    def text_reason(self) -> str:
        """Why this model cannot read text, "" if it can; reads the tokenizer."""
        return self._text_reason if self.tokenizer is None else ""

    @property
    def bridge(self) -> TransformerBridge:
        """The TransformerBridge of the model, made when it is first asked for; its weights are raw in either basis.

        Its eager attention gives attention patterns. Raises CannotRun where the model cannot be run.
        """
        if self._bridge is None:
            from vsa_checks.models.forward import CannotRun, build
            from vsa_checks.models.quiet import quiet

            if self._no_run:
                raise CannotRun(self._no_run)
            with quiet():
                made = build(self._found, self._raw.row, self._raw.has_unembedding())
            self._bridge = made if self._device == "cpu" else made.to(self._device)
        return self._bridge

    def run_with_cache(
        self,
        tokens_or_text: Any,
        names_filter: str | list[str] | Callable[[str], bool] | None = None,
        stop_at_layer: int | None = None,
        logits: bool = True,
    ) -> tuple[torch.Tensor, Any]:
        """Run the model and keep activations, without gradients.

        Parameters
        ----------
        tokens_or_text : array_like of int, shape (position,) or (batch, position), or str or list of str
        names_filter : str, list of str or callable, optional
            Which hooks to keep; by default all.
        stop_at_layer : int, optional
            The first layer that is not run.
        logits : bool
            False leaves the unembedding out, which saves a fifth of the time of a small model.

        Returns
        -------
        Tensor, shape (batch, position, d_vocab)
            The logits; the residual stream (batch, position, d_model) if stop_at_layer or logits=False ends the run
            before them.
        ActivationCache
            Hook name to activations.

        Raises
        ------
        ModelError
            For text if there is no usable tokenizer.
        """
        import torch

        bridge = self.bridge
        if _is_text(tokens_or_text):
            if self.tokenizer is None:
                raise ModelError(
                    f"The model {self.info.name} cannot read text: {self.text_reason}. Give token ids instead."
                )
            if bridge.tokenizer is None:
                attach_tokenizer(bridge, self.tokenizer)
            given = tokens_or_text
        else:
            given = torch.as_tensor(tokens_or_text, device=self._device)
            given = given[None] if given.ndim == 1 else given
        unembed = None if logits else getattr(bridge, "unembed", None)
        stop = None if unembed is None else unembed.register_forward_pre_hook(_stop)
        try:
            with torch.no_grad():
                found, cache = bridge.run_with_cache(given, names_filter=names_filter, stop_at_layer=stop_at_layer)
        except Exception as problem:  # transformers and transformer_lens raise whatever they like
            from vsa_checks.models.forward import cannot_run

            raise cannot_run(problem) from problem
        finally:
            if stop is not None:
                stop.remove()
        if self._steps is not None:
            ended = stop is None and stop_at_layer is None
            found = self._in_basis("logits" if ended else "blocks.0.hook_resid_post", found)
            for name in list(cache):
                cache.cache_dict[name] = self._in_basis(name, cache[name])
        return found, cache

    def _in_basis(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """Activations of the model as it is, as the processed weights would give them."""
        chosen = self._steps
        assert chosen is not None
        if name == "logits":
            return values - values.mean(-1, keepdim=True) if chosen.center_unembed else values
        # In an encoder the MLP's output is normed together with the stream, which keeps its mean.
        if chosen.center_writing_weights and name.endswith(_STREAM_HOOKS if self._centers_stream else "hook_mlp_out"):
            return values - values.mean(-1, keepdim=True)
        if chosen.fold_value_biases and name.endswith(("attn.hook_v", "attn.hook_z")):
            return values - self._value_bias(name, values)
        if chosen.fold_ln and _READS.fullmatch(name):
            return self._as_normed(name, values)
        return values

    def _as_normed(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """What a part reads as its norm leaves it, before the gain and the bias that are folded into the part."""
        import torch

        _, layer, kind = name.split(".")[:3]
        norm = (self._raw.attention_norm if kind == "attn" else self._raw.mlp_norm)(int(layer))
        if norm is not None and norm.bias is not None:
            values = values - torch.from_numpy(norm.bias).to(values.device)
        if norm is None or norm.gain is None:
            return values
        gain = torch.from_numpy(norm.gain).to(values.device)
        lost = gain == 0
        values = torch.where(lost, 0.0, values / torch.where(lost, 1.0, gain))
        if lost.any() and self.info.norm == LAYER_NORM:
            # What a gain of zero hides is known together: LayerNorm leaves no mean.
            values = torch.where(lost, -values.sum(-1, keepdim=True) / int(lost.sum()), values)
        return values

    def _value_bias(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """What b_V and the norm's bias add to values and to the heads' mixtures of them."""
        import torch

        layer = int(name.split(".")[1])
        part = self._raw.attention(layer)
        bias = part.weights.get("b_V", np.zeros(part.weights["W_V"].shape[::2], np.float32))
        norm = part.reads_through
        if self._steps is not None and self._steps.fold_ln and norm is not None and norm.bias is not None:
            bias = bias + norm.bias @ part.weights["W_V"]
        heads = values.numel() // (values.shape[0] * values.shape[1] * self.info.d_head)
        repeated = torch.from_numpy(np.repeat(bias, heads // len(bias), axis=0)).to(values.device)
        return repeated.reshape(values.shape[2:])


def _stop(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
    from transformer_lens.model_bridge.exceptions import StopAtLayerException

    raise StopAtLayerException(given[0])


def _is_text(given: Any) -> bool:
    return isinstance(given, str) or (isinstance(given, list) and bool(given) and isinstance(given[0], str))
