"""Read changed files one after another in a separate process with limits on memory and time."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time, time_ns
from typing import Any

from fuzz.cases import Case, Reader
from vsa_checks.errors import VsaChecksError
from vsa_checks.paths import ROOT

SECONDS = 5.0
"""Limit for one input, in processor time, because the machine may be busy with other work."""
WAITING_SECONDS = 60.0
"""Limit for one input, in elapsed time."""
MEMORY = 1 << 30
"""The most bytes of addresses that a process may take beyond what it has when it starts."""
GROWTH = 300 << 20
"""The most bytes of memory by which one input may make it larger."""
LONGEST_MESSAGE = 5000


@dataclass
class Finding:
    """An input that did something forbidden."""

    reader: str
    number: int
    what: str
    place: str
    seed: int = 0


@dataclass
class Counts:
    """What came of the inputs of one reader: how many were tried, by outcome, and how long the slowest took."""

    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        """Count another's inputs too."""
        self.tried += other.tried
        self.outcomes += other.outcomes
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.findings += other.findings

    def as_json(self) -> dict[str, Any]:
        """The counts in plain JSON types."""
        return {**vars(self), "outcomes": dict(self.outcomes), "findings": [vars(one) for one in self.findings]}


def scratch_folder() -> str | None:
    """A folder in memory, where there is one: most of the time would go into writing to a disk."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and os.access(memory, os.W_OK) else tempfile.gettempdir()


class Place:
    """Puts inputs where their readers look for them, each with a time of its own: what was read is remembered by it."""

    def __init__(self, root: Path) -> None:
        self.root, self._time, self._changed = root, time_ns(), None

    _changed: Case | None

    def put(self, case: Case, content: bytes) -> Path:
        """Write an input; what the last one stood in for is put back first."""
        if self._changed is not None and self._changed.place != case.place:
            self._write(self._changed, self._changed.content)
        self._changed = case
        return self._write(case, content)

    def _write(self, case: Case, content: bytes) -> Path:
        path = self.root / case.place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)
        self._time += 1000
        os.utime(path, ns=(self._time, self._time))
        return path


def outcome(case: Case, path: Path) -> str:
    """What reading an input gives: a word, or the kind of one of the project's own errors.

    Raises AssertionError for an error that is no short paragraph, and whatever else the reader raises.
    """
    from fuzz.readers import CODE_WAS_RUN

    try:
        found = case.read(path) or "read"
    except VsaChecksError as error:
        message = str(error)
        assert message.isprintable() and 10 < len(message) < LONGEST_MESSAGE, "an error that is no paragraph"
        assert "MemoryError" not in message, "memory ran out"
        assert "RecursionError" not in message, "too deep"
        found = f"refused ({type(error).__name__})"
    ran, CODE_WAS_RUN[:] = bool(CODE_WAS_RUN), []
    assert not ran, "code in a file was run"
    return found


def run(reader: Reader, seed: int, numbers: range, root: Path) -> Counts:
    """Try the inputs of these numbers, in as many processes as it takes: a new one after each that was ended."""
    counts, at = Counts(), numbers.start
    while at < numbers.stop:
        part, at = _in_process(reader, seed, range(at, numbers.stop), root)
        counts.add(part)
    return counts


def _in_process(reader: Reader, seed: int, numbers: range, root: Path) -> tuple[Counts, int]:
    """Try inputs in one forked process; gives what came of them, and the number of the first that was not tried."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            _be_bounded()
            with os.fdopen(writing, "w") as told:
                for number, seconds, word in _outcomes(reader, seed, numbers, root):
                    told.write(f"{number}\t{seconds:.4f}\t{word}\n")
                    told.flush()
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    counts, last = Counts(), numbers.start - 1
    with os.fdopen(reading) as told:
        for line in told:
            told_number, took, word = line.rstrip("\n").split("\t")
            last = int(told_number)
            kind, _, place = word.partition(" @ ")
            counts.add(Counts(1, Counter([kind]), float(took)))
            if place:
                counts.findings.append(Finding(reader.name, last, kind, place, seed))
    _, status = os.waitpid(child, 0)
    ended = os.waitstatus_to_exitcode(status)
    if ended != 0 and last + 1 < numbers.stop:
        last += 1
        kind = _ENDS.get(-ended, f"ended the process ({ended})")
        counts.add(Counts(1, Counter([kind]), findings=[Finding(reader.name, last, kind, "the process", seed)]))
    return counts, last + 1


_ENDS: dict[int, str] = {
    signal.SIGPROF: f"took more than {SECONDS:g} s",
    signal.SIGALRM: f"waited for more than {WAITING_SECONDS:g} s",
    signal.SIGKILL: "was killed",
    signal.SIGSEGV: "broke the process (SIGSEGV)",
    signal.SIGABRT: "broke the process (SIGABRT)",
    signal.SIGBUS: "broke the process (SIGBUS)",
}


def _be_bounded() -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)  # of the system, so that it ends what never comes back to Python too
    faulthandler.disable()  # pytest's own would print the stack
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)


def _outcomes(reader: Reader, seed: int, numbers: range, root: Path) -> Iterator[tuple[int, float, str]]:
    """Number, seconds and outcome of each input; of a finding what it is, and after an @ where."""
    place = Place(root)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        case, content = reader.input(seed, number)
        path = place.put(case, content)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WAITING_SECONDS)
        start = process_time()
        try:
            word = outcome(case, path)
        except BaseException as error:  # a library of another language raises what is no Exception
            word = f"{type(error).__name__}{_said(error)} @ {_where(error)}"
        seconds = process_time() - start
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if (grown - largest) * 1024 > GROWTH:
            word = f"took {(grown - largest) // 1024} MB @ memory"
        largest = max(largest, grown)
        yield number, seconds, word.replace("\t", " ").replace("\n", " ")
    if place._changed is not None:
        place.put(place._changed, place._changed.content)


def _said(error: BaseException) -> str:
    return f" ({error})" if isinstance(error, AssertionError) and str(error) else ""


def _where(error: BaseException) -> str:
    """File and line of this project where an error came from."""
    own = [
        step
        for step in traceback.extract_tb(error.__traceback__)
        if step.filename.startswith(f"{ROOT}/") and "/.venv/" not in step.filename and "/trial.py" not in step.filename
    ]
    return f"{Path(own[-1].filename).relative_to(ROOT)}:{own[-1].lineno}" if own else "elsewhere"
