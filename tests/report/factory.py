"""Small documents for the tests of the report: real records, judged and assembled as a run does, of invented values."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from tests.claims_at_hand import a_claim
from vsa_checks.judging.claim import Claim, load_claims
from vsa_checks.judging.judge import judge
from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models import Basis, describe
from vsa_checks.report.document import assemble
from vsa_checks.report.result_record import not_checked_record, result_record
from vsa_checks.statistics import Interval

Json = dict[str, Any]
INFO = describe("smollm2-135m")
PAPERS_OWN = replace(INFO, name="gpt2", is_paper_model=True)
FLAGS = {
    "processed": {"fold_ln": True, "center_writing_weights": False, "center_unembed": True, "fold_value_biases": False},
    "raw": dict.fromkeys(("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases"), False),
}
ENVIRONMENT: Json = {"versions": {"torch": "2.13.0"}, "device": "cpu", "threads": 2, "seed": 0, "duration_s": 251.3}


HOSTILE = (
    '<img src="//evil.example/x" onerror="alert(1)"><script>alert(2)</script>'
    "'\"><svg onload=alert(3)>{{7*7}}{% raw %}</style></title>&amp;</td>"
)


def told(name: str = "claim-a", **fields: Any) -> Claim:
    """A claim that must be told from random directions at p <= .01, by .05."""
    return a_claim(name, **{"decisive": ("random directions",), "alpha": 0.01, "delta": 0.05, **fields})


def plain(name: str = "claim-a", **fields: Any) -> Claim:
    """A claim of a threshold only."""
    return told(name, decisive=(), **fields)


def null(name: str = "random directions", value: float = 0.2, p_value: float = 0.0005) -> NullMeasurement:
    return NullMeasurement(name, value, 0.01, 2000, p_value, 1 - p_value)


def result(
    claim: Claim,
    value: float | None = 0.7,
    *,
    basis: Basis = "processed",
    layer: int | None = None,
    matrix: str | None = None,
    nulls: Sequence[NullMeasurement] | None = None,
    reference: Reference | None = None,
    details: Json | None = None,
    **changes: Any,
) -> Json:
    """One result; a value of None was not checked. Without `nulls` the decisive ones are far below."""
    primary = claim.primary == "all" or (claim.primary == "layer-0" and layer == 0)
    subject = Subject(claim.id, basis, layer, matrix, primary)
    if value is None:
        return not_checked_record(claim, subject, FLAGS[basis], "This model has no such matrix.", 0.25) | changes
    beside = tuple(map(null, claim.decisive) if nulls is None else nulls)
    interval = Interval(0.97 * value, min(1.03 * value, 1.0) if value <= 1.0 else 1.03 * value, "neurons")
    measurement = Measurement(value, interval, 1536, 0, reference, beside, details or {})
    judgement = judge(claim, measurement, INFO.d_model)
    return result_record(claim, subject, FLAGS[basis], measurement, judgement, 0.25) | changes


def document(
    results: Sequence[Json] | None = None, claims: Sequence[Claim] | None = None, model: object = INFO, **changes: Any
) -> Json:
    """A document of a few results of two claims, or of those given."""
    claims = [told("claim-a"), told("claim-b", primary="layer-0")] if claims is None else claims
    if results is None:
        layers = (result(claims[1], 0.4 + 0.1 * layer, layer=layer, matrix="W_in") for layer in range(3))
        results = [result(claims[0]), *layers]
    return assemble(model, ENVIRONMENT | changes, results, {claim.id: claim for claim in claims})


def everything() -> Json:
    """A small document with every optional part: each verdict, recorded ones, all kinds of details."""
    a, b, c = told("claim-a"), told("claim-b", primary="layer-0"), plain("claim-c", primary="none")
    drawn = {
        "by_head": [{"head": head, "value": 0.1 * head} for head in range(4)],
        "worst_head": 3,
        "sweep": [{"neurons_per_token": k, "share_50": 0.5, "null_share_50": 0.49} for k in (1, 2, None)],
        "curve": {
            "x_label": "k",
            "y_label": "recall",
            "x": [2, 4, 8],
            "series": [{"name": "model", "y": [1, 0.9, 0.5]}],
        },
        "histogram": {"edges": [-1.0, 0.0, 1.0, 2.0], "counts": [3, 9, 4], "reference": [4.0, 8.0, 4.0]},
        "notes": ["Measured twice."],
        "anything": {"a": [1, 2]},
    }
    reference, before = Reference("Gaussian", 0.6), {"verdict": "holds", "reason": "Was better once."}
    results = [
        result(
            a,
            0.9,
            basis="raw",
            details=drawn,
            recorded={"verdict": "holds", "reason": "0.9 against 0.2."},
            twin={"value": 0.85, "met": True},
            unsettled=True,
        ),
        result(a, None),
        result(b, 0.7, layer=0, matrix="W_in", nulls=[null(value=0.69, p_value=0.3), null("shown")]),
        result(b, 0.2, layer=1, matrix="W_in", recorded=before),
        result(b, 0.8, layer=2, matrix="W_in", reference=reference, n_excluded=7, twin={"value": 0.1, "met": False}),
        result(c, 0.8, layer=2, matrix="W_out", reference=reference),
    ]
    return document(results, [a, b, c, told("claim-never-run")], no_twin="it is too large")


def hostile() -> Json:
    """A document in which every text that the schema leaves free tries to come alive."""
    words = HOSTILE
    texts = dict.fromkeys(("section", "title", "statement", "metric"), words)
    claim = replace(told(decisive=(words,), **texts), threshold_origin="ours")
    details = {
        words: words,
        "notes": [words],
        "worst_head": words,
        "by_head": [{"head": words, words: 1.0}],
        "sweep": [{"neurons_per_token": words, words: words}],
        "curve": {"x_label": words, "y_label": words, "x": [1, 2], "series": [{"name": words, "y": [1, 2]}]},
        "histogram": {"edges": [0, 1, 2], "counts": [1, 2], "x_label": words},
        "tokens": [words, {words: [words]}],
    }
    recorded, flags = {"verdict": "refuted", "reason": words}, {words: True, "fold_ln": False}
    common: Json = {"recorded": recorded, "effective_flags": flags, "reason": words}
    spots: list[Json] = [{"layer": layer, "matrix": "W_in", **common} for layer in range(4)]
    results = [result(claim, 0.9, reference=Reference(words, 0.1), details=details, **spot) for spot in spots[:3]]
    for one in results:
        one["ci"]["unit"] = words
    results.append(result(claim, None, **spots[3]))
    named: Json = dict.fromkeys(
        ("name", "location", "revision", "architecture", "dtype", "quantization", "licence", "notes", "text_reason"),
        words,
    )
    assembled = document(
        results,
        [claim],
        replace(INFO, **named, text=False),
        versions={words: words},
        device=words,
        no_twin=words,
    )
    assembled["summary"]["by_claim"][claim.id]["record"]["threshold_unit"] = words
    return assembled


# --- as large as a run on the embedded model gives -------------------------------------------------------------

NOT_CHECKED = ("embedding-component-mean", "neurons-table1", "circuit-figure2", "neuron-or", "neuron-and")
RIGHT_AT_CHANCE = {"W_gate": (0.9991, 0.9996, 0.999), "W_in": (0.9984, 0.9994, 0.9988)}
"""For neurons-cos50: the value, and what random directions and covariance-matched neurons reach."""
X = [1, 2, 3, 5, 8, 10]


def large(bases: Sequence[Basis] = ("processed",)) -> Json:
    """A result for each subject of each claim on the embedded model; neurons-beyond-chance holds in outer layers."""
    claims, draw = load_claims(), random.Random(0)
    subjects = [one for claim in claims.values() for one in enumerate_subjects(claim, INFO, bases)]
    return document([_drawn(claims[one.claim], one, draw) for one in subjects], list(claims.values()))


def _drawn(claim: Claim, subject: Subject, draw: random.Random) -> Json:
    spot: Json = {"basis": subject.basis, "layer": subject.layer, "matrix": subject.matrix}
    if claim.id in NOT_CHECKED:
        return result(claim, None, **spot)
    law = 0.5 if claim.threshold_unit == "reference" else INFO.d_model**-0.5
    value = claim.threshold * draw.uniform(0.6, 1.1) * (1.0 if claim.threshold_unit == "1" else law)
    chance = [(value * draw.uniform(0.5, 1.5), draw.choice((0.0005, 0.4))) for _ in claim.decisive]
    if claim.id == "neurons-cos50":
        value, *reached = RIGHT_AT_CHANCE[str(subject.matrix)]
        chance = [(reached[at % len(reached)], 0.5) for at in range(len(claim.decisive))]
    if claim.id == "neurons-beyond-chance":
        outer = subject.layer in (0, INFO.n_layers - 1)
        value = draw.uniform(0.2, 0.4) if outer else claim.threshold * draw.uniform(0.15, 0.7)
        chance = [(0.4 * claim.threshold, 0.0005) for _ in claim.decisive]
    nulls = [null(name, *one) for name, one in zip(claim.decisive, chance, strict=True)]
    reference = None if nulls else Reference("random", law)
    # Without a null to beat, claims are met by untrained networks about where they are met by trained ones.
    met = not nulls and (value <= claim.threshold * law if claim.direction == "<=" else True)
    twin = {"value": value * draw.uniform(0.9, 1.0), "met": bool(met)}
    details = _details(claim, value, draw)
    return result(claim, value, nulls=nulls, reference=reference, details=details, twin=twin, **spot)


def _details(claim: Claim, value: float, draw: random.Random) -> Json:
    """Heads, curves and sweeps, and histograms, for claims of each kind."""
    if claim.subjects.startswith("attention"):
        heads = [{"head": head, "value": value * draw.uniform(0.7, 1.5)} for head in range(INFO.n_heads)]
        return {"by_head": heads, "worst_head": max(heads, key=lambda head: head["value"])["head"]}
    if claim.subjects.startswith("mlp-in"):
        series = [{"name": name, "y": [value * x / 10 for x in X]} for name in ("neurons", "random directions")]
        sweep = [{"neurons_per_token": k, "share_50": draw.random(), "null_share_50": 0.9} for k in (1, 2, 3, None)]
        return {"curve": {"x_label": "tokens", "y_label": "cosine", "x": X, "series": series}, "sweep": sweep}
    edges = [place / 50 for place in range(-50, 51)]
    counts = [round(1e6 * 2 ** -(abs(left + right) * 20) * draw.uniform(0.9, 1.1)) for left, right in pairwise(edges)]
    return {"histogram": {"edges": edges, "counts": counts, "reference": counts[::-1], "x_label": "cosine"}}
