"""compare.json: everything on the comparison's page, for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vsa_checks.errors import UsageError
from vsa_checks.report import document
from vsa_checks.report.comparison import page
from vsa_checks.report.comparison.changes import found_changes
from vsa_checks.report.comparison.grid import claims, columns
from vsa_checks.report.comparison.runs import Json, Run, read_runs
from vsa_checks.report.comparison.series import found_series
from vsa_checks.report.comparison.thresholds import found_thresholds
from vsa_checks.writing import write_together

FILE_NAME, VERSION = "compare.json", 1
MODEL = ("name", "source", "sha256", "revision", "architecture", "n_layers", "d_model", "d_vocab", "quantization")


def compare(runs: Sequence[Run], unreadable: Sequence[Json] = ()) -> dict[str, Any]:
    """Compare runs.

    Parameters
    ----------
    runs, unreadable
        As returned by `read_runs`.

    Returns
    -------
    dict
        The content of compare.json, plain JSON; docs/results.md says what each field is.
    """
    across = columns(runs)
    return {
        "comparison_version": VERSION,
        "paper": document.PAPER,
        "runs": [
            {
                "name": run.name,
                "page": run.page,
                "model": {name: run.model[name] for name in (*MODEL, "is_paper_model")},
                "seed": run.environment["seed"],
                "device": run.environment["device"],
                "duration_s": run.environment["duration_s"],
                "n_results": len(run.results),
                "n_subjects": run.environment.get("n_subjects", len(run.results)),
                "partial": run.partial,
                "no_twin": run.environment.get("no_twin", ""),
                "step": run.step,
            }
            for run in runs
        ],
        "columns": across,
        "claims": claims(runs, across),
        "series": found_series(runs),
        "diffs": found_changes(runs),
        "thresholds": found_thresholds(runs),
        "unreadable": list(unreadable),
    }


def write_comparison(named: Sequence[str | Path], where: str | Path) -> dict[str, Any]:
    """Read reports, and write index.html and compare.json into a folder, both or neither.

    Parameters
    ----------
    named : sequence of str or Path
        As for `read_runs`.
    where : str or Path
        The folder to write into; created if needed.

    Returns
    -------
    dict
        The content of compare.json.

    Raises
    ------
    VsaChecksError
        As `read_runs` does, and if the folder is that of a report.
    OSError
        If the folder cannot be written.
    """
    folder = Path(where)
    if os.path.lexists(folder / document.FILE_NAME):
        raise UsageError(
            f"{folder} is the folder of a report, and the comparison would overwrite its page. Name another "
            "folder for the comparison."
        )
    found = compare(*read_runs(named, folder))
    text = json.dumps(found, allow_nan=False, indent=1, sort_keys=True) + "\n"
    write_together({folder / FILE_NAME: text, folder / page.FILE_NAME: page.render(found)})
    return found
