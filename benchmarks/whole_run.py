"""Where the time of a run goes: seconds of each claim on the embedded model."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from benchmarks.sizes import BenchmarkSizes, Say
from fixtures.claim_tests import claim_test
from vsa_checks.errors import NotChecked
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import enumerate_subjects
from vsa_checks.models import Basis
from vsa_checks.workbench.access import Workbench

BASIS: Basis = "processed"


def where_time_goes(sizes: BenchmarkSizes, layers: int, say: Say) -> dict[str, Any]:
    """Seconds of each claim in a run without kept measurements, in the run's order; loading is timed apart."""
    bench = Workbench(sizes.model, seed=0)
    begin = time.perf_counter()
    info = bench.model(BASIS).info
    loading = time.perf_counter() - begin
    claims = []
    for claim in sorted(load_claims().values(), key=lambda one: one.section):
        subjects = enumerate_subjects(claim, info, [BASIS])[: layers or None]
        begin = time.perf_counter()
        for subject in subjects:
            with suppress(NotChecked):
                claim_test(claim.id).measure(bench, subject)
        claims.append({"claim": claim.id, "subjects": len(subjects), "seconds": time.perf_counter() - begin})
        say(f"  {claim.id}: {claims[-1]['seconds']:.1f} s")
    return {"rows": [], "agrees": True, "loading": loading, "claims": claims}
