"""The drawing in docs/architecture.md: its modules exist, and each arrow is something that the code really uses."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vsa_checks import paths

TEXT = (paths.DOCS / "architecture.md").read_text(encoding="utf-8")
NODES = dict(re.findall(r'^    (\w+)\["(.+)"\]$', TEXT, re.MULTILINE))
ARROWS = re.findall(r"^    (\w+) -->\|(\w+)\| (\w+)$", TEXT, re.MULTILINE)


def _used(file: Path) -> Iterator[tuple[str, Any]]:
    """What a module takes from this package and uses: the name that it has there, and the thing itself."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    known: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vsa_checks"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                known[alias.asname or alias.name] = getattr(module, alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in known:
            yield node.id, known[node.id]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
            yield node.attr, getattr(known[node.value.id], node.attr, None)


def _home(thing: Any) -> Path | None:
    """The file in which a function or class is defined."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    return Path(module.__file__) if module is not None and module.__file__ else None


def _takes_fixture(file: Path, name: str) -> bool:
    """Whether each test of a module asks for this fixture."""
    tests = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    return bool(tests) and all(name in [argument.arg for argument in test.args.args] for test in tests)


def _constants(file: Path) -> dict[str, Any]:
    """The constants of a module, and those of `paths` that it uses."""
    name = ".".join(file.relative_to(paths.ROOT).with_suffix("").parts)
    return vars(importlib.import_module(name)) | dict(_used(file))


def test_the_drawing_is_whole() -> None:
    drawn = re.search(r"```mermaid\nflowchart TD\n(.*?)```", TEXT, re.DOTALL)
    assert drawn is not None
    assert len([line for line in drawn[1].splitlines() if line]) == len(NODES) + len(ARROWS), "a line is not understood"
    assert set(NODES) == {end for start, _, target in ARROWS for end in (start, target)}


@pytest.mark.parametrize(("start", "label", "target"), ARROWS)
def test_an_arrow_is_something_that_the_code_uses(start: str, label: str, target: str) -> None:
    source, end = paths.ROOT / NODES[start], paths.ROOT / NODES[target]
    if end.suffix != ".py":
        assert str(_constants(source)[label]).endswith(NODES[target])
    elif source.is_relative_to(paths.CLAIMS) and label == "check":
        assert _takes_fixture(source, label) and f'@pytest.fixture(name="{label}")' in end.read_text(encoding="utf-8")
    else:
        assert end in [_home(thing) for name, thing in _used(source) if name == label]
