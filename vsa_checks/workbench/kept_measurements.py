"""Measurements cached on disk between runs, and reused if nothing that they depend on has changed.

Each file starts with the sha256 of its content, and the content names its key: a truncated, altered or renamed file is
ignored. So is a file that belongs to another user or is writable by others, that is not a regular file, or that does
not have the content that `stored` requires. Anyone who can write as this user can forge an entry.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on only

from vsa_checks.errors import VsaChecksError
from vsa_checks.judging.claim import Claim
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.models.texts import Text, shipped_text
from vsa_checks.reading import Unreadable, open_regular, parse_json
from vsa_checks.workbench.outcome import Measure, Outcome
from vsa_checks.workbench.stored import stored_outcome
from vsa_checks.writing import sweep, write_whole

R = TypeVar("R")

FOLDER = "measurements"
"""Name of the folder within the cache."""
MOST_BYTES = 256 * 2**20
UNUSED_S = 30 * 24 * 3600.0
USUAL_BYTES = 32_768
"""Size of a large measurement."""
MOST_BYTES_OF_ONE = 16 * 2**20
"""Far above the size of any measurement: longer files are ignored."""
_ENTRY = re.compile(r"[0-9a-f]{64}\.json")


class Loaded(TypedDict):
    """Facts known from loading a basis of the weights: which processing steps took effect, a note on what is stored."""

    flags: dict[str, bool]
    note: str


_LOADED = TypeAdapter(Loaded)
_THREADS = TypeAdapter(Annotated[int, Field(ge=1, le=100_000)])


class KeptMeasurements:
    """The cached measurements of one run's model. A file that cannot be read or written is skipped."""

    def __init__(
        self,
        folder: Path | None = None,
        depends_on: Mapping[str, Any] | None = None,
        text: Callable[[], Text] = shipped_text,
        unchanged: Callable[[], bool] = lambda: True,
        place: str = "",
    ) -> None:
        """Keep measurements in a folder of `folder`; None keeps nothing.

        depends_on: what the measurements of this run depend on, as plain JSON. text: returns the text that the model
        reads. unchanged: tells whether the model's files are still the same; if not, nothing more is kept. place: path
        of the model; a reason that names it is not kept, because it is true only for that path.
        """
        self._folder = folder / FOLDER if folder is not None else None
        self._depends_on, self._read_text, self._unchanged, self._place = depends_on, text, unchanged, place

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return self._folder is not None

    def not_ours(self) -> str:
        """Why nothing kept here could be reused, "" if it can: a mount may show other owners and modes."""
        if self._folder is None:
            return ""
        probe = self._folder / "probe"
        try:
            write_whole(probe, b"", private=True)
            with open_regular(probe, what="the file") as file:
                found = os.fstat(file.fileno())
            os.unlink(probe)
        except (Unreadable, OSError, ValueError):
            return ""  # writing is skipped, but existing files may still be readable
        if _is_ours(found):
            return ""
        return (
            f"Nothing is cached: files in {self._folder} belong to user {found.st_uid} and have mode "
            f"{stat.S_IMODE(found.st_mode):o}, and the cache must belong to this user and be writable by nobody "
            "else. Name another folder with VSA_CHECKS_CACHE."
        )

    def lost(self) -> str:
        """Why some measurements could not be kept, "" if all could: the disk is full, or the folder is read-only."""
        if self._folder is None:
            return ""
        probe = self._folder / "probe"
        try:
            write_whole(probe, bytes(USUAL_BYTES), private=True)
            probe.unlink(missing_ok=True)  # another run may have removed it
        except (OSError, ValueError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            return (
                f"Some measurements could not be cached in {self._folder} ({reason}): a later run measures them again. "
                "Free some space there, or name another folder with VSA_CHECKS_CACHE."
            )
        return ""

    # --- what is kept ---------------------------------------------------------------------------------------------

    def loaded(self, basis: Basis) -> Loaded | None:
        """Facts from loading this basis; None if not kept."""
        return _checked(_LOADED, self._read(self._key(loaded=basis)))

    def keep_loaded(self, basis: Basis, found: Loaded) -> None:
        """Keep the facts from loading the whole model."""
        self._write(self._key(loaded=basis), found)

    def threads(self) -> int | None:
        """How many threads PyTorch uses in such a run; None if not kept."""
        return _checked(_THREADS, self._read(self._key(threads="of PyTorch")))

    def keep_threads(self, threads: int) -> None:
        """Keep how many threads PyTorch used."""
        self._write(self._key(threads="of PyTorch"), threads)

    def find(
        self, claim: Claim, subject: Subject, flags: Mapping[str, bool], measure: Measure, options: Mapping[str, Any]
    ) -> Outcome | None:
        """The kept outcome of a subject; None if there is none, or if the measure is not a function of this package."""
        if _name(measure) is None or self._folder is None:
            return None
        for text in (None, self._text):
            found = stored_outcome(self._read(self._subject_key(claim, subject, flags, measure, options, text)), claim)
            if found is not None:
                return found
        return None

    def keep(
        self,
        claim: Claim,
        subject: Subject,
        flags: Mapping[str, bool],
        measure: Measure,
        options: Mapping[str, Any],
        outcome: Outcome,
    ) -> None:
        """Keep the outcome of a subject immediately, so that it is not lost if the run is interrupted."""
        text = self._text if outcome.text_asked else None
        if _name(measure) is None or not outcome.lasting or (outcome.text_asked and text is None):
            return
        if self._place and self._place in outcome.reason:
            return
        self._write(self._subject_key(claim, subject, flags, measure, options, text), outcome.as_json())

    def prune(self) -> None:
        """Remove files not used for a month; above MOST_BYTES in total, remove the least recently used first."""
        if self._folder is None:
            return
        sweep(self._folder)
        found = []
        with suppress(OSError):
            for file in os.scandir(self._folder):
                if _ENTRY.fullmatch(file.name):
                    with suppress(OSError):
                        found.append((file.stat().st_mtime, file.stat().st_size, file.path))
        total, oldest = 0, time.time() - UNUSED_S
        for used, size, path in sorted(found, reverse=True):
            total += size
            if total > MOST_BYTES or used < oldest:
                with suppress(OSError):
                    os.unlink(path)

    # --- keys -----------------------------------------------------------------------------------------------------

    @cached_property
    def _text(self) -> dict[str, str] | None:
        try:
            text = self._read_text()
        except VsaChecksError:
            return None  # the claims that need the text report the error
        return {"name": text.name, "sha256": text.sha256}

    def _subject_key(
        self,
        claim: Claim,
        subject: Subject,
        flags: Mapping[str, bool],
        measure: Measure,
        options: Mapping[str, Any],
        text: Mapping[str, str] | None,
    ) -> str | None:
        return self._key(
            version=claim.version,
            subject=asdict(subject),
            flags=dict(flags),
            measure=_name(measure),
            options=dict(options),
            text=text,
        )

    def _key(self, **more: Any) -> str | None:
        """Hex sha256 of everything that an entry depends on; None if JSON cannot hold it."""
        try:
            return hashlib.sha256(json.dumps([self._depends_on, more], sort_keys=True).encode()).hexdigest()
        except TypeError:
            return None

    # --- files ----------------------------------------------------------------------------------------------------

    def _read(self, key: str | None) -> Any:
        """The content stored under a key; None if there is none or it is damaged."""
        if self._folder is None or key is None:
            return None
        path, what = self._folder / f"{key}.json", "The kept measurement"
        try:
            with open_regular(path, what=what) as file:
                if not _is_ours(os.fstat(file.fileno())):
                    return None
                checksum, _, content = file.read(MOST_BYTES_OF_ONE).partition(b"\n")
            if checksum.decode("ascii", "replace") != hashlib.sha256(content).hexdigest():
                return None
            stored = parse_json(content, path=path, what=what)
            if stored["key"] != key:
                return None
            found = stored["content"]
        except (Unreadable, OSError, KeyError, TypeError):
            return None
        with suppress(OSError):
            os.utime(path)
        return found

    def _write(self, key: str | None, content: Any) -> None:
        """Store content under a key, completely or not at all."""
        if self._folder is None or key is None or not self._unchanged():
            return
        body = json.dumps({"key": key, "content": content}).encode()
        if len(body) + 65 > MOST_BYTES_OF_ONE:  # preceded by its checksum
            return
        with suppress(OSError, ValueError):  # ValueError: a folder whose name has a NUL in it
            checksum = hashlib.sha256(body).hexdigest().encode()
            write_whole(self._folder / f"{key}.json", checksum + b"\n" + body, private=True)


def _is_ours(found: os.stat_result) -> bool:
    """Whether a file belongs to this user and nobody else may write it."""
    others = stat.S_IWGRP | stat.S_IWOTH
    return found.st_uid == os.geteuid() and not found.st_mode & others


def _checked(wanted: TypeAdapter[R], found: object) -> R | None:
    try:
        return wanted.validate_python(found, strict=True)
    except ValidationError:
        return None


def _name(measure: Measure) -> str | None:
    """Module and name of a function of this package; None for others, whose code could change unnoticed."""
    module, name = getattr(measure, "__module__", None) or "", getattr(measure, "__qualname__", "")
    own = module.split(".")[0] == __name__.split(".")[0]
    return f"{module}.{name}" if own and getattr(sys.modules.get(module), name, None) is measure else None
