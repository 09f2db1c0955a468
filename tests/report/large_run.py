"""A document as large as a run on a gated model of 30 layers gives, with figures that look like one.

The figures are drawn from a seeded generator and say nothing about any model.
"""

import math
import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.report.factory import FakeClaim, Json, document, null, result

SQRT_D = math.sqrt(576)
NO_NULL: dict[str, Any] = {"decisive": (), "alpha": None, "delta": None}
ORTHOGONAL: dict[str, Any] = NO_NULL | {
    "section": "3.1",
    "metric": "rms cosine of all pairs",
    "direction": "<=",
    "threshold": 2.0,
    "threshold_unit": "1/sqrt(d_model)",
}
ARTIFACTS: dict[str, Any] = NO_NULL | {
    "section": "3.1",
    "metric": "share of pairs with |cos| > 6/sqrt(d)",
    "direction": "<=",
    "threshold": 0.01,
}
BEYOND: dict[str, Any] = {
    "section": "goes beyond the paper",
    "metric": "rms cosine over the median of Gaussians",
    "direction": "<=",
    "threshold": 0.95,
    "decisive": ("gaussian",),
    "delta": 0.0,
}
CURVE: Json = {
    "x_label": "tokens in the bundle",
    "y_label": "median cosine",
    "x": [1, 2, 3, 5, 8, 10],
    "series": [
        {"name": "neurons", "y": [0.2, 0.27, 0.31, 0.38, 0.44, 0.47]},
        {"name": "random directions", "y": [0.16, 0.22, 0.26, 0.31, 0.37, 0.4]},
    ],
}


def _claim(name: str, title: str, statement: str, **rest: Any) -> FakeClaim:
    return FakeClaim(name, title=title, statement=statement, **rest)


LARGE_CLAIMS = (
    _claim(
        "embedding-mean-zero",
        "Embeddings have mean zero",
        "The mean of the token embeddings is near zero.",
        **NO_NULL,
        section="2.1",
        metric="share of squared norm in the mean",
        direction="<=",
        threshold=0.05,
    ),
    _claim(
        "embedding-near-orthogonal",
        "Embeddings are nearly orthogonal",
        "Token embeddings are nearly orthogonal to each other.",
        **ORTHOGONAL,
    ),
    _claim(
        "embedding-near-orthogonal-centered",
        "Centered embeddings are nearly orthogonal",
        "Token embeddings, their mean taken out, are nearly orthogonal to each other.",
        **ORTHOGONAL,
    ),
    _claim(
        "embedding-artifacts",
        "Few embedding pairs are far from orthogonal",
        "Hardly any pair of token embeddings is far from orthogonal.",
        **ARTIFACTS,
    ),
    _claim(
        "attention-near-orthogonal",
        "Attention vectors are nearly orthogonal",
        "The vectors of W_Q, W_K, W_V and W_O are nearly orthogonal to each other.",
        **ORTHOGONAL,
    ),
    _claim(
        "attention-artifacts",
        "Few attention vectors are far from orthogonal",
        "Hardly any pair of attention vectors is far from orthogonal.",
        **ARTIFACTS,
    ),
    _claim(
        "mlp-out-near-orthogonal",
        "MLP output vectors are nearly orthogonal",
        "What the MLP neurons write is nearly orthogonal.",
        **ORTHOGONAL,
    ),
    _claim(
        "attention-ov-isometry",
        "W_V W_O keeps angles",
        "A head's value-output map keeps dot products.",
        **NO_NULL,
        section="2.2",
        metric="median over heads of (sum s^2)^2 / (d_head sum s^4)",
        threshold=0.9,
        threshold_unit="reference",
    ),
    _claim(
        "attention-beyond-random",
        "More orthogonal than random",
        "Attention vectors are closer to orthogonal than random vectors of the same norms are.",
        **BEYOND,
    ),
    _claim(
        "mlp-out-beyond-random",
        "MLP outputs more orthogonal than random",
        "What the MLP neurons write is closer to orthogonal than random vectors of the same norms are.",
        **BEYOND,
        primary="none",
    ),
    _claim(
        "neurons-cos50",
        "80% of neurons at cosine 0.5",
        "More than 80% of the first layer's neurons are sums of token embeddings to a cosine of 0.5.",
        metric="share of neurons with cosine >= .5",
        threshold=0.8,
        threshold_origin="paper",
        decisive=("random directions", "covariance-matched neurons"),
        primary="layer-0",
    ),
    _claim(
        "neurons-beyond-chance",
        "Neurons beyond chance",
        "Some neurons fit a bundle of five tokens better than random directions do.",
        metric="share of neurons beyond the 99th percentile of random directions",
        threshold=0.05,
        decisive=("covariance-matched neurons",),
        primary="layer-0",
    ),
    _claim(
        "neurons-table1",
        "The seven published neurons",
        "The paper's seven example neurons have the published cosines.",
        **NO_NULL,
        metric="largest difference in cosine",
        direction="<=",
        threshold=0.03,
        threshold_origin="paper",
    ),
    _claim(
        "neuron-or",
        "Neurons are ORs",
        "A neuron answers each member of its bundle alone.",
        section="2.4",
        metric="share of members",
    ),
)


def large(bases: Sequence[str] = ("processed",), n_layers: int = 30, seed: int = 0) -> Json:
    """A document as a run on a gated model of 30 layers would give: about 600 results per basis."""
    draw = random.Random(seed)
    claims = {claim.id: claim for claim in LARGE_CLAIMS}
    results: list[Json] = []
    for basis in bases:
        results += _embedding_results(claims, basis, draw)
        for layer in range(n_layers):
            edge = layer in (0, n_layers - 1)
            for matrix in ("W_Q", "W_K", "W_V", "W_O"):
                results += _attention_results(claims, basis, layer, matrix, draw)
            for matrix in ("OV", "QK"):
                claim = claims["attention-ov-isometry"]
                value, reference = draw.uniform(0.25, 0.62), 0.5
                beside: Json = {
                    "threshold": 0.9 * reference,
                    "reference": {"name": "product of Gaussians", "value": reference},
                    "details": _by_head(draw, value),
                }
                results.append(result(claim, value, basis=basis, layer=layer, matrix=matrix, **beside))
            results += _mlp_results(claims, basis, layer, draw)
            for matrix, height in (("W_gate", 0.42), ("W_in", 0.25)):
                value = height * draw.uniform(0.9, 1.1) if edge else draw.uniform(0.008, 0.035)
                chance = draw.uniform(0.008, 0.03)
                matched = null(
                    "covariance-matched neurons",
                    chance,
                    0.0005 if edge else draw.uniform(0.02, 0.9),
                    spread=0.006,
                )
                shown = null("coordinates permuted", 0.011, None, decisive=False, delta=None)
                spot: Json = {"basis": basis, "layer": layer, "matrix": matrix, "details": {"curve": CURVE}}
                results.append(result(claims["neurons-beyond-chance"], value, nulls=[matched, shown], **spot))
    return document(results, LARGE_CLAIMS)


def _embedding_results(claims: Mapping[str, FakeClaim], basis: str, draw: random.Random) -> list[Json]:
    law = {"name": "random vectors", "value": 1 / SQRT_D}
    tokens: Json = {"n_examined": 49152, "details": _histogram(draw, 0.05)}
    found = [
        result(
            claims["embedding-mean-zero"],
            0.098,
            basis=basis,
            reference={"name": "1/V", "value": 1 / 49152},
            **tokens,
        ),
        result(
            claims["embedding-near-orthogonal"],
            0.1203,
            basis=basis,
            threshold=2 / SQRT_D,
            reference=law,
            **tokens,
        ),
        result(
            claims["embedding-near-orthogonal-centered"],
            0.0687,
            basis=basis,
            threshold=2 / SQRT_D,
            reference=law,
            **tokens,
        ),
        result(
            claims["embedding-artifacts"],
            0.0021,
            basis=basis,
            reference={"name": "Beta law", "value": 1.3e-9},
            **tokens,
        ),
        result(
            claims["neurons-table1"],
            None,
            basis=basis,
            reason="The published neurons are of GPT-2 small only.",
        ),
    ]
    sweep = [
        {"neurons_per_token": k, "share_50": s, "share_30": t, "null_share_50": n, "null_share_30": m}
        for k, s, t, n, m in (
            (1, 0.31, 0.72, 0.22, 0.8),
            (2, 0.7, 0.9, 0.74, 0.99),
            (3, 0.93, 0.99, 0.97, 1.0),
            (None, 1.0, 1.0, 1.0, 1.0),
        )
    ]
    for matrix in ("W_gate", "W_in"):
        nulls = [null("random directions", 0.9994, 0.61), null("covariance-matched neurons", 0.9988, 0.44)]
        claim = claims["neurons-cos50"]
        details = {
            "sweep": sweep,
            "notes": ["Share of the span's ceiling: 0.93."],
            "histogram": _histogram(draw, 0.1)["histogram"],
        }
        value = 0.9991 if matrix == "W_gate" else 0.9984
        found.append(result(claim, value, basis=basis, layer=0, matrix=matrix, nulls=nulls, details=details))
        reason = "Needs activations; the model came without a usable tokenizer."
        found.append(result(claims["neuron-or"], None, basis=basis, layer=0, matrix=matrix, reason=reason))
    return found


def _attention_results(
    claims: Mapping[str, FakeClaim], basis: str, layer: int, matrix: str, draw: random.Random
) -> list[Json]:
    spot: Json = {"basis": basis, "layer": layer, "matrix": matrix}
    rms = draw.uniform(0.045, 0.08) + (0.03 if layer < 2 and matrix in ("W_Q", "W_K") else 0)
    gaussian = {"name": "Gaussian", "value": 0.0417}
    heads = _by_head(draw, rms)
    near = result(
        claims["attention-near-orthogonal"],
        rms,
        threshold=2 / SQRT_D,
        reference=gaussian,
        details=heads | _histogram(draw, rms),
        recorded={"verdict": "holds", "reason": f"{rms:.3g}."},
        **spot,
    )
    share = draw.uniform(0.0, 0.012)
    few = result(
        claims["attention-artifacts"],
        share,
        reference={"name": "Gaussian", "value": 1e-6},
        **spot,
        details=heads,
    )
    ratio = draw.uniform(0.9, 1.9)
    p_value = 0.0005 if ratio < 1 else 1.0
    beyond = result(
        claims["attention-beyond-random"],
        ratio,
        nulls=[null("gaussian", 1.0, p_value, delta=0.0)],
        **spot,
    )
    return [near, few, beyond]


def _mlp_results(claims: Mapping[str, FakeClaim], basis: str, layer: int, draw: random.Random) -> list[Json]:
    spot: Json = {"basis": basis, "layer": layer, "matrix": "W_out"}
    rms = draw.uniform(0.042, 0.06)
    gaussian = {"name": "Gaussian", "value": 0.0417}
    ratio = draw.uniform(0.9, 1.4)
    gaussians = [null("gaussian", 1.0, 0.0005 if ratio < 1 else 1.0, delta=0.0)]
    return [
        result(
            claims["mlp-out-near-orthogonal"],
            rms,
            threshold=2 / SQRT_D,
            reference=gaussian,
            details=_histogram(draw, rms),
            **spot,
        ),
        result(claims["mlp-out-beyond-random"], ratio, nulls=gaussians, **spot),
    ]


def _by_head(draw: random.Random, center: float) -> Json:
    heads = [{"head": head, "value": center * draw.uniform(0.7, 1.5)} for head in range(9)]
    return {"by_head": heads, "worst_head": max(heads, key=lambda head: head["value"])["head"]}


def _histogram(draw: random.Random, width: float, bins: int = 100) -> Json:
    edges = [-1 + 2 * i / bins for i in range(bins + 1)]

    def bell(spread: float) -> list[float]:
        return [math.exp(-(((a + b) / 2 / spread) ** 2) / 2) for a, b in pairwise(edges)]

    counts = [round(1e6 * height * draw.uniform(0.9, 1.1)) for height in bell(width)]
    reference = [1e6 * height for height in bell(0.0417)]
    return {"histogram": {"edges": edges, "counts": counts, "reference": reference, "x_label": "cosine"}}
