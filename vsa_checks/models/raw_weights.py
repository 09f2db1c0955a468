"""The weights of a model as they are stored, by TransformerLens names: one part of one layer is read at a time."""

from __future__ import annotations

from dataclasses import dataclass

from vsa_checks.models.encoder_layouts import ALL_LOGITS
from vsa_checks.models.info import ModelInfo
from vsa_checks.models.parts import Array, Norm
from vsa_checks.models.raw_attention import AttentionReader
from vsa_checks.models.raw_mlp import MlpReader


class RawWeights(AttentionReader, MlpReader):
    """Reads every part of a model from its stored tensors."""

    def embedding(self) -> Array:
        """W_E (d_vocab, d_model), or narrower where a projection follows it."""
        return self._take(f"{self.layout.embed}.weight", (self.shape.d_vocab, self.embedding_width))

    @property
    def embedding_width(self) -> int:
        """Columns of W_E: d_model, but where a projection follows."""
        projected = self.layout.embed_project and self.has(f"{self.layout.embed_project}.weight")
        if not projected:
            return self.shape.d_model
        return int(self.stored.shape(self.module_names[f"{self.layout.embed_project}.weight"])[1])

    def embedding_norm(self) -> Norm | None:
        """The norm between W_E and the stream; None without one."""
        return self._norm(self.layout.embed_norm, self.embedding_width) if self.layout.embed_norm else None

    def embedding_projection(self) -> tuple[Array, Array | None] | None:
        """What widens W_E to the stream, (width, d_model) and its bias; None where nothing does."""
        name = self.layout.embed_project
        if not name or not self.has(f"{name}.weight"):
            return None
        matrix = self._take(f"{name}.weight", (self.shape.d_model, self.embedding_width))
        return matrix.T, self._maybe(f"{name}.bias", (self.shape.d_model,))

    def positions(self) -> Array | None:
        """W_pos (n_positions, d_model); None where positions are no learned vectors."""
        if not self.layout.positions:
            return None
        found = self._maybe(f"{self.layout.positions}.weight")
        if found is None or found.shape[1] != self.shape.d_model:
            return None
        return found[self.layout.first_position :]

    def final_norm(self) -> Norm | None:
        """The norm before the unembedding; None without one."""
        if not self.layout.final_norm:
            return Norm(None, None) if self.row.unweighted_norms else None
        return self._norm(self.layout.final_norm)

    def has_unembedding(self) -> bool:
        """Whether the model has an unembedding of its own, or ties it to W_E."""
        return self.tied or (bool(self.layout.unembed) and self.has(f"{self.layout.unembed}.weight"))

    def unembedding(self) -> tuple[Array | None, Array | None]:
        """W_U (d_model, d_vocab) and its bias; None where there is none. W_U is None too where it is W_E."""
        name = self.layout.unembed
        if not self.has_unembedding():
            return None, None
        project = self.layout.project_out
        if project and self.has(f"{project}.weight"):
            narrow = self._take(f"{project}.weight", (self.embedding_width, self.shape.d_model))
            return narrow.T @ self.embedding().T, None
        # A matrix of its own is used even if the configuration says that there is none, as transformers does.
        own = bool(name) and self.has(f"{name}.weight") and not self._narrow_head()
        matrix = self._take(f"{name}.weight", (self.shape.d_vocab, self.shape.d_model)) if own else None
        tokens = (self.shape.d_vocab,)
        bias = self._maybe(f"{name}.bias", tokens) if name else None
        other = self.layout.unembed_bias
        if bias is None and other:
            row = (1, *tokens) if other == ALL_LOGITS else tokens
            bias = self._maybe(other, row)
        return (None if matrix is None else matrix.T), None if bias is None else bias.reshape(-1)

    def _narrow_head(self) -> bool:
        """Whether the prediction head makes its input as narrow as W_E, so that no unembedding reads the stream."""
        shape = self.stored.shape(self.module_names[f"{self.layout.unembed}.weight"])
        return self.embedding_width != self.shape.d_model and shape == (self.shape.d_vocab, self.embedding_width)


@dataclass(frozen=True)
class Opened:
    """The stored weights of a model: how to read them, what is known, a note, norms' epsilon, and what is cut off."""

    raw: RawWeights
    info: ModelInfo
    note: str
    eps: float
    caps_logits: bool
    clips_values: bool = False
