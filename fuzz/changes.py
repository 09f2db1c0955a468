"""Small changes of sound files: of bytes, of JSON and of TOML, each drawn at random.

Every function takes the content, a generator and other sound contents of the same kind to take parts from.
"""

from __future__ import annotations

import copy
import json
import re
import struct
from collections.abc import Sequence
from random import Random
from typing import Any

NUMBERS = (
    *(0, 1, 2, 3, 7, 127, 255, 256, 1 << 15, (1 << 16) - 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40),
    *(1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)
WORDS = (
    "",
    "x",
    "\x1b[2J",
    "../x",
    "/etc/passwd",
    "a\nb",
    "\ud800",
    "\u202e",
    "NaN",
    "-1",
    "1e999",
    "a" * 5000,
    "<s>",
    "é",
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[]], [{}], {"": None}, [0] * 1000, {"a": 1, "b": [2]}),
    *(-1, -(1 << 63), 10**30, 0.0, -0.0, 0.5, 1e-308, 1e308, float("nan"), float("inf"), float("-inf")),
)
DEEP = (65, 2_000, 100_000)
_TOML = (
    "true",
    "nan",
    "-inf",
    "[]",
    "{}",
    '""',
    '"x"',
    "1979-05-27",
    "0x10",
    "1e400",
    "[[1]]",
    "{a = 1}",
    "'''a\nb'''",
)
_TOML_KEYS = ("x", "a.b", '""', '"\\u001b"', "id", "layer")
_MOST_BYTES = 1 << 20


def number(draw: Random) -> int:
    """A whole number that is often too large, too small or just beside a bound."""
    return draw.choice(NUMBERS) + draw.choice((0, 0, 0, -1, 1))


def value(draw: Random) -> Any:
    """A value of any type that JSON knows."""
    kind = draw.random()
    return number(draw) if kind < 0.4 else draw.choice(WORDS) if kind < 0.6 else copy.deepcopy(draw.choice(VALUES))


# --- bytes ------------------------------------------------------------------------------------------------------------


def change_bytes(content: bytes, draw: Random, others: Sequence[bytes] = ()) -> bytes:
    """One to four changes anywhere: bits, numbers, parts left out, doubled, put in or taken from another file."""
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
        _change(found, draw, others)
    return bytes(found[:_MOST_BYTES])


def _change(content: bytearray, draw: Random, others: Sequence[bytes]) -> None:
    at, length = draw.randrange(len(content) + 1), draw.choice((1, 1, 2, 4, 8, 16, 100, 1000))
    kind = draw.randrange(9)
    if kind == 0 and at < len(content):
        content[at] ^= 1 << draw.randrange(8)
    elif kind == 1 and at < len(content):
        content[at] = draw.choice((0, 9, 10, 34, 44, 58, 91, 92, 123, 127, 128, 255, draw.randrange(256)))
    elif kind == 2:
        layout = draw.choice("BHIQ")
        size = struct.calcsize("<" + layout)
        content[at : at + size] = (number(draw) % (1 << (8 * size))).to_bytes(size, "little")
    elif kind == 3:
        del content[at : at + length]
    elif kind == 4:
        content[at:at] = content[at : at + length] * draw.choice((1, 2, 50))
    elif kind == 5:
        content[at:at] = draw.randbytes(length)
    elif kind == 6:
        del content[at:]
    elif kind == 7:
        content[at : at + length] = bytes([draw.choice((0, 255))]) * length
    elif others:
        other = draw.choice(others)
        start = draw.randrange(len(other) + 1)
        content[at : at + length] = other[start : start + length]


# --- JSON -------------------------------------------------------------------------------------------------------------


def change_json(content: bytes, draw: Random, others: Sequence[bytes] = ()) -> bytes:
    """Changes of the values, keys and order of a JSON file; now and then of its bytes, or of its depth."""
    kind = draw.random()
    if kind < 0.08:
        return change_bytes(content, draw, others)
    if kind < 0.1:
        deep = draw.choice(DEEP)
        opening, closing = draw.choice(((b"[", b"]"), (b'{"a":', b"}")))
        inner = content if draw.random() < 0.5 else b"0"
        return opening * deep + inner + closing * draw.choice((0, deep))
    return dump(changed_value(json.loads(content), draw), draw)


def dump(found: Any, draw: Random) -> bytes:
    """JSON of any value; a key or two may stand there twice."""
    text = json.dumps(found, ensure_ascii=draw.random() < 0.8)
    if draw.random() < 0.03:
        other = draw.choice(("null", "1", "{}"))
        text = re.sub(r'"\w+": ', lambda key: f"{key[0]}{other}, {key[0]}", text, count=1)
    return text.encode("utf-8", "surrogatepass")


def changed_value(found: Any, draw: Random) -> Any:
    """A value with one to three of its parts changed; `found` itself may be changed too."""
    holder = [found]
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        _change_part(holder, draw)
    return holder[0]


def _change_part(holder: list[Any], draw: Random) -> None:
    """Change one part: go down from the top, and stop where a coin says so."""
    place: Any = holder
    key: Any = 0
    while isinstance(place[key], dict | list) and place[key] and draw.random() < 0.85:
        place = place[key]
        key = draw.choice(list(place)) if isinstance(place, dict) else draw.randrange(len(place))
    old, kind = place[key], draw.randrange(8)
    if kind == 0 and place is not holder:
        del place[key]
    elif kind == 1 and isinstance(place, dict):
        place[draw.choice((*WORDS, *place))] = place.pop(key)
    elif kind == 2 and isinstance(old, int | float) and not isinstance(old, bool):
        place[key] = draw.choice((old + 1, old - 1, -old, old * 2, old // 2 if isinstance(old, int) else old / 2))
    elif kind == 2 and isinstance(old, str):
        place[key] = draw.choice((old + draw.choice(WORDS), old[:-1], old * 3, old.upper(), old[::-1]))
    elif kind == 3:
        place[key] = draw.choice(([old], {"a": old}, [old, old]))
    elif kind == 4 and len(place) > 1:
        other = draw.choice(list(place)) if isinstance(place, dict) else draw.randrange(len(place))
        place[key] = place[other]
    elif kind == 5 and isinstance(old, dict | list):
        _grow(old, draw)
    else:
        place[key] = value(draw)


def _grow(found: dict[str, Any] | list[Any], draw: Random) -> None:
    if isinstance(found, dict):
        found[draw.choice((*WORDS, "layer_types", "id", "added_tokens"))] = value(draw)
    else:
        found[draw.randrange(len(found) + 1) : 0] = [draw.choice((value(draw), *found[:1]))] * draw.choice((1, 3, 300))


# --- TOML -------------------------------------------------------------------------------------------------------------


def change_toml(content: bytes, draw: Random, others: Sequence[bytes] = ()) -> bytes:
    """Changes of the values and lines of a TOML file; now and then of its bytes, or of its depth."""
    kind = draw.random()
    if kind < 0.1:
        return change_bytes(content, draw, others)
    if kind < 0.12:
        deep = draw.choice(DEEP)
        return content + b"\nz = " + b"[" * deep + b"]" * draw.choice((0, deep)) + b"\n"
    lines = content.decode().split("\n")
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        _change_line(lines, draw)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _change_line(lines: list[str], draw: Random) -> None:
    at = draw.randrange(len(lines))
    key, equals, stood = lines[at].partition(" = ")
    kind = draw.randrange(8)
    if kind <= 2 and equals:
        lines[at] = f"{key} = {_toml_value(draw)}"
    elif kind == 3 and equals:
        # one word of what stands there is another, inside an inline table too
        words = re.sub(r"[\w.-]+", lambda one: draw.choice((one[0], one[0], _toml_value(draw))), stood)
        lines[at] = f"{key} = {words}"
    elif kind == 4:
        del lines[at : at + draw.choice((1, 1, 3))]
        lines.extend([""] if not lines else [])
    elif kind == 5:
        lines.insert(at, draw.choice((*lines, "[x]", "[[claim]]", "[[verdicts]]", "[verdicts]", "x = 1")))
    elif kind == 6:
        lines[at] = f"{draw.choice(_TOML_KEYS)} = {stood or _toml_value(draw)}"
    else:
        other = draw.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]


def _toml_value(draw: Random) -> str:
    kind = draw.random()
    if kind < 0.4:
        return str(draw.choice((1, -1)) * number(draw))
    if kind < 0.6:
        return json.dumps(draw.choice(WORDS))
    return draw.choice(_TOML)
