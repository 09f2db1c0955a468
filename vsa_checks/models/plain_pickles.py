"""Reads pickles of named tensors: calls and imports nothing that they name, hashes and compares no container of them.

torch.load with weights_only runs no code, but a file made for it can keep it busy without end, have it make room for
gigabytes, or have it read and write memory that is not the tensor's. Here a pickle gives words, numbers, containers and
descriptions of tensors; everything else that torch would take is passed over, and the rest is refused.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import Any, BinaryIO

LONGEST = 10_000_000
"""The most bytes in the pickles of one file. A tensor takes some 200, and 30 steps."""
_MOST_STEPS, _STEPS_OF_A_NAME = 800_000, 20
_LONGEST_WORD, _LONGEST_NAME = 1_000_000, 1000
_MOST_AXES = 16

_REBUILT = {
    "torch._utils._rebuild_tensor": (4, 4),
    "torch._utils._rebuild_tensor_v2": (6, 7),
    "torch._utils._rebuild_tensor_v3": (7, 8),
}
"""Functions that make a tensor, and how many arguments they have at least and at most."""
_PARAMETERS = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
_OF_TYPE, _ORDERED = "torch._tensor._rebuild_from_type_v2", "collections.OrderedDict"
_PASSED_OVER = {
    *("torch.Size", "torch.device", "torch.serialization._get_layout", "_codecs.encode", "collections.Counter"),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("set", "bytearray", "complex")),
}
_TYPES = {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer", "torch.storage.UntypedStorage"}
_KNOWN = _TYPES | _PASSED_OVER | _PARAMETERS | _REBUILT.keys() | {_OF_TYPE, _ORDERED}
_PLAIN = {"BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1", "BINUNICODE", "SHORT_BINSTRING"}
_MADE: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class NotPlain(Exception):
    """A pickle asks for more than named tensors."""


@dataclass(frozen=True, eq=False)
class Named:
    """A function or a type that a pickle names."""

    name: str


@dataclass(frozen=True, eq=False)
class Stored:
    """Numbers that stand in the file under a key: how many of which type, by the storage's name."""

    kind: str
    key: str
    numel: int


@dataclass(frozen=True, eq=False)
class Strided:
    """A tensor of stored numbers; its type by name, where it is not that of the storage."""

    stored: Stored
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str | None = None


@dataclass(eq=False)
class Pairs:
    """A dictionary, as the keys and values that were put into it."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)


class Other:
    """Something that no tensor needs."""


def read_plain(file: BinaryIO, pickles: int) -> tuple[list[Any], list[Stored]]:
    """What the pickles that stand one after another in a file hold, and all stored numbers that they refer to.

    Parameters
    ----------
    file
        Stands at the first byte of the first pickle, and afterwards behind the last.
    pickles
        How many there are.

    Raises
    ------
    NotPlain
        For what torch would refuse too, and for more than the bounds of this module. The file is damaged in another
        way, if another error is raised.
    """
    bounded = _Bounded(file)
    return [_Reader(bounded).read() for _ in range(pickles)], bounded.stored


class _Bounded:
    """The first bytes of a file, in pieces of bounded length, and the first steps."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._bytes_left, self._steps_left = file, LONGEST, _MOST_STEPS
        self.stored: list[Stored] = []

    def step(self, count: int = 1) -> None:
        self._steps_left -= count
        if self._steps_left < 0:
            raise NotPlain("the list of its tensors is too long")

    def read(self, size: int) -> bytes:
        if size > _LONGEST_WORD:
            raise NotPlain("it holds a word that is too long")
        return self._counted(self._file.read(size))

    def readline(self) -> bytes:
        line = self._file.readline(_LONGEST_NAME)
        if not line.endswith(b"\n"):
            raise NotPlain("it holds a name that is too long")
        return self._counted(line)

    def _counted(self, content: bytes) -> bytes:
        self._bytes_left -= len(content)
        if self._bytes_left < 0:
            raise NotPlain("the list of its tensors is too long")
        return content


class _Reader:
    """The stack and the memo of one pickle."""

    def __init__(self, file: _Bounded) -> None:
        self._file = file
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def read(self) -> Any:
        for step, argument, _ in pickletools.genops(self._file):  # type: ignore[arg-type]
            self._file.step()
            self._take(step.name, argument)
        return self._popped(1)[0]

    def _take(self, step: str, argument: Any) -> None:
        if step in _PLAIN:
            self._stack.append(argument)
        elif step in _MADE:
            self._stack.append(_MADE[step])
        elif step in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._stack[-1]
        elif step in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif step == "MARK":
            self._below.append(self._stack)
            self._stack = []
        elif step == "TUPLE":
            made = tuple(self._above_mark())
            self._stack.append(made)
        elif step in _TUPLES:
            self._stack.append(tuple(self._popped(_TUPLES[step])))
        elif step == "EMPTY_LIST":
            self._stack.append([])
        elif step == "EMPTY_DICT":
            self._stack.append(Pairs())
        elif step == "EMPTY_SET":
            self._stack.append(Other())
        elif step in ("APPEND", "APPENDS"):
            items = self._popped(1) if step == "APPEND" else self._above_mark()
            self._top(list).extend(items)
        elif step in ("SETITEM", "SETITEMS"):
            items = self._popped(2) if step == "SETITEM" else self._above_mark()
            self._top(Pairs).pairs.extend(zip(items[::2], items[1::2], strict=True))
        elif step == "GLOBAL":
            self._file.step(_STEPS_OF_A_NAME)
            self._stack.append(_named(argument))
        elif step == "REDUCE":
            function, arguments = self._popped(2)
            if isinstance(arguments, tuple) and arguments and isinstance(arguments[0], list):
                self._file.step(len(arguments[0]))  # a list of pairs is copied each time
            self._stack.append(_called(function, arguments))
        elif step == "BUILD":  # an ordered dictionary with attributes, as a state_dict is
            self._popped(1)
            self._top(Pairs)
        elif step == "BINPERSID":
            found = _stored(*self._popped(1))
            self._file.stored.append(found)
            self._stack.append(found)
        elif step not in ("PROTO", "STOP"):
            raise NotPlain("it holds more than tensors")

    def _top(self, kind: type[Any]) -> Any:
        found = self._stack[-1]
        if not isinstance(found, kind):
            raise NotPlain("it changes what is no container")
        return found

    def _popped(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise NotPlain("it takes more than there is")
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _above_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items


def _named(argument: str) -> Named:
    name = argument.replace(" ", ".", 1)
    module, _, last = name.rpartition(".")
    if name not in _KNOWN and not (module in ("torch", "torch.cuda") and last.isidentifier()):
        raise NotPlain(f"it asks for {name}")
    return Named(name)


def _called(function: Any, arguments: Any) -> Any:
    """What calling a named function would give, which is not done."""
    if not isinstance(function, Named) or not isinstance(arguments, tuple):
        raise NotPlain("it calls what is no function")
    name = function.name
    if name == _OF_TYPE:  # a tensor with attributes of its own, or of a class of its own
        if len(arguments) != 4 or not isinstance(arguments[0], Named) or arguments[0].name == _OF_TYPE:
            raise NotPlain("it makes a tensor from other things")
        return _called(arguments[0], arguments[2])
    if name == _ORDERED:
        return _ordered(arguments)
    if name in _PARAMETERS:
        if not arguments or not isinstance(arguments[0], Strided):
            raise NotPlain("it makes a parameter of what is no tensor")
        return arguments[0]
    if name in _REBUILT:
        return _tensor(name, arguments)
    if name in _PASSED_OVER:
        return Other()
    raise NotPlain(f"it calls {name}")


def _ordered(arguments: tuple[Any, ...]) -> Pairs:
    """An ordered dictionary: empty, or of pairs, as Python 2 wrote it."""
    items = arguments[0] if arguments else []
    if len(arguments) > 1 or not isinstance(items, list):
        raise NotPlain("it makes a dictionary of what is no list")
    if any(not isinstance(item, tuple | list) or len(item) != 2 for item in items):
        raise NotPlain("it makes a dictionary of what are no pairs")
    return Pairs([(key, value) for key, value in items])


def _stored(described: Any) -> Stored:
    """The numbers that a tuple refers to: the word storage, type, key, device, how many, and no view of others."""
    if not isinstance(described, tuple) or len(described) not in (5, 6) or described[5:] not in ((), (None,)):
        raise NotPlain("it refers to what is no storage")
    word, kind, key, _, numel = described[:5]
    if word != "storage" or not isinstance(kind, Named) or not isinstance(key, str) or not _is_count(numel):
        raise NotPlain("it refers to what is no storage")
    return Stored(kind.name.rpartition(".")[2], key, numel)


def _tensor(name: str, arguments: tuple[Any, ...]) -> Strided | Other:
    least, most = _REBUILT[name]
    stored, offset, size, stride = arguments[:4] if least <= len(arguments) <= most else (None, 0, (), ())
    lengths = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= _MOST_AXES
    if not isinstance(stored, Stored) or not _is_count(offset) or not lengths:
        raise NotPlain("it makes a tensor from other things")
    if not all(map(_is_count, size + stride)):
        raise NotPlain("it makes a tensor with axes of no known length")
    dtype = None
    if name.endswith("_v3"):
        if not isinstance(arguments[6], Named):
            raise NotPlain("it makes a tensor from other things")
        dtype = arguments[6].name.rpartition(".")[2]
    metadata = arguments[7 if dtype else 6 :]
    if any(not isinstance(one, Pairs) or one.pairs for one in metadata if one is not None):
        return Other()  # conjugate or negative, and stored as it is not
    return Strided(stored, offset, size, stride, dtype)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62
