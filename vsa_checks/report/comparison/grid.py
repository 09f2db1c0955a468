"""Models by claims: each run's result for each claim, with the fields of results.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vsa_checks.report.comparison.runs import Json, Run
from vsa_checks.report.formatting import anchor, remarks
from vsa_checks.report.summary import count, worst


def columns(runs: Sequence[Run]) -> list[Json]:
    """One column for each run and basis, with the counts of its subjects."""
    found = []
    for at, run in enumerate(runs):
        for basis in run.bases:
            results = [result for result in run.results.values() if result["basis"] == basis]
            found.append(
                {
                    "run": at,
                    "basis": basis,
                    "primary": count(result for result in results if result["primary"]),
                    "exploratory": count(result for result in results if not result["primary"]),
                }
            )
    return found


def claims(runs: Sequence[Run], across: Sequence[Json]) -> list[Json]:
    """The claims of all runs in the paper's order, each with a cell per column, None if it was not run."""
    records: dict[str, Json] = {}
    for run in runs:
        for claim, record in run.records.items():
            if claim not in records or record["version"] > records[claim]["version"]:
                records[claim] = record
    order = sorted(records, key=lambda claim: (*in_the_paper(records[claim]["section"]), claim))
    found = []
    for claim in order:
        cells = [_cell(runs[column["run"]], claim, column["basis"]) for column in across]
        there = [cell for cell in cells if cell is not None]
        found.append(
            {
                "id": claim,
                **{name: records[claim][name] for name in ("section", "title", "statement", "metric")},
                "cells": cells,
                "differs": len({cell["verdict"] for cell in there}) > 1,
                "versions": sorted({cell["claim_version"] for cell in there}),
            }
        )
    return found


def in_the_paper(section: str) -> tuple[bool, str]:
    """Sort key: sections as the paper has them, what goes beyond it last."""
    return not section[:1].isdigit(), section


def _cell(run: Run, claim: str, basis: str) -> dict[str, Any] | None:
    """A run's result for a claim in one basis: its least favourable subject, and the counts by verdict."""
    results = [one for one in run.results.values() if one["claim"] == claim and one["basis"] == basis]
    if not results:
        return None
    found = worst(results, run.records[claim]["alpha"])
    counted = [one for one in results if one["primary"]] or results
    return {
        **{name: found[name] for name in ("id", "verdict", "value", "direction", "threshold", "threshold_origin")},
        "claim_version": results[0]["claim_version"],
        "primary": found["primary"],
        "remarks": remarks(found),
        "null": found["null"],
        "reference": found["reference"],
        "twin": found["twin"],
        "counts": count(counted),
        "of": len(counted),
        "link": link(run, found["id"]),
    }


def link(run: Run, subject: str) -> str:
    """Address of a subject on the page of its run; empty if there is no page."""
    return f"{run.page}#{anchor(subject)}" if run.page else ""
