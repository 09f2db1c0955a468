"""Write files atomically, and check in advance whether that is possible."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

TEMPORARY = re.compile(r"\.vsa-checks-[0-9a-f]{32}\.tmp")
_STALE_S = 60.0
"""Minimum age at which a temporary file is removed: a younger one's writer may not have locked it yet."""


def write_whole(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a file that replaces `path` in one step at the end, or not at all.

    Readers of `path` see the old file or the new one, never a part. A `private` file is only for this user, and the
    call does not wait for it to reach the disk. Text is written in UTF-8. Raises OSError if the file cannot be written.
    """
    write_together({path: content}, private=private)


def write_together(contents: Mapping[Path, str | bytes], *, private: bool = False) -> None:
    """Write several files like `write_whole`; none replaces its target before all are on disk. Raises OSError."""
    with ExitStack() as stack:
        temporaries = {}
        for path, content in contents.items():
            require_replaceable(path)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
            if not private:
                sweep(path.parent)
            temporary = temporaries[path] = _new_name(path.parent)
            stack.callback(temporary.unlink, missing_ok=True)
            # O_EXCL: never write into a file or link that somebody else put there.
            file = stack.enter_context(open(os.open(temporary, _EXCLUSIVE, 0o600 if private else 0o666), "wb"))
            with suppress(OSError):  # not every file system has locks; without them, only old files are removed
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if not private:
                os.fsync(file.fileno())
        for path, temporary in temporaries.items():
            os.replace(temporary, path)


def require_writable(path: Path) -> None:
    """Check, without touching `path`, that `write_whole` will succeed; creates its folder. Raises OSError."""
    require_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    probe = _new_name(path.parent)
    try:
        os.close(os.open(probe, _EXCLUSIVE, 0o600))
    finally:
        probe.unlink(missing_ok=True)


def require_replaceable(path: Path) -> None:
    """Raise OSError if something other than a file or a link is in the place of a file."""
    with suppress(FileNotFoundError):
        mode = os.lstat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "a folder is in its place", str(path))
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise OSError(errno.EINVAL, "a device or pipe is in its place", str(path))


def sweep(folder: Path) -> None:
    """Remove the temporary files left in a folder by processes that were killed while writing."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if TEMPORARY.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_if_abandoned(entry.path)


def _remove_if_abandoned(path: str) -> None:
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if time.time() - os.fstat(file).st_mtime > _STALE_S:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails if its writer is alive
            os.unlink(path)
    finally:
        os.close(file)


LOCK = ".in-use"


def locked(folder: Path) -> IO[bytes]:
    """Mark a temporary folder as in use, until this process ends or closes the returned file."""
    file = open(folder / LOCK, "xb")  # noqa: SIM115 - whoever asked closes it
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def sweep_folders(place: Path, prefix: str) -> None:
    """Remove this user's temporary folders left by killed processes, as shown by `locked`."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                        _remove_folder_if_abandoned(Path(entry.path))


def _remove_folder_if_abandoned(folder: Path) -> None:
    file = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if time.time() - os.fstat(file).st_mtime > _STALE_S:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails if its process is alive
            shutil.rmtree(folder)
    finally:
        os.close(file)


_EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)


def _new_name(folder: Path) -> Path:
    """An unpredictable name, short whatever the length of the file's own name."""
    return folder / f".vsa-checks-{secrets.token_hex(16)}.tmp"
