"""SECURITY.md: each line is enforced by a test that exists, and nothing is unpickled."""

from __future__ import annotations

import re

from vsa_checks.paths import PACKAGE, ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_the_tests_that_are_named_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    defined = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(named) > 20 and sorted(named - defined) == []


def test_each_statement_names_a_test() -> None:
    statements = re.split(r"\n- ", PAGE)[1:]
    without = [one.split(".")[0] for one in statements if "`test_" not in one]
    assert without == [
        "Anyone who can write files as this user can forge an entry",
        "**Not guaranteed:** the scheduler that `--scheduler` names is trusted, "
        "and so is anyone who can reach its port or a worker's port",
    ]


def test_nothing_is_unpickled() -> None:
    calls = re.compile(
        r"pickle\.loads?\(|torch\.load\(|weights_only=|np\.load\(|allow_pickle=True|use_safetensors=(?!True)|joblib|dill"
    )
    found = {
        str(file.relative_to(PACKAGE)): calls.findall(file.read_text(encoding="utf-8"))
        for file in PACKAGE.rglob("*.py")
        if calls.search(file.read_text(encoding="utf-8"))
    }
    assert found == {}
