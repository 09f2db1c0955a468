"""Read untrusted files: only regular files, with limits on size and nesting, checked against a schema.

Whatever is wrong, `Unreadable` says it in one sentence; the caller adds which model it is about, and the remedy.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable
from functools import lru_cache
from io import BufferedReader
from typing import Any

from vsa_checks.errors import VsaChecksError

KB, MB, GB = 10**3, 10**6, 10**9
DEEPEST = 64
"""Default limit on nested levels of lists and tables in a file."""
# Otherwise, opening a pipe without a writer would wait forever.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Unreadable(VsaChecksError):
    """A file that cannot be read as expected; one sentence without full stop and remedy.

    `reason` is the sentence without the file's name; `missing` is true if there is no such file.
    """

    def __init__(self, what: str, path: str | os.PathLike[str], reason: str, *, missing: bool = False) -> None:
        super().__init__(f"{what} {os.fspath(path)} {reason}")
        self.reason, self.missing = reason, missing


def open_regular(path: str | os.PathLike[str], *, what: str) -> BufferedReader:
    """Open a regular file, or a link to one, without ever waiting. Raises Unreadable."""
    try:
        _refuse_other_kinds(os.stat(path), what, path)
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError) as problem:
        said = getattr(problem, "strerror", None) or str(problem)
        raise Unreadable(
            what, path, f"cannot be read ({said})", missing=isinstance(problem, FileNotFoundError)
        ) from None
    try:
        _refuse_other_kinds(os.fstat(descriptor), what, path)  # the file may have been replaced in between
    except Unreadable:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def _refuse_other_kinds(found: os.stat_result, what: str, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for test, name in _KINDS if test(found.st_mode)), "of another kind")
        raise Unreadable(what, path, f"is {kind}, and only regular files are read")


def read_bytes(path: str | os.PathLike[str], *, limit: int, what: str) -> bytes:
    """All bytes of a regular file of at most `limit` bytes. Raises Unreadable."""
    with open_regular(path, what=what) as file:
        try:
            # A file's reported length may be wrong (in /proc it is 0).
            content = file.read(limit + 1) if os.fstat(file.fileno()).st_size <= limit else None
        except OSError as problem:
            raise Unreadable(what, path, f"cannot be read ({problem.strerror})") from None
    if content is None or len(content) > limit:
        raise Unreadable(what, path, f"is longer than {limit:,} bytes, the limit for such a file")
    return content


def read_text(path: str | os.PathLike[str], *, limit: int, what: str) -> str:
    """The text of a regular UTF-8 file. Raises Unreadable."""
    content = read_bytes(path, limit=limit, what=what)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise Unreadable(what, path, f"is not UTF-8 text (line {line}: {problem.reason})") from None


def read_json(path: str | os.PathLike[str], *, limit: int, what: str, depth: int = DEEPEST, schema: Any = None) -> Any:
    """The content of a JSON file.

    Parameters
    ----------
    path : str or path-like
    limit : int, bytes
    what : str
        What the file is, for messages, for example "the configuration".
    depth : int
        Limit on nested levels of lists and tables.
    schema : type, optional
        Type of the content: any type that pydantic can check, strictly; keys that a TypedDict does not name are
        allowed.

    Raises
    ------
    Unreadable
    """
    return parse_json(read_bytes(path, limit=limit, what=what), path=path, what=what, depth=depth, schema=schema)


def parse_json(
    content: bytes, *, path: str | os.PathLike[str], what: str, depth: int = DEEPEST, schema: Any = None
) -> Any:
    """`read_json` for bytes already read from the file."""

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            for key, value in pairs:
                # As elsewhere, the last one counts; the same value twice is harmless.
                if key in seen and any(other != value for name, other in pairs if name == key):
                    raise Unreadable(what, path, f"gives {key[:80]!r} twice, with different values")
                seen.add(key)
        return found

    found = _parsed(lambda: json.loads(content, object_pairs_hook=table), "JSON", path, what, depth)
    if _HALF.search(content):  # mostly there are none, or both halves
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Unreadable(what, path, "holds half a character (half of a surrogate pair)") from None
    check(found, schema, path=path, what=what)
    return found


def check(content: Any, schema: Any, *, path: str | os.PathLike[str], what: str) -> None:
    """Raise Unreadable if a part of a file's content does not match its schema."""
    complaint = _complaint(content, schema)
    if complaint is not None:
        raise Unreadable(what, path, complaint[1])


def read_toml(
    path: str | os.PathLike[str], *, limit: int, what: str, depth: int = DEEPEST, schema: Any = None
) -> dict[str, Any]:
    """The content of a TOML file, like `read_json`; errors give the line if it can be found."""
    text = read_text(path, limit=limit, what=what)
    found: dict[str, Any] = _parsed(lambda: tomllib.loads(text.replace("\r\n", "\n")), "TOML", path, what, depth)
    complaint = _complaint(found, schema)
    if complaint is not None:
        place, reason = complaint
        line = toml_line(text, *place)
        raise Unreadable(what, path, reason if line is None else f"(line {line}) {reason}")
    return found


def toml_line(text: str, *place: str | int) -> int | None:
    """The line of a TOML file, from 1, with a key of a table, or else with the table; None if neither is found.

    `place` is, for example, ("gpt2", "n_layers"), or ("claim", 3, "threshold") for the fourth [[claim]].
    """
    lines = text.split("\n")
    if not place:
        return None
    count = place[1] if len(place) > 1 and isinstance(place[1], int) else 0
    keys = [str(key) for key in place[1:] if isinstance(key, str)]
    name = _key_pattern(str(place[0]))
    header = re.compile(rf"\s*\[{{1,2}}\s*{name}\s*\]{{1,2}}\s*(#.*)?")
    starts = [at for at, line in enumerate(lines) if header.fullmatch(line)]
    if len(starts) <= count:
        top = re.compile(rf"\s*{name}\s*[=.]")
        return next((at + 1 for at, line in enumerate(lines) if top.match(line)), None)
    start = starts[count]
    key = re.compile(rf"\s*{_key_pattern(keys[0])}\s*[=.]") if keys else None
    for at in range(start + 1, len(lines)):
        if key is None or re.match(r"\s*\[.*\]\s*(#.*)?$", lines[at]):
            break
        if key.match(lines[at]):
            return at + 1
    return start + 1


def _key_pattern(key: str) -> str:
    return rf"[\"']?{re.escape(key)}[\"']?"


def _parsed(parse: Callable[[], Any], kind: str, path: str | os.PathLike[str], what: str, depth: int) -> Any:
    too_deep = f"has more than {depth} levels of nested lists and tables"
    try:
        found = parse()
    except RecursionError:
        raise Unreadable(what, path, too_deep) from None
    except ValueError as problem:  # errors of syntax, of characters, and of numbers with thousands of digits
        raise Unreadable(what, path, f"cannot be read as {kind} ({problem})") from None
    level = [found]
    for _ in range(depth + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return found
    raise Unreadable(what, path, too_deep)


def _complaint(content: Any, schema: Any) -> tuple[tuple[str | int, ...], str] | None:
    """Location and description of the first mismatch between a file and its schema; None if there is none."""
    if schema is None:
        return None
    from pydantic import ValidationError

    try:
        _adapter(schema).validate_python(content, strict=True)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_context=False)[0]
        place = tuple(first["loc"])
        shown = ".".join(str(part)[:80] for part in place)
        if first["type"] == "missing":
            return place[:-1], f"lacks {shown}"
        if first["type"] == "extra_forbidden":
            return place, f"has unknown {shown}"
        given = repr(first["input"]) if not isinstance(first["input"], dict | list) else _length(first["input"])
        said = first["msg"][:1].lower() + first["msg"][1:]
        return place, f"gives {given[:80]} for {shown}: {said}" if shown else f"holds {given[:80]}: {said}"
    return None


def _length(content: dict[Any, Any] | list[Any]) -> str:
    return f"a {'table' if isinstance(content, dict) else 'list'} of {len(content):,}"


@lru_cache(maxsize=32)
def _adapter(schema: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(schema)
