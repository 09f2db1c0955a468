"""All claims of small models, measured with the engine on a torch device and with the compiled one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from fixtures.cases import CASES
from fixtures.cases.named_models import NAMED_MODELS, NAMED_TEXTS
from fixtures.claim_tests import claim_test
from tests.meta.benches import as_paper_model
from vsa_checks import bundles, orthogonality
from vsa_checks.errors import NotChecked
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.judge import NOT_CHECKED, judge
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models import Model, load
from vsa_checks.workbench.access import Workbench

pytestmark = pytest.mark.slow

NOISE = 1e-6
"""What numbers may differ by: cosines are rounded to float32."""


def same(found: Any, expected: Any) -> bool:
    """Equality of nested JSON; numbers up to rounding."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], one) for key, one in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return bool(found == (pytest.approx(expected, abs=NOISE) if isinstance(expected, float) else expected))


class OnTorch(Workbench):
    """A workbench that computes on the CPU, with the engine on a device of torch's."""

    engine = torch.device("cpu")

    @property
    def torch_device(self) -> torch.device:
        return self.engine


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    """A named model of fixtures/cases in the raw basis, by name."""

    @cache
    def model(name: str) -> Model:
        directory: Path = tmp_path_factory.mktemp("model")
        NAMED_MODELS[name](directory)
        return load(str(directory), basis="raw")

    return model


def outcome(bench: Workbench, subject: Subject) -> tuple[str, Any]:
    """The verdict on a subject, and all its numbers as JSON, or the reason why there are none."""
    try:
        measured = claim_test(subject.claim).measure(bench, subject)
    except NotChecked as reason:
        return NOT_CHECKED, str(reason)
    verdict = judge(load_claims()[subject.claim], measured, bench.model(subject.basis).info.d_model).verdict
    return verdict, json.loads(json.dumps(measured.as_json()))


def assert_as_compiled(
    compiled: Workbench, there: Workbench, subjects: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> set[str]:
    """Verdicts and numbers are the same, and no compiled product is made for them; returns the claims with numbers."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("the compiled engine was asked")

    expected = [outcome(compiled, subject) for subject in subjects]
    monkeypatch.setattr(bundles, "pursue", refuse)
    monkeypatch.setattr(bundles, "_blocks", refuse)
    monkeypatch.setattr(orthogonality, "_tally", refuse)
    for subject, (verdict, numbers) in zip(subjects, expected, strict=True):
        found, measured = outcome(there, subject)
        assert found == verdict and same(measured, numbers), subject.id
    return {subject.claim for subject, (verdict, _) in zip(subjects, expected, strict=True) if verdict != NOT_CHECKED}


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "text"), [("planted, gated", None), ("reader, heads on the token before", "pairs")])
def test_every_claim_comes_out_as_with_the_compiled_engine(
    name: str, text: str | None, loaded: Callable[[str], Model], device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, read = loaded(name), None if text is None else NAMED_TEXTS[text]()
    compiled, there = Workbench(name, loaded=model, text=read), OnTorch(name, loaded=model, text=read)
    there.engine = device
    claims = [claim for claim in load_claims().values() if ("text" in claim.needs) == (text is not None)]
    subjects = [subject for claim in claims for subject in enumerate_subjects(claim, model.info)]
    first = [one for one in subjects if one.basis == "raw" and one.layer in (None, 0) and one.matrix != "W_gate"]
    with_numbers = assert_as_compiled(compiled, there, first, monkeypatch)
    asked = {f"{name}-artifacts" for name in ("embedding", "attention", "mlp-out")}
    asked |= {"neurons-cos50", "neurons-beyond-chance"}
    assert ({"neuron-or", "attention-rebinds"} if text else asked) <= with_numbers


def test_the_published_neurons_are_scanned_there(
    loaded: Callable[[str], Model], device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("planted")
    compiled = as_paper_model(
        Workbench("planted", loaded=model), replace(CASES["neurons-table1"].holds[0], basis="raw"), monkeypatch
    )
    there = OnTorch("planted", loaded=model)
    there.engine = device
    subjects = [s for s in enumerate_subjects(load_claims()["neurons-table1"], model.info) if s.basis == "raw"]
    assert assert_as_compiled(compiled, there, subjects, monkeypatch) == {"neurons-table1"}


def test_the_device_of_a_run_is_that_of_its_engine() -> None:
    assert Workbench("a model").torch_device is None
    assert Workbench("a model", device="cuda").torch_device == torch.device("cuda")
