"""The page of architectures is what its generator gives."""

from __future__ import annotations

import json

import pytest

from tests.models import models_page, tiny

MEASURED = json.loads(models_page.MEASURED.read_text(encoding="utf-8"))


def test_the_committed_page_is_the_generators() -> None:
    text = models_page.PAGE.read_text(encoding="utf-8")
    assert models_page.page(text, MEASURED) == text, f"run `{models_page.COMMAND}`"
    assert set(MEASURED) == set(tiny.CONFIGS), f"run `{models_page.COMMAND} --measure`"


def test_every_weight_is_one_that_is_stored_or_the_product_of_two() -> None:
    products = {"albert": 1, "electra": 1, "opt#350m": 2}
    for name, facts in MEASURED.items():
        assert facts["weights"] - facts["stored"] == products.get(name, 0), name
        assert facts["weights"] > 0
        if not facts["runs"]:
            assert max(facts["logits raw"], facts["logits processed"]) < 2e-5, name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "mixtral", "falcon_mamba", "t5"])
def test_what_was_measured_is_measured_again(name: str) -> None:
    exact = {"weights", "stored", "experts", "gate", "qk_norms", "flags", "runs", "equal"}
    again = models_page.measure(name)
    assert {key: again.get(key) for key in exact} == {key: MEASURED[name].get(key) for key in exact}
