"""Every claim comes out as each verdict that it can have: held by what was planted, refuted, chance, not checked."""

from __future__ import annotations

import pytest

from fixtures.cases import CASES
from fixtures.cases.entry import Case, raw, reads
from fixtures.claim_tests import verdict_on
from tests.meta.benches import Benches, as_paper_model

DEAR = {
    *("neurons-beyond-chance", "neurons-kurtosis", "neurons-cos50-few", "neurons-cos50-bound-few"),
    *("circuits-bound-tokens", "neuron-or", "neuron-and"),
    *("attention-rebinds", "attention-next-token", "residual-keeps-token", "residual-components"),
}
"""Claims whose cases take a second or more each: of each verdict `make test` tries one, `make thorough` the others."""


def marks(claim: str, further: int) -> list[pytest.MarkDecorator]:
    return [] if not further else [pytest.mark.thorough if claim in DEAR else pytest.mark.slow]


ALL_CASES = [
    pytest.param(claim, verdict, case, id=f"{claim}-{verdict}-{case}", marks=marks(claim, further))
    for claim, entry in CASES.items()
    for verdict, cases in entry.by_verdict.items()
    for further, case in enumerate(cases)
]
SIDES = {
    ("embedding-mean-zero", Case("common mean")): "above chance",
    ("embedding-near-orthogonal", Case("common mean")): "above chance",
    ("attention-ov-isometry", Case("skewed OV", 0)): "below chance",
    ("attention-ov-isometry-as-random", raw("skewed OV", 2)): "below chance",
    ("attention-beyond-random", Case("random", 0, "W_Q")): "at chance",
    ("attention-beyond-random", raw("shared direction", 2, "W_V")): "below chance",
    ("neurons-beyond-chance", raw("planted, gated", 2, "W_in")): "at chance",
    ("neurons-cos50", raw("planted, few tokens, noisy", 0, "W_in")): "above chance",
    ("attention-rebinds", reads("uniform", "reader, heads by content", 1)): "at chance",
    ("neuron-or", reads("pairs", "reader, heads on the token before", 0, "W_in")): "above chance",
    ("residual-keeps-token", reads("uniform", "reader, large outputs")): "at chance",
}
"""On which side of chance the reason of some refuted claims must say that the value lies."""


@pytest.mark.parametrize(("claim", "verdict", "case"), ALL_CASES)
def test_verdict(claim: str, verdict: str, case: Case, benches: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = benches(case.model, case.text)
    if case.paper is not None:
        bench = as_paper_model(bench, case, monkeypatch)
    measured, reason = verdict_on(bench, case.subject(claim, bench))
    assert measured == verdict, reason
    side = SIDES.get((claim, case))
    assert side is None or f": {side}" in reason


def test_each_side_of_chance_is_one_of_a_refuted_claim() -> None:
    assert SIDES.keys() <= {(claim, case) for claim, entry in CASES.items() for case in entry.refuted}
