"""What is known of a model before its weights are read."""

from __future__ import annotations

from dataclasses import dataclass

from vsa_checks.models.architecture import Shape


@dataclass(frozen=True)
class ModelInfo(Shape):
    """Identity and sizes of one model, as they go into every report.

    `location` is for people: hub id, distribution==version, or path. `sha256` is that of the weights file; of several
    files that of the lines "name sha256" sorted by name; None while the weights are not on this machine. `dtype` is
    how most weights are stored. `text` says whether there is a usable tokenizer, `text_reason` why not.
    `parallel`: attention and MLP of a layer read the same stream, so a layer's heads do not feed its own neurons.
    `n_experts`: experts of each mixture, 0 in a model without;
    `expert_layers`: the layers that have them.
    """

    name: str
    source: str
    location: str
    sha256: str | None
    revision: str | None
    architecture: str
    dtype: str
    quantization: str | None
    is_paper_model: bool
    gated: bool
    norm: str
    causal: bool
    licence: str
    notes: str
    text: bool
    text_reason: str
    parallel: bool = False
    n_experts: int = 0
    expert_layers: tuple[int, ...] = ()
