"""The work: trainings and the measurements of their checkpoints, in processes of one thread each.

Two trainings beside one another on two cores take less time than one on both. What is done is found in the folder of
the work, by the settings and the code that it depends on, and not done again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dynamics.english import of_english
from dynamics.grammar import Grammar
from dynamics.language import Language, of_grammar
from dynamics.measuring import Json, measured
from dynamics.models import VARIANTS, Sizes
from dynamics.training import Schedule, checkpoint, train
from fixtures.one_thread import one_thread
from vsa_checks.errors import VsaChecksError
from vsa_checks.models.texts import shipped_text

GRAMMAR, ENGLISH = "grammar", "english"
LOCK = ".lock"
HERE = Path(__file__).parent
OF_TRAINING = ("grammar", "language", "tokenizers_of", "models", "training")


@dataclass(frozen=True)
class Settings:
    """All settings that determine the results, except variants and seeds.

    claims: ids of those that are measured; None for all. text: the English text; None for the shipped ones.
    """

    sizes: Sizes
    schedule: Schedule
    grammar: Grammar
    claims: tuple[str, ...] | None = None
    pieces: int = 2000
    text: Path | None = None

    def as_json(self) -> Json:
        """In plain JSON types, without the text, which each training in English names itself."""
        plain = asdict(replace(self, text=None)) | {"checkpoints": self.schedule.checkpoints()}
        del plain["text"]
        read_back: Json = json.loads(json.dumps(plain))  # as a file gives it
        return read_back

    def digest(self, language: str) -> str:
        """Eight hex digits of what a training on a language depends on: settings and code."""
        content: list[Any] = [asdict(self.sizes), asdict(self.schedule)]
        content += [(HERE / f"{name}.py").read_text(encoding="utf-8") for name in OF_TRAINING]
        if language == GRAMMAR:
            content.append(asdict(self.grammar))
        else:
            text = shipped_text().sha256 if self.text is None else hashlib.sha256(self.text.read_bytes()).hexdigest()
            content += [self.pieces, (HERE / "english.py").read_text(encoding="utf-8"), text]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]

    def language(self, name: str) -> Language:
        """One of GRAMMAR and ENGLISH."""
        if name == ENGLISH:
            return of_english(self.text, self.pieces, self.sizes.n_positions)
        return of_grammar(self.grammar)


@dataclass(frozen=True)
class Job:
    """One training, and the measurements of its checkpoints."""

    language: str
    variant: str
    seed: int

    @property
    def name(self) -> str:
        """As a folder's."""
        return f"{self.language}-{self.variant}-seed{self.seed}"


def do(job: Job, settings: Settings, work: Path, say: Callable[[str], None] = print) -> Json:
    """Train and measure, as far as that is not done; what is measured, by checkpoint.

    Returns
    -------
    dict
        language, variant, seed, text (its name; of English), steps, and `at`, one measurement for each step.
    """
    folder = work / settings.digest(job.language) / job.name
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever else is at it is waited for, and nothing is done twice
        return _do(job, settings, folder, say)


def _do(job: Job, settings: Settings, folder: Path, say: Callable[[str], None]) -> Json:
    language = settings.language(job.language)
    steps, width = settings.schedule.checkpoints(), settings.schedule.windows * settings.sizes.n_positions
    train(
        folder,
        VARIANTS[job.variant],
        settings.sizes,
        settings.schedule,
        lambda: language.training(job.seed, settings.schedule.steps * width),
        language.d_vocab,
        job.seed,
        language.save_tokenizer,
        lambda line: say(f"{job.name}: {line}"),
    )
    found = []
    for step in steps:
        found.append(measured(checkpoint(folder, step), language, job.seed, settings.claims))
        say(f"{job.name}: step {step} measured")
    text = {"text": language.text.name} if language.grammar is None else {}
    return {**asdict(job), **text, "steps": steps, "at": found}


def do_all(
    jobs: Sequence[Job], settings: Settings, work: Path, workers: int, say: Callable[[str], None]
) -> Generator[tuple[Job, Json | None, str]]:
    """Do all jobs over so many processes (1: in this one); yields each with what it gave, or why it failed."""
    if workers == 1:
        with ExitStack() as stack:
            _stay_single(stack)
            for job in jobs:
                yield job, *_tried(job, settings, work)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _stay_single) as pool:
        waiting = {pool.submit(_tried, job, settings, work): job for job in jobs}
        try:
            for one in as_completed(waiting):
                yield waiting[one], *one.result()
        except BrokenProcessPool as problem:
            raise VsaChecksError(
                "A process was ended from outside, by lack of memory perhaps. The same command goes on from the last"
                " checkpoint; --workers 1 takes less memory."
            ) from problem
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _tried(job: Job, settings: Settings, work: Path) -> tuple[Json | None, str]:
    """What a job gives, or why it failed. Programming errors and interruption are raised."""
    try:
        return do(job, settings, work, _say), ""
    except (VsaChecksError, OSError, MemoryError) as problem:
        return None, str(problem) or type(problem).__name__


def _say(line: str) -> None:
    import sys

    print(line, file=sys.stderr, flush=True)


_kept = ExitStack()


def _stay_single(stack: ExitStack = _kept) -> None:
    import numba  # noqa: F401 - only what is loaded can be limited
    import torch  # noqa: F401

    stack.enter_context(one_thread())
