"""sweep.json: what of a sweep is done, so that the same command goes on from there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on only

from vsa_checks.reading import MB, Unreadable, read_json
from vsa_checks.report import document, page
from vsa_checks.writing import write_whole

FILE_NAME, VERSION = "sweep.json", 1
MOST_BYTES = 64 * MB
MOST_AT_ONCE = 1_000
"""Runs at once; no machine has room for more."""


class Entry(TypedDict):
    """What is done of one model: the groups of its claims, and its report, if `results` names the file's sha256."""

    fingerprint: str
    groups: list[str]
    results: str


class _File(TypedDict):
    sweep_version: int
    at_once: int
    models: dict[str, Entry]


class State:
    """The state of a sweep, in its folder; every change is written at once, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        """Read what an earlier sweep left. `trouble` says why that was not possible, if something stands there."""
        self._path, self.trouble = folder / FILE_NAME, ""
        self.at_once, self._models = 0, dict[str, Entry]()
        try:
            content: Any = read_json(self._path, limit=MOST_BYTES, what="The state of the sweep", schema=_File)
        except Unreadable as problem:
            if not problem.missing:
                self.trouble = f"{problem}, and is written anew: what was measured is taken from the cache."
            return
        if content["sweep_version"] == VERSION:
            self.at_once, self._models = content["at_once"], content["models"]
        if not 0 <= self.at_once <= MOST_AT_ONCE:
            self.trouble = f"{self._path} says that {self.at_once} runs go on at once, which is passed over."
            self.at_once = 0

    def done(self, name: str, fingerprint: str, folder: Path) -> bool:
        """Whether the report of a model is there as it was written, and nothing that it depends on has changed."""
        entry = self._entry(name, fingerprint)
        return entry is not None and entry["results"] == results_sha256(folder) != ""

    def groups_done(self, name: str, fingerprint: str) -> list[str]:
        """The groups of a model's claims that were measured."""
        entry = self._entry(name, fingerprint)
        return [] if entry is None else list(entry["groups"])

    def note(self, name: str, fingerprint: str, *, group: str | None = None, results: str = "") -> None:
        """Note that a group, or the report of a model, is done. Raises OSError where that cannot be written."""
        if not fingerprint:
            return
        before = self.groups_done(name, fingerprint)
        groups = before if group is None or group in before else [*before, group]
        self._models[name] = Entry(fingerprint=fingerprint, groups=groups, results=results)
        self.write()

    def write(self) -> None:
        """Write the state. Raises OSError."""
        content = {"sweep_version": VERSION, "at_once": self.at_once, "models": self._models}
        write_whole(self._path, json.dumps(content, indent=1, sort_keys=True) + "\n")

    def _entry(self, name: str, fingerprint: str) -> Entry | None:
        entry = self._models.get(name)
        return entry if entry is not None and fingerprint and entry["fingerprint"] == fingerprint else None


def results_sha256(folder: Path) -> str:
    """Hex sha256 of a report's results.json; empty without it or without its page."""
    try:
        content = (folder / document.FILE_NAME).read_bytes()
    except OSError:
        return ""
    return hashlib.sha256(content).hexdigest() if (folder / page.FILE_NAME).is_file() else ""
