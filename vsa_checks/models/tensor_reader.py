"""Reads single tensors of a model by the names that its class has for them, and checks shapes and values."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from vsa_checks.errors import ModelError
from vsa_checks.models.architecture import Architecture, Shape
from vsa_checks.models.layout import Layout
from vsa_checks.models.parts import Array, Norm
from vsa_checks.models.storage import Stored
from vsa_checks.models.tensor_names import by_module_name, expert_layers, missing_tensors

# Weights of trained models stay below a million.
_LARGEST = 1e15


class TensorReader:
    """Reads stored tensors of a model by the names that its class has for them, and checks each.

    Parameters
    ----------
    stored : Stored
    row : Architecture
    layout : Layout
        Names of the tensors in these files.
    shape : Shape
    model, place : str
        Name of the model and where its weights are, for messages.
    expected : collection of str or None
        Names of the tensors that the model's class has with this configuration; others are not read. None: all.
    norm_offset : float
        What is added to the weights of norms.
    permuted : bool
        Whether rows of Q and K are reordered within heads, as llama.cpp's converter does.
    parallel, gated : bool
    """

    def __init__(
        self,
        stored: Stored,
        row: Architecture,
        layout: Layout,
        shape: Shape,
        *,
        model: str,
        place: str,
        expected: Collection[str] | None = None,
        norm_offset: float = 0.0,
        permuted: bool = False,
        parallel: bool = False,
        gated: bool = True,
        n_experts: int = 0,
        tied: bool = False,
    ) -> None:
        self.stored, self.row, self.layout, self.shape = stored, row, layout, shape
        self.model, self.place = model, place
        self._norm_offset, self._permuted, self._parallel, self._gated = norm_offset, permuted, parallel, gated
        self.n_experts, self.tied = n_experts, tied
        self._expected = expected
        self.module_names = by_module_name(stored.names, layout)
        if f"{layout.embed}.weight" not in self.module_names:
            raise self._missing(self._as_stored(f"{layout.embed}.weight"))

    # --- names ----------------------------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether a tensor of this name is stored and belongs to the model."""
        # A bias that the configuration leaves out is stored in vain; experts have other names in the class.
        left_out = self._expected is not None and name.endswith(".bias") and name not in self._expected
        return name in self.module_names and not left_out

    def _as_stored(self, name: str) -> str:
        return self.module_names.get(name, name)

    def _take(self, name: str, shape: tuple[int, ...] | None = None, index: int | None = None) -> Array:
        if not self.has(name):
            raise self._missing(self._as_stored(name))
        stored = self.module_names[name]
        found = self.stored.shape(stored) if index is None else self.stored.shape(stored)[1:]
        if shape is not None and tuple(found) != shape:
            raise ModelError(
                f"The model {self.model} cannot be loaded: {stored} in {self.place} has the shape {tuple(found)}, its "
                f"configuration asks for {shape}. Configuration and weights do not match: fetch the model "
                "again."
            )
        values = self.stored.read(stored, index)
        _check_finite(values, stored, self.model, self.place)
        return values

    def _maybe(self, name: str, shape: tuple[int, ...] | None = None) -> Array | None:
        return self._take(name, shape) if self.has(name) else None

    def _missing(self, name: str) -> ModelError:
        return missing_tensors(self.model, self.place, [name], list(self.stored.names))

    def _norm(self, module: str, width: int | None = None) -> Norm | None:
        """A norm of the stream, or of what is `width` wide."""
        shape = (width or self.shape.d_model,)
        gain, bias = self._maybe(f"{module}.weight", shape), self._maybe(f"{module}.bias", shape)
        without_weights = self._expected is not None and f"{module}.weight" not in self._expected
        if gain is None and not without_weights:
            raise self._missing(self._as_stored(f"{module}.weight"))
        return Norm(None if gain is None else gain + np.float32(self._norm_offset), bias)

    # --- layers ---------------------------------------------------------------------------------------------------

    def _module(self, layer: int, role: str) -> str:
        return self.layout.layer.format(layer) + self.layout.roles[role] if role in self.layout.roles else ""

    def _has_role(self, layer: int, role: str) -> bool:
        module = self._module(layer, role)
        return bool(module) and self.has(f"{module}.weight")

    def has_attention(self, layer: int) -> bool:
        """Whether a layer has attention with matrices of the four kinds."""
        if "o" not in self.layout.roles or self.row.no_attention:
            return False
        return not self.row.uneven or self._has_role(layer, "o")

    def expert_layers(self) -> tuple[int, ...]:
        """The layers whose MLP is a mixture of experts."""
        return expert_layers(self.layout, self.module_names, self.shape.n_layers) if self.n_experts else ()

    def has_mlp(self, layer: int) -> bool:
        """Whether a layer has an MLP that is no mixture of experts."""
        if "down" not in self.layout.roles:
            return False
        optional = self.row.uneven or self.layout.experts is not None
        return not optional or self._has_role(layer, "down")

    def _layer_norm(self, layer: int, *roles: str) -> Norm | None:
        """The first of the norms named that the layer has. Raises ModelError if it should have one and has none."""
        named = [role for role in roles if role in self.layout.roles]
        for role in named:
            if self._has_role(layer, role):
                return self._norm(self._module(layer, role))
        module = f"{self._module(layer, named[-1])}.weight" if named else ""
        absent = self._expected is not None and module not in self._expected
        if named and not absent:
            raise self._missing(self._as_stored(module))
        # Where the class has no weights for it, the norm only norms; but ModernBERT's first layer has no norm at all.
        written = "attn_out_norm" in roles or "mlp_out_norm" in roles
        normed = bool(named) or (self.row.unweighted_norms and not written)
        return Norm(None, None) if normed and not self.row.first_layer_unnormed else None

    def has_sinks(self, layer: int) -> bool:
        """Whether heads may attend to nothing, so that attention does not sum to one."""
        names = ("self_attn.sinks", "attn_sinks.weight")
        return any(f"{self.layout.layer.format(layer)}{name}" in self.module_names for name in names)

    def _matrix(self, module: str, rows: int, columns: int) -> Array:
        """A matrix as (out, in)."""
        if self.layout.transposed:
            return self._take(f"{module}.weight", (columns, rows)).T
        return self._take(f"{module}.weight", (rows, columns))


def _check_finite(values: Array, name: str, model: str, place: str) -> None:
    # Minimum and maximum are NaN where a value is, and take no copy.
    largest = max(-float(values.min()), float(values.max())) if values.size else 0.0
    if _LARGEST < largest < float("inf"):
        raise ModelError(
            f"The model {model} cannot be trusted: {name} in {place} holds values as large as {largest:.3g}, whose "
            "squares and sums go beyond float32. No measurement would mean anything; fetch, save or convert the model "
            "again."
        )
    if not largest <= _LARGEST:
        bad = int((~np.isfinite(values)).sum())
        raise ModelError(
            f"The model {model} cannot be trusted: {name} in {place} holds {bad:,} values that are NaN or "
            f"infinite, of {values.size:,}. No measurement would mean anything; fetch, save or convert the model again."
        )
