"""Read the reports to compare, without their details, so that many checkpoints fit into memory."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vsa_checks.errors import UsageError, VsaChecksError
from vsa_checks.report import document, page
from vsa_checks.report.escaping import encodable
from vsa_checks.report.formatting import partial_line

Json = dict[str, Any]
LEFT_OUT = ("details", "effective_flags", "metric", "recorded", "duration_s")
STEP = re.compile(
    r"(?i)(?<![a-z])(?:global[-_]?)?(?:step|checkpoint|ckpt|iteration|iter|epoch)s?[-_=]?(\d{1,15})([km])?(?![a-z0-9])"
)
"""A step of training in a name: step1000, checkpoint-500, iter_20k."""


@dataclass(frozen=True)
class Run:
    """One report.

    name: how the comparison calls it, unlike any other. page: the address of its page from the comparison's, empty
    where it has none. results: by id, without what LEFT_OUT names. step, series: where a checkpoint of training stands,
    and what its name is but for that, of a path all of it; None and empty for others.
    """

    name: str
    page: str
    model: Json
    environment: Json
    partial: str
    records: dict[str, Json]
    results: dict[str, Json]
    step: int | None = None
    series: str = ""

    @property
    def weights(self) -> tuple[Any, ...]:
        """What identifies the weights: equal for two runs of one model."""
        sha256 = self.model["sha256"]
        return (sha256,) if sha256 else (self.model["name"], self.model["revision"])

    @property
    def bases(self) -> list[str]:
        """The bases of weights that were measured."""
        return sorted({result["basis"] for result in self.results.values()})


def read_runs(named: Sequence[str | Path], where: Path) -> tuple[list[Run], list[Json]]:
    """Read the reports to compare.

    Parameters
    ----------
    named : sequence of str or Path
        Files results.json, folders of a report, or folders that hold several of these.
    where : Path
        The folder of the comparison's page, from which links lead.

    Returns
    -------
    runs : list of Run
        In the order in which they were named; of one folder by name, checkpoints by step.
    unreadable : list of dict
        `report` and `reason` of those in a folder of several that cannot be read.

    Raises
    ------
    VsaChecksError
        For a report that was named itself and cannot be read, and if there is no report at all.
    """
    runs: list[Run] = []
    unreadable: list[Json] = []
    for path, found in _found(named):
        inside: list[Run] = []
        for file in found:
            try:
                inside.append(_read(file, where))
            except VsaChecksError as error:
                if file in (path, path / document.FILE_NAME):
                    raise
                unreadable.append({"report": file.parent.name, "reason": str(error).replace(str(file), file.name)})
        runs += sorted(inside, key=lambda run: (run.series or run.name, -1 if run.step is None else run.step, run.page))
    if not runs:
        raise UsageError(
            f"There is nothing to compare: {' '.join(map(str, named))} contains no readable report. Name folders "
            "of reports, or run `pytest claims/` first."
        )
    return _told_apart(runs), unreadable


def _found(named: Iterable[str | Path]) -> list[tuple[Path, list[Path]]]:
    """What was named, each with the results files that it stands for; a file that was found before is left out."""
    seen: set[str] = set()
    found = []
    for given in named:
        path = Path(given)
        # Those of os take what pathlib fails on: loops of links, and names that are too long.
        own = path / document.FILE_NAME if os.path.isdir(path) else path
        files = [own]
        if os.path.isdir(path) and not os.path.lexists(own):
            files = sorted(path.glob(f"*/{document.FILE_NAME}")) or files
        fresh = [file for file in files if os.path.realpath(file) not in seen]
        seen.update(os.path.realpath(file) for file in fresh)
        found.append((path, fresh))
    return found


def _read(file: Path, where: Path) -> Run:
    content = document.read(file)
    model, by_claim = content["model"], content["summary"]["by_claim"]
    own_page = file.with_name(page.FILE_NAME)
    address = os.path.relpath(own_page.absolute(), where.absolute())  # a browser does not follow links of folders
    step, series = _step(model, Path(os.path.realpath(file.parent)))
    if model["source"] == "path":
        model = {**model, "name": last_parts(model["name"])}
    return Run(
        last_parts(model["name"], 1) if model["source"] == "path" else model["name"],
        quote(os.fsencode(address)) if os.path.isfile(own_page) else "",
        model,
        content["environment"],
        partial_line(content),
        {claim: entry["record"] for claim, entry in by_claim.items()},
        {result["id"]: {k: v for k, v in result.items() if k not in LEFT_OUT} for result in content["results"]},
        step,
        series,
    )


def last_parts(path: str, most: int = 2) -> str:
    """The last parts of a path: the whole path could reveal whose computer it is."""
    parts = [part for part in path.split("/") if part]
    return encodable("/".join(parts[-most:])) or "/"


def _step(model: Mapping[str, Any], folder: Path) -> tuple[int | None, str]:
    """The step of training that a model's name, place, revision or report folder tells, and all of that but the step.

    Of paths the last part that tells a step counts. What stands around it keeps two trainings apart whose checkpoints
    have equal names.
    """
    name, location, revision = model["name"], model.get("location") or "", model["revision"] or ""
    paths = [name, location] if model["source"] == "path" else []
    for path in paths:
        parts = path.split("/")
        for at in reversed(range(len(parts))):
            if (found := _without_step(parts[at])) is not None:
                return found[0], "/".join([*parts[:at], found[1], *parts[at + 1 :]])
    for before, text in (("", name), ("", location), (f"{name}@", revision), (f"{folder.parent}/", folder.name)):
        if text not in paths and (found := _without_step(text)) is not None:
            return found[0], before + found[1]
    return None, ""


def _without_step(text: str) -> tuple[int, str] | None:
    found = STEP.search(text)
    if found is None:
        return None
    number = int(found[1]) * {"k": 1000, "m": 1_000_000}.get((found[2] or "").lower(), 1)
    return number, f"{text[: found.start()]}*{text[found.end() :]}"


def _told_apart(runs: list[Run]) -> list[Run]:
    """The same runs, each with a name of its own: with the folder, then with a number where others have that name."""
    taken = Counter(run.name for run in runs)
    named = [
        replace(run, name=f"{run.name} ({Path(run.page).parent.name})") if taken[run.name] > 1 and run.page else run
        for run in runs
    ]
    count: Counter[str] = Counter()
    different = []
    for run in named:
        count[run.name] += 1
        different.append(run if count[run.name] == 1 else replace(run, name=f"{run.name} #{count[run.name]}"))
    return different
