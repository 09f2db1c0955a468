"""Models of fixtures/cases under measurement, each written, loaded and measured once per session."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import pytest

from fixtures.cases.entry import Case
from fixtures.claim_tests import claim_test
from vsa_checks.judging.measurement import Measurement
from vsa_checks.workbench.access import Workbench


class Benches(Protocol):
    """What the fixture `benches` is."""

    def __call__(self, model: str, text: str | None = None) -> Workbench:
        """The workbench of a named model that reads the named text, or the text that ships with the checks."""
        ...


def measured(claim: str, case: Case, benches: Benches) -> Measurement:
    bench = benches(case.model, case.text)
    return claim_test(claim).measure(bench, case.subject(claim, bench))


def as_paper_model(bench: Workbench, case: Case, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """The same weights taken for the paper's, with what the case puts in place of what the paper published."""
    assert case.paper is not None
    module, function, published = case.paper(bench, case.basis)
    monkeypatch.setattr(module, function, lambda: published)
    model = bench.model(case.basis)
    monkeypatch.setattr(model, "info", dataclasses.replace(model.info, is_paper_model=True))
    return Workbench(bench.name, seed=0, loaded=model)
