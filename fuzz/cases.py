"""The parts of a fuzzer's reader: sound files, how they are changed, and the code that reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

Change = Callable[[bytes, Random, Sequence[bytes]], bytes]


@dataclass(frozen=True)
class Case:
    """A sound file at `place` below the folder of all cases, and `read`, which is called with that path.

    `read` returns a word for what came of it, by default "read", and raises the project's own errors.
    """

    place: str
    content: bytes
    change: Change
    read: Callable[[Path], str | None]


@dataclass(frozen=True)
class Reader:
    """A kind of file, and its share of all inputs."""

    name: str
    share: float
    cases: tuple[Case, ...]

    def input(self, seed: int, number: int) -> tuple[Case, bytes]:
        """The file with this number; the first ones are the sound files as they are."""
        if number < len(self.cases):
            return self.cases[number], self.cases[number].content
        draw = Random(f"{seed}/{self.name}/{number}")
        case = draw.choice(self.cases)
        others = [one.content for one in self.cases if one.change is case.change]
        return case, case.change(case.content, draw, others)
