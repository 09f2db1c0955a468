"""Every claim can come out as each verdict it has: held by what was planted, refuted, chance, not checked."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from fixtures.claim_tests import claim_tests, verdict_on
from tests.meta.claim_cases import CLAIM_CASES, Case, raw
from tests.meta.fixture_models import Benches
from vsa_checks.bundles import ranked_scan
from vsa_checks.judge import CHANCE, HOLDS, NOT_CHECKED, REFUTED
from vsa_checks.orthogonality import centered
from vsa_checks.records import load_claims
from vsa_checks.sections import table1
from vsa_checks.workbench import Workbench

PUBLISHED_PER_TOKEN = 5


def as_paper_model(bench: Workbench, case: Case, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """The same weights taken for the paper's, and seven of their neurons published up to `case.published` off."""
    assert case.published is not None
    model = bench.model(case.basis)
    info = dataclasses.replace(model.info, is_paper_model=True)
    neurons = np.ascontiguousarray(bench.weight(case.basis, 0, "W_in").T)
    words = centered(bench.embedding(case.basis))
    found = ranked_scan(neurons, words, PUBLISHED_PER_TOKEN)
    indices = (12, 20, 86, 92, 105, 147, 184)
    off = case.published * np.linspace(-1, 1, len(indices))
    published = tuple(
        table1.PublishedNeuron(
            layer=0,
            index=index,
            cosine=float(found.cosine[index] + off[place]),
            pairing="as printed",
            tokens=tuple(model.token_name(int(token)) for token in found.tokens(index)[:3]),
        )
        for place, index in enumerate(indices)
    )
    monkeypatch.setattr(table1, "published_neurons", lambda: published)
    monkeypatch.setattr(model, "info", info)
    return Workbench(bench.name, seed=0, loaded=model)


ALL_CASES = [
    pytest.param(claim, verdict, case, id=f"{claim}-{verdict}-{case}")
    for claim, row in CLAIM_CASES.items()
    for verdict, cases in row.items()
    for case in cases
]


@pytest.mark.parametrize(("claim", "verdict", "case"), ALL_CASES)
def test_verdict(claim: str, verdict: str, case: Case, benches: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = benches(case.model)
    if case.published is not None:
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
    ],
    ids=str,
)
def test_a_refuted_claim_says_on_which_side_of_chance_its_value_lies(
    claim: str, case: Case, side: str, benches: Benches
) -> None:
    verdict, reason = verdict_on(benches(case.model), case.subject(claim, benches(case.model)))
    assert verdict == REFUTED
    assert f": {side}" in reason
