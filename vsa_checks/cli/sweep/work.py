"""What a sweep has to do: models and revisions, each with its claims in groups that share work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vsa_checks import paths
from vsa_checks.errors import UsageError, VsaChecksError
from vsa_checks.judging.claim import Claim, load_claims
from vsa_checks.judging.recorded import recorded_path
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models import BASES, ModelInfo, describe
from vsa_checks.models.sources import locate
from vsa_checks.models.texts import shipped_text
from vsa_checks.paths import folder_name
from vsa_checks.plugin.selection import selection
from vsa_checks.workbench.dependencies import dependencies
from vsa_checks.workbench.twin_values import shipped_path

OF_NEURONS = ("2.4", "3.2", "3.3")
"""Sections whose claims look for tokens in neurons: they share the dictionary of tokens and what is found in it."""


@dataclass(frozen=True)
class Settings:
    """The options of `vsa-checks run` with which every model is measured."""

    claims: str | None = None
    layers: str | None = None
    primary_only: bool = False
    basis: str = "processed"
    seed: int = 0
    no_twin: bool = False

    def words(self) -> list[str]:
        """These options as `vsa-checks run` takes them, without the claims."""
        return [
            f"--basis={self.basis}",
            f"--seed={self.seed}",
            *([] if self.layers is None else [f"--layers={self.layers}"]),
            *(["--primary-only"] if self.primary_only else []),
            *(["--no-twin"] if self.no_twin else []),
        ]


@dataclass(frozen=True)
class Job:
    """One model or revision: its name as it was given, what it is, its report's folder, and what is checked on it."""

    name: str
    info: ModelInfo
    folder: Path
    subjects: tuple[Subject, ...]

    @property
    def label(self) -> str:
        """The name as one of a folder."""
        return self.folder.name

    def groups(self) -> dict[str, list[str]]:
        """The claims in groups that share work, by the group's name; only those that have a subject on this model."""
        claims, found = load_claims(), dict.fromkeys(subject.claim for subject in self.subjects)
        groups: dict[str, list[str]] = {}
        for claim in found:
            groups.setdefault(group_of(claims[claim]), []).append(claim)
        return groups

    def n_subjects(self, claims: Collection[str] | None = None) -> int:
        """How many subjects are measured; of these claims alone, if they are given."""
        return sum(claims is None or subject.claim in claims for subject in self.subjects)


def group_of(claim: Claim) -> str:
    """The group of claims that share work to which a claim belongs: `neurons`, `text` or `weights`."""
    if claim.section in OF_NEURONS:
        return "neurons"
    return "text" if "text" in claim.needs else "weights"


def names(models: str, revisions: str | None) -> list[str]:
    """The models to measure: each of them, or each at each revision, as NAME@REVISION; none twice.

    Raises UsageError for an empty name.
    """
    bare, at = _parts(models, "--models", "gpt2,pythia-70m"), [""]
    if revisions is not None:
        at = [f"@{revision}" for revision in _parts(revisions, "--revisions", "step1000,step2000")]
        given = next((name for name in bare if "@" in name), None)
        if given is not None:
            raise UsageError(
                f"--models names {given}, a revision of its own, and --revisions others. Give revisions in one of the "
                "two options only."
            )
    return list(dict.fromkeys(f"{name}{revision}" for name in bare for revision in at))


def _parts(text: str, option: str, example: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError(f"{option} {text!r} names nothing between two commas or at an end. Write it as in {example}.")
    return parts


def jobs(models: Sequence[str], settings: Settings, where: Path) -> tuple[list[Job], dict[str, str]]:
    """The models that can be measured, and why others cannot, by name.

    Parameters
    ----------
    models : sequence of str
        As `names` gives them.
    settings : Settings
    where : Path
        The folder of the sweep; each model's report has a folder in it.

    Returns
    -------
    found : list of Job
    failed : dict of str to str
        One paragraph for each model that cannot be found or read, or has nothing of what is to be checked.
    """
    found: list[Job] = []
    failed: dict[str, str] = {}
    taken: set[str] = set()
    for name in models:
        try:
            info = describe(name)
            job = Job(name, info, where / _free(folder_name(info.name), name, taken), _subjects(info, settings))
        except VsaChecksError as error:
            failed[name] = str(error)
        else:
            taken.add(job.label)
            found.append(job)
    return found, failed


def _subjects(info: ModelInfo, settings: Settings) -> tuple[Subject, ...]:
    claims = load_claims()
    chosen = selection(settings.claims, settings.layers, settings.primary_only, claims, info.n_layers)
    bases = BASES if settings.basis == "both" else (settings.basis,)
    subjects = [subject for claim in claims.values() for subject in enumerate_subjects(claim, info, bases)]  # type: ignore[arg-type]
    chosen.require_any(subjects)
    return tuple(subject for subject in subjects if not chosen or chosen.takes(subject))


def _free(folder: str, name: str, taken: Collection[str]) -> str:
    """The folder's name, or where another model has it, one that only this model has."""
    return f"{folder}-{hashlib.sha256(name.encode()).hexdigest()[:8]}" if folder in taken else folder


def fingerprint(job: Job, settings: Settings) -> str:
    """Hex sha256 of all that a model's results depend on; empty where the model is not on this machine.

    Raises VsaChecksError, and OSError for a file that cannot be read.
    """
    if not locate(job.name).complete:
        return ""
    beside: list[Any] = [hashlib.sha256(paths.CLAIMS_FILE.read_bytes()).hexdigest(), shipped_text().sha256]
    if job.info.source != "path":  # what is recorded of it stands in its results, and what its twin gives
        for file in (recorded_path(job.info.name), shipped_path(job.info.name)):
            beside.append(hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None)
    depends_on = dependencies(job.name, job.info, settings.seed, "cpu")
    content = [job.name, asdict(settings), sorted({subject.id for subject in job.subjects}), beside, depends_on]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
