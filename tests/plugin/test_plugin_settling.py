"""From a verdict to a test's outcome, for every pair of recorded and measured; and what the tally counts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from _pytest.outcomes import Skipped

from vsa_checks.judging.judge import VERDICTS
from vsa_checks.judging.recorded import Known
from vsa_checks.plugin.check import expectation_marks, settle
from vsa_checks.plugin.properties import RESULT_PROPERTY
from vsa_checks.plugin.tally import Tally, result_of
from vsa_checks.plugin.verdicts import Chance, Refuted, Verdict, VerdictChanged


def outcome(recorded: str | None, measured: str, recording: bool = False) -> str:
    """What pytest makes of a test that measures this: its xfail marks are taken at their word."""
    known = None if recorded is None else Known(recorded, "before")
    marks = expectation_marks(known)
    expected = [one for mark in marks for one in mark.kwargs["raises"]]
    assert all(mark.name == "xfail" and mark.kwargs["strict"] for mark in marks)
    try:
        settle({"id": "a/raw", "verdict": measured, "reason": "because"}, known, recording)
    except Skipped:
        return "skipped"
    except Verdict as raised:
        assert "a/raw" in str(raised)
        assert measured in str(raised) and ("because" in str(raised) or measured not in VERDICTS)
        return "xfailed" if any(isinstance(raised, one) for one in expected) else "failed"
    return "failed" if expected else "passed"


@pytest.mark.parametrize("measured", VERDICTS)
@pytest.mark.parametrize("recorded", [*VERDICTS, None])
def test_only_what_was_recorded_is_expected(recorded: str | None, measured: str) -> None:
    as_recorded = {"holds": "passed", "chance": "xfailed", "refuted": "xfailed", "not-checked": "skipped"}
    if recorded is None:
        expected = {"holds": "passed", "not-checked": "skipped"}.get(measured, "failed")
    else:
        expected = as_recorded[measured] if recorded == measured else "failed"
    assert outcome(recorded, measured) == expected


@pytest.mark.parametrize("measured", VERDICTS)
def test_while_recording_every_verdict_passes(measured: str) -> None:
    assert outcome(None, measured, recording=True) == ("skipped" if measured == "not-checked" else "passed")


@pytest.mark.parametrize("measured", VERDICTS)
@pytest.mark.parametrize(
    ("recorded", "also"), [("holds", ("chance",)), ("chance", ("holds",)), ("chance", ("refuted",)), ("refuted", ())]
)
def test_what_other_seeds_gave_is_as_recorded_too(recorded: str, also: tuple[str, ...], measured: str) -> None:
    known = Known(recorded, "before", also)
    (mark,) = expectation_marks(known)
    fails = {"chance": Chance, "refuted": Refuted}
    if measured in (recorded, *also):
        if measured == "holds":
            settle({"id": "a", "verdict": measured, "reason": ""}, known, False)
            assert not mark.kwargs["strict"]
        else:
            with pytest.raises(fails[measured]) as raised:
                settle({"id": "a", "verdict": measured, "reason": ""}, known, False)
            assert raised.type in mark.kwargs["raises"]
    else:
        with pytest.raises(VerdictChanged) as changed:
            settle({"id": "a", "verdict": measured, "reason": ""}, known, False)
        assert changed.type not in mark.kwargs["raises"]
    assert mark.kwargs["strict"] is ("holds" not in (recorded, *also))


def test_an_unknown_verdict_fails() -> None:
    assert outcome(None, "fine") == "failed"
    assert outcome("fine", "fine") == "failed"


def test_a_crash_is_never_what_was_expected() -> None:
    """The marks name the verdict's own exceptions, which no crash and no failed assertion is."""
    (chance,) = expectation_marks(Known("chance", ""))
    (refuted,) = expectation_marks(Known("refuted", ""))
    assert (chance.kwargs["raises"], refuted.kwargs["raises"]) == ((Chance,), (Refuted,))
    assert not issubclass(Chance, Refuted) and not issubclass(Refuted, Chance)
    for crash in (AssertionError, ZeroDivisionError, TypeError):
        assert not issubclass(crash, Chance | Refuted)
    assert expectation_marks(Known("holds", "")) == expectation_marks(Known("not-checked", "")) == []


def report(name: str, when: str = "call", outcome: str = "passed", result: dict[str, Any] | None = None) -> Any:
    properties = [] if result is None else [(RESULT_PROPERTY, json.dumps(result))]
    longrepr = "E   first line\nlast line" if outcome == "failed" else None
    return pytest.TestReport(name, ("f", 1, name), {}, outcome, longrepr, when, user_properties=properties)  # type: ignore[arg-type]


def test_the_tally_misses_what_is_never_reported() -> None:
    tally = Tally()
    tally.expect(["a", "b", "c"])
    tally.expect(["a", "b", "c"])  # each worker tells what it collected
    for when in ("setup", "call", "teardown"):
        tally.hear(report("a", when))
    tally.hear(report("c", "setup", "skipped"))
    assert tally.missing == ["b"]


def test_the_tally_keeps_results_and_tells_crashes_from_verdicts() -> None:
    tally = Tally()
    tally.hear(report("refuted", "call", "failed", {"id": "x/raw"}))
    tally.hear(report("refuted", "teardown", "passed", {"id": "x/raw"}))
    tally.hear(report("crashed", "call", "failed"))
    tally.hear(report("no model", "setup", "failed"))
    tally.hear(report("checked nothing", "teardown", "failed"))
    assert tally.results == {"x/raw": {"id": "x/raw"}}
    assert tally.failed == {"refuted", "crashed", "no model", "checked nothing"}
    assert tally.crashed == dict.fromkeys(("crashed", "no model", "checked nothing"), "last line")
    assert result_of(report("crashed")) is None
