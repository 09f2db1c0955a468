"""What each check looks at: all subjects of a model, known from its shape before weights are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from vsa_checks.judging.claim import Claim
from vsa_checks.models import BASES, Basis

ATTENTION_MATRICES = ("W_Q", "W_K", "W_V", "W_O")
BINDING_MAPS = ("W_Q", "W_K", "OV")
"""The maps by which a head binds tokens: W_Q, W_K, and OV for the product W_V W_O."""


class LayerShape(Protocol):
    """The part of a model's description that decides which subjects it has."""

    @property
    def n_layers(self) -> int:
        """Layers of the model."""
        ...

    @property
    def gated(self) -> bool:
        """Whether its MLP has two input matrices, W_gate and W_in."""
        ...


@dataclass(frozen=True)
class Subject:
    """One claim on one basis of the weights and, where it has them, one layer and one matrix."""

    claim: str
    basis: Basis
    layer: int | None = None
    matrix: str | None = None
    primary: bool = True

    @property
    def id(self) -> str:
        """claim/basis[/Llayer][/matrix]."""
        parts = [self.claim, self.basis]
        if self.layer is not None:
            parts.append(f"L{self.layer}")
        if self.matrix is not None:
            parts.append(self.matrix)
        return "/".join(parts)

    @property
    def test_id(self) -> str:
        """The id as it stands in a pytest id, where "/" would be taken for a path."""
        return self.id.replace("/", ".")


def mlp_inputs(shape: LayerShape) -> tuple[str, ...]:
    """The matrices through which a layer's neurons read: a gated MLP has two."""
    return ("W_gate", "W_in") if shape.gated else ("W_in",)


def _places(claim: Claim, shape: LayerShape) -> Iterable[tuple[int | None, str | None]]:
    layers = range(shape.n_layers)
    match claim.subjects:
        case "embeddings" | "stream" | "paper-model":
            return [(None, None)]
        case "attention-matrices":
            return [(layer, matrix) for layer in layers for matrix in ATTENTION_MATRICES]
        case "attention-maps":
            return [(layer, name) for layer in layers for name in BINDING_MAPS]
        case "attention-layers" | "mlp-out":
            return [(layer, None) for layer in layers]
        case "mlp-in":
            return [(layer, matrix) for layer in layers for matrix in mlp_inputs(shape)]
        case "mlp-in-first":
            return [(0, matrix) for matrix in mlp_inputs(shape)]
        case "mlp-inputs":
            return [(None, matrix) for matrix in mlp_inputs(shape)]
        case "mlp-in-nonlinear":
            # In a gated MLP the nonlinearity acts on the products with W_gate, which comes first in mlp_inputs.
            return [(0, mlp_inputs(shape)[0])]
        case kind:
            raise ValueError(f"claim {claim.id} is about {kind!r}, which no model has")


def enumerate_subjects(claim: Claim, shape: LayerShape, bases: Iterable[Basis] = BASES) -> list[Subject]:
    """List all subjects of a claim on a model.

    Parameters
    ----------
    claim : Claim
        Its `subjects` says which kind of subject it has, its `primary` which of them are primary.
    shape : LayerShape
        Number of layers and kind of MLP; a `ModelInfo` has both.
    bases : iterable of {"processed", "raw"}
        The bases of the weights.

    Returns
    -------
    list of Subject
        Basis by basis, in order of layers.

    Raises
    ------
    ValueError
        If the claim's kind of subject is not known.
    """
    return [
        Subject(claim.id, basis, layer, matrix, claim.primary == "all" or (claim.primary == "layer-0" and layer == 0))
        for basis in bases
        for layer, matrix in _places(claim, shape)
    ]
