"""Ten thousand changed files, and that the fuzzer would notice what it is there for."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fuzz import trial
from fuzz.__main__ import prepared, read_state, run, shares, write_state
from fuzz.cases import Case, Reader
from fuzz.changes import change_bytes, change_json, change_toml
from fuzz.readers import note_that_code_was_run
from vsa_checks.errors import UsageError

IN_CI = 10_000


@pytest.mark.slow
def test_ten_thousand_changed_files_give_what_is_stated_and_nothing_else(tmp_path: Path) -> None:
    readers = prepared(tmp_path)
    wanted = shares(readers, IN_CI)
    assert sum(wanted.values()) >= IN_CI and min(wanted.values()) > 100
    for name, reader in readers.items():
        counts = trial.run(reader, 0, range(wanted[name]), tmp_path)
        assert counts.findings == [] and counts.tried == wanted[name]
        assert len(counts.outcomes) > 1, f"{name}: {counts.outcomes}: all alike, so that nothing was tried"


SOUND = b"This file is sound. " * 30


def reader(read: Callable[[Path], str | None]) -> Reader:
    return Reader("faulty", 1, (Case("file", SOUND, change_bytes, read),))


HELD: list[bytes] = []
FAULTS: dict[str, tuple[Callable[[Path], str | None], str, str]] = {
    "an error that is not stated": (lambda path: str([][1]), "IndexError", "tests/fuzz/test_fuzz.py"),
    "an error that is no paragraph": (lambda path: refuse("short"), "no paragraph", "elsewhere"),
    "a hang": (lambda path: hang(), "took more than 0.3 s", "the process"),
    "a wait": (lambda path: time.sleep(60), "waited for more than 1 s", "the process"),
    "too much memory": (lambda path: HELD.append(b"1" * 400_000_000), "MB", "memory"),
    "far too much memory": (lambda path: HELD.append(b"1" * (1 << 33)), "MemoryError", "test_fuzz.py"),
    "memory that ran out on the way": (
        lambda path: refuse("it cannot be read (MemoryError)"),
        "memory ran out",
        "elsewhere",
    ),
    "a broken process": (lambda path: os.kill(os.getpid(), signal.SIGSEGV), "SIGSEGV", "the process"),
    "code that was run": (lambda path: note_that_code_was_run("now"), "code in a file was run", "elsewhere"),
}


def refuse(words: str) -> None:
    raise UsageError(words)


def hang() -> None:
    for _ in itertools.count():
        pass


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_the_next_input_is_tried(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, what, place = FAULTS[fault]
    monkeypatch.setattr(trial, "SECONDS", 0.3 if fault == "a hang" else 30.0)
    monkeypatch.setattr(trial, "WAITING_SECONDS", 1.0 if fault == "a wait" else 30.0)
    monkeypatch.setattr(
        trial,
        "_ENDS",
        {signal.SIGPROF: "took more than 0.3 s", signal.SIGALRM: "waited for more than 1 s"}
        | {signal.SIGSEGV: "SIGSEGV"},
    )

    def once(path: Path) -> str | None:
        return read(path) if path.read_bytes() == SOUND else "read"

    counts = trial.run(reader(once), 0, range(3), tmp_path)
    (finding,) = counts.findings
    assert what in finding.what and place in finding.place and finding.number == 0
    assert (counts.tried, counts.outcomes["read"]) == (3, 2)


def test_an_input_is_the_same_each_time_and_another_with_another_seed() -> None:
    one = reader(lambda path: None)
    contents = [one.input(0, number)[1] for number in range(200)]
    assert contents == [one.input(0, number)[1] for number in range(200)]
    assert contents[0] == SOUND and len(set(contents)) > 100
    assert contents[1:] != [one.input(1, number)[1] for number in range(1, 200)]


SOUND_OF: dict[Callable[..., bytes], tuple[bytes, Callable[[bytes], Any]]] = {
    change_json: (b'{"a": [1, 2], "b": {"c": "d"}}', json.loads),
    change_toml: (b'[a]\nb = 1\nc = "d"\n[e]\nf = [1, 2]', lambda content: tomllib.loads(content.decode())),
}


@pytest.mark.parametrize("change", SOUND_OF)
def test_most_changes_leave_a_file_that_can_be_parsed(change: Callable[..., bytes]) -> None:
    """Else the parser would be all that is tried."""
    sound, parse = SOUND_OF[change]
    parsed, found = 0, set()
    for seed in range(400):
        content = change(sound, random.Random(seed), [sound])
        found.add(content)
        try:
            parse(content)
            parsed += 1
        except (ValueError, RecursionError):
            pass
    assert 160 < parsed < 400 and len(found) > 200


def test_counts_are_kept_and_those_of_another_seed_are_not_added(tmp_path: Path) -> None:
    counts = trial.run(reader(lambda path: None), 0, range(7), tmp_path)
    counts.add(trial.run(reader(lambda path: refuse("no such thing at all")), 0, range(2), tmp_path))
    write_state(tmp_path / "state.json", 5, {"faulty": counts})
    assert read_state(tmp_path / "state.json", 5) == {"faulty": counts}
    assert counts.outcomes == {"read": 7, "refused (UsageError)": 2}
    with pytest.raises(SystemExit, match="of the seed 5"):
        read_state(tmp_path / "state.json", 6)


def test_a_run_goes_on_where_the_last_one_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fuzz.__main__ as command

    tried: list[range] = []
    monkeypatch.setattr(command, "prepared", lambda folder: {"faulty": reader(lambda path: None)})

    def counted(one: Reader, seed: int, numbers: range, root: Path) -> trial.Counts:
        tried.append(numbers)
        return trial.Counts(len(numbers))

    monkeypatch.setattr(command.trial, "run", counted)
    for total in (500, 900):
        assert run(total, 0, tmp_path / "state.json", [], 1) == 0
    assert tried == [range(400), range(400, 500), range(500, 900)]
