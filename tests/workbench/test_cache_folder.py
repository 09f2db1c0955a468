"""Where measurements are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsa_checks import paths


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
