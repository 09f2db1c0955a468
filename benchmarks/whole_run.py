"""Where a run's time goes: each claim on the embedded model, and what its nulls take of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.sizes import Sizes
from fixtures.claim_tests import claim_test
from vsa_checks.errors import NotChecked
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models import Basis
from vsa_checks.workbench.access import Workbench

Say = Callable[[str], None]
MODEL = "smollm2-135m"
BASIS: Basis = "processed"

CLOSED_FORM = "in closed form (theory.py)"
NULLS = {
    "random directions, 1/sqrt(d)": CLOSED_FORM,
    "random directions, Beta law": CLOSED_FORM,
    "random directions, 1/d": CLOSED_FORM,
    "independent vectors, 1/V": CLOSED_FORM,
    "product of Gaussians": "drawn once per shape, for all layers",
    "Gaussian matrices": "199 drawn once per shape, each measured by moments, for all layers",
    "Gaussian matrices of the same shape": "20 heads drawn once per shape, for all layers",
    "random directions": "one law per dictionary: drawn and explained once, for all layers",
    "covariance-matched neurons": "fitted once per matrix, several at a time; drawn, and measured as the neurons are",
    "Gaussian neurons": "drawn and explained once per basis",
    "heads turned at random": "one draw of the heads, met by 512 of the neurons; paired",
    "covariance-matched bound tokens": "one draw, met by 512 of the neurons; paired",
    "layers in random order": "orders of the figures that are there already",
    "shuffled next token": "signs of the windows' figures that are there already",
    "another source of the context": "signs of the windows' figures that are there already",
    "shuffled tokens": "exchanges of tokens among ranks that are there already",
    "independent vectors": "drawn once, recalled like the embeddings",
}
"""How what chance gives is computed, by the name of the null or reference."""
BESIDE = {"neurons-beyond-chance": "the 99th percentile from 20,000 random directions, once per dictionary"}


def where_time_goes(sizes: Sizes, layers: int, say: Say) -> dict[str, Any]:
    """Each claim's seconds in a run that finds no cached figure, in the run's order; loading the model apart."""
    bench = Workbench(MODEL, seed=0)
    begin = time.perf_counter()
    info = bench.model(BASIS).info
    loading = time.perf_counter() - begin
    claims = []
    for claim in sorted(load_claims().values(), key=lambda one: one.section):
        subjects = enumerate_subjects(claim, info, [BASIS])[: layers or None]
        begin, before = time.perf_counter(), bench.null_seconds
        measured = [found for found in (_measure(bench, claim.id, subject) for subject in subjects) if found]
        claims.append(
            {
                "claim": claim.id,
                "subjects": len(subjects),
                "seconds": time.perf_counter() - begin,
                "null_seconds": bench.null_seconds - before,
                "nulls": _names(claim.id, measured),
            }
        )
        say(f"  {claim.id}: {claims[-1]['seconds']:.1f} s, {claims[-1]['null_seconds']:.1f} s of it on nulls")
    return {"rows": [], "agrees": True, "loading": loading, "claims": claims}


def _measure(bench: Workbench, claim: str, subject: Subject) -> Measurement | None:
    try:
        return claim_test(claim).measure(bench, subject)
    except NotChecked:
        return None


def _names(claim: str, measured: list[Measurement]) -> str:
    """How the claim's nulls are computed."""
    names = [null.name for one in measured[:1] for null in one.nulls]
    names += [one.reference.name for one in measured[:1] if one.reference is not None]
    lines = [f"{name}: {NULLS[name]}" for name in names]
    return "; ".join([*lines, BESIDE[claim]] if claim in BESIDE else lines)
