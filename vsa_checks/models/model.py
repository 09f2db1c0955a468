"""A loaded model: weights by TransformerLens names, token names, and activations on demand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from vsa_checks.errors import ModelError, UsageError
from vsa_checks.models.architectures import WEIGHT_NAMES
from vsa_checks.models.description import describe_located
from vsa_checks.models.info import ModelInfo
from vsa_checks.models.sources import Located, Registry, ensure_available
from vsa_checks.models.tokenizer import attach_tokenizer, load_tokenizer, vocabulary_of

if TYPE_CHECKING:
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    from vsa_checks.models.vocabulary import Vocabulary

Basis = Literal["processed", "raw"]
BASES: tuple[Basis, ...] = ("processed", "raw")
_UNREAD: Any = object()


def load(
    name_or_path: str | os.PathLike[str],
    basis: Basis = "processed",
    device: str = "cpu",
    registry: Registry | None = None,
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

    from vsa_checks.models import bridge as bridges
    from vsa_checks.models.gguf_weights import module_from_gguf
    from vsa_checks.models.hf_weights import module_from_directory
    from vsa_checks.models.quiet import quiet

    with quiet():
        if found.is_gguf:
            module, note = module_from_gguf(found.path, found.name)
            info, unembedding = replace(info, notes=" ".join(filter(None, (info.notes, note)))), True
        else:
            module, unembedding = module_from_directory(found.path, found.name)
        wrapped = bridges.wrap(module)
        # Shapes are checked before anything is computed with them.
        tensors = bridges.read_tensors(wrapped, info, unembedding)
        flags = dict.fromkeys(bridges.FLAGS, False)
        if basis == "processed":
            del tensors  # frees the raw weights as the processed ones replace them
            flags = bridges.process(wrapped, info, unembedding)
            tensors = bridges.read_tensors(wrapped, info, unembedding)
    return Model(info, basis, flags, tensors, wrapped, found, device)


class Model(Mapping[str, "torch.Tensor"]):
    """Weights of one model in one basis: a mapping from TransformerLens names to float32 CPU tensors.

    The names are embed.W_E (d_vocab, d_model), unembed.W_U (d_model, d_vocab) and, for each layer i, blocks.i.attn.W_Q
    (n_heads, d_model, d_head), W_K and W_V (n_kv_heads, d_model, d_head), W_O (n_heads, d_head, d_model), and
    blocks.i.mlp.W_in and W_gate (d_model, d_mlp) and W_out (d_mlp, d_model), with their biases b_Q, b_in and so on.
    model.W_Q and the like give all layers at once. The tensors share memory with the bridge: do not write into them.

    Attributes
    ----------
    info : ModelInfo
        Identity and sizes.
    basis : {"processed", "raw"}
    effective_flags : dict of str to bool
        Which steps of TransformerLens's weight processing took effect.
    """

    def __init__(
        self,
        info: ModelInfo,
        basis: Basis,
        effective_flags: dict[str, bool],
        tensors: dict[str, torch.Tensor],
        bridge: TransformerBridge,
        found: Located,
        device: str,
    ) -> None:
        self.info = info
        self.basis: Basis = basis
        self.effective_flags = effective_flags
        self._tensors = tensors
        self._bridge = bridge
        self._bridge_ready = False
        self._found = found
        self._device = device
        self._tokenizer: Any = _UNREAD
        self._text_reason = ""
        self._vocabulary: Vocabulary | None = _UNREAD

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"Model({self.info.name!r}, basis={self.basis!r}, {len(self)} tensors)"

    # Mapping would compare contents, which tensors do not allow: only the same object is equal.
    __hash__ = object.__hash__
    __eq__ = object.__eq__

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
        return torch.stack(present) if present else None

    def __getattr__(self, name: str) -> Any:
        # W_Q, b_in and the like: stacked over layers.
        if name[:2] in ("W_", "b_"):
            for part, names in WEIGHT_NAMES.items():
                if name in names:
                    return self.stacked(part, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def token_name(self, token: int) -> str:
        """Readable name of a token, leading space kept; its id as text where there is no tokenizer."""
        if not self.info.text:
            return str(token)
        if self._vocabulary is _UNREAD:
            self._vocabulary = vocabulary_of(self._found)
        if self._vocabulary is not None:
            return self._vocabulary.name(token)
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
        """The TransformerBridge in this basis, which shares the weights; its eager attention gives attention patterns.

        It takes token ids; `run_with_cache` takes text too.
        """
        if not self._bridge_ready:
            if self._device != "cpu":
                self._bridge.to(self._device)
            self._bridge_ready = True
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
        finally:
            if stop is not None:
                stop.remove()
        return found, cache


def _stop(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
    from transformer_lens.model_bridge.exceptions import StopAtLayerException

    raise StopAtLayerException(given[0])


def _is_text(given: Any) -> bool:
    return isinstance(given, str) or (isinstance(given, list) and bool(given) and isinstance(given[0], str))
