"""What a sweep has to do, what it takes, what it says of what it cannot do; with workers: tests/plugin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.models import tiny
from vsa_checks.cli.main import main
from vsa_checks.cli.sweep import cluster, course
from vsa_checks.cli.sweep.course import SCRATCH, Asked, Course
from vsa_checks.cli.sweep.memory import share
from vsa_checks.cli.sweep.state import FILE_NAME, State
from vsa_checks.cli.sweep.task import do_task
from vsa_checks.cli.sweep.work import Job, Settings, fingerprint, group_of, jobs, names
from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import enumerate_subjects
from vsa_checks.models.memory import GB
from vsa_checks.paths import CACHE_VARIABLE
from vsa_checks.workbench.cost import SAME_WORK
from vsa_checks.workbench.resources import plan


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_hf(tmp_path_factory.mktemp("models") / "tiny", "gpt2", tokenizer=False)


@pytest.fixture
def job(model: Path, tmp_path: Path) -> Job:
    (found,), failed = jobs([str(model)], Settings(claims="mlp-out-near-*"), tmp_path)
    assert failed == {}
    return found


def test_each_model_is_measured_at_each_revision_and_none_twice() -> None:
    assert names("a, b,a", None) == ["a", "b"]
    assert names("a,o/b", "step0,step1k") == ["a@step0", "a@step1k", "o/b@step0", "o/b@step1k"]


@pytest.mark.parametrize(("models", "revisions"), [("a,,b", None), ("a", "step0,"), ("a@x", "step0")])
def test_names_that_cannot_be_meant_are_refused(models: str, revisions: str | None) -> None:
    with pytest.raises(UsageError, match=r"--models|--revisions"):
        names(models, revisions)


def test_claims_that_share_work_are_of_one_group() -> None:
    claims = load_claims()
    assert {group_of(claim) for claim in claims.values()} == {"neurons", "text", "weights"}
    for claim, other in SAME_WORK.items():
        assert group_of(claims[claim]) == group_of(claims[other]), claim


def test_groups_hold_each_claim_of_the_model_once(model: Path, tmp_path: Path) -> None:
    (found,), _ = jobs([str(model)], Settings(), tmp_path)
    held = [claim for group in found.groups().values() for claim in group]
    assert len(found.groups()) == 3 and sorted(held) == sorted({subject.claim for subject in found.subjects})
    assert found.n_subjects() == sum(map(found.n_subjects, found.groups().values())) == len(found.subjects)


def test_two_models_whose_names_make_one_folder_have_two(model: Path, tmp_path: Path) -> None:
    other = str(model).replace("tiny", "./tiny").replace("/models", "/./models")
    link = tmp_path / "a b"
    link.symlink_to(model)
    (tmp_path / "a-b").symlink_to(model)
    found, _ = jobs([str(link), str(tmp_path / "a-b"), other], Settings(), tmp_path)
    assert len({one.folder for one in found}) == len(found) == 3


def test_a_share_of_memory_is_equal_or_what_the_whole_model_needs(job: Job) -> None:
    large = replace(job.info, d_vocab=50_000, d_model=768, n_layers=12, n_heads=12, n_kv_heads=12, d_head=64,
                    d_mlp=3072, text=True, text_reason="")  # fmt: skip
    claims = load_claims()
    subjects = [one for claim in claims.values() for one in enumerate_subjects(claim, large, ["processed"])]
    needed = share(large, subjects, False, 100 * GB, 1000)
    assert 2 * GB < needed < 6 * GB and share(large, subjects, False, 100 * GB, 4) == 25 * GB
    assert not plan(large, subjects, claims, needed).no_run and plan(large, subjects, claims, needed - GB // 20).no_run
    assert share(large, subjects, False, needed - GB // 20, 4) == needed - GB // 20, "not run, with all there is"
    with pytest.raises(UsageError, match=r"the limit is 0\.5 GB"):
        share(large, subjects, False, GB // 2, 1)


def test_what_is_done_counts_as_long_as_nothing_changes(job: Job) -> None:
    state, now = State(job.folder.parent), fingerprint(job, Settings())
    job.folder.mkdir()
    (job.folder / "results.json").write_text("{}")
    (job.folder / "index.html").write_text("")
    state.note(job.name, now, group="text")
    state.note(job.name, now, results="44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")  # of {}
    again = State(job.folder.parent)
    assert again.done(job.name, now, job.folder) and again.groups_done(job.name, now) == ["text"]
    other = fingerprint(job, Settings(seed=1))
    assert not again.done(job.name, other, job.folder) and again.groups_done(job.name, other) == []
    (job.folder / "results.json").write_text("{ }")
    assert not again.done(job.name, now, job.folder)
    (job.folder.parent / FILE_NAME).write_text('{"sweep_version": 1, "models": 3}')
    damaged = State(job.folder.parent)
    assert "is written anew" in damaged.trouble and damaged.groups_done(job.name, now) == []


@pytest.mark.parametrize("number", [-1, 10**6])
def test_a_number_of_runs_that_no_machine_has_room_for_is_passed_over(number: int, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps({"sweep_version": 1, "at_once": number, "models": {}}))
    found = State(tmp_path)
    assert found.at_once == 0 and f"says that {number} runs go on at once" in found.trouble


def test_of_repeated_signals_only_the_first_ends_a_sweep() -> None:
    """In a process of its own: what it ignores once it stops it ignores up to its end."""
    program = """
import os, signal
from vsa_checks.cli.sweep.command import _ending
signal.signal(signal.SIGINT, signal.default_int_handler)
with _ending():
    pass
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
with _ending():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        print("stopping")
os.kill(os.getpid(), signal.SIGINT)
print("ended")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["stopping", "ended"], "", 0)


def a_task(job: Job, where: Path) -> dict[str, Any]:
    (where / SCRATCH).mkdir(exist_ok=True)
    (where / SCRATCH / "token").touch()
    asked = Asked(Settings(layers="0"), where, {CACHE_VARIABLE: "off"}, {job.name: 2 * GB}, True, True)
    return Course(asked, None, State(where), print)._task(job, None, "token")  # type: ignore[arg-type]


def test_a_report_whose_file_is_gone_is_not_noted_and_ends_no_sweep(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    asked = Asked(Settings(), tmp_path, {}, {}, False, True)
    one = Course(asked, None, State(tmp_path), print)  # type: ignore[arg-type]
    monkeypatch.setattr(course.document, "read", lambda folder: {"model": {"sha256": job.info.sha256}})
    monkeypatch.setattr(course, "fingerprint", gone)
    one._finished(job, "before")
    assert not (tmp_path / FILE_NAME).exists()


def test_a_task_is_plain_data(job: Job, tmp_path: Path) -> None:
    task = a_task(job, tmp_path)
    assert json.loads(json.dumps(task)) == task
    assert task["words"] == ["--basis=processed", "--seed=0", "--layers=0", "--memory-limit=2.000"]
    assert task["folder"] == str(job.folder) and task["n_subjects"] == len(job.subjects)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"token": "another"}, "The worker does not see "), ({"code": "0"}, "The worker has another version")],
)
def test_a_worker_that_cannot_do_it_says_why(change: dict[str, str], said: str, job: Job, tmp_path: Path) -> None:
    assert do_task({**a_task(job, tmp_path), **change})["failed"].startswith(said)


@pytest.mark.slow
def test_a_task_fails_with_the_paragraph_of_its_run(job: Job, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    failed = do_task({**a_task(job, tmp_path), "model": str(tmp_path / "tiny")})["failed"]
    assert failed.startswith(f"The model {tmp_path / 'tiny'} cannot be loaded: ") and "\n" not in failed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def test_models_that_cannot_be_measured_are_each_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--models", "nonsuch,./none", "--report-dir", str(here)]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "0 of 2 models were measured whole."
    assert [line.split(":")[0] for line in said.err.splitlines()] == ["nonsuch", "./none"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", "1001"], "--workers 1001 cannot be used"),
        (["--workers", "0"], "--workers 0 cannot be used"),
        (["--claims", "nonsuch"], "no claim is called 'nonsuch'"),
        (["--seed", "-1"], "--seed -1 cannot be used"),
        (["--scheduler", "tcp://127.0.0.1:1", "--workers", "2"], "--workers is only for a sweep on this machine"),
        (["--scheduler", "tcp://127.0.0.1:1"], "No Dask scheduler answers at 'tcp://127.0.0.1:1'"),
        (["--scheduler", "nonsense://x"], "No Dask scheduler answers at 'nonsense://x'"),
    ],
)
def test_bad_input_is_one_paragraph(
    words: list[str], said: str, model: Path, here: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(cluster, "CONNECT_S", 0.2)
    assert main(["sweep", "--models", str(model), "--report-dir", str(here), *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_folder_that_is_a_report_or_in_use_is_refused(
    model: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import fcntl

    (here / SCRATCH).mkdir()
    with (here / SCRATCH / "sweep.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(["sweep", "--models", str(model), "--report-dir", str(here)]) == 2
    assert "Another sweep is running in" in capsys.readouterr().err
    (here / "results.json").touch()
    assert main(["sweep", "--models", str(model), "--report-dir", str(here)]) == 2
    assert "is the folder of a report" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_on_this_machine_takes_tasks_from_nobody_and_shows_on_loopback_alone() -> None:
    with cluster.local(2, GB) as engine:
        assert engine.client.scheduler.address.startswith("inproc://")
        found = {one.laddr.ip for one in psutil.Process(os.getpid()).net_connections() if one.status == "LISTEN"}
        assert found == {"127.0.0.1"} and engine.dashboard.startswith("http://127.0.0.1:")
