"""Files are written whole or not at all, nothing is written through, and what killed processes left goes."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vsa_checks.writing import LOCK, locked, require_writable, sweep, sweep_folders, write_together, write_whole


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "file"
    write_whole(file, "one\né")
    assert file.read_bytes() == "one\né".encode()
    write_whole(file, b"two")
    assert file.read_bytes() == b"two" and list(file.parent.iterdir()) == [file]


def test_the_longest_name_that_a_file_may_have_can_be_written(tmp_path: Path) -> None:
    write_whole(tmp_path / ("x" * 255), "one")
    assert (tmp_path / ("x" * 255)).read_text() == "one"


def test_a_private_file_is_for_this_user_alone_and_others_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_whole(tmp_path / "private", "one", private=True)
        write_whole(tmp_path / "public", "one")
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {"private": 0o600, "public": 0o644}


@pytest.mark.parametrize("private", [False, True])
def test_a_full_disk_leaves_the_old_file(private: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on the size of a file stands for the disk: what fails is the write itself, half done."""
    file = tmp_path / "file"
    write_whole(file, "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            write_whole(file, "new" * 5000, private=private)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.errno == errno.EFBIG
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("theirs")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_whole(tmp_path / "link", "ours")
    assert (tmp_path / "target").read_text() == "theirs" and not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_not_replaced(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir() if kind == "folder" else os.mkfifo(place)
    for attempt in (lambda: write_whole(place, "new"), lambda: require_writable(place)):
        with pytest.raises(OSError, match=f"a (device or )?{kind} is in its place"):
            attempt()
    assert list(tmp_path.iterdir()) == [place]


def test_trying_leaves_nothing_and_touches_nothing(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")
    require_writable(tmp_path / "file")
    require_writable(tmp_path / "folder" / "other")
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    with pytest.raises(OSError):
        require_writable(tmp_path / "file" / "below a file")


def test_of_several_files_none_is_replaced_where_one_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("old")
    (tmp_path / "two").mkdir()
    with pytest.raises(OSError):
        write_together({tmp_path / "one": "new", tmp_path / "two": "new"})
    assert (tmp_path / "one").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


KILLED = """
import os, signal, sys
from pathlib import Path
from vsa_checks import writing

os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
writing.write_whole(Path(sys.argv[1]), "new")
"""


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_whole(file, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert done.returncode == -signal.SIGKILL and file.read_text() == "old"
    (leftover,) = set(tmp_path.iterdir()) - {file}
    write_whole(file, "newer")
    assert leftover.exists(), "its writer might be about to lock it"
    os.utime(leftover, (time.time() - 100,) * 2)
    write_whole(file, "newest")
    assert file.read_text() == "newest" and list(tmp_path.iterdir()) == [file]


def test_what_a_living_process_writes_stays_and_so_do_files_of_others(tmp_path: Path) -> None:
    names = [f".vsa-checks-{'0a' * 16}.tmp", ".vsa-checks-12.tmp", ".other.tmp"]
    for name in names:
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (time.time() - 10_000,) * 2)
    with open(tmp_path / names[0], "rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        sweep(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_folders_of_killed_processes_go_and_those_in_use_stay(tmp_path: Path) -> None:
    folders = {
        name: tmp_path / name for name in ("twin-in-use", "twin-abandoned", "twin-new", "twin-unmarked", "other")
    }
    for name, folder in folders.items():
        folder.mkdir()
        (folder / "large").write_text("half")
        if name != "twin-unmarked":
            with locked(folder):
                pass
            if name != "twin-new":
                os.utime(folder / LOCK, (time.time() - 100,) * 2)
    (tmp_path / "twin-link").symlink_to(folders["other"])
    with open(folders["twin-in-use"] / LOCK, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sweep_folders(tmp_path, "twin-")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({*folders, "twin-link"} - {"twin-abandoned"})


def test_a_file_system_without_locks_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("vsa_checks.writing.fcntl.flock", none)
    write_whole(tmp_path / "file", "whole")
    assert (tmp_path / "file").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    locked(tmp_path).close()
