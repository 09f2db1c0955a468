"""Documents are held against their schemas as another implementation of JSON Schema holds them."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema

from fuzz.changes import change_json
from tests.report import figures_made
from vsa_checks.report.document import schema
from vsa_checks.schemas import outermost_error, validator


def test_errors_are_where_another_implementation_finds_them() -> None:
    sound, ours = json.dumps(figures_made.document()).encode(), validator(schema())
    theirs, wrong = jsonschema.Draft202012Validator(schema()), 0
    for seed in range(150):
        try:
            changed = json.loads(change_json(sound, random.Random(seed), [sound]))
            json.dumps(changed, ensure_ascii=False).encode()  # half a character is refused before this
        except (ValueError, RecursionError):
            continue
        places = {tuple(error.absolute_path) for error in theirs.iter_errors(changed)}
        assert {tuple(error.instance_path) for error in ours.iter_errors(changed)} == places, seed
        found = outermost_error(ours, changed)
        assert (found is None) == (not places), seed
        if found is not None:
            wrong += 1
            assert tuple(found[0]) in places and len(found[0]) == min(map(len, places))
    assert 30 < wrong < 150


def test_what_json_has_no_words_for_is_an_error() -> None:
    by = validator({"additionalProperties": {"additionalProperties": {"$ref": "#"}}})
    wrong: list[dict[Any, Any]] = [{1: {}}, {"\ud800": {}}, {"part": {1, 2}}]
    for part in wrong:
        found = outermost_error(by, {"part": part})
        assert found is not None and found[:2] == ([], "") and found[2]
