"""What a run says while it works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.plugin.runs import ENVIRONMENT, Server, arguments
from tests.plugin.terminal import watched
from vsa_checks.paths import ROOT
from vsa_checks.plugin.estimate import Estimate, in_words
from vsa_checks.plugin.progress import fitted

SLOW = [f"test_a[L{layer}]" for layer in range(10)]


def estimate(*node_ids: str) -> Estimate:
    made = Estimate()
    made.expect(node_ids)
    return made


def test_the_rest_takes_as_long_as_what_was_measured_of_its_kind() -> None:
    found = estimate(*SLOW, "test_b")
    for node_id, seconds in zip(SLOW, (100.0, 6.0, 5.0), strict=False):  # the first loads the model for the others
        found.took(node_id, seconds, kept=False)
        found.ended(node_id)
    found.took("test_b", 40.0, kept=False)
    assert found.left_s() == (7 * 6.0 + 40.0, True)
    assert found.left_s(SLOW[3], for_s=2.0) == (7 * 6.0 + 40.0 - 2.0, True)
    assert found.left_s(SLOW[3], for_s=1000.0) == (6 * 6.0 + 40.0, True), "never less than what has not begun"
    assert (found.n_done, found.n_checks) == (3, 11)


def test_nothing_is_known_of_a_kind_that_has_not_been_measured() -> None:
    found = estimate(*SLOW, "test_b")
    assert found.left_s() == (0.0, False)
    assert in_words(*found.left_s()) == ""
    found.took("test_b", 600.0, kept=False)
    assert in_words(*found.left_s()) == "more than 10 min left"


def test_what_is_kept_takes_no_time_and_leaves_the_rest_as_it_was() -> None:
    found = estimate(*SLOW)
    for node_id in SLOW[:4]:
        found.took(node_id, 0.001, kept=True)
        found.ended(node_id)
    assert in_words(*found.left_s()) == "", "all that is known is that it was kept"
    for node_id, seconds in ((SLOW[4], 900.0), (SLOW[5], 30.0)):
        assert found.left_s()[0] == 0.0, "the first may have done work for all"
        found.took(node_id, seconds, kept=False)
        found.ended(node_id)
    assert found.left_s() == (4 * 30.0, True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, ""),
        (3, "about 5 s left"),
        (50.1, "about 55 s left"),
        (57, "about 1 min left"),
        (3569, "about 59 min left"),
        (3600, "about 1 h 0 min left"),
        (9000, "about 2 h 30 min left"),
    ],
)
def test_spans_of_time_are_said_in_round_numbers(seconds: float, words: str) -> None:
    assert in_words(seconds, True) == words


def test_a_line_is_cut_by_columns_and_not_by_characters() -> None:
    assert fitted("abc", 3) == "abc"
    assert fitted("abcd", 3) == "ab…"
    assert fitted("漢字漢字", 6) == "漢字 …"


SLOWLY = """
import os
import time

from vsa_checks.plugin import progress
from vsa_checks.plugin.check import Check

called = Check.__call__


def __call__(self, subject, measure, **options):
    advance = self._bench.progress("a step with \\x1b[2J in its name")
    for done in range(3):
        time.sleep(float(os.environ["STEP_S"]))
        if advance is not None:
            advance(done, 4)
    called(self, subject, measure, **options)


Check.__call__ = __call__
progress.PLAIN_SECONDS = 0.3
"""


def slowly(plain: Path, folder: Path, *more: str) -> tuple[list[str], dict[str, str | None]]:
    """Arguments and environment of a run of three checks that each take some steps."""
    (folder / "slowly.py").write_text(SLOWLY)
    chosen = ("-p", "slowly", "--basis", "raw", "--no-recorded", "--claims", "embedding-mean-zero,mlp-out-artifacts")
    changed = {"PYTHONPATH": f"{folder}:{ROOT}", "TERM": "xterm", "STEP_S": "0.21", "COLUMNS": None}
    return arguments((*chosen, *more), plain, folder / "report"), changed


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns", "more"), [(40, 100, ()), (8, 60, ("-v",))])
def test_on_a_terminal_one_line_is_rewritten_in_place(
    rows: int, columns: int, more: tuple[str, ...], plain: Path, warm: Server, tmp_path: Path
) -> None:
    chosen, environment = slowly(plain, tmp_path, *more)
    if columns == 100:
        environment["STEP_S"] = "0.5"  # seconds that are worth to be told of
    _, screen, below = watched(partial(warm.on_terminal, chosen, environment), rows, columns)
    shown = [line for line in below if line]
    assert len(shown) >= 6 and max(map(len, shown)) < columns
    assert all(re.match(r"[0-3] of 3 checks done(, |: |…)", line) for line in shown), shown
    if columns == 100:
        assert "0 of 3 checks done: embedding-mean-zero/raw" in shown
        assert any("mlp-out-artifacts/raw/L1 (a step with \\x1b[2J in its name, 50%)" in line for line in shown)
        assert any(re.search(r"2 of 3 checks done, about \d+ s left: mlp-out-artifacts/raw/L1", line) for line in shown)
    whole = screen.scrolled + screen.lines
    assert not any("checks done" in line for line in whole), "nothing of it stays"
    first = next(place for place, line in enumerate(whole) if line.startswith("claims/test_2_1"))
    if more:
        assert re.fullmatch(r"claims/test_2_1\S+ PASSED +\[ *33%\]", "".join(whole[first : first + 2]))
    else:
        assert re.fullmatch(r"claims/test_2_1_embeddings.py \. +\[ *33%\]", whole[first])
    assert whole[first + 1 + len(more)].startswith("claims/test_3_1"), "pytest's own lines stand as they would without"


@pytest.mark.slow
@pytest.mark.parametrize("terminal", [pytest.param("none", marks=pytest.mark.thorough), "dumb"])
def test_elsewhere_a_plain_line_comes_now_and_then(terminal: str, plain: Path, warm: Server, tmp_path: Path) -> None:
    chosen, environment = slowly(plain, tmp_path)
    if terminal == "none":
        _, screen, _ = watched(partial(piped, chosen, environment), 40, 100)
    else:
        _, screen, _ = watched(partial(warm.on_terminal, chosen, environment | {"TERM": terminal}), 40, 100)
    lines = [line for line in screen.scrolled + screen.lines if "checks done" in line]
    assert 3 <= len(lines) <= 6
    assert all(re.match(r"\d of 3 checks done", line) for line in lines)
    assert any("mlp-out-artifacts/raw/L0 (a step" in line for line in lines)


def piped(chosen: list[str], changed: Mapping[str, str | None], terminal: int) -> Callable[[], int]:
    """Start a run as a shell does whose line ends in `| cat`: standard error alone is the terminal."""
    environment = {key: value for key, value in ({**os.environ, **ENVIRONMENT} | dict(changed)).items() if value}
    command = ["bash", "-c", '"$@" | cat', "bash", sys.executable, "-m", "pytest", *chosen]
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal)
    return process.wait


@pytest.mark.slow
def test_two_processes_are_told_of_by_the_one_that_hears_them(plain: Path, warm: Server, tmp_path: Path) -> None:
    chosen, environment = slowly(plain, tmp_path, "-n", "2")
    _, _, below = watched(partial(warm.on_terminal, chosen, environment), 40, 100)
    shown = {line[0] for line in below if "of 3 checks done" in line}
    assert "0" in shown and shown & {"1", "2"}
