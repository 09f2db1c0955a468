"""What the project is made of is listed as it is: packages, licences, and the actions that CI runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from supply.__main__ import LICENCES, SBOM, components, render
from vsa_checks.paths import DOCS

ROOT = DOCS.parent


def pinned() -> set[tuple[str, str]]:
    locks = (ROOT / "requirements.lock", ROOT / "requirements-model.lock")
    found = (re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE) for lock in locks)
    return {(re.sub(r"[-_.]+", "-", name).lower(), version) for lock in found for name, version in lock}


def test_the_bill_of_materials_names_every_package_of_the_lock_files_in_its_version() -> None:
    listed = components(json.loads(SBOM.read_text(encoding="utf-8")))
    names = {(re.sub(r"[-_.]+", "-", name).lower(), version.split("+")[0]) for name, version, _ in listed}
    assert pinned() <= names, "make sbom"
    assert [name for name, _, licence in listed if licence == "not stated"] == []


def test_the_bill_of_materials_names_no_address() -> None:
    assert "externalReferences" not in SBOM.read_text(encoding="utf-8")


def test_the_page_of_licences_is_that_of_the_bill_of_materials() -> None:
    assert LICENCES.read_text(encoding="utf-8") == render(json.loads(SBOM.read_text(encoding="utf-8")))


def test_a_licence_that_is_a_whole_text_is_cut_to_its_first_line() -> None:
    whole = {"name": "a", "version": "1", "licenses": [{"license": {"name": "X Licence | so\nAll of it"}}]}
    assert components({"components": [whole]}) == [("a", "1", "X Licence | so")]
    assert "| a | 1 | X Licence \\| so |\n" in render({"components": [whole]})


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(workflow: Path) -> None:
    used = re.findall(r"uses: *(\S+)(.*)", workflow.read_text(encoding="utf-8"))
    assert used
    for action, remark in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+(\.\d+)*", remark), "the version stands beside the commit"
