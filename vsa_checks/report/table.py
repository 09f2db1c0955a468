"""The results of a run as a table of pandas: one row a subject or one a claim, to filter, group, plot and print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from vsa_checks.report.escaping import encodable
from vsa_checks.report.formatting import VERDICTS
from vsa_checks.report.summary import count, hardest_null, worst

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
CLAIM_COLUMNS = {
    "claim": "string",
    "section": "string",
    "title": "string",
    "basis": "string",
    "counted": "string",
    **dict.fromkeys(("holds", "chance", "refuted", "not_checked", "given_by_shape", "unsettled"), "int64"),
    "worst": "string",
    **{name: COLUMNS[name] for name in ("value", "direction", "threshold", "threshold_origin")},
    **{name: COLUMNS[name] for name in ("null", "null_value", "p_value", "reference_value", "verdict", "fragile")},
}
"""The columns of a table with one row a claim and basis, and their types."""


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
        those of the decisive null that the value does not beat, or that it beats least surely; `twin_value` and
        `twin_met` are the untrained twin's. What a result does not have is missing: `value` of a subject that was not
        checked, `layer` of the embeddings, `null` of a claim without decisive nulls.
    """
    results = sorted(document["results"], key=lambda result: result["id"])
    alphas = {claim: entry["record"]["alpha"] for claim, entry in document["summary"]["by_claim"].items()}
    return _frame((_row(result, alphas[result["claim"]]) for result in results), COLUMNS)


def claims_frame(document: Mapping[str, Any]) -> DataFrame:
    """Give the claims of a run as a table, in the order of their sections in the paper.

    Parameters
    ----------
    document : mapping
        The content of results.json, as `vsa_checks.report.read` or `vsa_checks.report.assemble` returns it.

    Returns
    -------
    pandas.DataFrame
        One row for each claim and basis, with the columns of `CLAIM_COLUMNS`: how many subjects have each verdict
        (`counted` says which: primary ones or, where a claim has none, exploratory ones), then the least favourable of
        them (`worst`, its id) with value, threshold and the null that is hardest to beat.
    """
    by_claim = document["summary"]["by_claim"]
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for result in document["results"]:
        groups.setdefault((result["claim"], result["basis"]), []).append(result)
    order = {claim: at for at, claim in enumerate(sorted(by_claim, key=lambda one: _in_the_paper(by_claim[one], one)))}
    ranked = sorted(groups, key=lambda key: (order[key[0]], key[1]))
    return _frame(
        (_claim_row(by_claim[claim]["record"], groups[claim, basis]) for claim, basis in ranked), CLAIM_COLUMNS
    )


def _in_the_paper(entry: Mapping[str, Any], claim: str) -> tuple[Any, ...]:
    """Sort key: sections as the paper has them, what goes beyond it last."""
    section = entry["record"]["section"]
    return not section[:1].isdigit(), section, claim


def _frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> DataFrame:
    import pandas  # here: it takes half a second, and a run does not need it

    verdicts = pandas.CategoricalDtype(VERDICTS)
    types = {name: verdicts if kind is VERDICT else kind for name, kind in columns.items()}
    held = [{name: encodable(value) for name, value in row.items()} for row in rows]
    return pandas.DataFrame(held, columns=list(columns)).astype(types)


def _claim_row(record: Mapping[str, Any], results: list[Mapping[str, Any]]) -> dict[str, Any]:
    primary = [result for result in results if result["primary"]]
    found, counts = worst(results, record["alpha"]), count(primary or results)
    null = found["null"] if record["decisive"] and found["null"] else {}
    return {
        **{name: found[name] for name in CLAIM_COLUMNS if name in found},
        **{name.replace("-", "_"): number for name, number in counts.items()},
        "claim": results[0]["claim"],
        "section": record["section"],
        "title": record["title"],
        "basis": results[0]["basis"],
        "counted": "primary" if primary else "exploratory",
        "worst": found["id"],
        "null": null.get("name"),
        "null_value": null.get("value"),
        "p_value": null.get("p_value"),
        "reference_value": (found["reference"] or {}).get("value"),
    }


def _row(result: Mapping[str, Any], alpha: float | None) -> dict[str, Any]:
    interval, reference, recorded, twin = (result[name] or {} for name in ("ci", "reference", "recorded", "twin"))
    null = hardest_null(result, alpha) or {}
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
