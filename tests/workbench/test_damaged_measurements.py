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

from tests.workbench.test_kept_measurements import MEASURED, MEASUREMENT, UNCHECKED, cache_in, find, keep, only_file
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
