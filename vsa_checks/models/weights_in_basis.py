"""Weights of one model in one basis: read when they are asked for, processed part by part, kept while there is room."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vsa_checks.models.architecture import LAYER_NORM, WEIGHT_NAMES
from vsa_checks.models.info import ModelInfo
from vsa_checks.models.parts import Kept, Part
from vsa_checks.models.processing import (
    FLAGS,
    Steps,
    centered_rows,
    normed,
    processed_attention,
    processed_mlp,
    processed_unembedding,
    steps,
)
from vsa_checks.models.raw_weights import Opened

if TYPE_CHECKING:
    import torch

Basis = Literal["processed", "raw"]
BASES: tuple[Basis, ...] = ("processed", "raw")
_NAME = re.compile(r"blocks\.(\d+)\.(attn|mlp)(?:\.experts\.(\d+))?\.([Wb]_\w+)")


class WeightsInBasis(Mapping[str, "torch.Tensor"]):
    """A mapping from TransformerLens names to weights, and what the architecture makes of them: see `Model`."""

    info: ModelInfo
    basis: Basis

    def __init__(self, opened: Opened, basis: Basis, kept_bytes: int) -> None:
        self._raw, self._eps, self._clips_values = opened.raw, opened.eps, opened.clips_values
        self.info, self.basis = opened.info, basis
        self._parts = Kept(kept_bytes)
        self._steps = self._possible_steps(opened.caps_logits) if basis == "processed" else None
        self.effective_flags = dict.fromkeys(FLAGS, False) if self._steps is None else self._steps.flags()

    def _possible_steps(self, caps_logits: bool) -> Steps:
        raw = self._raw
        first = next((layer for layer in range(self.info.n_layers) if raw.has_attention(layer)), None)
        part = None if first is None else raw.attention(first)
        # With attention sinks (GPT-OSS) attention does not sum to one, and a value's bias is not always written whole.
        # What clips values clips their bias with them.
        whole = not raw.has_sinks(first or 0) and not self._clips_values
        folds = part is not None and whole and self._has_value_bias(part)
        return steps(
            raw.row,
            unembedding=raw.has_unembedding(),
            soft_cap=caps_logits,
            value_biases=folds,
            embed_norm=raw.embedding_norm() is not None,
        )

    @property
    def _centers_stream(self) -> bool:
        """Whether the stream itself is without its mean: not where some part reads it without a norm of its own."""
        centers = self._steps is not None and self._steps.center_writing_weights
        return centers and self._raw.row.reads_through_norm and not self._raw.row.first_layer_unnormed

    def _has_value_bias(self, part: Part) -> bool:
        norm = part.reads_through
        return "b_V" in part.weights or (norm is not None and norm.bias is not None)

    # --- weights --------------------------------------------------------------------------------------------------

    def _attention(self, layer: int) -> Part:
        def read() -> Part:
            part = self._raw.attention(layer)
            return part if self._steps is None else processed_attention(part, self._steps)

        return self._parts.get(("attn", layer), read)

    def _mlp(self, layer: int, expert: int | None = None) -> Part:
        def read() -> Part:
            part = self._raw.mlp(layer) if expert is None else self._raw.expert(layer, expert)
            return part if self._steps is None else processed_mlp(part, self._steps)

        return self._parts.get(("mlp", layer, expert), read)

    def _embedding(self) -> Part:
        """W_E, widened to the stream where a projection follows it; and W_pos."""

        def read() -> Part:
            weights = {"W_E": self._raw.embedding()}
            widened = self._raw.embedding_projection()
            if widened is not None:
                weights["W_E"] = self._widened(weights["W_E"], *widened)
            positions = self._raw.positions()
            if positions is not None:
                weights["W_pos"] = positions
            if self._steps is not None and self._steps.center_writing_weights:
                weights = {name: centered_rows(rows) for name, rows in weights.items()}
            return Part(weights)

        return self._parts.get(("embed",), read)

    def _widened(self, rows: NDArray[np.float32], matrix: NDArray[np.float32], bias: Any) -> NDArray[np.float32]:
        norm = self._raw.embedding_norm()
        if norm is not None:
            rows = normed(rows, norm, self.info.norm == LAYER_NORM, self._eps)
        found: NDArray[np.float32] = rows @ matrix
        return found if bias is None else found + bias

    def _unembedding(self) -> Part:
        def read() -> Part:
            matrix, bias = self._raw.unembedding()
            if matrix is None:
                if not self._raw.has_unembedding() or self._raw.embedding_width != self.info.d_model:
                    return Part({})
                matrix = self._raw.embedding().T if self.basis == "processed" else self.array("embed.W_E").T
            if self._steps is not None:
                matrix, bias = processed_unembedding(matrix, bias, self._raw.final_norm(), self._steps)
            return Part({"W_U": matrix, "b_U": np.zeros(self.info.d_vocab, np.float32) if bias is None else bias})

        return self._parts.get(("unembed",), read)

    def _part(self, name: str) -> tuple[Part | None, str]:
        """The part of the model that a weight belongs to, None without one, and the weight's name within it."""
        match = _NAME.fullmatch(name)
        if match is None:
            place, _, weight = name.partition(".")
            own = {"embed": ("W_E",), "pos_embed": ("W_pos",), "unembed": ("W_U", "b_U")}.get(place, ())
            if weight not in own:
                return None, weight
            return (self._unembedding() if place == "unembed" else self._embedding()), weight
        layer, kind, expert, weight = int(match[1]), match[2], match[3], match[4]
        if layer >= self.info.n_layers:
            return None, weight
        if kind == "attn":
            return (self._attention(layer) if self._raw.has_attention(layer) else None), weight
        if expert is None:
            return (self._mlp(layer) if self._raw.has_mlp(layer) else None), weight
        known = layer in self._raw.expert_layers() and int(expert) < self.info.n_experts
        return (self._mlp(layer, int(expert)) if known else None), weight

    def array(self, name: str) -> NDArray[np.float32]:
        """One weight by its TransformerLens name, as a numpy array. Do not write into it. Raises KeyError."""
        part, weight = self._part(name)
        if part is None or weight not in part.weights:
            raise KeyError(name)
        return part.weights[weight]

    def __getitem__(self, name: str) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(self.array(name)) if name != "unembed.W_U" else self.array(name))

    def __contains__(self, name: object) -> bool:
        part, weight = self._part(str(name))
        return part is not None and weight in part.weights

    def _places(self, layers: Collection[int] | None = None) -> Iterator[tuple[str, Callable[[], Part]]]:
        """The prefix of every part of the model, or of the embedding and some layers, and how to read it."""
        yield "embed", self._embedding
        for layer in range(self.info.n_layers):
            if layers is not None and layer not in layers:
                continue
            if self._raw.has_attention(layer):
                yield f"blocks.{layer}.attn", partial(self._attention, layer)
            if self._raw.has_mlp(layer):
                yield f"blocks.{layer}.mlp", partial(self._mlp, layer)
            if layer in self._raw.expert_layers():
                for expert in range(self.info.n_experts):
                    yield f"blocks.{layer}.mlp.experts.{expert}", partial(self._mlp, layer, expert)
        if layers is None:
            yield "unembed", self._unembedding

    def __iter__(self) -> Iterator[str]:
        for prefix, read in self._places():
            yield from (f"{'pos_embed' if name == 'W_pos' else prefix}.{name}" for name in read().weights)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Model({self.info.name!r}, basis={self.basis!r})"

    def check(self, layers: Collection[int] | None = None) -> None:
        """Read every weight once, or the embedding and those of some layers.

        Raises ModelError for one that is missing, misshapen or not finite.
        """
        for _, read in self._places(layers):
            read()

    def why_missing(self, layer: int, matrix: str) -> str:
        """Why a layer has no such matrix, in words that end a sentence."""
        row, attention = self._raw.row, matrix in WEIGHT_NAMES["attn"]
        reason = ""
        if attention:
            reason = row.no_attention or row.uneven
        elif layer in self._raw.expert_layers():
            reason = "its MLP is a mixture of experts, whose neurons belong to single experts"
        elif not self._raw.has_mlp(layer):
            reason = row.uneven
        return f"layer {layer} of this model has no {matrix}{f': {reason}' if reason else ''}"

    # --- what the architecture makes of them ------------------------------------------------------------------------

    def token_vectors(self) -> NDArray[np.float32]:
        """What the stream begins with for each token (d_vocab, d_model): W_E, after its own norm where there is one.

        Positions are left out, and so are token types.
        """
        norm = self._raw.embedding_norm()
        if norm is None or self._raw.embedding_projection() is not None:
            return self.array("embed.W_E")

        def read() -> Part:
            rows = normed(self.array("embed.W_E"), norm, self.info.norm == LAYER_NORM, self._eps)
            return Part({"W_E": centered_rows(rows) if self._centers_stream else rows})

        return self._parts.get(("tokens",), read).weights["W_E"]

    def written(self, layer: int, matrix: str, expert: int | None = None) -> NDArray[np.float32]:
        """W_O or W_out of a layer as it is added to the stream: with the gain of the norm that follows it, if any."""
        part = self._attention(layer) if matrix == "W_O" else self._mlp(layer, expert)
        norm = part.written_through
        found = part.weights[matrix]
        return found if norm is None or norm.gain is None else found * norm.gain

    def qk_gains(self, layer: int) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Gains of the norms of queries (n_heads, d_head) and keys (n_kv_heads, d_head); None where there is none."""
        part = self._attention(layer)
        return part.q_norm, part.k_norm

    def readout(self) -> tuple[NDArray[np.float32] | None, str]:
        """W_U (d_model, d_vocab) where only the final norm stands between the stream and it; else None, and why."""
        if "unembed.W_U" not in self:
            return None, "the model has no unembedding that reads the stream"
        if self._raw.row.family == "encoder":
            return None, "a nonlinear prediction head stands between the stream and the unembedding"
        return self.array("unembed.W_U"), ""

    # Mapping would compare contents, which tensors do not allow: only the same object is equal.
    __hash__ = object.__hash__
    __eq__ = object.__eq__
