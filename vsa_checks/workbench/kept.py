"""Measured figures kept on disk: taken again where nothing differs that they depend on, and measured anew otherwise.

Each file holds the sha256 of its content, and the content the hash of its key: what is cut short, altered or renamed is
no entry. That guards against damage, not against somebody who forges an entry with its sha256.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from vsa_checks.errors import VsaChecksError
from vsa_checks.judging.claim import Claim
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.models.texts import Text, shipped_text
from vsa_checks.paths import replaced
from vsa_checks.workbench.measured import Measure, Measured

FOLDER = "measurements"
"""Under the folder of the cache."""
MOST_BYTES = 256 * 2**20
UNUSED_S = 30 * 24 * 3600.0
_ENTRY = re.compile(r"[0-9a-f]{64}\.json|\.[0-9a-f]{64}\.json\.[0-9a-f]+\.tmp")


class KeptMeasurements:
    """The figures of one run's model. What cannot be read is not there, and what cannot be written is not kept."""

    def __init__(
        self,
        folder: Path | None = None,
        depends_on: Mapping[str, Any] | None = None,
        text: Callable[[], Text] = shipped_text,
        unchanged: Callable[[], bool] = lambda: True,
        place: str = "",
    ) -> None:
        """Nothing is kept where folder is None, nor when `unchanged` no longer holds of the model's files.

        depends_on: what the figures of this run depend on, as plain JSON. text: what the model reads. place: where it
        lies: a reason that names it holds for that place only.
        """
        self._folder = folder / FOLDER if folder is not None else None
        self._depends_on, self._read_text, self._unchanged, self._place = depends_on, text, unchanged, place

    # --- what is kept ---------------------------------------------------------------------------------------------

    def flags(self, basis: Basis) -> dict[str, bool] | None:
        """The steps of weight processing that took effect in this basis; None if it is not known without loading."""
        found = self._read(self._key(flags=basis))
        return found if isinstance(found, dict) else None

    def keep_flags(self, basis: Basis, flags: Mapping[str, bool]) -> None:
        """Keep what took effect when the model was loaded."""
        self._write(self._key(flags=basis), dict(flags))

    def threads(self) -> int | None:
        """How many threads PyTorch takes in such a run; None if it is not known without importing it."""
        found = self._read(self._key(threads="of PyTorch"))
        return found if isinstance(found, int) else None

    def keep_threads(self, threads: int) -> None:
        """Keep how many threads PyTorch took."""
        self._write(self._key(threads="of PyTorch"), threads)

    def find(
        self, claim: Claim, subject: Subject, flags: Mapping[str, bool], measure: Measure, options: Mapping[str, Any]
    ) -> Measured | None:
        """What was measured of a subject; None if that is not known, or what measures is none of this package's."""
        if _name(measure) is None or self._folder is None:
            return None
        for text in (None, self._text):
            found = self._read(self._subject_key(claim, subject, flags, measure, options, text))
            if found is not None:
                with suppress(KeyError, TypeError):
                    return Measured.from_json(found)
        return None

    def keep(
        self,
        claim: Claim,
        subject: Subject,
        flags: Mapping[str, bool],
        measure: Measure,
        options: Mapping[str, Any],
        measured: Measured,
    ) -> None:
        """Keep what was measured of a subject."""
        text = self._text if measured.text_asked else None
        if _name(measure) is None or (measured.text_asked and text is None):
            return
        if self._place and self._place in measured.reason:
            return
        self._write(self._subject_key(claim, subject, flags, measure, options, text), measured.as_json())

    def prune(self) -> None:
        """Remove what was not used for a month, and beyond MOST_BYTES what was not used for longest."""
        if self._folder is None:
            return
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
            return None  # the claims that need it will say so
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
        """Hex sha256 of all that an entry depends on; None for what cannot be told from another by its JSON."""
        try:
            return hashlib.sha256(json.dumps([self._depends_on, more], sort_keys=True).encode()).hexdigest()
        except TypeError:
            return None

    # --- files ----------------------------------------------------------------------------------------------------

    def _read(self, key: str | None) -> Any:
        """The content kept under a key; None if there is none or it is not as it was written."""
        if self._folder is None or key is None:
            return None
        path = self._folder / f"{key}.json"
        try:
            checksum, _, content = path.read_bytes().partition(b"\n")
            if checksum.decode("ascii", "replace") != hashlib.sha256(content).hexdigest():
                return None
            stored = json.loads(content)
            if stored["key"] != key:
                return None
            found = stored["content"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        with suppress(OSError):
            os.utime(path)
        return found

    def _write(self, key: str | None, content: Any) -> None:
        """Keep content, whole or not at all."""
        if self._folder is None or key is None or not self._unchanged():
            return
        body = json.dumps({"key": key, "content": content}).encode()
        with suppress(OSError), replaced(self._folder / f"{key}.json", private=True) as temporary:
            temporary.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _name(measure: Measure) -> str | None:
    """Module and name of a function of this package; None for any other: its code may change unseen."""
    module, name = getattr(measure, "__module__", None) or "", getattr(measure, "__qualname__", "")
    own = module.split(".")[0] == __name__.split(".")[0]
    return f"{module}.{name}" if own and getattr(sys.modules.get(module), name, None) is measure else None
