"""Cost of a run by the cost model: compared with runs of several shapes, and estimated for models up to 8 billion."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from benchmarks.sizes import BenchmarkSizes, NamedSizes, Say
from fixtures.claim_tests import claim_test
from fixtures.in_memory import bench_in_memory
from fixtures.small_models import Sizes, gaussian_weights
from vsa_checks.errors import NotChecked, UsageError
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models import ModelInfo
from vsa_checks.models.memory import GB
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.cost import expected_seconds, measured_speed, products_by_claim
from vsa_checks.workbench.resources import plan

MOST_MEMORY = 1_000
"""In gigabytes: the search for the minimum that a run needs starts below this."""


def cost(sizes: BenchmarkSizes, layers: int, say: Say) -> dict[str, Any]:
    """Seconds of whole runs against those expected, and what the claims on larger models are expected to take.

    The runs are of random weights in the raw basis, without text. The machine's speed is measured before and after
    each, since other work may share it.
    """
    return {
        "rows": [],
        "agrees": True,
        "speed": measured_speed(),
        "measured": [_measured(one, say) for one in sizes.measured_shapes],
        "expected": [_expected(one) for one in sizes.expected_shapes],
    }


def _measured(shape: NamedSizes, say: Say) -> dict[str, Any]:
    bench = _bench(shape.sizes)
    info = bench.model("raw").info
    subjects = _subjects(info)
    before, begin = measured_speed(), time.perf_counter()
    for subject in subjects:
        with suppress(NotChecked):
            claim_test(subject.claim).measure(bench, subject)
    seconds = time.perf_counter() - begin
    expected = expected_seconds(info, subjects, (before + measured_speed()) / 2)
    say(f"  {shape.name}: {seconds:.1f} s, {expected:.1f} s expected")
    return {"name": shape.name, **asdict(shape.sizes), "seconds": seconds, "expected_seconds": expected}


def _expected(shape: NamedSizes) -> dict[str, Any]:
    tiny = Sizes(gated=shape.sizes.gated)
    info = replace(_bench(tiny).model("raw").info, text=True, **asdict(shape.sizes))
    subjects = _subjects(info)
    products = products_by_claim(info, subjects)
    return {
        "name": shape.name,
        **asdict(shape.sizes),
        "products": sum(products.values()),
        "seconds_at_1e12": expected_seconds(info, subjects, 1e12),
        "most": next(iter(products)),
        "share_of_most": next(iter(products.values())) / sum(products.values()),
        "least_memory_gb": _least_memory(info, subjects),
    }


def _bench(sizes: Sizes) -> Workbench:
    return bench_in_memory(sizes, gaussian_weights(sizes, np.random.default_rng(0)), seed=0)


def _subjects(info: ModelInfo) -> list[Subject]:
    return [one for claim in load_claims().values() for one in enumerate_subjects(claim, info, ["raw"])]


def _least_memory(info: ModelInfo, subjects: list[Subject]) -> float:
    """The least gigabytes with which a run begins, to a tenth: claims on activations may be left out for want of it."""
    least, most = 0, 10 * MOST_MEMORY
    while most - least > 1:
        middle = (least + most) // 2
        try:
            plan(info, subjects, load_claims(), middle * GB // 10)
            most = middle
        except UsageError:
            least = middle
    return most / 10
