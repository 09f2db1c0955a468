"""The origin of each threshold, in one sentence; docs/calibration.md ("Why these thresholds") has the trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vsa_checks.judging.claim import load_claims

OURS = {
    "bundle-recall": "nine tenths of the recall of independent vectors; embeddings miss it if half of the dimensions"
    " are lost, or if each token has one near-copy",
    "embedding-mean-zero": "planted and random embeddings meet it; embeddings with a common part of .23 of their"
    " length miss it",
    "embedding-component-mean": "planted and random embeddings meet it; embeddings with a common part of .23 of their"
    " length miss it",
    "embedding-copies": "one token in a hundred; the share of pairs does not show copies, this claim shows the first",
    "attention-ov-isometry": "nine tenths of the value for products of random matrices, which is lenient",
    "attention-qk-isometry": "nine tenths of the value for products of random matrices, which is lenient",
    "attention-ov-isometry-as-random": "a level that 99 in 100 layers of Gaussian heads reach",
    "attention-qk-isometry-as-random": "a level that 99 in 100 layers of Gaussian heads reach",
    "attention-beyond-random": "a tenth of the way from random vectors to the most even vectors possible",
    "mlp-out-beyond-random": "a tenth of the way from random vectors to the most even vectors possible",
    "binding-preserves-similarity": "a quarter more change than Gaussian matrices of the same shape make",
    "unbinding-recovers": "nine tenths of what Gaussian matrices of the same shape recover",
    "neurons-beyond-chance": "twice the share of random directions above the level, which is one in a hundred by"
    " construction; the nulls decide whether it is more than luck",
    "neurons-kurtosis": "twice the share of random directions above the level, which is one in a hundred by"
    " construction; the nulls decide whether it is more than luck",
    "circuits-bound-tokens": "it says nothing by itself, since any larger dictionary explains more: the null decides",
    "circuits-mlp-to-mlp": "one reading neuron in twenty, whatever the width of the layers",
    "neuron-or": "it is lenient by itself, since a bundle fitted to a neuron drives it: the nulls decide",
}
_NEAR_ORTHOGONAL = "twice the value for random vectors; vectors that fill less than a quarter of the dimensions miss it"
_ARTIFACTS = "one pair in a hundred, whereas random vectors have almost none"
_WEAK = "signals far weaker than a planted model's meet it: the nulls decide"
OURS |= dict.fromkeys(
    (
        "embedding-near-orthogonal",
        "embedding-near-orthogonal-centered",
        "attention-near-orthogonal",
        "mlp-out-near-orthogonal",
        "residual-components",
    ),
    _NEAR_ORTHOGONAL,
)
OURS |= dict.fromkeys(
    ("embedding-artifacts", "embedding-artifacts-centered", "attention-artifacts", "mlp-out-artifacts"), _ARTIFACTS
)
OURS |= dict.fromkeys(
    ("attention-rebinds", "attention-next-token", "neuron-and", "residual-keeps-token", "circuit-figure2"), _WEAK
)


def origin(claim: str, record: Mapping[str, Any]) -> str:
    """Whose threshold it is, and why it was chosen; for a record of another version, only the first is known."""
    if record["threshold_origin"] == "paper":
        return "This is the paper's own threshold."
    now = load_claims().get(claim)
    same = now is not None and all(record[name] == getattr(now, name) for name in ("threshold", "threshold_unit"))
    why = OURS.get(claim) if same else None
    return f"The paper gives no threshold; this one is ours{f': {why}' if why else ''}."
