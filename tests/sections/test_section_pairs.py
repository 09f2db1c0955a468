"""Near-orthogonality, artifacts and more-than-random of a few vectors, by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests import oracles
from tests.oracles import Rows
from tests.sections.stand_in import WIDTH, bench_of
from vsa_checks import theory
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.orthogonality import PairwiseCosines, mean_square_of_random_signs, pairwise_cosines
from vsa_checks.sections import pairs

SUBJECT = Subject("a-claim", "raw", 2, "W_Q")
CUT = 6 / 7
AXES = np.eye(WIDTH)
HUB = np.stack([AXES[0], AXES[0] + 3**0.5 * AXES[1], AXES[0] + 3**0.5 * AXES[2], 0 * AXES[0]])
"""Cosines 1/2, 1/2 and 1/4; a dead row."""
# Each row's mean square is 1/4 or 5/32, moves their mean, 3/16, by twice its distance, and can be all that is drawn.
SQUARES = (1 / 8, 5 / 16)
IN_PAIRS = np.array([5, 5, 0])
"""The first two rows are one group: their mean square moves the mean to 7/32 together."""


def measured(rows: Rows, cut: float = CUT) -> PairwiseCosines:
    return pairwise_cosines(np.asarray(rows, np.float32), (cut,))


def ends(measurement: Measurement) -> tuple[float, float]:
    return measurement.interval.low, measurement.interval.high


@pytest.mark.parametrize(("groups", "squares"), [(None, SQUARES), (IN_PAIRS, (1 / 8, 7 / 32))])
def test_near_orthogonality_and_what_lies_beyond_random(groups: Rows | None, squares: Any) -> None:
    bench, hub = bench_of(), measured(HUB)
    found = pairs.near_orthogonal(bench, SUBJECT, hub, "heads", groups, {"more": [1, 2]})
    assert found.value == pytest.approx(np.sqrt(3 / 16))
    assert ends(found) == pytest.approx(tuple(np.sqrt(squares)))
    assert (found.interval.unit, found.n_examined, found.n_excluded) == ("heads", 3, 1)
    assert found.reference == Reference("random directions, 1/sqrt(d)", theory.cosine_deviation(WIDTH))
    assert found.details == {
        "n_pairs": 3, "mean": pytest.approx(5 / 12), "max_abs": pytest.approx(0.5), "more": [1, 2],
    }  # fmt: skip
    beyond = pairs.beyond_random(bench, SUBJECT, hub, HUB, "neurons", groups)
    # Three vectors can be orthogonal: the mean square of 3/16 is set beside 1/49 and 0.
    assert (beyond.value, *ends(beyond)) == pytest.approx(tuple(1 - 49 * one for one in (3 / 16, *squares[::-1])))
    assert (beyond.interval.unit, beyond.n_examined, beyond.n_excluded) == ("neurons", 3, 1)
    assert beyond.details == {"rms": found.value, "rms_of_random": pytest.approx(1 / 7), "least_rms": 0.0}
    assert bench.drawn_for == [("bootstrap", SUBJECT.id)] * 2


@pytest.mark.parametrize(("groups", "high"), [(None, 4 / 3), (IN_PAIRS, 5 / 6)])
def test_artifacts_are_pairs_beyond_six_deviations(groups: Rows | None, high: float) -> None:
    """Two of three pairs lie beyond .3; shares of a first-order interval end where shares do."""
    bench = bench_of(d_model=400)
    found = pairs.artifacts(bench, SUBJECT, measured(HUB, pairs.artifact_cut(400)), "tokens", groups, {"more": 1})
    assert (found.value, *ends(found)) == pytest.approx((2 / 3, 1 / 3, min(high, 1)))
    assert (found.interval.unit, found.n_examined, found.n_excluded) == ("tokens", 3, 1)
    assert found.reference == Reference("random directions, Beta law", theory.cosine_tail(400, 0.3))
    assert found.details == {"n_pairs": 3, "cut": pytest.approx(0.3), "max_abs": pytest.approx(0.5), "more": 1}
    assert bench.drawn_for == [("bootstrap", SUBJECT.id)]


def test_intervals_do_not_go_below_zero() -> None:
    twins, bench = AXES[[0, 0, 1]], bench_of()
    for measure, high in ((pairs.artifacts, 2 / 3), (pairs.near_orthogonal, np.sqrt(2 / 3))):
        found = measure(bench, SUBJECT, measured(twins), "tokens")
        assert ends(found) == pytest.approx((0.0, high)) and found.interval.low == 0.0
        assert "more" not in found.details
    assert pairs.beyond_random(bench, SUBJECT, measured(twins), twins, "tokens").interval.high == 1.0


def test_where_no_cosine_exceeds_the_cut_nothing_is_said() -> None:
    assert pairs.artifact_cut(64) == 0.75
    with pytest.raises(NotChecked, match=r"in 36 dimensions 6/sqrt\(d\) is 1\.00"):
        pairs.artifacts(bench_of(d_model=36), SUBJECT, measured(HUB, pairs.artifact_cut(36)), "tokens")
    below = measured(HUB, pairs.artifact_cut(37))
    assert pairs.artifacts(bench_of(d_model=37), SUBJECT, below, "tokens").details["cut"] < 1


def test_what_is_possible_is_a_tight_frame_and_random_vectors_are_none_of_it() -> None:
    """Two orthonormal bases of four dimensions; one of them alone; and one vector four times."""
    bench = bench_of(d_model=4)
    turned = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    frame = np.concatenate([np.eye(4), turned])
    least = np.sqrt((8 - 4) / (4 * 7))
    for rows, value, lowest in ((frame, 1, least), (np.eye(4), 1, 0), (np.ones((4, 4)), -3, 0)):
        found = pairs.beyond_random(bench, SUBJECT, measured(rows, 0.9), rows, "neurons")
        assert found.value == pytest.approx(value, abs=1e-5)
        assert found.details["least_rms"] == pytest.approx(lowest)
    # As a share of the way from random to the frame, halfway in the mean square.
    half = np.sqrt((1 / 4 + least**2) / 2)
    cosines = dataclasses.replace(measured(frame, 0.9), rms=half)
    beyond = pairs.beyond_random(bench, SUBJECT, cosines, frame, "neurons")
    null = beyond.nulls[0]
    assert beyond.value == pytest.approx(0.5)
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((2000, 8, 4))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    drawn = (vectors @ vectors.transpose(0, 2, 1))[:, ~np.eye(8, dtype=bool)] ** 2
    drawn = drawn.mean(axis=1)
    shares = (1 / 4 - drawn) / (1 / 4 - least**2)
    assert (null.name, null.value, null.n) == ("Gaussian matrices", 0.0, None)
    assert null.spread == pytest.approx(shares.std(), rel=0.1)
    assert null.p_value == pytest.approx(np.mean(shares >= 0.5), abs=0.02)
    assert null.p_value + null.p_opposite == pytest.approx(1)


def test_p_reaches_as_far_as_a_correction_for_many_subjects_needs() -> None:
    rows = np.linalg.qr(np.random.default_rng(0).standard_normal((WIDTH, WIDTH)))[0][:30]
    for null in pairs.beyond_random(bench_of(), SUBJECT, measured(rows), rows, "neurons").nulls:
        assert null.p_value == 1e-9 and null.p_opposite == 1
    alike = np.ones((30, 2)) @ rows[:2]
    for null in pairs.beyond_random(bench_of(), SUBJECT, measured(alike), alike, "neurons").nulls:
        assert null.p_value == 1 and null.p_opposite == 1e-9


def test_random_signs_keep_what_few_large_entries_give() -> None:
    """Beside the same vectors with signs drawn many times; a row without a direction counts in neither."""
    rng = np.random.default_rng(2)
    rows = rng.standard_t(1, (12, WIDTH))
    rows[4] = 0
    found = pairs.beyond_random(bench_of(), SUBJECT, measured(rows), rows, "neurons")
    drawn = [measured(rows * rng.choice([-1, 1], rows.shape)).rms ** 2 for _ in range(2000)]
    shares = 1 - WIDTH * np.array(drawn)
    gaussian, signs = found.nulls
    assert (signs.name, signs.n) == ("random signs", None)
    assert signs.value == pytest.approx(shares.mean(), abs=4 * shares.std() / 2000**0.5)
    assert signs.spread == pytest.approx(shares.std(), rel=0.1) and signs.spread < 0.6 * gaussian.spread
    assert signs.p_value == pytest.approx(np.mean(shares >= found.value), abs=0.05)
    assert signs.p_value + signs.p_opposite == pytest.approx(1)


@pytest.mark.parametrize("rows", [np.eye(WIDTH)[:30], np.repeat(np.eye(WIDTH)[:15], 2, axis=0)])
def test_vectors_that_no_sign_turns_are_not_told_from_random_signs(rows: Rows) -> None:
    """One entry each: no two vectors share any, or some share theirs."""
    found = pairs.beyond_random(bench_of(), SUBJECT, measured(rows), rows, "neurons")
    gaussian, signs = found.nulls
    assert gaussian.p_value in (1e-9, 1.0)
    assert signs.value == pytest.approx(found.value, abs=1e-6)
    assert (signs.spread, signs.p_value, signs.p_opposite) == (0.0, 1.0, 1.0)


def test_one_dimension_leaves_no_room() -> None:
    with pytest.raises(NotChecked, match="one dimension"):
        pairs.beyond_random(bench_of(d_model=1), SUBJECT, measured(np.ones((3, 1)), 0.9), np.ones((3, 1)), "neurons")


def test_one_vector_has_no_pair() -> None:
    with pytest.raises(ValueError, match="1 vectors with a direction make no pair"):
        mean_square_of_random_signs(np.ones((1, 2), np.float32))


def test_histogram_of_cosines() -> None:
    rows = np.random.default_rng(3).standard_normal((20, WIDTH)).astype(np.float32)
    rows[3:6] = rows[2] + 0.2 * rows[3:6]
    cosines = np.array(list(oracles.pair_cosines(rows).values()))
    found = pairs.cosine_histogram(measured(rows), WIDTH)["histogram"]
    assert found.keys() == {"edges", "x_label", "counts", "reference"} and found["x_label"] == "cosine"
    np.testing.assert_allclose(found["edges"], np.arange(-50, 51) / 50, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found["counts"], np.histogram(cosines, np.arange(-50, 51) / 50)[0])
    # The law of the cosine by its density, (1 - c^2)^((d - 3)/2), bin by bin.
    middles = (np.arange(-50, 50) + 0.5) / 50
    density = np.exp(stats.beta.logpdf((1 + middles) / 2, (WIDTH - 1) / 2, (WIDTH - 1) / 2)) / 2
    assert sum(found["reference"]) == pytest.approx(190)
    np.testing.assert_allclose(found["reference"], 190 * density * 0.02, rtol=0, atol=0.06)
    assert {type(count) for count in found["counts"]} == {int}
    assert {type(number) for number in found["edges"] + found["reference"]} == {float}
