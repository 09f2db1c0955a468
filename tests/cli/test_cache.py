"""Arrays kept on disk: read again as they were, made anew when stale, damaged or of another key, never trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vsa_checks import paths
from vsa_checks.models import kept_weights as caches
from vsa_checks.models.kept_weights import WeightsCache

KEY: dict[str, str | int | float | None] = {"what": "test", "sha256": "ab", "n": 3}


class Maker:
    """Makes arrays, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, NDArray[np.generic]]:
        self.calls += 1
        return {"a": np.arange(6.0).reshape(2, 3), "b": np.array([7], np.float32)}


def same(found: caches.Arrays) -> None:
    assert set(found) == {"a", "b"}
    assert np.array_equal(found["a"], np.arange(6.0).reshape(2, 3)) and found["a"].dtype == np.float64
    assert found["b"].tolist() == [7.0] and found["b"].dtype == np.float32


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_the_second_time_nothing_is_made(tmp_path: Path) -> None:
    make = Maker()
    for _ in range(3):
        same(WeightsCache(tmp_path / "new" / "folder").arrays(KEY, make))
    assert make.calls == 1
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 1


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path))
    make = Maker()
    for _ in range(2):
        same(WeightsCache(None).arrays(KEY, make))
    assert make.calls == 2
    assert not list(tmp_path.iterdir())


def test_another_key_or_another_version_of_the_code_is_another_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker()
    WeightsCache(tmp_path).arrays(KEY, make)
    WeightsCache(tmp_path).arrays({**KEY, "n": 4}, make)
    monkeypatch.setattr(caches, "code_digest", lambda: "another version")
    WeightsCache(tmp_path).arrays(KEY, make)
    assert make.calls == 3


@pytest.mark.parametrize("place", ["first byte", "header", "last byte", "half of it", "all of it"])
def test_a_damaged_entry_is_made_anew_and_mended(place: str, tmp_path: Path) -> None:
    make = Maker()
    WeightsCache(tmp_path).arrays(KEY, make)
    file = only_file(tmp_path)
    content = bytearray(file.read_bytes())
    if place == "half of it":
        content = content[: len(content) // 2]
    elif place == "all of it":
        content = bytearray(b"not what it was")
    else:
        at = {"first byte": 0, "header": 30, "last byte": -1}[place]
        content[at] ^= 0xFF
    file.write_bytes(content)
    same(WeightsCache(tmp_path).arrays(KEY, make))
    assert make.calls == 2
    same(WeightsCache(tmp_path).arrays(KEY, make))
    assert make.calls == 2


def test_an_entry_of_another_key_under_this_ones_name_is_not_taken(tmp_path: Path) -> None:
    make = Maker()
    WeightsCache(tmp_path / "one").arrays(KEY, make)
    WeightsCache(tmp_path / "other").arrays({**KEY, "sha256": "cd"}, make)
    only_file(tmp_path / "other").write_bytes(only_file(tmp_path / "one").read_bytes())
    WeightsCache(tmp_path / "other").arrays({**KEY, "sha256": "cd"}, make)
    assert make.calls == 3


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    make = Maker()
    same(WeightsCache(tmp_path / "file").arrays(KEY, make))
    assert make.calls == 1


def test_a_name_that_there_is_not_is_a_key_error(tmp_path: Path) -> None:
    make = Maker()
    WeightsCache(tmp_path).arrays(KEY, make)
    with pytest.raises(KeyError):
        WeightsCache(tmp_path).arrays(KEY, make)["c"]


def test_where_it_lies_can_be_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "named"))
    assert paths.cache_folder() == tmp_path / "named"
    monkeypatch.setenv(paths.CACHE_VARIABLE, "off")
    assert paths.cache_folder() is None
    monkeypatch.delenv(paths.CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.cache_folder() == tmp_path / "vsa_checks"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.cache_folder() == tmp_path / ".cache" / "vsa_checks"
