"""What the page says of a claim follows from its numbers, and names what decides."""

import re
from typing import Any

import pytest

from tests.report import factory
from tests.report.factory import Json, null, plain, result, told
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.measurement import Reference
from vsa_checks.report.claim_view import claim_views
from vsa_checks.report.thresholds import OURS, origin


def view(one: Json, claim: Any) -> Json:
    (found,) = claim_views(factory.document([one], [claim]))
    return found


NULLS = ("random directions", "twisted neurons")


@pytest.mark.parametrize(
    ("value", "nulls", "words"),
    [
        # told(): at p <= .01, ahead by .05
        (
            0.7,
            [null(value=0.69, p_value=0.3), null("twisted neurons", 0.2)],
            "The value meets the threshold, but so does chance: it is not clearly different from random directions"
            " (69%, p = 0.3).",
        ),
        (
            0.7,
            [null(value=0.9, p_value=1.0), null("twisted neurons", 0.8, 0.9)],
            "The value meets the threshold, but so does chance: it is no better than random directions (90%,"
            " p = 1) and twisted neurons (80%, p = 0.9).",
        ),
        (
            0.7,
            [null(value=0.68, p_value=0.001), null("twisted neurons", 0.2)],
            "The value meets the threshold, but so does chance: it leads random directions (68%, p = 0.001) by"
            " only 2 percentage points (5 percentage points required).",
        ),
        (
            0.7,
            [null(value=0.6), null("twisted neurons", 0.2)],
            "The claim holds, and better than chance: it beats random directions and twisted neurons, the closest by"
            " 10 percentage points.",
        ),
        (
            0.4,
            [null(value=0.1), null("twisted neurons", 0.2)],
            "The claim fails: it requires at least 50%. Still, this is more than chance: the value beats random"
            " directions and twisted neurons.",
        ),
        (
            0.4,
            [null(value=0.45, p_value=0.9), null("twisted neurons", 0.2)],
            "The claim fails: it requires at least 50%. And the value is no better than random directions (45%,"
            " p = 0.9).",
        ),
    ],
)
def test_what_follows_names_the_nulls_that_decide(value: float, nulls: list[Any], words: str) -> None:
    claim = told(decisive=NULLS)
    assert view(result(claim, value, nulls=nulls), claim)["follows"] == words


def test_smaller_is_better_where_the_claim_says_so() -> None:
    claim = told(direction="<=", threshold=10.0, delta=1.0, metric="median rank of the own token", primary="all")
    found = view(result(claim, 44_653.0, nulls=[null(value=37_668.0, p_value=1.0)]), claim)
    assert found["measured"][0] == "44,653rd of 49,152"
    assert found["follows"] == (
        "The claim fails: it requires 10th of 49,152 or closer. And the value is no better than random directions"
        " (37,668th, p = 1)."
    )
    _, rows, *_ = found["tables"][0]
    assert rows[0]["nulls"][0]["stands"] == "6,985 places behind (1 place needed to beat it)"


def test_a_reference_is_no_null_and_lying_near_it_no_fault() -> None:
    claim = plain(direction="<=", threshold=0.08, metric="rms cosine")
    found = view(result(claim, 0.46, reference=Reference("random vectors", 0.042)), claim)
    assert found["chance"] == [
        "Random vectors: 0.042. The claim asks for a value like this, so a value close to it is not a failure."
    ]
    assert found["follows"] == "The claim fails: it requires at most 0.08. Random vectors would meet it."


def test_of_several_subjects_the_worst_and_the_spread_are_told() -> None:
    claim = plain(metric="rms cosine", direction="<=", threshold=0.5)
    results = [result(claim, value, layer=layer) for layer, value in enumerate((0.1, 0.9, 0.2))]
    (found,) = claim_views(factory.document(results, [claim]))
    assert found["measured"] == (
        "0.9",
        " at the least favourable of 3, layer 1 (95% interval over neurons: 0.873 to 0.927). Over all 3: 0.1 to 0.9,"
        " median 0.2.",
    )


def test_every_threshold_of_ours_says_why_it_lies_there() -> None:
    claims = load_claims().values()
    assert set(OURS) == {claim.id for claim in claims if claim.threshold_origin == "ours"}
    assert origin("neurons-cos50", {"threshold_origin": "paper"}) == "This is the paper's own threshold."
    assert origin("unknown", {"threshold_origin": "ours"}) == "The paper gives no threshold; this one is ours."


def test_a_threshold_that_an_earlier_version_had_is_not_explained_by_that_of_today() -> None:
    record = {"threshold_origin": "ours", "threshold": 0.05, "threshold_unit": "1"}
    assert "one reading neuron in twenty" in origin("circuits-mlp-to-mlp", record)
    assert (
        origin("circuits-mlp-to-mlp", record | {"threshold": 1.5}) == "The paper gives no threshold; this one is ours."
    )


def test_a_result_is_told_by_the_alpha_of_its_own_record() -> None:
    """Judged at p <= .2, where the claim of that name asks for .01 today."""
    claim = told("neurons-beyond-chance", decisive=NULLS, alpha=0.2)
    found = view(result(claim, 0.7, nulls=[null(value=0.3, p_value=0.15), null("twisted neurons", 0.6)]), claim)
    assert found["verdict"] == "holds"
    assert "it beats random directions and twisted neurons, the closest by 10 percentage points." in found["follows"]


def test_experts_are_counted_as_experts() -> None:
    claim = plain(primary="all")

    def of_expert(layer: int, expert: int, value: float) -> Json:
        place = {"basis": "processed", "layer": layer, "expert": expert, "matrix": "W_in"}
        return result(claim, value, id=f"claim-a/processed/L{layer}/E{expert}/W_in", subject=place)

    every = [of_expert(layer, expert, 0.7) for layer in range(4) for expert in range(2)]
    (found,) = claim_views(factory.document(every, [claim]))
    assert [where for _, _, where in found["strips"]] == ["holds at all 8 experts of 4 layers"]
    assert "One bar per expert. Threshold ≥ 50%. Holds at all 8 experts of 4 layers." in found["strips"][0][1]
    labels = re.findall(r'text-anchor="middle">(\d+)</text>', found["charts"][0][1])
    assert labels == ["0", "1", "2", "3"] and "layer 3, expert 1: holds" in found["charts"][0][1]
    some = [of_expert(0, 0, 0.1), *every[1:], result(claim, 0.7, layer=4, matrix="W_in")]
    (found,) = claim_views(factory.document(some, [claim]))
    assert found["strips"][0][2] == "refuted at 1 expert of layer 0; holds at the other 8"
    same = [of_expert(0, 0, 0.7), *some[1:]]
    (found,) = claim_views(factory.document(same, [claim]))
    assert found["strips"][0][2] == "holds at all 8 experts of 4 layers and 1 layer without experts"
