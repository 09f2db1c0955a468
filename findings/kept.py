"""Results of complete runs, kept in findings/models/: results.json without the details of each subject."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsa_checks.errors import UsageError
from vsa_checks.report import document
from vsa_checks.report.formatting import partial_line
from vsa_checks.writing import write_whole

MODELS = Path(__file__).with_name("models")
BASIS = "processed"
Json = dict[str, Any]


def keep(report: Path, folder: Path = MODELS, note: str = "") -> Path:
    """Keep the results of a run under the name of its model.

    Parameters
    ----------
    report : Path
        A results.json, or the folder of a report.
    folder : Path
        Where kept results lie, a folder for each model.
    note : str
        What the model is, in place of what its description says.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    UsageError
        For a run of a part, of another basis, or without its untrained twin: findings are of all claims, in one basis.
    VsaChecksError
        For a report that cannot be read.
    """
    found = document.read(report)
    name = Path(found["model"]["name"]).name
    if partial := partial_line(found):
        raise UsageError(f"{report} is not kept. {partial} Findings need a whole run: `pytest claims/ --model {name}`.")
    if {result["basis"] for result in found["results"]} != {BASIS}:
        raise UsageError(f"{report} is not kept: findings are of the {BASIS} basis alone.")
    if not any(result["twin"] for result in found["results"]):
        raise UsageError(f"{report} is not kept: it was measured without the untrained twin. Run it without --no-twin.")
    kept = slim(found)
    kept["model"]["notes"] = note or kept["model"]["notes"]
    document.validate(kept)
    path = folder / name / document.FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, as_text(kept))
    return path


def slim(found: Mapping[str, Any]) -> Json:
    """A document without details, times, and the verdicts it was held against; still a whole results.json."""
    results = [
        {
            **result,
            "details": {key: value for key, value in result["details"].items() if key == "q_value"},
            "recorded": None,
            "duration_s": 0.0,
        }
        for result in found["results"]
    ]
    model = {**found["model"], "name": Path(found["model"]["name"]).name}
    if model["source"] == "path":  # where it lies on this machine says nothing elsewhere
        model["location"] = model["name"]
    return {**found, "model": model, "results": results}


def as_text(kept: Mapping[str, Any]) -> str:
    """JSON with one line for each result, so that a change of one is seen as one."""
    rest = {key: value for key, value in kept.items() if key != "results"}
    head = json.dumps(rest, allow_nan=False, sort_keys=True)[:-1]
    lines = ",\n".join(json.dumps(result, allow_nan=False, sort_keys=True) for result in kept["results"])
    return f'{head},\n"results": [\n{lines}\n]}}\n'


def read_kept(folder: Path = MODELS) -> list[Json]:
    """All kept results: models of packages first, of each kind the deepest first. Raises UsageError without any."""
    found = [document.read(path) for path in sorted(folder.glob(f"*/{document.FILE_NAME}"))]
    if not found:
        raise UsageError(f"{folder} holds no results. Keep some: `python -m findings --keep reports/<model>`.")
    return sorted(found, key=lambda one: (one["model"]["source"] == "path", -one["model"]["n_layers"]))
