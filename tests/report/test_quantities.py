"""Numbers as people read them."""

import pytest

from tests.report.factory import plain as a_claim
from tests.report.factory import result
from vsa_checks.judging.claim import load_claims
from vsa_checks.report.quantities import Quantity, chance_of, ordinal, percent, plain, quantity

RANK = quantity("median rank of the own token by cosine after layer n_layers/2", 49_152)
SHARE = quantity("share of neurons with cosine >= .5")
POSSIBLE = quantity("how far the mean squared cosine lies below random, of what is possible")
DEVIATIONS = quantity("median over heads, in standard deviations of layers of Gaussian heads from their mean")
CASES = [
    (RANK, 44_653.0, "44,653rd of 49,152", "44,653rd"),
    (RANK, 1.0, "1st of 49,152", "1st"),
    (RANK, 111.0, "111th of 49,152", "111th"),
    (RANK, 16_188.82, "16,189th of 49,152", "16,189th"),
    (SHARE, 0.8, "80%", "80%"),
    (SHARE, 0.98177, "98.2%", "98.2%"),
    (SHARE, 0.99968, "99.97%", "99.97%"),
    (SHARE, 0.0051285, "0.51%", "0.51%"),
    (SHARE, 1.0, "100%", "100%"),
    (SHARE, 0.0, "0%", "0%"),
    (SHARE, 1.135e-9, "1 in 881 million", "<0.01%"),
    (SHARE, 2.035e-5, "1 in 49,100", "<0.01%"),
    (SHARE, 8e-205, "less than 1 in a million million", "<0.01%"),
    (POSSIBLE, 0.12, "12% of what is possible below", "12%"),
    (POSSIBLE, -69.75, "above random, by 69.8 times what is possible below", "-69.75×"),
    (POSSIBLE, -0.1, "above random, by 10% of what is possible below", "-10%"),
    (DEVIATIONS, -350.21, "350.2 standard deviations below", "-350.2 sd"),
    (DEVIATIONS, -2.3e-14, "0 standard deviations", "0 sd"),
    (Quantity(), 0.04166667, "0.04167", "0.04167"),
    (Quantity(), 44_653.0, "44,653", "44,653"),
    (Quantity(), 0.0000135, "0.0000135", "0.0000135"),
    (Quantity(), None, "–", "–"),
]


@pytest.mark.parametrize(("kind", "value", "text", "short"), CASES)
def test_a_number_is_written_as_people_read_it(kind: Quantity, value: float | None, text: str, short: str) -> None:
    assert (kind.text(value), kind.short(value)) == (text, short)


def test_each_metric_of_the_specification_has_the_numbers_that_it_names() -> None:
    found = {claim.id: quantity(claim.metric).kind for claim in load_claims().values()}
    assert {claim for claim, kind in found.items() if kind == "rank"} == {"residual-keeps-token"}
    assert {claim for claim, kind in found.items() if kind == "deviations"} == {
        "attention-ov-isometry-as-random",
        "attention-qk-isometry-as-random",
    }
    assert {claim for claim, kind in found.items() if kind == "possible"} == {
        "attention-beyond-random",
        "mlp-out-beyond-random",
    }
    shares = {claim for claim, kind in found.items() if kind == "share"}
    assert shares >= {"neurons-cos50", "neuron-or", "unbinding-recovers", "embedding-mean-zero", "circuit-figure2"}
    assert not shares & {"attention-near-orthogonal", "circuits-bound-tokens", "attention-rebinds", "neurons-table1"}


def test_no_number_looks_like_another_one() -> None:
    assert percent(0.799998, 0.8) == "79.9998%" and percent(0.8, 0.8) == "80%"
    assert plain(0.79999996, 0.8) == "0.79999996"
    assert ordinal(10.4, 10.0) == "rank 10.4" and ordinal(10.4) == "10th"


def test_thresholds_and_gaps_are_words() -> None:
    ranked = result(a_claim(threshold=10.0, direction="<="), 44_653.0)
    assert (RANK.asked(ranked), RANK.rule(ranked)) == ("10th of 49,152 or closer", "≤ 10th")
    assert SHARE.asked(result(a_claim(threshold=0.8), 0.9)) == "at least 80%"
    assert RANK.gap(-28_449.6) == "28,450 places"
    assert SHARE.gap(-0.05273) == "5.27 percentage points"


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (1.0, "= 1"),
        (0.99996, "> 0.999"),
        (0.9986, "= 0.999"),
        (0.996, "= 0.996"),
        (0.0234, "= 0.023"),
        (0.0, "< 0.0001"),
    ],
)
def test_only_what_is_1_is_written_as_1(p: float, said: str) -> None:
    assert chance_of(p) == f"p {said}"


def test_every_gap_says_what_it_is_of() -> None:
    found = {name: quantity(claim.metric).gap(-0.251) for name, claim in load_claims().items()}
    assert found["circuits-mlp-to-mlp"] == "0.251 layers a neuron"
    assert found["circuits-bound-tokens"] == "0.251 in cosine"
    assert found["attention-rebinds"] == "0.251 in squared cosine"
    assert found["attention-ov-isometry"] == "0.251 in value"
    assert found["neurons-cos50"] == "25.1 percentage points"


def test_only_a_cosine_of_1_is_written_as_1() -> None:
    cosine = quantity("rms cosine of all pairs")
    assert [cosine.short(value) for value in (1.0, 0.99999, 0.4)] == ["1", "0.99999", "0.4"]


@pytest.mark.parametrize("kind", ["plain", "share", "rank", "possible", "deviations", "layers", "cosine"])
@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, -1e-9, -3.2, 123_456.789, 1e14, 1.7e308, -1.7e308])
def test_any_number_can_be_written(kind: str, value: float) -> None:
    one = Quantity(kind, 50_000)
    for shown in (one.text(value, 0.5), one.short(value, value), one.gap(value), one.tick(value)):
        assert 0 < len(shown) < 70 and "inf" not in shown and "nan" not in shown
