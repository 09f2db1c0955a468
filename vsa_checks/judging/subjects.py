"""Subjects: everything that is checked on a model, known from its shape before weights are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from vsa_checks.judging.claim import Claim
from vsa_checks.models import BASES, Basis

ATTENTION_MATRICES = ("W_Q", "W_K", "W_V", "W_O")
BINDING_MAPS = ("W_Q", "W_K", "OV")
"""The maps by which a head binds tokens: W_Q, W_K, and OV for the product W_V W_O."""


MOST_EXPERTS = 4
"""If a layer has more experts, this many are checked."""


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

    @property
    def n_experts(self) -> int:
        """Experts of each mixture; 0 in a model without."""
        ...

    @property
    def expert_layers(self) -> tuple[int, ...]:
        """The layers whose MLP is a mixture of experts."""
        ...


@dataclass(frozen=True)
class Subject:
    """One claim on one basis of the weights and, where it has them, one layer, one expert and one matrix."""

    claim: str
    basis: Basis
    layer: int | None = None
    matrix: str | None = None
    primary: bool = True
    expert: int | None = None

    @property
    def id(self) -> str:
        """claim/basis[/Llayer][/Eexpert][/matrix]."""
        parts = [self.claim, self.basis]
        if self.layer is not None:
            parts.append(f"L{self.layer}")
        if self.expert is not None:
            parts.append(f"E{self.expert}")
        if self.matrix is not None:
            parts.append(self.matrix)
        return "/".join(parts)

    @property
    def test_id(self) -> str:
        """The id for use in a pytest id, where "/" would be taken for a path."""
        return self.id.replace("/", ".")


def mlp_inputs(shape: LayerShape) -> tuple[str, ...]:
    """The matrices through which a layer's neurons read: a gated MLP has two."""
    return ("W_gate", "W_in") if shape.gated else ("W_in",)


def experts_of(shape: LayerShape, layer: int) -> tuple[int | None, ...]:
    """The experts of a layer that are checked: at most MOST_EXPERTS, evenly spaced; (None,) in a dense layer."""
    if layer not in shape.expert_layers:
        return (None,)
    if shape.n_experts <= MOST_EXPERTS:
        return tuple(range(shape.n_experts))
    return tuple(at * shape.n_experts // MOST_EXPERTS for at in range(MOST_EXPERTS))


def _places(claim: Claim, shape: LayerShape) -> Iterable[tuple[int | None, int | None, str | None]]:
    """Layer, expert and matrix of each subject."""
    layers = range(shape.n_layers)
    match claim.subjects:
        case "embeddings" | "stream" | "paper-model":
            return [(None, None, None)]
        case "attention-matrices":
            return [(layer, None, matrix) for layer in layers for matrix in ATTENTION_MATRICES]
        case "attention-maps":
            return [(layer, None, name) for layer in layers for name in BINDING_MAPS]
        case "attention-layers":
            return [(layer, None, None) for layer in layers]
        case "mlp-out":
            return [(layer, expert, None) for layer in layers for expert in experts_of(shape, layer)]
        case "mlp-in":
            return [
                (layer, expert, matrix)
                for layer in layers
                for expert in experts_of(shape, layer)
                for matrix in mlp_inputs(shape)
            ]
        case "mlp-in-first":
            return [(0, expert, matrix) for expert in experts_of(shape, 0) for matrix in mlp_inputs(shape)]
        case "mlp-inputs":
            return [(None, None, matrix) for matrix in mlp_inputs(shape)]
        case "mlp-in-nonlinear":
            # In a gated MLP the nonlinearity acts on the products with W_gate, which comes first in mlp_inputs.
            return [(0, expert, mlp_inputs(shape)[0]) for expert in experts_of(shape, 0)]
        case kind:
            raise ValueError(f"claim {claim.id} is about {kind!r}, which does not exist in any model")


def enumerate_subjects(claim: Claim, shape: LayerShape, bases: Iterable[Basis] = BASES) -> list[Subject]:
    """List all subjects of a claim on a model.

    Parameters
    ----------
    claim : Claim
        Its `subjects` says which kind of subject it has, its `primary` which of them are primary.
    shape : LayerShape
        Number of layers and kind of MLP; a `ModelInfo` has them.
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
        Subject(
            claim.id,
            basis,
            layer,
            matrix,
            claim.primary == "all" or (claim.primary == "layer-0" and layer == 0),
            expert,
        )
        for basis in bases
        for layer, expert, matrix in _places(claim, shape)
    ]
