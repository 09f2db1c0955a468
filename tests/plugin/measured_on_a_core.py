"""Measures a few quick claims of the embedded model in this process, and prints them as JSON.

OPENBLAS_CORETYPE settles which kernels OpenBLAS uses when it is loaded: so this is a process of its own.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from threadpoolctl import threadpool_info

from tests.sections.stand_in import bench_of
from vsa_checks.independent_axes import independent_axes
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.judge import judge, near_margin
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import load
from vsa_checks.orthogonality import live_rows
from vsa_checks.sections import attention, embeddings, isometry, mlp, stand_ins
from vsa_checks.statistics import stream
from vsa_checks.workbench.access import Workbench

COORDINATES, TOKENS = 192, 3000
"""Of the neurons' coordinates, as many as a search for independent axes needs to show how it multiplies rounding, and
fewer tokens than determine such axes by themselves."""
QUICK: tuple[tuple[Any, Subject], ...] = (
    (embeddings.mean_zero, Subject("embedding-mean-zero", "raw")),
    (mlp.outputs_near_orthogonal, Subject("mlp-out-near-orthogonal", "raw", 0)),
    (mlp.outputs_beyond_random, Subject("mlp-out-beyond-random", "raw", 0)),
    (attention.heads_near_orthogonal, Subject("attention-near-orthogonal", "raw", 0, "W_Q")),
    (attention.heads_beyond_random, Subject("attention-beyond-random", "raw", 0, "W_O")),
    (isometry.ov_isometry, Subject("attention-ov-isometry", "raw", 0)),
    (isometry.qk_isometry, Subject("attention-qk-isometry", "raw", 0)),
)


def measured(name: str) -> dict[str, Any]:
    """Numbers and verdict of each subject, and the kernels that gave them."""
    bench, found = Workbench(name, loaded=load(name, "raw", check=False)), {}
    for measure, subject in QUICK:
        one = measure(bench, subject)
        claim, d_model = load_claims()[subject.claim], bench.model(subject.basis).info.d_model
        found[subject.id] = {
            "verdict": judge(claim, one, d_model).verdict,
            "near": near_margin(claim, one, d_model),
            "value": float(one.value),
            "low": float(one.interval.low),
            "high": float(one.interval.high),
            **({} if one.reference is None else {"reference": float(one.reference.value)}),
            **{f"{null.name}, {key}": float(vars(null)[key]) for null in one.nulls for key in ("value", "p_value")},
        }
    neurons = bench.weight("raw", 0, "W_in")[:COORDINATES]
    unit = live_rows(neurons.T).unit
    few = bench_of({"embed.W_E": bench.embedding("raw")[:TOKENS, :COORDINATES], "blocks.0.mlp.W_in": neurons})
    axes = {
        "of vectors": independent_axes(unit - unit.mean(axis=0), stream(0, "axes")),
        "of few tokens": stand_ins.shared_axes(few, "raw", (0, "W_in"), unit, stand_ins.INDEPENDENT),
    }
    cores = {one["architecture"] for one in threadpool_info() if one["internal_api"] == "openblas"}
    return {"cores": sorted(cores), "results": found, "axes": {name: one.tolist() for name, one in axes.items()}}


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1])))
