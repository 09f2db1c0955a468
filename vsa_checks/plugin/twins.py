"""The untrained twin in a run: set up from the options, put beside each result, recorded at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vsa_checks.judging.claim import Claim, load_claims
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models.texts import shipped_text
from vsa_checks.paths import cache_folder
from vsa_checks.plugin.properties import TWIN_PROPERTY
from vsa_checks.plugin.tally import Tally
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.dependencies import code_digest
from vsa_checks.workbench.kept_measurements import KeptMeasurements
from vsa_checks.workbench.outcome import Measure
from vsa_checks.workbench.twin import shape_digest
from vsa_checks.workbench.twin_values import TwinValues, read_values, shipped_path, write_values

if TYPE_CHECKING:
    from vsa_checks.plugin.run import ClaimsRun

NOT_WANTED = "--no-twin was given"
RECORDED_SEED = 0
"""Of the values that ship with the package."""


def twin_values(run: ClaimsRun, wanted: bool, cached: bool) -> TwinValues:
    """The twin's values for a run. What ships is not used where all is to be measured anew, or recorded."""
    if not wanted:
        return TwinValues(run.info, why_not=NOT_WANTED)
    try:
        shape = shape_digest(run.name)
    except OSError:
        return TwinValues(run.info, text=run.text)  # loading the model says what cannot be read
    folder = cache_folder() if cached else None
    # One twin serves all models of a shape, and on any machine: nothing of the trained weights is in it, and its values
    # are compared with thresholds alone, where last bits do not matter.
    depends_on = {"twin": shape, "seed": run.seed, "code": code_digest()}
    kept = KeptMeasurements(folder, depends_on, lambda: run.text or shipped_text())
    shipped = {}
    if cached and not run.record and run.info.source != "path":
        shipped = read_values(shipped_path(run.info.name), shape, run.seed)
    return TwinValues(run.info, kept, shipped, run.text)


def put_beside(
    run: ClaimsRun,
    bench: Workbench,
    item: pytest.Item,
    result: dict[str, Any],
    claim: Claim,
    subject: Subject,
    measure: Measure,
    options: dict[str, Any],
) -> None:
    """Put the twin's value beside the result of a subject that was measured, and tell the controlling process of it."""
    if run.twins is None:
        return
    found = run.twins.beside(bench, claim, subject, measure, options)
    result["twin"] = found.twin
    if found.details:
        result["details"]["twin"] = found.details
    told = {"why_not": run.twins.why_not, "values": found.looked_at if run.record else {}}
    item.user_properties.append((TWIN_PROPERTY, json.dumps(told)))


def record_twin(run: ClaimsRun, tally: Tally) -> Path | None:
    """Write what the twin of a registered model gives into the file that ships, which is returned; None for others."""
    if not tally.twin_values or run.info.source == "path" or run.seed != RECORDED_SEED or run.text is not None:
        return None
    claims = load_claims()
    ids = {one.id for claim in claims.values() for one in enumerate_subjects(claim, run.info)}
    file = shipped_path(run.info.name)
    write_values(file, shape_digest(run.name), run.seed, tally.twin_values, claims, ids)
    return file
