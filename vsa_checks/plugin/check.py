"""Turn verdicts into test outcomes, and mark the expected ones in advance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from vsa_checks.errors import ModelError, visible
from vsa_checks.figures.store import as_text
from vsa_checks.judging.claim import Claim, load_claims
from vsa_checks.judging.judge import CHANCE, HOLDS, NOT_CHECKED, REFUTED, judge, near_margin
from vsa_checks.judging.recorded import Known
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.plugin.progress import PROGRESS
from vsa_checks.plugin.properties import (
    ARRAYS_PROPERTY,
    CACHE_PROPERTY,
    LOAD_PROPERTY,
    NOTE_PROPERTY,
    RESULT_PROPERTY,
    TEXT_PROPERTY,
)
from vsa_checks.plugin.run import RUN, ClaimsRun
from vsa_checks.plugin.twins import put_beside
from vsa_checks.plugin.verdicts import Chance, Refuted, VerdictChanged
from vsa_checks.report.result_record import not_checked_record, result_record
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.kept_measurements import Loaded
from vsa_checks.workbench.loading import with_trace
from vsa_checks.workbench.outcome import ON_A_LINE, Measure, Outcome, measure_subject, measure_with_other_seeds

CALL_PASSED = pytest.StashKey[bool]()
REDRAWS = (2, 4)
"""With so many other seeds a subject is measured again whose verdict might hang on the random numbers: with a few, and
with more unless these show that it does, or that it does not."""
EXPECTED_FAILURE = {CHANCE: Chance, REFUTED: Refuted}


def expectation_marks(known: Known | None) -> list[pytest.MarkDecorator]:
    """The mark that makes a recorded `chance` or `refuted` expected, and nothing else.

    If the verdict depends on the random seed, each recorded verdict is expected.
    """
    expected = tuple(EXPECTED_FAILURE[one] for one in known.verdicts if one in EXPECTED_FAILURE) if known else ()
    if known is None or not expected:
        return []
    words = visible(f"recorded {' or '.join(known.verdicts)}: {known.reason}")
    return [pytest.mark.xfail(strict=HOLDS not in known.verdicts, raises=expected, reason=words)]


def settle(result: dict[str, Any], known: Known | None, recording: bool) -> None:
    """Turn a judged result into a pytest outcome: returns, skips, or raises a Verdict.

    As recorded: holds passes, chance and refuted raise what their mark expects, not-checked skips. Anything else
    that differs from what is recorded raises VerdictChanged. While recording, every verdict passes.
    """
    verdict, reason = result["verdict"], result["reason"]
    if verdict == NOT_CHECKED and (recording or known is None or known.verdict == NOT_CHECKED):
        pytest.skip(visible(f"not checked: {reason}"))
    if recording:
        return
    if known is not None and verdict not in known.verdicts:
        raise VerdictChanged(
            f"{result['id']}: measured {verdict} ({reason}), recorded {known.verdict} ({known.reason})"
        )
    if verdict in EXPECTED_FAILURE:
        raise EXPECTED_FAILURE[verdict](f"{result['id']}: {verdict}: {reason}")
    if verdict != HOLDS:
        raise VerdictChanged(f"{result['id']}: unknown verdict {verdict}")


class Check:
    """Measure one subject, judge it, pass the result to the report and set the test's outcome."""

    def __init__(self, run: ClaimsRun, bench: Workbench, item: pytest.Item) -> None:
        self._run, self._bench, self._item = run, bench, item
        self.called = False

    def __call__(self, subject: Subject, measure: Measure, **options: Any) -> None:
        """Measure `subject` with `measure(bench, subject, **options)` and settle the outcome."""
        __tracebackhide__ = True  # a crash in a measure is told from the measure on
        claim, known = load_claims()[subject.claim], self._run.known.get(subject.id)
        try:
            loaded = self._loaded(subject.basis)
            flags = loaded["flags"]
            measured, n_seeds, from_cache = self._outcome(claim, subject, flags, measure, options)
        except ModelError as error:
            told = with_trace(error, self._item.config.option.fulltrace)
            self._item.user_properties.append((LOAD_PROPERTY, json.dumps(told)))
            raise ModelError(
                f"{subject.id}: not measured, because the model could not be read in the {subject.basis} basis; "
                f"the reason is at the end"
            ) from error
        if measured.measurement is None:
            result = not_checked_record(claim, subject, flags, measured.reason, measured.duration_s)
        else:
            others = measured.redrawn[:n_seeds]
            judgement = judge(claim, measured.measurement, self._run.info.d_model, others)
            result = result_record(claim, subject, flags, measured.measurement, judgement, measured.duration_s)
            if others:
                seeds = {"n": 1 + len(others), "verdicts": judgement.by_verdict}
                result["details"] = result["details"] | {"seeds": seeds}  # the measurement's own stay as measured
        # What could not be judged is an error, and is not kept. The twin comes after: it may take long.
        if from_cache:
            self._item.user_properties.append((CACHE_PROPERTY, "true"))
        else:
            self._run.kept.keep(claim, subject, flags, measure, options, measured)
        if measured.measurement is not None:
            put_beside(self._run, self._bench, self._item, result, claim, subject, measure, options)
        result["recorded"] = None if known is None else {"verdict": known.verdict, "reason": known.reason}
        self.called = True
        # Text, so that xdist can transfer it whatever the number types.
        self._item.user_properties.append((RESULT_PROPERTY, json.dumps(result, allow_nan=False)))
        if measured.arrays:
            self._item.user_properties.append((ARRAYS_PROPERTY, measured.arrays))
        if loaded["note"]:
            self._item.user_properties.append((NOTE_PROPERTY, json.dumps(loaded["note"])))
        if measured.tokens_read is not None:
            text = self._bench.text
            read = {"name": text.name, "sha256": text.sha256, "tokens": measured.tokens_read}
            self._item.user_properties.append((TEXT_PROPERTY, json.dumps(read)))
        settle(result, known, self._run.record)

    def _outcome(
        self, claim: Claim, subject: Subject, flags: dict[str, bool], measure: Measure, options: dict[str, Any]
    ) -> tuple[Outcome, int, bool]:
        """The outcome, the number of other seeds used to judge it, and whether all of it came from the cache.

        Raises ModelError.
        """
        __tracebackhide__ = True  # a crash in a measure is told from the measure on
        kept = found = self._run.kept.find(claim, subject, flags, measure, options)
        if found is None:
            self._load(subject.basis)
            if self._run.info.d_model == 1:
                found = Outcome(None, ON_A_LINE, False, None, 0.0)
            else:
                with self._bench.pictured() as arrays:
                    found = measure_subject(self._bench, subject, measure, options)
                if found.measurement is not None:
                    found = replace(found, arrays=as_text(arrays))
        n_seeds, first = self._run.seeds - 1, found.measurement
        for most in REDRAWS:
            if first is None:
                break
            if near_margin(claim, first, self._run.info.d_model, found.redrawn[:n_seeds]):
                n_seeds = max(n_seeds, most)
            if len(found.redrawn) < n_seeds:
                self._load(subject.basis)
                found = measure_with_other_seeds(self._bench, subject, measure, options, found, n_seeds)
            if judge(claim, first, self._run.info.d_model, found.redrawn[:n_seeds]).unsettled:
                break  # more would show nothing new
        return found, n_seeds, found is kept

    def _load(self, basis: Basis) -> None:
        """Load a basis of the weights once. Raises ModelError; a second try would fail as well."""
        if basis in self._run.unloadable:
            raise self._run.unloadable[basis]
        try:
            self._bench.model(basis)
        except ModelError as error:
            self._run.unloadable[basis] = error
            raise

    def _loaded(self, basis: Basis) -> Loaded:
        found = self._run.kept.loaded(basis)
        if found is None:
            self._load(basis)
            model = self._bench.model(basis)
            found = Loaded(flags=model.effective_flags, note=model.note)
            if not self._run.selection:  # of a part, not the whole model was looked at
                self._run.kept.keep_loaded(basis, found)
        return found


@pytest.fixture(scope="session", name="bench")
def bench_fixture(request: pytest.FixtureRequest) -> Workbench:
    """The model under measurement and the work that its claims share."""
    run, progress = request.config.stash[RUN], request.config.stash.get(PROGRESS, None)
    tracker = None if progress is None else progress.tracker
    return Workbench(
        run.name,
        seed=run.seed,
        device=run.device,
        tracker=tracker,
        loaded=run.preloaded,
        text=run.text,
        plan=run.plan,
    )


@pytest.fixture(name="check")
def check_fixture(request: pytest.FixtureRequest, bench: Workbench) -> Iterator[Check]:
    """A claim's test calls this with its subject and its measure. A test that never calls it is an error."""
    check = Check(request.config.stash[RUN], bench, request.node)
    yield check
    if request.node.stash.get(CALL_PASSED, False) and not check.called:
        pytest.fail(f"{request.node.name} checked nothing: a claim that examined nothing is an error", pytrace=False)
