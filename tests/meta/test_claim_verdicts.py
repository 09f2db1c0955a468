"""Every claim can come out as each verdict it has: held by what was planted, refuted, chance, not checked."""

from __future__ import annotations

from collections import Counter

import pytest

from fixtures.claim_tests import claim_tests, verdict_on
from tests.meta.claim_cases import CLAIM_CASES, Case, raw, reads
from tests.meta.fixture_models import Benches
from tests.meta.stand_ins import as_paper_model
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.judge import CHANCE, HOLDS, NOT_CHECKED, REFUTED

ALL_CASES = [
    pytest.param(claim, verdict, case, id=f"{claim}-{verdict}-{case}")
    for claim, row in CLAIM_CASES.items()
    for verdict, cases in row.items()
    for case in cases
]


@pytest.mark.parametrize(("claim", "verdict", "case"), ALL_CASES)
def test_verdict(claim: str, verdict: str, case: Case, benches: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = benches(case.model, case.text)
    if case.published is not None or case.circuit is not None:
        bench = as_paper_model(bench, case, monkeypatch)
    measured, reason = verdict_on(bench, case.subject(claim, bench))
    assert measured == verdict, reason


@pytest.mark.parametrize("claim", load_claims())
def test_every_claim_has_a_case_of_each_verdict(claim: str) -> None:
    needed = {HOLDS, REFUTED, NOT_CHECKED} | ({CHANCE} if load_claims()[claim].decisive else set())
    row = CLAIM_CASES.get(claim, {})
    lacking = [verdict for verdict in sorted(needed) if not row.get(verdict)]
    assert not lacking, f"tests/meta/claim_cases.py has no model on which {claim} is {', '.join(lacking)}"
    assert set(row) <= needed, f"{claim} cannot come out as {', '.join(set(row) - needed)}"


def test_no_case_is_of_an_unknown_claim() -> None:
    assert set(CLAIM_CASES) <= set(load_claims())


def test_every_claim_has_exactly_one_test_and_every_test_one_claim() -> None:
    for test in claim_tests():
        assert len(test.claims) == 1, f"{test.name} is marked with {len(test.claims)} claims"
    marked = Counter(claim for test in claim_tests() for claim in test.claims)
    assert marked == dict.fromkeys(load_claims(), 1)


@pytest.mark.parametrize(
    ("claim", "case", "side"),
    [
        ("embedding-mean-zero", Case("common mean"), "above chance"),
        ("embedding-near-orthogonal", Case("common mean"), "above chance"),
        ("attention-ov-isometry", Case("skewed OV", 0), "below chance"),
        ("attention-beyond-random", Case("random", 0, "W_Q"), "at chance"),
        ("attention-beyond-random", raw("shared direction", 2, "W_V"), "above chance"),
        ("neurons-beyond-chance", raw("planted, gated", 2, "W_in"), "at chance"),
        ("neurons-cos50", raw("planted, few tokens, noisy", 0, "W_in"), "above chance"),
        ("attention-rebinds", reads("uniform", "reader, heads by content", 1), "at chance"),
        ("neuron-or", reads("pairs", "reader, heads on the token before", 0, "W_in"), "above chance"),
        ("residual-keeps-token", reads("uniform", "reader, large outputs"), "at chance"),
    ],
    ids=str,
)
def test_a_refuted_claim_says_on_which_side_of_chance_its_value_lies(
    claim: str, case: Case, side: str, benches: Benches
) -> None:
    bench = benches(case.model, case.text)
    verdict, reason = verdict_on(bench, case.subject(claim, bench))
    assert verdict == REFUTED
    assert f": {side}" in reason
