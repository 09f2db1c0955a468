"""docs/results.md, field by field, against the schema and against what is written."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.report import factory
from tests.report.factory import INFO, Json, result, told
from tests.report.figures_made import arrays
from vsa_checks.cli.main import main
from vsa_checks.figures.kept import CONTENT
from vsa_checks.paths import DOCS
from vsa_checks.report import write
from vsa_checks.report.comparison import schema as compare_schema
from vsa_checks.report.comparison import write_comparison
from vsa_checks.report.comparison.thresholds import UNIT
from vsa_checks.report.document import schema
from vsa_checks.report.schema_page import (
    ARRAYS_END,
    ARRAYS_START,
    COMPARE_END,
    COMPARE_START,
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
        for root in (schema(), compare_schema())
        for path, node in objects(root)
        for name, field in node["properties"].items()
        if not described(field, root)
    ]
    assert silent == []


def test_every_field_of_a_document_is_on_the_page() -> None:
    """Of a document with every optional part; the keys of free-form parts are not fields."""
    fields = {name for _, node in objects() for name in node["properties"]}
    free = ("versions", "effective_flags", "details", "by_claim")
    assert fields >= set(_keys(factory.everything(), free))
    assert "expert" in fields and set(schema()["required"]) <= fields


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """Of three runs: two steps of a training, one of them measured twice, and a report that cannot be read."""
    folder = tmp_path_factory.mktemp("reports")
    claim, matrices = told("claim-a", primary="all"), told("mlp-out-near-orthogonal", decisive=(), threshold_unit=UNIT)
    for at, (step, value) in enumerate(((1, 0.7), (2, 0.6), (2, 0.4))):
        rows = [result(claim, value, layer=0, matrix="W_in"), result(matrices, 0.03, layer=0)]
        rows += [result(claim, None, layer=1, matrix="W_in")] if at == 0 else []
        model = replace(INFO, name=f"m-step{step}", sha256=f"{step:064d}")
        write(factory.document(rows, [claim, matrices], model, seed=at), folder / str(at))
    (folder / "damaged").mkdir()
    (folder / "damaged" / "results.json").write_text("{")
    return json.loads(json.dumps(write_comparison([folder], folder)))


def test_a_comparison_is_as_its_schema_says(comparison: Json, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--compare"]) == 0
    printed = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(printed)
    validator = Draft202012Validator(printed)
    assert [error.message for error in validator.iter_errors(comparison)] == []
    assert comparison["thresholds"][0]["asked"] == [0.5]
    del comparison["diffs"][0]["subjects"][0]["q"]
    assert [error.message for error in validator.iter_errors(comparison)] == ["'q' is a required property"]


def test_the_page_has_the_fields_of_a_comparison() -> None:
    written = PAGE.split(COMPARE_START)[1].split(COMPARE_END)[0].strip()
    assert written == fields_in_markdown(compare_schema(), level=4).strip()


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
