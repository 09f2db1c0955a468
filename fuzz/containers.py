"""Changes inside files with lengths and checksums, kept consistent so that the changed content is read."""

from __future__ import annotations

import hashlib
import io
import json
import pickletools
import struct
import zipfile
from collections.abc import Iterator, Sequence
from random import Random

from fuzz.changes import WORDS, change_bytes, change_json, changed_value, dump, number

_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9


def change_safetensors(content: bytes, draw: Random, others: Sequence[bytes] = ()) -> bytes:
    """Changes of the header, whose length is mostly set right, of that length, or of any byte."""
    kind = draw.random()
    if kind < 0.15:
        return change_bytes(content, draw, others)
    (length,) = struct.unpack_from("<Q", content)
    header, data = content[8 : 8 + length], content[8 + length :]
    if kind < 0.2:
        return struct.pack("<Q", number(draw) % (1 << 64)) + header + data
    return _with_header(change_json(header, draw), data)


def _with_header(header: bytes, data: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def change_pickled(content: bytes, draw: Random, others: Sequence[bytes] = ()) -> bytes:
    """Changes of the pickle in torch's archive, which is put together anew, of the archive, or of any byte."""
    if not content.startswith(b"PK") or draw.random() < 0.2:
        return change_bytes(content, draw, others)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {one.filename: archive.read(one) for one in archive.infolist()}
    pickles = [name for name in parts if name.endswith("data.pkl")]
    chosen = draw.choice(pickles if pickles and draw.random() < 0.8 else list(parts))
    kind = draw.random()
    if kind < 0.2 and chosen in pickles:
        parts[chosen] = _with_steps(parts[chosen], draw)
    elif kind < 0.85:
        parts[chosen] = change_bytes(parts[chosen], draw, [parts[name] for name in pickles])
    elif draw.random() < 0.5:
        del parts[chosen]
    else:
        parts[draw.choice((*WORDS[:6], *parts))] = parts.pop(chosen)
    return archived(parts, zipfile.ZIP_STORED if draw.random() < 0.95 else zipfile.ZIP_DEFLATED)


_STEPS = (
    *(b"N", b"(", b"t", b")", b"]", b"}", b"\x85", b"\x86", b"R", b"b", b"a", b"s", b"u", b"e", b"Q", b"0", b"2", b"."),
    *(b"q\x00", b"h\x00", b"h\x05", b"j\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"X\x01\x00\x00\x00x"),
    *(b"X\xff\xff\xff\x7f", b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"\x8a\x05\x00\x00\x00\x00\x04", b"J\xff\xff\xff\xff"),
    *(b"cbuiltins\nbytearray\n", b"ctorch\nFloatStorage\n", b"ctorch\nTensor\n", b"ctorch\nSize\n", b"cos\nsystem\n"),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"ctorch\n" + b"x" * 20_000 + b"\n"),
    b")q\x01" + b"h\x01\x86q\x01" * 60,
)
"""Steps of a pickle: containers, calls, memos, lengths that lie, functions, names, tuples doubled 60 times."""


def _with_steps(content: bytes, draw: Random) -> bytes:
    """A pickle with a few steps put in between its own."""
    places = [at for _, _, at in pickletools.genops(content)]
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.choice(places)  # right for the first, and anywhere after that
        content = content[:at] + b"".join(draw.choices(_STEPS, k=draw.choice((1, 2, 4)))) + content[at:]
    return content


def archived(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive as torch writes it."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compression) as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name or "_"), part, compression)
    return written.getvalue()


def change_kept(content: bytes, draw: Random, others: Sequence[bytes] = ()) -> bytes:
    """Changes of what a kept measurement holds, mostly under a right checksum: as somebody would forge it."""
    if draw.random() < 0.1:
        return change_bytes(content, draw, others)
    stored = json.loads(content.partition(b"\n")[2])
    if draw.random() < 0.95:
        stored["content"] = changed_value(stored["content"], draw)
        body = dump(stored, draw)
    else:
        body = change_json(dump(stored, draw), draw)
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


# --- GGUF -------------------------------------------------------------------------------------------------------------


def change_gguf(content: bytes, draw: Random, others: Sequence[bytes] = ()) -> bytes:
    """Changes of numbers and texts in the header at their places, of any byte of it, or of any byte of the file."""
    places = list(_places(content))
    end = places[-1][0] + places[-1][1]
    kind = draw.random()
    if kind < 0.1:
        return change_bytes(content, draw, others)
    if kind < 0.3:
        return change_bytes(content[:end], draw, [one[:end] for one in others]) + content[end:]
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at, size, is_text = draw.choice(places)
        if is_text:  # as long as before, so that what follows is still read
            word = draw.choice(WORDS).encode("utf-8", "surrogatepass")
            found[at : at + size] = (word * (size // max(len(word), 1) + 1))[:size].ljust(size, b"_")
        elif draw.random() < 0.3:
            before = int.from_bytes(found[at : at + size], "little")
            found[at : at + size] = (
                draw.choice((before + 1, before - 1, 2 * before, before // 2)) % (1 << (8 * size))
            ).to_bytes(size, "little")
        else:
            found[at : at + size] = (number(draw) % (1 << (8 * size))).to_bytes(size, "little")
    return bytes(found)


def _places(content: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where numbers and texts stand in the header of a sound GGUF file: byte, length, and whether it is a text."""
    n_tensors, n_fields = struct.unpack_from("<QQ", content, 8)
    yield from ((4, 4, False), (8, 8, False), (16, 8, False))
    at = 24

    def text() -> Iterator[tuple[int, int, bool]]:
        nonlocal at
        (length,) = struct.unpack_from("<Q", content, at)
        yield at, 8, False
        yield at + 8, length, True
        at += 8 + length

    for _ in range(n_fields):
        yield from text()
        (kind,) = struct.unpack_from("<I", content, at)
        yield at, 4, False
        at += 4
        count = 1
        if kind == _ARRAY:
            kind, count = struct.unpack_from("<IQ", content, at)
            yield at, 4, False
            yield at + 4, 8, False
            at += 12
        for item in range(count):
            if kind == _STRING:
                # of a long list the first few are enough: it is the other fields that are many and short
                for place in text():
                    if item < 3:
                        yield place
            else:
                if item < 3:
                    yield at, _SCALARS[kind], False
                at += _SCALARS[kind]
    for _ in range(n_tensors):
        yield from text()
        (rank,) = struct.unpack_from("<I", content, at)
        yield at, 4, False
        for axis in range(rank):
            yield at + 4 + 8 * axis, 8, False
        at += 4 + 8 * rank
        yield at, 4, False
        yield at + 4, 8, False
        at += 12
