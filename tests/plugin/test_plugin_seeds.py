"""Runs with several seeds: what other random numbers give, and what may be recorded of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.plugin.runs import Run, Server
from vsa_checks.judging.recorded import read_recorded
from vsa_checks.paths import CACHE_VARIABLE
from vsa_checks.plugin.check import REDRAWS

pytestmark = pytest.mark.slow

QUICK = "neurons-cos50,neurons-kurtosis,neurons-table1,attention-beyond-random,bundle-recall"
CHOICE = ("--basis", "raw", "-rA", "--no-twin", "--claims", QUICK)
SEEDS = 3


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each seed measured by itself: judged again, it needs not be measured again."""
    return {CACHE_VARIABLE: str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def alone(plain: Path, warm: Server, cache: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """A run with each seed by itself."""
    folder = tmp_path_factory.mktemp("alone")
    return [warm.claims(plain, folder / str(seed), *CHOICE, "--seed", str(seed), env=cache) for seed in range(SEEDS)]


@pytest.fixture(scope="module")
def together(plain: Path, warm: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run with all seeds, which measures everything itself, and the file of the verdicts that it recorded."""
    folder = tmp_path_factory.mktemp("together")
    file = folder / "known.toml"
    options = ("--seeds", str(SEEDS), "--record", "--recorded", str(file))
    return warm.claims(plain, folder / "report", *CHOICE, *options), file


def verdicts(run: Run) -> dict[str, str]:
    return {name: result["verdict"] for name, result in run.results.items()}


def test_a_run_with_several_seeds_counts_what_each_of_them_gives(together: tuple[Run, Path], alone: list[Run]) -> None:
    run, _ = together
    assert verdicts(run) == verdicts(alone[0])
    checked = {name: result for name, result in run.results.items() if result["verdict"] != "not-checked"}
    assert len(checked) > 5 and any(result["unsettled"] for result in checked.values())
    for name, result in checked.items():
        seeds = result["details"]["seeds"]
        if seeds["n"] == SEEDS:
            counts = Counter(other.results[name]["verdict"] for other in alone)
            assert seeds["verdicts"] == dict(counts)
            assert result["unsettled"] is (len(counts) > 1)
        else:  # near a margin, where more are tried
            assert seeds["n"] - 1 in REDRAWS
    stopped = 0
    for name, result in alone[0].results.items():
        if "seeds" in result["details"]:
            few = {other.results[name]["verdict"] for other in alone[: 1 + REDRAWS[0]]}
            assert result["details"]["seeds"]["n"] - 1 in (REDRAWS if len(few) == 1 else REDRAWS[:1])
            stopped += len(few) > 1
        else:
            assert not result["unsettled"]
    assert stopped, "none changes among the first seeds, where no more are tried"


def test_what_is_recorded_does_not_hang_on_the_seed(
    together: tuple[Run, Path], alone: list[Run], plain: Path, warm: Server, cache: dict[str, str], tmp_path: Path
) -> None:
    """Recorded with several seeds, each of them is as recorded; a verdict that none of them gave is not."""
    recorded, file = together
    assert recorded.code == 0, recorded.output
    known = read_recorded(file, None, recorded.results)
    for name, one in known.items():
        if one.verdict != "not-checked":
            assert {other.results[name]["verdict"] for other in alone} <= set(one.verdicts)
    for seed in range(1, SEEDS):
        options = ("--seed", str(seed), "--recorded", str(file))
        again = warm.claims(plain, tmp_path / str(seed), *CHOICE, *options, env=cache)
        assert again.code == 0, again.output


def test_measurements_of_other_seeds_are_kept(plain: Path, warm: Server, tmp_path: Path) -> None:
    env = {CACHE_VARIABLE: str(tmp_path / "cache")}
    choice = ("--basis", "raw", "--claims", "attention-beyond-random", "--layers", "0")

    def counted(name: str, *more: str) -> dict[str, object]:
        run = warm.claims(plain, tmp_path / name, *choice, *more, env=env)
        return {name: result["details"].get("seeds") for name, result in run.results.items()}

    first = counted("first")
    three = counted("three", "--seeds", "3")
    assert all(one is not None for one in three.values())
    assert counted("three again", "--seeds", "3") == three
    assert counted("one again") == first  # what a longer run has kept changes nothing


def test_no_seeds_are_refused(plain: Path, light: Server, tmp_path: Path) -> None:
    run = light.claims(plain, tmp_path, "--seeds", "0")
    assert run.code == 4
    assert "--seeds 0 cannot be used" in run.output
