"""docs/results.md, field by field, against the schema and against what is written."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.report import factory
from tests.report.factory import INFO, result, told
from tests.report.figures_made import arrays
from vsa_checks.figures.kept import CONTENT
from vsa_checks.paths import DOCS
from vsa_checks.report import write
from vsa_checks.report.comparison import compare, read_runs
from vsa_checks.report.document import schema
from vsa_checks.report.schema_page import (
    ARRAYS_END,
    ARRAYS_START,
    END,
    START,
    arrays_in_markdown,
    described,
    fields_in_markdown,
    objects,
)

PAGE = (DOCS / "results.md").read_text(encoding="utf-8")
WRITE = "write it anew: the tables between the two marks are what `vsa-checks schema --markdown` prints"


def test_the_page_has_the_fields_of_the_schema() -> None:
    assert PAGE.split(START)[1].split(END)[0].strip() == fields_in_markdown().strip(), WRITE


def test_the_page_has_the_arrays_of_figures() -> None:
    """And every array that a run writes is among them."""
    assert PAGE.split(ARRAYS_START)[1].split(ARRAYS_END)[0].strip() == arrays_in_markdown().strip()
    own = {f"{kind}/PLACE/{name}" for kind, name in (key.split("/")[:: key.count("/")] for key in arrays())}
    assert own | {"about"} == set(CONTENT)


def test_every_field_says_what_it_is() -> None:
    silent = [
        f"{path}.{name}"
        for path, node in objects()
        for name, field in node["properties"].items()
        if not described(field)
    ]
    assert silent == []


def test_every_field_of_a_document_is_on_the_page() -> None:
    """Of a document with every optional part; the keys of free-form parts are not fields."""
    fields = {name for _, node in objects() for name in node["properties"]}
    free = ("versions", "effective_flags", "details", "by_claim")
    assert fields >= set(_keys(factory.everything(), free))
    assert "expert" in fields and set(schema()["required"]) <= fields


def test_every_field_of_a_comparison_is_on_the_page(tmp_path: Path) -> None:
    claim, matrices = told("claim-a", primary="all"), told("mlp-out-near-orthogonal", decisive=())
    for at, (step, value) in enumerate(((1, 0.7), (2, 0.6), (2, 0.4))):
        rows = [result(claim, value, layer=0, matrix="W_in"), result(matrices, 0.03, layer=0)]
        write(
            factory.document(rows, [claim, matrices], replace(INFO, name=f"m-step{step}", sha256=f"{step:064d}")),
            tmp_path / str(at),
        )
    found = compare(*read_runs([tmp_path], tmp_path))
    rows = re.findall(r"^\| (\w+) \| (`.+?`) \|", PAGE.split("<!-- fields of compare.json")[1], re.MULTILINE)
    told_of: dict[str, set[str]] = {}
    for place, names in rows:
        told_of.setdefault(place, set()).update(re.findall(r"`(\w+)`", names))
    series, diff, row = found["series"][0], found["diffs"][0], found["claims"][0]
    kinds = {
        "top": found,
        "runs": found["runs"][0],
        "columns": found["columns"][0],
        "claims": row,
        "cells": row["cells"][0],
    }
    kinds |= {"series": series, "curves": series["curves"][0], "points": series["curves"][0]["points"][0]}
    kinds |= {"thresholds": found["thresholds"][0], "diffs": diff, "subjects": diff["subjects"][0]}
    assert told_of == {place: set(content) for place, content in kinds.items()}


def _keys(value: Any, free: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, content in value.items():
            yield key
            if key == "by_claim":
                for entry in content.values():
                    yield from _keys(entry, free)
            elif key not in free:
                yield from _keys(content, free)
    elif isinstance(value, list):
        for one in value:
            yield from _keys(one, free)
