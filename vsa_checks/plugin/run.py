"""One run of the claims: the model, the bases, the recorded verdicts, and what has been measured."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from vsa_checks import paths
from vsa_checks.errors import ModelError, RecordedError, UsageError, VsaChecksError, require_seed, visible
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.judge import NOT_CHECKED
from vsa_checks.judging.recorded import Recorded, read_recorded, recorded_path
from vsa_checks.judging.subjects import Subject, enumerate_subjects, experts_of
from vsa_checks.models import BASES, Basis, Model, ModelInfo, default_model, describe, ensure_available
from vsa_checks.models.memory import GB, free_memory
from vsa_checks.models.sources import locate
from vsa_checks.models.texts import Text, read_text, shipped_text
from vsa_checks.paths import cache_folder
from vsa_checks.plugin import log
from vsa_checks.plugin.entry import is_claims
from vsa_checks.plugin.selection import Selection, selection
from vsa_checks.plugin.twins import twin_values
from vsa_checks.reading import Unreadable
from vsa_checks.sections.published import published
from vsa_checks.workbench.dependencies import dependencies, model_content
from vsa_checks.workbench.kept_measurements import KeptMeasurements
from vsa_checks.workbench.resources import SHARE, Plan, announcement, plan, torch_threads
from vsa_checks.workbench.twin_values import TwinValues
from vsa_checks.writing import require_writable


@dataclass
class ClaimsRun:
    """The settings of this run, resolved from its options."""

    name: str
    info: ModelInfo
    bases: tuple[Basis, ...]
    device: str
    seed: int
    report_dir: Path
    record: bool
    recorded_file: Path | None
    known: Recorded
    chosen_because: str
    text: Text | None = None
    preloaded: Model | None = None
    threads: int | None = None
    kept: KeptMeasurements = field(default_factory=KeptMeasurements)
    selection: Selection = field(default_factory=Selection)
    memory_limit: float | None = None
    seeds: int = 1
    twins: TwinValues | None = None
    plan: Plan | None = None
    announced: str = ""
    faults: list[str] = field(default_factory=list)
    """Faults of the tests themselves, found during collection."""
    cautions: list[str] = field(default_factory=list)
    """Notices for the user before the run measures."""
    made_folder: bool = False
    unloadable: dict[Basis, ModelError] = field(default_factory=dict)
    """Why a basis of the weights could not be loaded; it is not tried again."""

    def make_plan(self, subjects: Collection[Subject], processes: int) -> None:
        """Divide the memory between processes, and describe what the run will take.

        Raises UsageError if there is too little.
        """
        allowed = SHARE * free_memory() if self.memory_limit is None else self.memory_limit * GB
        # The twin stands beside a value: where none is expected, as recorded, it is not made for that.
        valued = [one for one in subjects if one.id not in self.known or self.known[one.id].verdict != NOT_CHECKED]
        twin = [] if self.twins is None else self.twins.to_measure(load_claims(), valued)
        self.plan = plan(self.info, subjects, load_claims(), int(allowed / max(processes, 1)), twin)
        self.announced = announcement(self.info, subjects, self.plan, processes, twin)

    def subjects(self) -> list[Subject]:
        """All subjects that the selection leaves to check."""
        found = [s for claim in load_claims().values() for s in enumerate_subjects(claim, self.info, self.bases)]
        return [subject for subject in found if not self.selection or self.selection.takes(subject)]

    def ask_threads(self) -> int:
        """How many threads PyTorch uses, which is imported for that unless an earlier run has kept the answer."""
        if self.threads is None:
            self.threads = torch_threads()
            self.kept.keep_threads(self.threads)
        return self.threads

    def first_line(self) -> str:
        """Which model is checked, and whether it is the paper's own."""
        parts = [f"Model checked: {self.info.name} ({self.info.location})."]
        if self.info.is_paper_model:
            parts.append("This is the paper's own model.")
        else:
            parts.append("The paper's own model, GPT-2 small, was NOT checked.")
        if not self.info.text:
            parts.append(f"It reads no text: {visible(self.info.text_reason)}.")
        if self.chosen_because:
            parts.append(self.chosen_because)
        if not self.known and not self.record:
            parts.append("Nothing is recorded for this model: only `holds` passes.")
        if self.selection:
            parts.append(f"Only a part of the claims is checked: {self.selection.words}.")
        return visible(" ".join(parts))

    def remove_empty_folder(self) -> None:
        """Leave no folder for a report that there is not."""
        if self.made_folder:
            with suppress(OSError):
                self.report_dir.rmdir()


MOST_SEEDS = 10_000
RUN = pytest.StashKey[ClaimsRun]()
CHOSEN_MODEL = "vsa_chosen_model"
"""Key under which a model chosen without --model is passed to xdist's workers."""


def concerns_claims(config: pytest.Config) -> bool:
    """Whether pytest was asked to run the claims."""
    folder = config.invocation_params.dir
    return any(
        is_claims(argument, folder, config.option.pyargs) or (folder / argument).resolve() in paths.CLAIMS.parents
        for argument in config.args
    )


def make_run(config: pytest.Config) -> ClaimsRun:
    """Build the run from the options. Raises VsaChecksError for options that cannot be used."""
    option = config.option
    if option.model is not None and not option.model.strip():
        raise UsageError(
            "--model was given an empty name. Name a registered model (--list-models lists them) or a path, or leave "
            "the option out for the default."
        )
    for name, given in (("text", option.text), ("recorded", option.recorded), ("report-dir", option.report_dir)):
        if given is not None and not given.strip():
            raise UsageError(f"--{name} was given an empty path. Name one, or leave the option out.")
    # A worker of xdist must not choose anew.
    asked: str | None = option.model or getattr(config, "workerinput", {}).get(CHOSEN_MODEL)
    name, because = (asked, "") if asked else default_model()
    if option.record and option.no_recorded:
        raise UsageError("--record and --no-recorded exclude each other: leave one of them out.")
    if option.recorded and option.no_recorded:
        raise UsageError("--recorded and --no-recorded exclude each other: leave one of them out.")
    if option.record and option.text and not option.recorded:
        raise UsageError(
            "--record writes verdicts for the text that ships with the checks, and --text names another text: leave "
            "one of them out, or name a separate file with --recorded FILE."
        )
    require_seed(option.seed)
    if not 1 <= option.seeds <= MOST_SEEDS:
        raise UsageError(f"--seeds {option.seeds} cannot be used: it is the number of seeds, from 1 to {MOST_SEEDS:,}.")
    published()  # its faults are told before anything is measured
    if option.device == "cuda":
        _require_cuda()
    text = read_text(config.invocation_params.dir / option.text) if option.text else None
    if not option.collectonly:
        ensure_available(name)
    info = with_experts(describe(name))
    bases = BASES if option.basis == "both" else (option.basis,)
    file = _recorded_file(option.recorded, info, config.invocation_params.dir)
    if option.record and file is None:
        raise UsageError(
            f"--record does not know where to write: {info.name} is not a registered model. Name the file with "
            f"--recorded FILE."
        )
    known = Recorded()
    subjects = [s for claim in load_claims().values() for s in enumerate_subjects(claim, info)]
    ids = [subject.id for subject in subjects]
    expected = file is not None and not option.no_recorded and not option.record
    if expected and file is not None and (option.recorded or file.exists()):
        known = read_recorded(file, info.sha256, ids)
    chosen = selection(option.claims, option.layers, option.primary_only, load_claims(), info.n_layers)
    chosen.require_any(subject for subject in subjects if subject.basis in bases)
    if option.record and chosen and file is not None and os.path.exists(file):
        _require_readable(file, info, ids, chosen)
    report_dir = Path(option.report_dir) if option.report_dir else paths.reports() / paths.folder_name(info.name)
    run = ClaimsRun(
        name, info, bases, option.device, option.seed, report_dir, option.record, file, known, because, text
    )
    run.selection, run.memory_limit, run.seeds = chosen, option.memory_limit, option.seeds
    if not option.collectonly:
        if not hasattr(config, "workerinput"):
            run.made_folder = not os.path.exists(report_dir)
            _require_folder(report_dir)
            if option.record and file is not None:
                _require_file(file)
        if not option.no_cache:
            run.kept = _kept_measurements(run)
            trouble = run.kept.not_ours()
            if trouble:
                run.kept = KeptMeasurements()
                run.cautions.append(trouble)
        run.twins = twin_values(run, wanted=not option.no_twin, cached=not option.no_cache)
    return run


def with_experts(info: ModelInfo) -> ModelInfo:
    """The description, with a note on which experts of a mixture are checked."""
    if not info.expert_layers:
        return info
    listed = ", ".join(str(one) for one in experts_of(info, info.expert_layers[0]))
    note = (
        f"Of the {info.n_experts} experts of each mixture, numbers {listed} are checked; experts that every token "
        "passes through are not."
    )
    return replace(info, notes=" ".join(filter(None, (info.notes, note))))


def _kept_measurements(run: ClaimsRun) -> KeptMeasurements:
    folder = cache_folder()
    if folder is None:
        return KeptMeasurements()
    try:
        depends_on, path = dependencies(run.name, run.info, run.seed, run.device), locate(run.name).path
    except (OSError, Unreadable):
        return KeptMeasurements()  # a file of the model cannot be read: loading it says so

    def unchanged() -> bool:
        try:
            return model_content(run.name) == depends_on["content"]
        except (VsaChecksError, OSError):
            return False

    return KeptMeasurements(folder, depends_on, lambda: run.text or shipped_text(), unchanged, str(path))


def _require_readable(file: Path, info: ModelInfo, ids: list[str], chosen: Selection) -> None:
    """A part is written into the file that there is; into one that does not fit it cannot be."""
    try:
        read_recorded(file, info.sha256, ids)
    except RecordedError as error:
        raise UsageError(
            f"--record with {chosen.words} keeps the rest of {file}, but that file cannot be used. {error} "
            f"To record everything again, leave {chosen.words} out."
        ) from error


def _require_folder(report_dir: Path) -> None:
    """Before minutes of measuring, not after."""
    from vsa_checks.figures import store
    from vsa_checks.report import document, page

    for name in (document.FILE_NAME, store.FILE_NAME, page.FILE_NAME, log.FILE_NAME):
        try:
            require_writable(report_dir / name)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(
                f"The report cannot be written to {report_dir} ({name}: {reason}). Name a folder that can be created "
                f"and written with --report-dir DIR."
            ) from error


def _require_file(recorded: Path) -> None:
    """Before minutes of measuring, not after."""
    try:
        require_writable(recorded)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"The verdicts cannot be recorded in {recorded} ({reason}). Name another file with --recorded FILE."
        ) from error


def _require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            "--device cuda was given, but PyTorch finds no CUDA device. Leave the option out to use the CPU, or "
            "install a CUDA build of PyTorch on a machine with a CUDA device."
        )


def _recorded_file(option: str | None, info: ModelInfo, cwd: Path) -> Path | None:
    if option:
        return cwd / option
    return recorded_path(info.name) if info.source != "path" else None
