"""MLP of a layer, or one expert of a mixture, as it is stored, by TransformerLens names."""

from __future__ import annotations

import numpy as np

from vsa_checks.errors import ModelError
from vsa_checks.models.layout import Experts
from vsa_checks.models.parts import Array, Norm, Part, Weights
from vsa_checks.models.tensor_names import expert_name
from vsa_checks.models.tensor_reader import TensorReader


class MlpReader(TensorReader):
    """Reads MLPs and experts, one layer at a time."""

    def mlp(self, layer: int) -> Part:
        """MLP of one layer: W_in and W_gate (d, m), W_out (m, d), and biases."""
        d, wanted = self.shape.d_model, self.shape.d_mlp
        weights: Weights = {}
        if "gate_up" in self.layout.roles:
            both = self._module(layer, "gate_up")
            rows, bias = self._matrix(both, 2 * wanted, d), self._maybe(f"{both}.bias", (2 * wanted,))
            for at, name in enumerate(("gate", "in")):
                weights[f"W_{name}"] = np.ascontiguousarray(rows[at * wanted : (at + 1) * wanted].T)
                if bias is not None:
                    weights[f"b_{name}"] = bias[at * wanted : (at + 1) * wanted]
        else:
            up = self._module(layer, "up2" if self._has_role(layer, "up2") else "up")
            down = self._module(layer, "down")
            width = wanted
            if self.layout.experts is not None and self.has(f"{down}.weight"):
                # A dense layer among mixtures has a width of its own.
                width = self.stored.shape(self.module_names[f"{down}.weight"])[1]
            matrices = [("in", up)] + ([("gate", self._module(layer, "gate"))] if self._gated else [])
            for name, module in matrices:
                weights[f"W_{name}"] = np.ascontiguousarray(self._matrix(module, width, d).T)
                bias = self._maybe(f"{module}.bias", (width,))
                if bias is not None:
                    weights[f"b_{name}"] = bias
        down = self._module(layer, "down")
        weights["W_out"] = np.ascontiguousarray(self._matrix(down, d, len(weights["W_in"].T)).T)
        bias = self._maybe(f"{down}.bias", (d,))
        if bias is not None:
            weights["b_out"] = bias
        return self._mlp_part(layer, weights)

    def mlp_norm(self, layer: int) -> Norm | None:
        """The norm through which MLP or experts of a layer read; None without one."""
        names = ("mlp_norm2", "mlp_norm")
        if self._parallel and not any(self._has_role(layer, role) for role in names):
            names = ("attn_norm2", "attn_norm")  # one norm for both
        return self._layer_norm(layer, *names)

    def _mlp_part(self, layer: int, weights: Weights) -> Part:
        return Part(weights, self.mlp_norm(layer), self._layer_norm(layer, "mlp_out_norm"))

    def expert(self, layer: int, expert: int) -> Part:
        """One expert of a layer: W_in and W_gate (d, m), W_out (m, d), and biases."""
        experts = self.layout.experts
        assert experts is not None
        d, wanted = self.shape.d_model, self.shape.d_mlp
        weights: Weights = {}
        if experts.fused:
            rows = self._fused_expert(layer, expert, experts)
            halves = (
                (rows[::2], rows[1::2]) if experts.interleaved else (rows[: len(rows) // 2], rows[len(rows) // 2 :])
            )
            weights["W_gate"], weights["W_in"] = (np.ascontiguousarray(half.T) for half in halves)
            down = self._take(expert_name(self.layout, layer, "down", expert), None, expert)
            weights["W_out"] = np.ascontiguousarray(down.T if experts.rows_out else down)
            for name, role in (("gate_up_proj_bias", "up"), ("down_proj_bias", "down")):
                biases = f"{self.layout.layer.format(layer)}{experts.module}.{name}"
                if self.has(biases):
                    bias = self._take(biases, (d if role == "down" else 2 * wanted,), expert)
                    weights |= {"b_out": bias} if role == "down" else {"b_gate": bias[::2], "b_in": bias[1::2]}
        else:
            index = None if experts.module else expert
            for name, role in (("W_in", "up"), ("W_gate", "gate"), ("W_out", "down")):
                wide = (d, wanted) if role == "down" else (wanted, d)
                rows = self._take(expert_name(self.layout, layer, role, expert), wide, index)
                weights[name] = np.ascontiguousarray(rows.T)
                biases = expert_name(self.layout, layer, role, expert).removesuffix("weight") + "bias"
                if self.has(biases):
                    weights[f"b_{name[2:]}"] = self._take(biases, wide[:1], index)
        if weights["W_in"].shape != (d, wanted) or weights["W_out"].shape != (wanted, d):
            found = f"{weights['W_in'].shape} and {weights['W_out'].shape}"
            raise ModelError(
                f"The model {self.model} cannot be loaded: expert {expert} of layer {layer} in {self.place} has "
                f"matrices of {found}, its configuration asks for {(d, wanted)}. "
                "Configuration and weights do not match: fetch the model again."
            )
        return self._mlp_part(layer, weights)

    def _fused_expert(self, layer: int, expert: int, experts: Experts) -> Array:
        """Gate and up of one expert as rows (2 m, d)."""
        found = self._take(expert_name(self.layout, layer, "up", expert), None, expert)
        return found if experts.rows_out else found.T
