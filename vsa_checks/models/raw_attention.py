"""Attention of a layer as it is stored, by TransformerLens names, and how fused matrices fall into heads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vsa_checks.errors import ModelError
from vsa_checks.models.parts import Array, Norm, Part, Weights
from vsa_checks.models.tensor_reader import TensorReader


class AttentionReader(TensorReader):
    """Reads attention, one layer at a time."""

    def attention_norm(self, layer: int) -> Norm | None:
        """The norm through which attention of a layer reads; None without one."""
        return self._layer_norm(layer, "attn_norm2", "attn_norm")

    def attention(self, layer: int) -> Part:
        """Attention of one layer: W_Q (h, d, r), W_K and W_V (kv, d, r), W_O (h, r, d), and biases."""
        shape, d = self.shape, self.shape.d_model
        h, kv, r = shape.n_heads, shape.n_kv_heads, shape.d_head
        weights: Weights = {}
        if self._has_role(layer, "q") or not self._has_role(layer, "qkv"):
            for role, letter, heads in (("q", "Q", h), ("k", "K", kv), ("v", "V", kv)):
                module = self._module(layer, role)
                rows = self._matrix(module, heads * r, d)
                bias = self._maybe(f"{module}.bias", (heads * r,))
                if self._permuted and role in "qk":
                    rows = _unpermuted(rows, heads)
                    bias = None if bias is None else _unpermuted(bias, heads)
                weights |= _heads(letter, rows, bias, heads)
        else:
            module = self._module(layer, "qkv")
            rows = self._matrix(module, (h + 2 * kv) * r, d)
            order = self._split(layer)
            bias = self._maybe(f"{module}.bias", ((h + 2 * kv) * r,))
            biases = (None, None, None) if bias is None else order(bias)
            for letter, part, some, heads in zip("QKV", order(rows), biases, (h, kv, kv), strict=True):
                weights |= _heads(letter, part, some, heads)
        module = self._module(layer, "o")
        out = self._matrix(module, d, h * r)
        weights["W_O"] = np.ascontiguousarray(out.T).reshape(h, r, d)
        bias = self._maybe(f"{module}.bias", (d,))
        if bias is not None:
            weights["b_O"] = bias
        return Part(
            weights,
            self.attention_norm(layer),
            self._layer_norm(layer, "attn_out_norm"),
            self._head_gain(layer, "q_norm", h),
            self._head_gain(layer, "k_norm", kv),
        )

    def _split(self, layer: int) -> Callable[[Array], tuple[Array, Array, Array]]:
        """How the rows of a fused matrix fall into queries, keys and values."""
        h, kv, r = self.shape.n_heads, self.shape.n_kv_heads, self.shape.d_head
        order = self.layout.qkv_order
        if order == "by group" and kv == 1 and h > 1:
            order = "concatenated"  # Falcon's older kind, one key head for all
        if order == "concatenated" and self.row.hf_class.startswith("GPTBigCode") and kv == h:
            order = "by head" if self.layout.layer.startswith("transformer") else order

        def split(rows: Array) -> tuple[Array, Array, Array]:
            rest = rows.shape[1:]
            if order == "concatenated":
                return rows[: h * r], rows[h * r : (h + kv) * r], rows[(h + kv) * r :]
            if order == "codegen":
                # CodeGen's four groups of heads, each with its queries, values and keys.
                some = rows.reshape(4, 3, -1, *rest)
                q, v, k = (np.ascontiguousarray(some[:, at]).reshape(-1, *rest) for at in range(3))
                return q, k, v
            # Falcon's groups: the queries of a key head, its key and its value; by head: one of each.
            each = h // kv if order == "by group" else 1
            groups = h if order == "by head" else kv
            some = rows.reshape(groups, each + 2, r, *rest)
            parts = some[:, :each], some[:, each], some[:, each + 1]
            q, k, v = (np.ascontiguousarray(part).reshape(-1, *rest) for part in parts)
            return q, k, v

        return split

    def _head_gain(self, layer: int, role: str, heads: int) -> Array | None:
        """Gains of the norm of queries or keys (heads, d_head); None without one."""
        module = self._module(layer, role)
        if not module:
            return None
        if self.has(f"{module}.norms.0.weight"):
            rows = [self._take(f"{module}.norms.{head}.weight", (self.shape.d_head,)) for head in range(heads)]
            return np.stack(rows)
        gain = self._maybe(f"{module}.weight")
        if gain is None:
            return None
        gain = gain + np.float32(self._norm_offset)
        r = self.shape.d_head
        if gain.size not in (r, heads * r):
            raise ModelError(
                f"The model {self.model} cannot be loaded: {module}.weight in {self.place} has {gain.size} values, for "
                f"{heads} heads of {r}. Configuration and weights do not match: fetch the model again."
            )
        return np.ascontiguousarray(np.broadcast_to(gain.reshape(-1, r), (heads, r)))


def _heads(letter: str, rows: Array, bias: Array | None, heads: int) -> Weights:
    """W (heads, d, r) and b (heads, r) of rows (heads * r, d), as TransformerLens has them."""
    d = rows.shape[1]
    found = {f"W_{letter}": np.ascontiguousarray(rows.reshape(heads, -1, d).transpose(0, 2, 1))}
    if bias is not None:
        found[f"b_{letter}"] = bias.reshape(heads, -1)
    return found


def _unpermuted(rows: Array, heads: int) -> Array:
    """Rows of Q or K in the order of transformers: llama.cpp rotates neighbours, transformers halves of a head."""
    r = len(rows) // heads
    some = rows.reshape(heads, r // 2, 2, *rows.shape[1:])
    return np.ascontiguousarray(np.swapaxes(some, 1, 2)).reshape(rows.shape)
