"""Files that are not ours are read within bounds, and what is wrong with them is one sentence."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import TypedDict

from vsa_checks.errors import ModelError
from vsa_checks.reading import Unreadable, read_bytes, read_json, read_text, read_toml


class Sizes(TypedDict):
    width: int


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    with pytest.raises(Unreadable) as caught:
        call(*arguments, what="the list", **{"limit": 100_000, **options})
    message = str(caught.value)
    assert message.isprintable() and message.startswith("the list ")
    return message


def test_only_regular_files_are_opened_and_nothing_is_waited_for(tmp_path: Path) -> None:
    fifo, listening, link = tmp_path / "fifo", tmp_path / "socket", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(listening))
        kinds = {fifo: "a pipe", link: "a pipe", listening: "a socket", tmp_path: "a folder", "/dev/zero": "a device"}
        for path, kind in kinds.items():
            assert f"is {kind}" in refusal(read_bytes, path)


def test_a_file_that_is_not_there_or_has_no_possible_name(tmp_path: Path) -> None:
    with pytest.raises(Unreadable) as caught:
        read_bytes(tmp_path / "none", limit=1, what="the list")
    assert caught.value.missing
    for name in ("nul\0byte", "long" * 5000, "half\udcff"):
        assert "cannot be read" in refusal(read_bytes, tmp_path / name)


def test_a_file_is_read_up_to_its_limit_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, limit=5, what="the list") == b"12345"
    assert "longer than 4 bytes" in refusal(read_bytes, path, limit=4)
    with path.open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert "longer than" in refusal(read_bytes, path)
    assert "longer than 8 bytes" in refusal(read_bytes, "/proc/self/environ", limit=8)  # says that it is empty


def test_names_are_made_visible(tmp_path: Path) -> None:
    assert r"a\x1b[2Jb\nc" in refusal(read_bytes, tmp_path / "a\x1b[2Jb\nc")
    assert str(ModelError("one\ntwo \u202e")) == r"one\ntwo \u202e"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[" * 70 + "]" * 70, "more than 64 levels"),
        ("[" * 90_000, "more than 64 levels"),
        ('{"a":' * 15_000, "more than 64 levels"),
        ("{", "cannot be read as JSON"),
        ("1" * 5000, "cannot be read as JSON"),
        ('{"width": 1, "width": 2}', "gives 'width' twice"),
        ("{}", "lacks width"),
        ('{"width": true}', "gives True for width"),
        ('{"width": "1"}', "gives '1' for width"),
        ('{"width": 1.0}', "gives 1.0 for width"),
        ('{"width": [1, 2]}', "a list of 2 for width"),
        ("[1]", "holds a list of 1"),
        ('"\\u001b[2J"', "holds"),
    ],
)
def test_what_is_wrong_with_json_is_said(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(content)
    assert said in refusal(read_json, path, schema=Sizes)
    path.write_text('{"width": 3, "more": [null]}')
    assert read_json(path, limit=100, what="the list", schema=Sizes) == {"width": 3, "more": [None]}


def test_text_must_be_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"one\ntwo \xff")
    assert "(line 2: invalid start byte)" in refusal(read_text, path)
    assert "cannot be read as JSON" in refusal(read_json, path)


def test_what_is_wrong_with_toml_is_said_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    path.write_text(
        'top = 1\n[one]\nwidth = 2\n\n["t.wo"] # second\nother = 3\nwidth = "x"\n[[row]]\nwidth=1\n[[row]]\n'
    )
    assert "(line 7) gives 'x' for t.wo.width" in refusal(read_toml, path, schema=Two)
    assert "(line 10) lacks row.1.width" in refusal(read_toml, path, schema=Rows)
    assert "(line 1) gives 1 for top" in refusal(read_toml, path, schema=Top)
    path.write_text("one = \n")
    assert "line 1" in refusal(read_toml, path)
    path.write_text("one = " + "[" * 5000)
    assert "more than 64 levels" in refusal(read_toml, path)


Two = TypedDict("Two", {"t.wo": Sizes})


class Rows(TypedDict):
    row: list[Sizes]


class Top(TypedDict):
    top: str
