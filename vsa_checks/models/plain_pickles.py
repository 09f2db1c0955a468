"""What a pickle asks for, followed before torch reads it: tensors and plain values, each spelled out.

torch's own reader with weights_only runs no code, and still a small file can keep it busy without end: tuples of tuples
of tuples that are held twice each, names whose length it takes the square of, a function that makes room for gigabytes.
"""

from __future__ import annotations

import mmap
import pickletools
import re
from pickle import UnpicklingError
from typing import BinaryIO

LONGEST = 10_000_000
"""The most bytes in the pickles of one file. A tensor takes some 200, and 30 steps."""
_MOST_STEPS = 500_000
_LONGEST_WORD, _LONGEST_NAME = 1_000_000, 1000

_TYPES = re.compile(r"torch\.((cuda\.)?\w+Storage|storage\.\w+Storage|bool|u?int\d+|b?float\d\w*|complex\d+)", re.ASCII)
"""Of numbers and of what holds them; torch refuses those that are none."""
_ORDERED = "collections.OrderedDict"
_FUNCTIONS = {f"torch._utils._rebuild_{word}" for word in ("tensor", "tensor_v2", "tensor_v3", "parameter")}
_FUNCTIONS |= {_ORDERED, "torch.Size", "builtins.set", "__builtin__.set"}

_PLAIN = {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1"}
_WORDS = {"BINUNICODE", "SHORT_BINSTRING"}
_EMPTY = {"EMPTY_LIST": "list", "EMPTY_DICT": "dict", "EMPTY_SET": "set", "EMPTY_TUPLE": "tuple"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_TAKES_IN = {"APPEND": ("list", 1), "SETITEM": ("dict", 2), "APPENDS": ("list", None), "SETITEMS": ("dict", None)}


def check_plain(file: BinaryIO | mmap.mmap, pickles: int = 1) -> None:
    """Follow the pickles that stand one after another in a file.

    Parameters
    ----------
    file
        Stands at the first byte of the first pickle.
    pickles
        How many there are.

    Raises
    ------
    pickle.UnpicklingError
        For anything but tensors, words, numbers and containers of them, and for more than the bounds of this module.
        The file is damaged in another way, if another error is raised.
    """
    bounded = _Bounded(file)
    for _ in range(pickles):
        _Followed(bounded).run()


class _Bounded:
    """The first bytes of a file, in pieces of bounded length."""

    def __init__(self, file: BinaryIO | mmap.mmap) -> None:
        self._file, self.left, self.steps_left = file, LONGEST, _MOST_STEPS

    def read(self, size: int) -> bytes:
        if size > _LONGEST_WORD:
            raise UnpicklingError("it holds a word that is too long")
        return self._counted(self._file.read(size))

    def readline(self) -> bytes:
        at = self._file.tell()
        line, ended, _ = self._file.read(_LONGEST_NAME).partition(b"\n")
        if not ended:
            raise UnpicklingError("it holds a name that is too long")
        self._file.seek(at + len(line) + 1)
        return self._counted(line + ended)

    def _counted(self, content: bytes) -> bytes:
        self.left -= len(content)
        if self.left < 0:
            raise UnpicklingError("the list of its tensors is too long")
        return content


class _Value:
    """A value that the pickle makes: its kind, and its size, which counts every part as often as it occurs in it."""

    __slots__ = ("fetched", "kind", "size")

    def __init__(self, kind: str, size: int = 1) -> None:
        self.kind, self.size, self.fetched = kind, size, False


class _Followed:
    """The stack and the memo of one pickle, of sizes in place of values."""

    def __init__(self, file: _Bounded) -> None:
        self._file = file
        self._stack: list[_Value] = []
        self._below: list[list[_Value]] = []
        self._memo: dict[int, _Value] = {}
        self._size_left = LONGEST

    def run(self) -> None:
        for step, argument, _ in pickletools.genops(self._file):  # type: ignore[arg-type]
            self._file.steps_left -= 1
            if self._file.steps_left < 0:
                raise UnpicklingError("the list of its tensors is too long")
            self._take(step.name, argument)

    def _take(self, step: str, argument: object) -> None:
        stack = self._stack
        if step in _PLAIN:
            stack.append(_Value("plain"))
        elif step in _WORDS:
            assert isinstance(argument, str)
            stack.append(_Value("word", 1 + len(argument)))
        elif step in _EMPTY:
            stack.append(_Value(_EMPTY[step]))
        elif step in ("BINPUT", "LONG_BINPUT"):
            assert isinstance(argument, int)
            self._memo[argument] = stack[-1]
        elif step in ("BINGET", "LONG_BINGET"):
            assert isinstance(argument, int)
            self._fetch(self._memo[argument])
        elif step == "MARK":
            self._below.append(stack)
            self._stack = []
        elif step == "TUPLE":
            items = self._above_mark()
            self._stack.append(_Value("tuple", 1 + _size(items)))
        elif step in _TUPLES:
            stack.append(_Value("tuple", 1 + _size(self._popped(_TUPLES[step]))))
        elif step in _TAKES_IN:
            kind, count = _TAKES_IN[step]
            items = self._above_mark() if count is None else self._popped(count)
            self._put_into(kind, items)
        elif step == "GLOBAL":
            assert isinstance(argument, str)
            stack.append(_Value(_global(argument)))
        elif step == "REDUCE":
            function, arguments = self._popped(2)
            if function.kind not in _FUNCTIONS or arguments.kind != "tuple":
                raise UnpicklingError("it calls what is no function of tensors")
            stack.append(_Value("dict" if function.kind == _ORDERED else "tensor", 1 + arguments.size))
        elif step == "BUILD":  # an ordered dictionary with attributes, as a state_dict is
            self._put_into("dict", self._popped(1))
        elif step == "BINPERSID":
            (storage,) = self._popped(1)
            if storage.kind != "tuple":
                raise UnpicklingError("it refers to what is no storage")
            stack.append(_Value("storage", 1 + storage.size))
        elif step not in ("PROTO", "STOP"):
            raise UnpicklingError("it holds more than tensors")

    def _fetch(self, value: _Value) -> None:
        self._size_left -= value.size
        if self._size_left < 0:
            raise UnpicklingError("it holds the same parts too often")
        value.fetched = True
        self._stack.append(value)

    def _put_into(self, kind: str, items: list[_Value]) -> None:
        into = self._stack[-1]
        if into.kind != kind or into.fetched:  # what is in two places stays as it is, so that sizes stay right
            raise UnpicklingError("it changes what cannot be changed")
        into.size += _size(items)

    def _popped(self, count: int) -> list[_Value]:
        if len(self._stack) < count:
            raise UnpicklingError("it takes more than there is")
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _above_mark(self) -> list[_Value]:
        items, self._stack = self._stack, self._below.pop()
        return items


def _size(items: list[_Value]) -> int:
    return sum(one.size for one in items)


def _global(argument: str) -> str:
    """The kind of value that a name stands for: a function's is its name."""
    name = argument.replace(" ", ".", 1)
    if name in _FUNCTIONS:
        return name
    if _TYPES.fullmatch(name):
        return "type"
    raise UnpicklingError(f"it asks for {name}")
