"""A measurement that is not kept as it was written is none, and is never trusted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workbench.test_kept_measurements import (
    CLAIM,
    FLAGS,
    LOADED,
    MEASURE,
    MEASURED,
    MEASUREMENT,
    OPTIONS,
    SUBJECT,
    UNCHECKED,
    cache_in,
    find,
    keep,
    only_file,
)
from vsa_checks import paths
from vsa_checks.workbench import kept_measurements as kept


def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    keep(cache_in(tmp_path))
    file = only_file(tmp_path)
    sound = file.read_bytes()
    for place in range(len(sound)):
        for bit in (1, 128):
            file.write_bytes(sound[:place] + bytes([sound[place] ^ bit]) + sound[place + 1 :])
            assert find(cache_in(tmp_path)) is None, place
    file.write_bytes(sound)
    assert find(cache_in(tmp_path)) == MEASURED


def test_a_file_cut_short_or_lengthened_is_noticed(tmp_path: Path) -> None:
    keep(cache_in(tmp_path))
    file = only_file(tmp_path)
    sound = file.read_bytes()
    for length in range(len(sound)):
        file.write_bytes(sound[:length])
        assert find(cache_in(tmp_path)) is None, length
    for more in (b"\n", b" ", b"}", sound):
        file.write_bytes(sound + more)
        assert find(cache_in(tmp_path)) is None, more


def signed(content: object) -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


RUBBISH: dict[str, Callable[[str], bytes]] = {
    "no JSON": lambda key: signed(b"\xff{"),
    "a list": lambda key: signed([key]),
    "a number": lambda key: signed(3),
    "no content": lambda key: signed({"key": key}),
    "content of another shape": lambda key: signed({"key": key, "content": {"measurement": [1]}}),
    "content that is a text": lambda key: signed({"key": key, "content": "measurement"}),
    "a measurement that lacks its value": lambda key: signed(
        {"key": key, "content": {**MEASURED.as_json(), "measurement": {"n_examined": 3}}}
    ),
    "a measurement whose interval is a number": lambda key: signed(
        {"key": key, "content": {**MEASURED.as_json(), "measurement": {**MEASUREMENT.as_json(), "interval": 3}}}
    ),
}


def forged(*path: str | int, to: object) -> Callable[[str], bytes]:
    """An entry with a right checksum in which one place is another."""

    def make(key: str) -> bytes:
        content = json.loads(json.dumps(MEASURED.as_json()))
        inner = content
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = to
        return signed({"key": key, "content": content})

    return make


NAN, INFINITE = float("nan"), float("inf")
RUBBISH |= {
    "a value in quotes": forged("measurement", "value", to="0.3"),
    "a value that is no number": forged("measurement", "value", to=NAN),
    "a value without end": forged("measurement", "value", to=INFINITE),
    "a value that is a truth": forged("measurement", "value", to=True),
    "a list for a value": forged("measurement", "value", to=[0.3]),
    "nothing examined": forged("measurement", "n_examined", to=0),
    "half a token examined": forged("measurement", "n_examined", to=2.5),
    "an end of the interval in quotes": forged("measurement", "interval", "low", to="0"),
    "a level of two": forged("measurement", "interval", "level", to=2.0),
    "a null in quotes": forged("measurement", "nulls", 0, "value", to="0.5"),
    "a p value above one": forged("measurement", "nulls", 0, "p_value", to=1.5),
    "a spread below zero": forged("measurement", "nulls", 0, "spread", to=-1.0),
    "nulls that are a table": forged("measurement", "nulls", to={}),
    "a reference without a name": forged("measurement", "reference", to={"value": 1.0}),
    "details that hold no number": forged("measurement", "details", to={"curve": [1.0, NAN]}),
    "details that are a list": forged("measurement", "details", to=[1]),
    "details without end": lambda key: signed(
        json.dumps({"key": key, "content": 0}).replace("0}", "[" * 5000 + "]" * 5000 + "}").encode()
    ),
    "a duration below zero": forged("duration_s", to=-1.0),
    "a reason that is a number": forged("reason", to=3),
    "a reference beyond what a report can hold": forged("measurement", "reference", "value", to=1.7e308),
    "more examined than can be counted": forged("measurement", "n_examined", to=10**30),
    "one thing more": forged("more", to=1),
    "other seeds in quotes": forged("redrawn", to=["0.3"]),
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_with_a_right_checksum_is_no_entry(kind: str, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    keep(cache)
    file = only_file(tmp_path)
    file.write_bytes(RUBBISH[kind](file.stem))
    assert find(cache) is None
    keep(cache)
    assert find(cache) == MEASURED


def test_a_sound_entry_under_another_ones_name_is_noticed(tmp_path: Path) -> None:
    keep(cache_in(tmp_path / "one"))
    keep(cache_in(tmp_path / "other", seed=1), UNCHECKED)
    shutil.copy(only_file(tmp_path / "other"), only_file(tmp_path / "one"))
    assert find(cache_in(tmp_path / "one")) is None


def test_a_folder_in_the_place_of_an_entry_is_no_entry(tmp_path: Path) -> None:
    keep(cache_in(tmp_path))
    file = only_file(tmp_path)
    file.unlink()
    file.mkdir()
    assert find(cache_in(tmp_path)) is None
    keep(cache_in(tmp_path))
    assert file.is_dir() and only_file(tmp_path) == file, "and no temporary file stays behind"


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = cache_in(tmp_path / "file")
    keep(cache)
    cache.prune()
    assert find(cache) is None


def test_a_write_that_breaks_off_leaves_what_there_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    keep(cache_in(tmp_path))
    monkeypatch.setattr(os, "replace", no_space)
    keep(cache_in(tmp_path), UNCHECKED)
    keep(cache_in(tmp_path), dataclasses.replace(MEASURED, duration_s=1.0))
    assert find(cache_in(tmp_path)) == MEASURED
    only_file(tmp_path)


def test_a_folder_that_can_only_be_read_serves(tmp_path: Path) -> None:
    keep(cache_in(tmp_path))
    folder = tmp_path / kept.FOLDER
    folder.chmod(0o500)
    try:
        assert find(cache_in(tmp_path)) == MEASURED
        cache_in(tmp_path).keep_threads(2)
    finally:
        folder.chmod(0o700)


# --- whose it is ----------------------------------------------------------------------------------------------


def test_an_entry_is_for_this_user_alone(tmp_path: Path) -> None:
    keep(cache_in(tmp_path / "new"))
    file = only_file(tmp_path / "new")
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_an_entry_that_others_may_write_is_not_trusted(mode: int, tmp_path: Path) -> None:
    keep(cache_in(tmp_path))
    only_file(tmp_path).chmod(mode)
    assert find(cache_in(tmp_path)) is None
    keep(cache_in(tmp_path))
    assert find(cache_in(tmp_path)) == MEASURED, "it is measured anew, and kept again"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_an_entry_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    keep(cache_in(tmp_path))
    os.chown(only_file(tmp_path), 12345, -1)
    assert find(cache_in(tmp_path)) is None


def test_a_pipe_or_a_device_in_the_place_of_an_entry_is_not_waited_for(tmp_path: Path) -> None:
    keep(cache_in(tmp_path))
    file = only_file(tmp_path)
    file.unlink()
    os.mkfifo(file)
    assert find(cache_in(tmp_path)) is None
    file.unlink()
    file.symlink_to("/dev/zero")
    assert find(cache_in(tmp_path)) is None


@pytest.mark.parametrize("found", [0, -1, True, 2.0, "2", None, [2]])
def test_a_number_of_threads_that_cannot_be_is_none(found: object, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    cache.keep_threads(2)
    assert cache.threads() == 2
    file = only_file(tmp_path)
    file.write_bytes(signed({"key": file.stem, "content": found}))
    assert cache.threads() is None


@pytest.mark.parametrize(
    "found",
    [{"flags": {"fold_ln": 1}, "note": ""}, {"flags": FLAGS}, {"flags": FLAGS, "note": 1}, "note", None],
)
def test_flags_that_are_no_truths_are_none(found: object, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    cache.keep_loaded("raw", LOADED)
    assert cache.loaded("raw") == LOADED
    file = only_file(tmp_path)
    file.write_bytes(signed({"key": file.stem, "content": found}))
    assert cache.loaded("raw") is None


def test_an_entry_without_what_its_claim_is_judged_by_is_none(tmp_path: Path) -> None:
    """As a claim can come to ask for, whose version nobody raised, or as somebody may forge it."""
    cache = cache_in(tmp_path)
    keep(cache)
    for more in ({"decisive": ("another null",)}, {"decisive": ("null", "another null")}):
        asked = dataclasses.replace(CLAIM, **more)
        assert cache.find(asked, SUBJECT, FLAGS, MEASURE, OPTIONS) is None
    for unit, reference in (("reference", None), ("1", None), ("reference", MEASUREMENT.reference)):
        keep(cache, dataclasses.replace(MEASURED, measurement=dataclasses.replace(MEASUREMENT, reference=reference)))
        asked = dataclasses.replace(CLAIM, threshold_unit=unit)
        found = cache.find(asked, SUBJECT, FLAGS, MEASURE, OPTIONS)
        assert (found is None) == (unit == "reference" and reference is None)


def test_a_place_where_nothing_would_be_trusted_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount may show every file as another user's, or as one that all may write."""
    assert cache_in(tmp_path).not_ours() == "" == cache_in(None).not_ours()
    user = os.geteuid()
    monkeypatch.setattr("vsa_checks.workbench.kept_measurements.os.geteuid", lambda: user + 1)
    said = cache_in(tmp_path).not_ours()
    assert f"belong to user {user} and have mode 600" in said and str(tmp_path) in said and paths.CACHE_VARIABLE in said
    assert list((tmp_path / kept.FOLDER).iterdir()) == []


def test_what_could_not_be_kept_is_said(tmp_path: Path) -> None:
    assert cache_in(tmp_path / "there").lost() == "" == cache_in(None).lost()
    assert list((tmp_path / "there" / kept.FOLDER).iterdir()) == []
    (tmp_path / "file").write_text("")
    said = cache_in(tmp_path / "file").lost()
    assert str(tmp_path / "file") in said and "(Not a directory)" in said and paths.CACHE_VARIABLE in said


def test_what_is_too_long_to_be_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(cache_in(tmp_path))
    length = only_file(tmp_path).stat().st_size
    for most, is_kept in ((length, True), (length - 1, False)):
        monkeypatch.setattr(kept, "MOST_BYTES_OF_ONE", most)
        keep(cache_in(tmp_path / str(most)))
        assert (find(cache_in(tmp_path / str(most))) == MEASURED) == is_kept
        assert (tmp_path / str(most)).exists() == is_kept
