"""The course of a sweep: hands out what is not done yet, notes what is, and tells what failed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import CancelledError, Future, KilledWorker, as_completed
from distributed.comm import CommClosedError

from vsa_checks.cli.sweep.cluster import Engine
from vsa_checks.cli.sweep.state import State, results_sha256
from vsa_checks.cli.sweep.work import Job, Settings, fingerprint
from vsa_checks.errors import VsaChecksError, first_line
from vsa_checks.models.memory import GB
from vsa_checks.report import document
from vsa_checks.workbench.dependencies import code_digest

SCRATCH = ".sweep"
"""In the folder of the sweep: logs and locks of its tasks."""


class SchedulerLost(Exception):
    """The scheduler of an existing cluster does not answer any more."""


@dataclass(frozen=True)
class Asked:
    """What is the same for all tasks of a sweep.

    shares: bytes that a task may take, by the job's name; none where a run asks the machine itself. tell_limit: whether
    the run is told so.
    """

    settings: Settings
    where: Path
    variables: Mapping[str, str]
    shares: Mapping[str, int]
    tell_limit: bool
    may_split: bool


def unfinished(
    jobs: Sequence[Job], settings: Settings, state: State, failed: dict[str, str], say: Callable[[str], None]
) -> tuple[list[Job], dict[str, str]]:
    """The jobs that are not done yet, and fingerprints by name; a job that has none is put into `failed`."""
    left: list[Job] = []
    prints: dict[str, str] = {}
    for job in jobs:
        try:
            prints[job.name] = fingerprint(job, settings)
        except (VsaChecksError, OSError) as error:
            failed[job.name] = str(error)
            say(f"{job.name}: failed. {error}")
            continue
        if state.done(job.name, prints[job.name], job.folder):
            say(f"{job.name}: done by an earlier sweep.")
        else:
            left.append(job)
    return left, prints


@dataclass
class Course:
    """One sweep, from the first task to the last."""

    asked: Asked
    engine: Engine
    state: State
    say: Callable[[str], None]
    failed: dict[str, str] = field(default_factory=dict)
    """One paragraph for each model that was not measured whole, by its name."""
    n_tasks: int = 0
    n_ended: int = 0

    def run(self, jobs: Sequence[Job], prints: Mapping[str, str]) -> None:
        """Measure these models, each with the fingerprint that `unfinished` gives.

        Raises SchedulerLost, and OSError where the state cannot be written.
        """
        token = self.asked.where / SCRATCH / f"token-{secrets.token_hex(8)}"
        token.touch()
        try:
            self._hand_out(jobs, prints, token.name)
        except CommClosedError as error:  # an OSError, but of no file
            raise SchedulerLost from error
        finally:
            token.unlink(missing_ok=True)

    def _hand_out(self, jobs: Sequence[Job], prints: Mapping[str, str], token: str) -> None:
        # With a model for each place, to split one would only have its weights read more often.
        split = self.asked.may_split and len(jobs) < self.engine.at_once
        waiting: dict[str, tuple[Job, str | None]] = {}
        pending: dict[str, set[str]] = {}
        futures: dict[str, Future] = {}
        completed = as_completed(raise_errors=False, loop=self.engine.client.loop)

        def submit(job: Job, group: str | None) -> None:
            key = f"{job.label}{'' if group is None else f'-{group}'}-{secrets.token_hex(4)}"
            waiting[key] = job, group
            futures[key] = self.engine.submit(self._task(job, group, token), key, self.asked.shares.get(job.name, 0))
            completed.add(futures[key])

        for job in jobs:
            groups = job.groups() if split else {}
            done = self.state.groups_done(job.name, prints[job.name])
            pending[job.name] = {name for name in groups if name not in done} if len(groups) > 1 else set()
            self.n_tasks += len(pending[job.name]) + 1
            for name in sorted(pending[job.name]):
                submit(job, name)
            if not pending[job.name]:
                submit(job, None)
        for future in completed:
            job, group = waiting.pop(future.key)
            del futures[future.key]
            outcome = _outcome(future)
            if group is not None:
                pending[job.name].discard(group)
                if not outcome["failed"]:
                    self.state.note(job.name, prints[job.name], group=group)
                self._told(job, f"claims of {group}", outcome)
                if not pending[job.name]:  # measured or failed: its report is made of what there is
                    submit(job, None)
                continue
            if outcome["failed"]:
                self.failed[job.name] = outcome["failed"]
            else:
                self._finished(job, prints[job.name])
            self._told(job, "report", outcome)

    def _told(self, job: Job, what: str, outcome: Mapping[str, Any]) -> None:
        self.n_ended += 1
        ended = f"failed. {outcome['failed']}" if outcome["failed"] else f"done in {outcome['seconds']:.0f} s."
        self.say(f"[{self.n_ended} of {self.n_tasks}] {job.name}, {what}: {ended}")

    def _finished(self, job: Job, before: str) -> None:
        """Note a report, if it is of what was there when the sweep began, or has been fetched since."""
        try:
            measured = document.read(job.folder)["model"]
            now = fingerprint(job, self.asked.settings)
        except (VsaChecksError, OSError):
            return  # a model or a file that is gone by now: the next sweep says so
        if (not before and now) or (now == before and measured["sha256"] == job.info.sha256):
            self.state.note(job.name, now, results=results_sha256(job.folder))

    def _task(self, job: Job, group: str | None, token: str) -> dict[str, Any]:
        scratch, words = self.asked.where / SCRATCH, self.asked.settings.words()
        label = job.label if group is None else f"{job.label}-{group}"
        claims = None if group is None else job.groups()[group]
        if claims is not None:
            words.append(f"--claims={','.join(claims)}")
        elif self.asked.settings.claims is not None:
            words.append(f"--claims={self.asked.settings.claims}")
        if self.asked.tell_limit and job.name in self.asked.shares:
            words.append(f"--memory-limit={self.asked.shares[job.name] / GB:.3f}")
        return {
            "model": job.name,
            "words": words,
            "folder": str(job.folder if group is None else scratch / label),
            "scratch": str(scratch),
            "token": token,
            "log": f"{label}.log",
            "model_lock": f"{job.label}.lock",
            "shares_model": group is not None,
            "group_lock": f"{label}.group.lock",
            "cwd": os.getcwd(),
            "variables": dict(self.asked.variables),
            "code": code_digest(),
            "n_subjects": job.n_subjects(claims),
        }


def _outcome(future: Future) -> dict[str, Any]:
    """What a task came to. Raises SchedulerLost."""
    if future.status in ("cancelled", "lost"):
        raise SchedulerLost
    try:
        found: dict[str, Any] = future.result()
        return found
    except CancelledError as error:
        raise SchedulerLost from error
    except KilledWorker:
        said = "Each worker that took it was killed, as a system does that is short of memory."
    except Exception as error:
        said = f"The worker could not do it ({first_line(error)}). Start workers from the environment of this command."
    with suppress(Exception):
        future.release()
    return {"failed": said, "seconds": 0.0}
