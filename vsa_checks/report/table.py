"""The results of a run as a table of pandas: one row a subject, for filtering, grouping and plotting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vsa_checks.report.formatting import VERDICTS
from vsa_checks.report.summary import hardest_null

if TYPE_CHECKING:
    from pandas import DataFrame

VERDICT = "verdict"
COLUMNS = {
    "id": "string",
    "claim": "string",
    "section": "string",
    "basis": "string",
    "layer": "Int64",
    "expert": "Int64",
    "matrix": "string",
    "primary": "bool",
    "metric": "string",
    "value": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "direction": "string",
    "threshold": "float64",
    "threshold_origin": "string",
    "reference": "string",
    "reference_value": "float64",
    "null": "string",
    "null_value": "float64",
    "p_value": "float64",
    "n_examined": "Int64",
    "n_excluded": "int64",
    "verdict": VERDICT,
    "fragile": "bool",
    "unsettled": "bool",
    "twin_value": "float64",
    "twin_met": "boolean",
    "recorded_verdict": VERDICT,
    "reason": "string",
    "duration_s": "float64",
}
"""Every column and its type; VERDICT stands for a category of the four verdicts."""


def table(document: Mapping[str, Any]) -> DataFrame:
    """Give the results of a run as a flat table.

    Parameters
    ----------
    document : mapping
        The content of results.json, as `vsa_checks.report.read` or `vsa_checks.report.assemble` returns it.

    Returns
    -------
    pandas.DataFrame
        One row for each result, sorted by id, with the columns of `COLUMNS`. `null`, `null_value` and `p_value` are
        those of the decisive null that comes closest to the value or passes it; `twin_value` and `twin_met` are the
        untrained twin's. What a result does not have is missing: `value` of a subject that was not checked, `layer` of
        the embeddings, `null` of a claim without decisive nulls.
    """
    import pandas  # here: it takes half a second, and a run does not need it

    verdicts = pandas.CategoricalDtype(VERDICTS)
    rows = [_row(result) for result in sorted(document["results"], key=lambda result: result["id"])]
    types = {name: verdicts if kind is VERDICT else kind for name, kind in COLUMNS.items()}
    return pandas.DataFrame(rows, columns=list(COLUMNS)).astype(types)


def _row(result: Mapping[str, Any]) -> dict[str, Any]:
    interval, reference, recorded, twin = (result[name] or {} for name in ("ci", "reference", "recorded", "twin"))
    null = hardest_null(result) or {}
    if not null.get("decisive"):
        null = {}
    return {
        **{name: result[name] for name in COLUMNS if name in result},
        "layer": result["subject"]["layer"],
        "expert": result["subject"].get("expert"),
        "matrix": result["subject"]["matrix"],
        "ci_low": interval.get("low"),
        "ci_high": interval.get("high"),
        "reference": reference.get("name"),
        "reference_value": reference.get("value"),
        "null": null.get("name"),
        "null_value": null.get("value"),
        "p_value": null.get("p_value"),
        "twin_value": twin.get("value"),
        "twin_met": twin.get("met"),
        "recorded_verdict": recorded.get("verdict"),
    }
