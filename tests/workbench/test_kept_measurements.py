"""Measurements on disk: read to the last bit, and only where nothing differs and nothing is damaged."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsa_checks.errors import NotChecked, UsageError
from vsa_checks.judging.claim import Claim, load_claims
from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.models.texts import Text
from vsa_checks.paths import ROOT, cache_folder
from vsa_checks.sections import embeddings, residual
from vsa_checks.statistics import Interval
from vsa_checks.workbench import kept_measurements as kept
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.kept_measurements import KeptMeasurements, Loaded
from vsa_checks.workbench.outcome import Outcome, measure_subject

DEPENDS_ON: dict[str, Any] = {"content": "ab", "seed": 0, "code": "cd", "libraries": {"numpy": "2.4.1"}}
TEXT = Text("a text", ("words",), "12" * 32)
CLAIM = load_claims()["embedding-near-orthogonal"]
SUBJECT = Subject(CLAIM.id, "raw", 3, "W_Q")
FLAGS = {"fold_ln": True, "center_unembed": False}
LOADED = Loaded(flags=FLAGS, note="The files also hold tensors that its configuration leaves out: a.")
OPTIONS: dict[str, Any] = {"center": False}
MEASUREMENT = Measurement(
    0.1 + 0.2,
    Interval(-0.0, 1e-310, "tokens"),
    5,
    1,
    Reference("law", 1 / 3),
    (NullMeasurement("null", 2 / 3, 1e300, 999, 0.001, math.pi / 4),),
    {"curve": {"x": [1, 2], "y": [0.1, -1e-17]}, "name": "é\u2028\n", "none": None, "yes": True},
)
MEASURED = Outcome(MEASUREMENT, "", False, None, 12.345678901234567)
UNCHECKED = Outcome(None, "the model has no such part", True, 4_076, 0.5)
MEASURE = embeddings.tokens_near_orthogonal


def cache_in(folder: Path | None, **changes: Any) -> KeptMeasurements:
    return KeptMeasurements(folder, {**DEPENDS_ON, **changes}, lambda: TEXT)


def keep(cache: KeptMeasurements, measured: Outcome = MEASURED) -> None:
    cache.keep(CLAIM, SUBJECT, FLAGS, MEASURE, OPTIONS, measured)


def find(cache: KeptMeasurements) -> Outcome | None:
    return cache.find(CLAIM, SUBJECT, FLAGS, MEASURE, OPTIONS)


def only_file(folder: Path) -> Path:
    (file,) = (folder / kept.FOLDER).iterdir()
    return file


# --- what is kept is what was measured ------------------------------------------------------------------------


@pytest.mark.parametrize("measured", [MEASURED, UNCHECKED], ids=["numbers", "not checked"])
def test_what_is_kept_is_found_by_another_process_as_it_was(measured: Outcome, tmp_path: Path) -> None:
    keep(cache_in(tmp_path / "new" / "folder"), measured)
    found = find(cache_in(tmp_path / "new" / "folder"))
    assert found == measured
    assert repr(found) == repr(measured), "0.0 and -0.0 are equal, and not the same"


any_number = st.floats(allow_nan=False, width=64)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | any_number | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=100)
@given(any_number, any_number, any_number, any_number, st.dictionaries(st.text(), any_json, max_size=3))
def test_every_number_survives_to_the_last_bit(
    value: float, low: float, p: float, beside: float, details: dict[str, Any]
) -> None:
    null = NullMeasurement("null", beside, low, 99, p, value)
    whole = Measurement(value, Interval(low, p, "heads"), 3, 0, Reference("law", beside), (null,), details)
    read = Measurement.from_json(json.loads(json.dumps(whole.as_json())))
    assert repr(read) == repr(whole)


def test_new_numbers_come_as_those_from_the_cache_do(tmp_path: Path) -> None:
    """float32 compares with a threshold otherwise than float64: judged must be what is kept."""
    numbers = Measurement(
        np.float32(0.1),  # type: ignore[arg-type]
        Interval(np.float32(0.05), np.float64(0.2), "tokens"),  # type: ignore[arg-type]
        np.int64(7),  # type: ignore[arg-type]
        nulls=(NullMeasurement("null", np.float32(0.3), 0.0, np.int64(9), 0.5, 0.5),),  # type: ignore[arg-type]
        details={"pair": (1, np.float64(0.5)), 3: "three"},  # type: ignore[dict-item]
    )
    bench = Workbench("none", loaded=None)
    found = measure_subject(bench, SUBJECT, lambda *_: numbers, {})
    assert found.measurement is not None
    assert type(found.measurement.value) is float and found.measurement.value == float(np.float32(0.1))
    assert found.measurement.details == {"pair": [1, 0.5], "3": "three"}
    keep(cache_in(tmp_path), found)
    assert repr(find(cache_in(tmp_path))) == repr(found)


def test_what_took_effect_and_the_threads_are_kept(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    assert cache.loaded("raw") is None and cache.loaded("processed") is None and cache.threads() is None
    cache.keep_loaded("raw", LOADED)
    cache.keep_threads(2)
    assert (cache_in(tmp_path).loaded("raw"), cache_in(tmp_path).threads()) == (LOADED, 2)
    assert cache.loaded("processed") is None
    assert cache_in(tmp_path, seed=1).loaded("raw") is None


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = KeptMeasurements()
    keep(cache)
    cache.keep_threads(2)
    cache.prune()
    assert find(cache) is None and cache.threads() is None
    assert not list(tmp_path.iterdir())


# --- whatever differs -----------------------------------------------------------------------------------------


def _claim(**changes: Any) -> dict[str, Any]:
    return {"claim": dataclasses.replace(CLAIM, **changes)}


def _subject(**changes: Any) -> dict[str, Any]:
    return {"subject": dataclasses.replace(SUBJECT, **changes)}


OTHERS: dict[str, dict[str, Any]] = {
    "version of the claim": _claim(version=CLAIM.version + 1),
    "claim": _subject(claim="embedding-artifacts"),
    "basis": _subject(basis="processed"),
    "layer": _subject(layer=2),
    "no layer": _subject(layer=None),
    "matrix": _subject(matrix="W_K"),
    "flags": {"flags": {**FLAGS, "fold_ln": False}},
    "measure": {"measure": embeddings.tokens_artifacts},
    "option": {"options": {"center": True}},
    "no option": {"options": {}},
}


@pytest.mark.parametrize("change", OTHERS)
def test_another_subject_is_another_entry(change: str, tmp_path: Path) -> None:
    keep(cache_in(tmp_path))
    asked: dict[str, Any] = {"claim": CLAIM, "subject": SUBJECT, "flags": FLAGS, "measure": MEASURE, "options": OPTIONS}
    assert cache_in(tmp_path).find(**asked) == MEASURED
    assert cache_in(tmp_path).find(**{**asked, **OTHERS[change]}) is None


@pytest.mark.parametrize("dependency", DEPENDS_ON)
def test_anything_else_that_numbers_depend_on_makes_another_entry(dependency: str, tmp_path: Path) -> None:
    keep(cache_in(tmp_path))
    assert find(cache_in(tmp_path, **{dependency: "another"})) is None
    assert find(cache_in(tmp_path, more="of it")) is None
    assert find(cache_in(tmp_path)) == MEASURED


def test_a_threshold_is_none_of_it(tmp_path: Path) -> None:
    keep(cache_in(tmp_path))
    stricter: Claim = dataclasses.replace(CLAIM, threshold=9.0, alpha=0.5, delta=0.2)
    assert cache_in(tmp_path).find(stricter, SUBJECT, FLAGS, MEASURE, OPTIONS) == MEASURED


@pytest.mark.parametrize("other", [Text("another", ("words",), "12" * 32), Text("a text", ("words",), "34" * 32)])
def test_what_asked_for_the_text_is_of_that_text_alone(other: Text, tmp_path: Path) -> None:
    keep(cache_in(tmp_path), UNCHECKED)
    assert find(KeptMeasurements(tmp_path, DEPENDS_ON, lambda: other)) is None
    assert find(cache_in(tmp_path)) == UNCHECKED
    keep(cache_in(tmp_path / "weights"), MEASURED)
    assert find(KeptMeasurements(tmp_path / "weights", DEPENDS_ON, lambda: other)) == MEASURED


def test_where_there_is_no_text_what_did_not_ask_for_it_is_found(tmp_path: Path) -> None:
    def missing() -> Text:
        raise UsageError("There are no texts.")

    cache = KeptMeasurements(tmp_path, DEPENDS_ON, missing)
    keep(cache, UNCHECKED)
    assert find(cache) is None
    keep(cache, MEASURED)
    assert find(cache) == MEASURED


def elsewhere(*_: object) -> Measurement:
    return MEASUREMENT


@pytest.mark.parametrize("measure", [elsewhere, lambda *_: MEASUREMENT, "a copy", 3])
def test_only_measures_of_the_package_are_kept(measure: Any, tmp_path: Path) -> None:
    """The code of others is not in the key; nor is that of a function put in a measure's place."""
    if measure == "a copy":
        measure = lambda *_: MEASUREMENT  # noqa: E731
        measure.__module__, measure.__qualname__ = MEASURE.__module__, MEASURE.__qualname__
        keep(cache_in(tmp_path))
    cache_in(tmp_path).keep(CLAIM, SUBJECT, FLAGS, measure, OPTIONS, UNCHECKED)
    assert cache_in(tmp_path).find(CLAIM, SUBJECT, FLAGS, measure, OPTIONS) is None


def test_options_that_json_does_not_have_are_not_kept(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    cache.keep(CLAIM, SUBJECT, FLAGS, MEASURE, {"rule": object()}, MEASURED)
    assert cache.find(CLAIM, SUBJECT, FLAGS, MEASURE, {"rule": object()}) is None
    assert not (tmp_path / kept.FOLDER).exists()


def test_nothing_is_kept_of_a_model_whose_files_changed_meanwhile(tmp_path: Path) -> None:
    changed = KeptMeasurements(tmp_path, DEPENDS_ON, lambda: TEXT, unchanged=lambda: False)
    keep(changed)
    changed.keep_loaded("raw", LOADED)
    assert find(cache_in(tmp_path)) is None and cache_in(tmp_path).loaded("raw") is None


def test_a_reason_that_says_where_the_model_lies_is_not_kept(tmp_path: Path) -> None:
    cache = KeptMeasurements(tmp_path, DEPENDS_ON, lambda: TEXT, place="/models/mine")
    keep(cache, dataclasses.replace(UNCHECKED, reason="the tokenizer in /models/mine cannot be used"))
    assert find(cache) is None
    keep(cache, UNCHECKED)
    assert find(cache) == UNCHECKED


# --- many at once, and for long -------------------------------------------------------------------------------

BUSY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.workbench.test_kept_measurements import MEASURED, cache_in, find, keep

cache = cache_in(Path(sys.argv[1]))
for _ in range(150):
    keep(cache)
    assert find(cache) == MEASURED
"""


@pytest.mark.slow
def test_processes_that_write_one_entry_at_once_never_see_a_part_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUSY, str(tmp_path), str(ROOT)]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert ["" for _ in workers] == [worker.communicate(timeout=120)[1] for worker in workers]
    assert find(cache_in(tmp_path)) == MEASURED
    only_file(tmp_path)


def aged(path: Path, seconds: float) -> Path:
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def test_what_was_not_used_for_a_month_goes(tmp_path: Path) -> None:
    cache, unused = cache_in(tmp_path), cache_in(tmp_path, code="an old version")
    keep(unused)
    old = aged(only_file(tmp_path), kept.UNUSED_S + 60)
    keep(cache)
    leftover = old.with_name(f".vsa-checks-{'ab' * 16}.tmp")  # of a process that was killed while it wrote
    leftover.write_bytes(b"half")
    aged(leftover, 3600)
    others = [old.with_name("notes.json"), old.with_name("0123.json")]
    for other in others:
        other.write_text("not the cache's")
        aged(other, 2 * kept.UNUSED_S)
    cache.prune()
    assert not old.exists() and not leftover.exists()
    assert find(cache) == MEASURED and all(other.exists() for other in others)


def test_taking_a_measurement_is_using_it(tmp_path: Path) -> None:
    keep(cache_in(tmp_path))
    aged(only_file(tmp_path), kept.UNUSED_S + 60)
    assert find(cache_in(tmp_path)) == MEASURED
    cache_in(tmp_path).prune()
    assert find(cache_in(tmp_path)) == MEASURED


def test_beyond_the_limit_what_was_used_longest_ago_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        before = set((tmp_path / kept.FOLDER).glob("*"))
        keep(cache_in(tmp_path, seed=seed))
        (new,) = set((tmp_path / kept.FOLDER).glob("*")) - before
        aged(new, 100 * abs(seed - 2))  # the third was used last, then the second and the fourth
    monkeypatch.setattr(kept, "MOST_BYTES", int(3.5 * new.stat().st_size))
    cache_in(tmp_path).prune()
    assert [find(cache_in(tmp_path, seed=seed)) is not None for seed in range(5)] == [False, True, True, True, False]


# --- what a measure has to do with the text -------------------------------------------------------------------


def test_shared_work_that_read_the_text_read_it_for_all_that_share_it() -> None:
    bench = Workbench("none", text=TEXT)

    def read() -> int:
        bench.tokens_were_read(len(bench.text.passages))
        return 7

    def first(bench: Workbench, _: Subject) -> Measurement:
        bench.once("outer", lambda: bench.once("inner", read))
        return MEASUREMENT

    def weights(bench: Workbench, _: Subject) -> Measurement:
        bench.once("weights", lambda: 3)
        return MEASUREMENT

    def refused(bench: Workbench, _: Subject) -> Measurement:
        bench.once("never", lambda: unchecked(bench.text.name))
        return MEASUREMENT

    def unchecked(name: str) -> None:
        raise NotChecked(f"the text {name} is too short")

    uses = [measure_subject(bench, SUBJECT, one, {}) for one in (weights, first, first, weights, refused, refused)]
    assert [(use.text_asked, use.tokens_read) for use in uses] == [
        (False, None),
        (True, 1),
        (True, 1),
        (False, None),
        (True, None),
        (True, None),
    ]
    assert uses[-1].reason == "the text a text is too short" and uses[-1].measurement is None


def test_the_measures_of_claims_are_functions_that_are_kept() -> None:
    assert kept._name(residual.components) == "vsa_checks.sections.residual.components"


@pytest.mark.slow
def test_tests_find_no_cache_of_whoever_runs_them() -> None:
    assert cache_folder() is None
