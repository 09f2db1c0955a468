"""Rates with exact intervals: many seeded models, each measured by its section and judged by the judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy import stats

from fixtures.cases import CASES
from fixtures.cases.entry import subject_at
from fixtures.claim_tests import claim_test
from fixtures.one_thread import one_thread
from vsa_checks.errors import NotChecked
from vsa_checks.judging.claim import Claim, load_claims
from vsa_checks.judging.judge import NOT_CHECKED, judge
from vsa_checks.workbench.access import Workbench

LEVEL = 0.95
P_LEVELS = (0.001, 0.005, 0.01, 0.02, 0.05, *(round(0.1 * step, 1) for step in range(1, 11)))
"""At which the distribution of p is written down."""


@dataclass(frozen=True)
class ModelResult:
    """One judged model: its verdict, and where it was measured the value and the p and value of each decisive null."""

    verdict: str
    fragile: bool
    value: float | None
    threshold: float | None
    p_values: dict[str, float]
    null_values: dict[str, float]


Mapper = Callable[[Sequence[Callable[[], Any]]], list[Any]]
"""Calls jobs (functions without arguments) and returns their results in order."""


def judged_drawn(claim_id: str, part: str, place: int, *at: float) -> ModelResult:
    """Draw, measure and judge one model of the claim's entry, as a run does.

    part, place: the draw, such as the second of "nulls"; at: its seed, for a signal its level and seed.
    """
    return judged(claim_id, getattr(CASES[claim_id], part)[place].draw(*at))


def judged(claim_id: str, bench: Workbench) -> ModelResult:
    """What the judge says of the subject that stands in the claim's entry, on the raw weights."""
    claim = load_claims()[claim_id]
    subject = subject_at(claim_id, bench, "raw", *CASES[claim_id].place)
    try:
        found = claim_test(claim_id).measure(bench, subject)
    except NotChecked:
        return ModelResult(NOT_CHECKED, False, None, None, {}, {})
    verdict = judge(claim, found, bench.model("raw").info.d_model)
    decisive = [null for null in found.nulls if null.name in claim.decisive]
    return ModelResult(
        verdict.verdict,
        verdict.fragile,
        found.value,
        verdict.threshold,
        {null.name: null.p_value for null in decisive},
        {null.name: null.value for null in decisive},
    )


def model_seed(seed: int, *purpose: object) -> int:
    """A seed of its own for each model of a run, so that no two share their random numbers."""
    words = "/".join(str(part) for part in purpose).encode()
    return int(np.random.SeedSequence([seed, *words]).generate_state(1)[0])


def rate(count: int, n: int) -> dict[str, Any]:
    """A share with its exact binomial interval (Clopper and Pearson 1934)."""
    interval = stats.binomtest(count, n).proportion_ci(LEVEL, "exact")
    return {"count": count, "n": n, "rate": count / n, "low": float(interval.low), "high": float(interval.high)}


def pooled(rates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rate over several sets of models."""
    return rate(sum(one["count"] for one in rates), sum(one["n"] for one in rates))


def calibrate(claim_id: str, n: int, seed: int, map_jobs: Mapper) -> dict[str, Any]:
    """How often a claim holds on each of its null models, and how often each decisive null is beaten there."""
    claim = load_claims()[claim_id]
    return {
        "claim": claim_id,
        "version": claim.version,
        "threshold": claim.threshold,
        "alpha": claim.alpha,
        "delta": claim.delta,
        "decisive": list(claim.decisive),
        "null_models": [null_rates(claim_id, place, n, seed, map_jobs) for place in range(len(CASES[claim_id].nulls))],
    }


def null_rates(claim_id: str, place: int, n: int, seed: int, map_jobs: Mapper) -> dict[str, Any]:
    """The same for one kind of null models, by its place among those of the claim."""
    claim, null = load_claims()[claim_id], CASES[claim_id].nulls[place]
    seeds = [model_seed(seed, claim_id, null.name, number) for number in range(n)]
    found = map_jobs([partial(judged_drawn, claim_id, "nulls", place, one) for one in seeds])
    beaten = [{"name": name, "obeyed": name in null.obeys, **p_summary(found, name, claim)} for name in claim.decisive]
    return {"model": null.name, **verdict_rates(found), "nulls": beaten}


def verdict_rates(found: Sequence[ModelResult]) -> dict[str, Any]:
    """Rate of `holds` among all models, the count of each verdict, and the mean value. A model that could not be
    checked does not hold."""
    verdicts = Counter(one.verdict for one in found)
    values = [one.value for one in found if one.value is not None]
    return {
        "holds": rate(verdicts["holds"], len(found)),
        "verdicts": dict(sorted(verdicts.items())),
        "value": float(np.mean(values)) if values else None,
    }


def p_summary(found: Sequence[ModelResult], null: str, claim: Claim) -> dict[str, Any]:
    """How often p <= alpha against one null, threshold and delta aside; how p is distributed; and how far the value
    leads the null in the claimed direction on one model in a hundred, which delta should exceed."""
    sign = 1.0 if claim.direction == ">=" else -1.0
    p = np.array([one.p_values[null] for one in found if null in one.p_values])
    leads = [sign * (one.value - one.null_values[null]) for one in found if one.value is not None]
    return {
        "value": float(np.mean([one.null_values[null] for one in found if null in one.null_values])),
        "p_at_most_alpha": rate(int(np.count_nonzero(p <= claim.alpha)), len(p)),
        "lead": {"mean": float(np.mean(leads)), "percentile_99": float(np.quantile(leads, 0.99))},
        "p_distribution": {str(level): float(np.mean(p <= level)) for level in P_LEVELS},
    }


@contextmanager
def mapper(workers: int) -> Iterator[Mapper]:
    """Something that does jobs over so many processes of one thread each; 1: in this one."""
    if workers == 1:
        with _single():
            yield lambda jobs: [job() for job in jobs]
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _stay_single) as pool:
        yield lambda jobs: list(pool.map(_call, jobs, chunksize=4))


def _call(job: Callable[[], Any]) -> Any:
    return job()


_contexts = ExitStack()


def _stay_single() -> None:
    _contexts.enter_context(_single())


@contextmanager
def _single() -> Iterator[None]:
    import torch  # noqa: F401  Models need it sooner or later, and only what is loaded can be limited.

    with one_thread():
        yield
