"""TransformerLens's processing of weights, applied to one part of one layer at a time.

Every step leaves what the model computes as it is. The tests hold the result equal to TransformerLens's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vsa_checks.models.architecture import LAYER_NORM, Architecture
from vsa_checks.models.parts import Norm, Part

Array = NDArray[np.float32]
FLAGS = ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases")


@dataclass(frozen=True)
class Steps:
    """Which steps take effect on a model.

    fold_ln: weights of the norms go into what reads through them, and with LayerNorm the component that it takes away
    goes too. center_writing_weights: what is written to the stream has no mean over components. center_unembed: W_U has
    none over tokens. fold_value_biases: b_V goes into b_O.
    """

    fold_ln: bool
    center_writing_weights: bool
    center_unembed: bool
    fold_value_biases: bool
    layer_norm: bool

    def flags(self) -> dict[str, bool]:
        """The steps by TransformerLens's names."""
        return {name: getattr(self, name) for name in FLAGS}


def steps(row: Architecture, *, unembedding: bool, soft_cap: bool, value_biases: bool, embed_norm: bool) -> Steps:
    """Which steps leave the function of an architecture as it is.

    A mean over components may be taken out of what is written only if everything that reads the stream goes through a
    LayerNorm, and if nothing scales single components before they are added. A cap on the logits would see W_U's mean.
    """
    layer_norm = row.norm == LAYER_NORM
    normed = row.reads_through_norm or embed_norm
    return Steps(
        fold_ln=row.reads_through_norm,
        center_writing_weights=layer_norm
        and normed
        and not row.norms_what_is_written
        and row.family != "encoder-decoder",
        center_unembed=unembedding and not soft_cap,
        fold_value_biases=value_biases,
        layer_norm=layer_norm,
    )


def processed_attention(part: Part, chosen: Steps) -> Part:
    """Attention with its norm folded in, b_V folded into b_O, and what it writes centered."""
    weights = dict(part.weights)
    if chosen.fold_ln:
        for letter in "QKV":
            _fold(weights, f"W_{letter}", f"b_{letter}", part.reads_through, chosen.layer_norm)
    out = weights["W_O"]
    if chosen.fold_value_biases and "b_V" in weights:
        # Attention sums to one, so that the values' bias is written whatever is attended to.
        values = np.repeat(weights["b_V"], len(out) // len(weights["b_V"]), axis=0)
        written = np.einsum("hr,hrd->d", values.astype(np.float64), out.astype(np.float64))
        weights["b_O"] = (weights.get("b_O", np.zeros(out.shape[2], np.float32)) + written).astype(np.float32)
        weights["b_V"] = np.zeros_like(weights["b_V"])
    if chosen.center_writing_weights:
        _center(weights, "W_O", "b_O")
    return replace(part, weights=weights, reads_through=None if chosen.fold_ln else part.reads_through)


def processed_mlp(part: Part, chosen: Steps) -> Part:
    """MLP, or one expert, with its norm folded in and what it writes centered."""
    weights = dict(part.weights)
    if chosen.fold_ln:
        for name in ("in", "gate"):
            if f"W_{name}" in weights:
                _fold(weights, f"W_{name}", f"b_{name}", part.reads_through, chosen.layer_norm)
    if chosen.center_writing_weights:
        _center(weights, "W_out", "b_out")
    return replace(part, weights=weights, reads_through=None if chosen.fold_ln else part.reads_through)


def processed_unembedding(
    matrix: Array, bias: Array | None, norm: Norm | None, chosen: Steps
) -> tuple[Array, Array | None]:
    """W_U (d, V) with the final norm folded in, without a mean over tokens; and its bias."""
    weights = {"W_U": matrix} | ({} if bias is None else {"b_U": bias})
    if chosen.fold_ln:
        _fold(weights, "W_U", "b_U", norm, chosen.layer_norm)
    if chosen.center_unembed:
        weights["W_U"] = weights["W_U"] - weights["W_U"].mean(axis=1, keepdims=True, dtype=np.float64).astype(
            np.float32
        )
        if "b_U" in weights:
            weights["b_U"] = weights["b_U"] - weights["b_U"].mean()
    return weights["W_U"], weights.get("b_U")


def centered_rows(rows: Array) -> Array:
    """Rows without their mean over components."""
    found: Array = rows - rows.mean(axis=-1, keepdims=True, dtype=np.float64).astype(np.float32)
    return found


def normed(rows: Array, norm: Norm, layer_norm: bool, eps: float) -> Array:
    """What a norm makes of rows (n, d)."""
    found = np.empty_like(rows)
    for start in range(0, len(rows), 8192):
        some = rows[start : start + 8192].astype(np.float64)
        if layer_norm:
            some -= some.mean(axis=1, keepdims=True)
        some /= np.sqrt((some**2).mean(axis=1, keepdims=True) + eps)
        if norm.gain is not None:
            some *= norm.gain
        if norm.bias is not None:
            some += norm.bias
        found[start : start + 8192] = some
    return found


def _fold(weights: dict[str, Array], matrix: str, bias: str, norm: Norm | None, layer_norm: bool) -> None:
    """Fold a norm into a matrix that reads through it, (d, m) or (heads, d, r)."""
    if norm is None:
        return  # what it reads is the stream itself
    W = weights[matrix]
    if norm.bias is not None:
        read = np.einsum("...dm,d->...m", W.astype(np.float64), norm.bias.astype(np.float64))
        weights[bias] = (weights.get(bias, np.float32(0.0)) + read).astype(np.float32)
    if norm.gain is not None:
        W = W * norm.gain[:, None]
    if layer_norm:
        W = W - W.mean(axis=-2, keepdims=True, dtype=np.float64).astype(np.float32)
    weights[matrix] = W


def _center(weights: dict[str, Array], matrix: str, bias: str) -> None:
    weights[matrix] = centered_rows(weights[matrix])
    if bias in weights:
        weights[bias] = centered_rows(weights[bias][None])[0]
