"""Memory and time of the untrained twin, which are announced, and which it does without where they are short."""

from __future__ import annotations

from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import enumerate_subjects
from vsa_checks.models import describe
from vsa_checks.models.memory import GB
from vsa_checks.workbench.cost import expected_seconds
from vsa_checks.workbench.resources import Sizes, announcement, plan
from vsa_checks.workbench.twin_values import TwinValues

INFO, CLAIMS = describe("smollm2-135m"), load_claims()
SUBJECTS = [one for claim in CLAIMS.values() for one in enumerate_subjects(claim, INFO, ["processed"])]
TWIN = TwinValues(INFO).to_measure(CLAIMS, SUBJECTS)


def test_the_twin_takes_memory_beside_the_model() -> None:
    """At least what it is while it is made: all of it, in float32."""
    alone, beside = plan(INFO, SUBJECTS, CLAIMS, 64 * GB), plan(INFO, SUBJECTS, CLAIMS, 64 * GB, TWIN)
    assert beside.no_twin == "" and beside.peak >= alone.peak + Sizes.of(INFO).whole
    assert plan(INFO, SUBJECTS, CLAIMS, 64 * GB, ()) == alone


def test_where_memory_is_short_the_model_comes_first() -> None:
    """From the least memory on that the model can be run in, the twin is left out, and then it is not."""
    needed = next(n for n in range(10, 200) if not _no_run(n / 20))
    short = plan(INFO, SUBJECTS, CLAIMS, int(needed / 20 * GB), TWIN)
    assert short.no_twin and not short.no_run and short.peak <= short.limit
    assert "more than the limit of" in short.no_twin
    enough = next(n for n in range(needed, 400) if not plan(INFO, SUBJECTS, CLAIMS, int(n / 20 * GB), TWIN).no_twin)
    found = plan(INFO, SUBJECTS, CLAIMS, int(enough / 20 * GB), TWIN)
    assert not found.no_run and found.peak <= found.limit
    assert 0 < enough - needed < 20 * 4


def _no_run(gigabytes: float) -> bool:
    try:
        return bool(plan(INFO, SUBJECTS, CLAIMS, int(gigabytes * GB)).no_run)
    except Exception:
        return True


def test_its_time_is_a_part_of_what_is_announced() -> None:
    chosen = plan(INFO, SUBJECTS, CLAIMS, 64 * GB, TWIN)
    share = expected_seconds(INFO, TWIN, 1e10)
    share /= share + expected_seconds(INFO, SUBJECTS, 1e10)
    assert 0.1 < share < 0.5
    assert f"Its untrained twin takes {share:.0%} of the time (--no-twin skips it)." in announcement(
        INFO, SUBJECTS, chosen, twin=TWIN
    )
    assert "twin" not in announcement(INFO, SUBJECTS, chosen)


def test_why_there_is_none_is_announced() -> None:
    short = next(
        found
        for n in range(10, 200)
        if not _no_run(n / 20) and (found := plan(INFO, SUBJECTS, CLAIMS, int(n / 20 * GB), TWIN)).no_twin
    )
    assert announcement(INFO, SUBJECTS, short, twin=TWIN).endswith(f" No untrained twin is measured: {short.no_twin}.")
