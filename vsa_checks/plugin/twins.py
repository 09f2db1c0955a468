"""The untrained twin in a run: set up from the options, added to each result, recorded at the end."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vsa_checks.judging.claim import Claim, load_claims
from vsa_checks.judging.recorded import Recorded, recorded_path
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models.texts import shipped_text
from vsa_checks.paths import cache_folder
from vsa_checks.plugin.properties import TWIN_PROPERTY
from vsa_checks.plugin.tally import Tally
from vsa_checks.reading import Unreadable, read_bytes
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.dependencies import code_digest
from vsa_checks.workbench.kept_measurements import KeptMeasurements
from vsa_checks.workbench.outcome import Measure
from vsa_checks.workbench.twin import shape_digest
from vsa_checks.workbench.twin_values import MOST_BYTES, TwinValues, read_values, shipped_path, values_text

if TYPE_CHECKING:
    from vsa_checks.plugin.run import ClaimsRun

NOT_WANTED = "--no-twin was given"
RECORDED_SEED = 0
"""Of the values that ship with the package."""


def twin_values(run: ClaimsRun, wanted: bool, cached: bool) -> TwinValues:
    """The twin's values for a run. Shipped values are not used if everything is measured again or recorded."""
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
        file = shipped_path(run.info.name)
        if belongs(run, run.known, file):
            shipped = read_values(file, shape, run.seed)
        else:
            run.cautions.append(
                f"The values of the untrained twin in {file} do not belong to the recorded verdicts: --record was "
                "interrupted, or one of the two files was replaced. They are not used, and the twin is measured; "
                "--record writes both files again."
            )
    return TwinValues(run.info, kept, shipped, run.text)


def belongs(run: ClaimsRun, known: Recorded, file: Path) -> bool:
    """Whether a file of the twin's values is the one that was written with the recorded verdicts, as far as they say.

    Verdicts that are not the shipped ones do not mention the file.
    """
    if known.twin is None or run.recorded_file != recorded_path(run.info.name):
        return True
    try:
        return hashlib.sha256(read_bytes(file, limit=MOST_BYTES, what="the file")).hexdigest() == known.twin
    except Unreadable:
        return False


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
    """Add the twin's value to the result of a measured subject, and pass it to the controlling process."""
    if run.twins is None:
        return
    found = run.twins.beside(bench, claim, subject, measure, options)
    result["twin"] = found.twin
    if found.details:
        result["details"]["twin"] = found.details
    told = {"why_not": run.twins.why_not, "values": found.looked_at if run.record else {}}
    item.user_properties.append((TWIN_PROPERTY, json.dumps(told)))


def twin_to_record(run: ClaimsRun, tally: Tally, known: Recorded) -> tuple[Path, str] | None:
    """The file that ships with what the twin of a registered model gives, and what it is to hold; None for others.

    It belongs to the shipped verdicts, and is unchanged if others are written. Its present values are kept only if they
    were written with `known`, the verdicts recorded now.
    """
    if run.recorded_file != recorded_path(run.info.name):
        return None
    if not tally.twin_values or run.info.source == "path" or run.seed != RECORDED_SEED or run.text is not None:
        return None
    claims = load_claims()
    ids = {one.id for claim in claims.values() for one in enumerate_subjects(claim, run.info)}
    file = shipped_path(run.info.name)
    now = file if belongs(run, known, file) else None
    return file, values_text(now, shape_digest(run.name), run.seed, tally.twin_values, claims, ids)
