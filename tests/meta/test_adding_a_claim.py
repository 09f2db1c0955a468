"""Every claim has its test and a full entry in fixtures/cases, and CONTRIBUTING's example is as the files are."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from fixtures.cases import CASES, MODULES
from fixtures.claim_tests import claim_test, claim_tests
from vsa_checks.judging.claim import load_claims
from vsa_checks.paths import ROOT


@pytest.mark.parametrize("claim", load_claims())
def test_every_claim_has_a_full_entry_in_the_module_of_its_section(claim: str) -> None:
    record = load_claims()[claim]
    section = re.sub(r"^test_[\d_]+|\.py::.*", "", claim_test(claim).name)
    file = f"fixtures/cases/{section}.py"
    assert any(claim in module.CASES for module in MODULES if module.__name__.endswith(f".{section}")), (
        f"{claim} needs an entry in {file}"
    )
    entry = CASES[claim]
    obeyed = {name for null in entry.nulls for name in null.obeys}
    given = {
        "holds": bool(entry.holds),
        "refuted": bool(entry.refuted),
        "not_checked": bool(entry.not_checked),
        "chance": bool(entry.chance),
        "nulls": obeyed == set(record.decisive) and bool(obeyed),
        "signals": bool(entry.signals),
        "trials": {trial.sound for trial in entry.trials} == {True, False},
    }
    always, decisive = {"holds", "refuted", "not_checked"}, {"chance", "nulls", "signals"}
    needed = (
        always | (decisive if record.decisive else set()) | ({"trials"} if record.threshold_origin == "ours" else set())
    )
    lacking = sorted(name for name in needed if not given[name])
    assert not lacking, f"in {file} the entry of {claim} lacks {', '.join(lacking)} (see fixtures/cases/entry.py)"
    beside = sorted(name for name in given if given[name] and name not in needed)
    assert not beside, f"in {file} the entry of {claim} has {', '.join(beside)}, which its record gives no use for"


def test_no_entry_is_of_an_unknown_claim_and_none_stands_twice() -> None:
    assert Counter(claim for module in MODULES for claim in module.CASES) == dict.fromkeys(load_claims(), 1)


def test_every_claim_has_exactly_one_test_and_every_test_one_claim() -> None:
    for test in claim_tests():
        assert len(test.claims) == 1, f"{test.name} is marked with {len(test.claims)} claims"
    marked = Counter(claim for test in claim_tests() for claim in test.claims)
    assert marked == dict.fromkeys(load_claims(), 1)


def test_the_example_in_contributing_stands_in_the_files_that_it_names() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (diff,) = re.findall(r"^```diff\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    files = re.split(r"^\+\+\+ b/(\S+)\n", diff, flags=re.MULTILINE)[1:]
    added = dict(zip(files[::2], files[1::2], strict=True))
    assert [name.split("/")[0] for name in added] == ["claims", "claims", "vsa_checks", "fixtures"]
    for name, hunks in added.items():
        source = (ROOT / name).read_text(encoding="utf-8")
        for hunk in re.split(r"^@@.*\n", hunks, flags=re.MULTILINE)[1:]:
            lines = [line for line in hunk.splitlines() if not line.startswith("--- ")]
            assert any(line.startswith("+") for line in lines), name
            assert "\n".join(line[1:] for line in lines) in source, f"{name} has changed: correct CONTRIBUTING.md"
