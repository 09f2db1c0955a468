"""docs/reliability.md is what its command writes, and says what is so."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from fuzz import page
from fuzz.faults import FAULTS, FOUND
from vsa_checks.paths import ROOT


@pytest.fixture(scope="module")
def counted() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.DATA.read_text(encoding="utf-8"))
    return found


def test_the_page_is_what_is_written_from_the_counts(counted: dict[str, Any]) -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.render(counted), "run: python -m fuzz --page"


def test_the_counts_add_up_and_no_file_did_what_none_may(counted: dict[str, Any]) -> None:
    readers = counted["readers"]
    assert sum(one["tried"] for one in readers.values()) >= 100_000
    for name, one in readers.items():
        assert one["findings"] == [] and one["tried"] == sum(one["outcomes"].values()) > 1000, name
        assert one["slowest_s"] < 5


def test_each_reader_is_on_the_page_and_no_other(counted: dict[str, Any]) -> None:
    """Named in the code as Reader("name", ...): to build them all takes seconds."""
    named = set()
    for file in (ROOT / "fuzz" / "readers.py", ROOT / "fuzz" / "reports.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Reader":
                named.add(ast.literal_eval(node.args[0]))
    assert named == set(counted["readers"]) and len(named) >= 14


@pytest.mark.parametrize("test", sorted({one[-1] for one in (*FOUND, *FAULTS)}))
def test_each_test_that_is_named_exists(test: str) -> None:
    file, name = test.split("::")
    tree = ast.parse(Path(ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
