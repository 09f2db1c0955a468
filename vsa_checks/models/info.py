"""What is known of a model before its weights are read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelInfo:
    """Identity and sizes of one model, as they go into every report.

    `location` is for people: hub id, distribution==version, or path. `sha256` is that of the weights file;
    for several files that of the lines "name sha256" sorted by name; None while the weights are not on this
    machine. `dtype` is how most weights are stored. `text` says whether there is a usable tokenizer,
    `text_reason` why not.
    """

    name: str
    source: str
    location: str
    sha256: str | None
    revision: str | None
    architecture: str
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_mlp: int
    d_vocab: int
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
