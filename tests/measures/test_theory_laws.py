"""Laws of chance: their published check values, closed forms where there are any, and simulation.

Simulations are seeded; a tolerance is four standard errors of the simulated number unless said otherwise.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.oracles import Rows
from vsa_checks import theory


def directions(n: int, d: int, rng: np.random.Generator) -> Rows:
    rows = rng.standard_normal((n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("found", "published", "within"),
    [
        (theory.largest_cosine(2000, 768), 0.1820, 5e-4),
        (theory.largest_cosine(50257, 768), 0.221, 5e-4),  # the crude bound, sqrt(4 log(n) / d), gives .237
        (theory.welch_bound(50257, 768), 0.0358, 5e-5),
        (theory.recall_probability(1024, 100, 200), 0.666, 1e-3),
        (theory.recall_probability(256, 20, 1000), 0.626, 1e-3),
        # what noise reaches with k tokens of the paper's vocabulary
        (theory.chance_bundle_cosine(1, 50257, 768), 0.155, 3e-3),
        (theory.chance_bundle_cosine(20, 50257, 768), 0.506, 3e-3),
        (theory.chance_bundle_cosine(1000, 50257, 768), 0.941, 3e-3),
    ],
)
def test_published_check_values(found: float, published: float, within: float) -> None:
    assert found == pytest.approx(published, abs=within)


@pytest.mark.parametrize(("n", "d", "quantile"), [(2000, 768, 0.5), (300, 100, 0.1), (50257, 576, 0.9)])
def test_largest_cosine_is_the_quantile_of_its_law(n: int, d: int, quantile: float) -> None:
    """Put into the law of Cai, Fan and Jiang: the smaller the largest cosine, the larger y."""
    y = d * np.log(1 - theory.largest_cosine(n, d, quantile) ** 2) + 4 * np.log(n) - np.log(np.log(n))
    law = 1 - np.exp(-np.exp(y / 2) / np.sqrt(8 * np.pi))
    assert 1 - law == pytest.approx(quantile, abs=1e-9)


@pytest.mark.parametrize(("d", "k"), [(100, 10), (9, 4), (50, 200)])
def test_recall_in_closed_form(d: int, k: int) -> None:
    """Of one candidate it is sure; against one other the difference of two normals decides."""
    assert theory.recall_probability(d, k, 1) == pytest.approx(1, abs=1e-9)
    assert theory.recall_probability(d, k, 2) == pytest.approx(stats.norm.cdf(np.sqrt(d / k / 2)), abs=1e-9)


@pytest.mark.parametrize("k", [1, 4, 20])
def test_what_noise_reaches_in_three_dimensions(k: int) -> None:
    """There cosines are uniform: the k largest of n lie, in the middle, at 1 - 2 (i - 1/2)/n."""
    mean = np.mean([1 - 2 * (i - 0.5) / 100 for i in range(1, k + 1)])
    expected = np.sqrt(k) * mean / np.sqrt(1 - mean**2 + k * mean**2)
    assert theory.chance_bundle_cosine(k, 100, 3) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("size", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_tail_of_the_cosine_in_closed_form(size: float) -> None:
    """In three dimensions the cosine is uniform, in two the angle is."""
    assert theory.cosine_tail(3, size) == pytest.approx(1 - size, abs=1e-12)
    assert theory.cosine_tail(2, size) == pytest.approx(2 / np.pi * np.arccos(size), abs=1e-12)


@pytest.mark.parametrize("d", [4, 9])
def test_tail_and_deviation_of_the_cosine_by_simulation(d: int) -> None:
    n = 200_000
    cosines = directions(n, d, np.random.default_rng(d))[:, 0]  # with a fixed axis: the same law
    assert cosines.std() == pytest.approx(theory.cosine_deviation(d), rel=4 / np.sqrt(2 * n))
    for size in (0.2, 0.5, 0.8):
        p = theory.cosine_tail(d, size)
        assert (np.abs(cosines) > size).mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / n))
    assert theory.cosine_tail(d, 1.5) == 0


def test_largest_cosine_by_simulation() -> None:
    """At n = 200, d = 60 the limit law is off by about .01, so .015 is allowed."""
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(200):
        rows = directions(200, 60, rng)
        gram = np.abs(rows @ rows.T)
        np.fill_diagonal(gram, 0)
        seen.append(gram.max())
    for quantile in (0.1, 0.5, 0.9):
        assert theory.largest_cosine(200, 60, quantile) == pytest.approx(np.quantile(seen, quantile), abs=0.015)
    assert theory.largest_cosine(200, 60, 0.1) < theory.largest_cosine(200, 60, 0.9)


def test_welch_bound_is_met_with_equality_and_never_missed() -> None:
    """Three directions at 120 degrees in the plane are as far apart as can be; random ones are closer."""
    assert theory.welch_bound(3, 2) == pytest.approx(0.5)
    assert theory.welch_bound(5, 5) == theory.welch_bound(2, 9) == theory.welch_bound(1, 1) == 0
    rows = directions(40, 6, np.random.default_rng(2))
    gram = np.abs(rows @ rows.T) - np.eye(40)
    assert theory.welch_bound(40, 6) < gram.max()


@pytest.mark.parametrize("k", [1, 3, 8])
def test_cosine_of_a_bundle_of_vectors_that_share_nothing_but_the_target(k: int) -> None:
    """Built exactly: each vector is c of the target and the rest of an axis of its own."""
    c = 0.3
    vectors = np.hstack([np.full((k, 1), c), np.sqrt(1 - c**2) * np.eye(k)])
    total = vectors.sum(axis=0)
    assert theory.bundle_cosine(k, c) == pytest.approx(total[0] / np.linalg.norm(total), abs=1e-12)


def test_bounds_of_surely_recovered_sums_and_surely_decoded_bundles_are_their_definitions() -> None:
    for coherence in (0.01, 0.1, 0.199, 0.2, 0.201, 0.2499, 0.25, 0.251, 1 / 3, 0.34, 0.5, 0.9, 1.0):
        sums = max((k for k in range(1, 100) if coherence < 1 / (2 * k - 1)), default=0)
        bundles = max((k for k in range(1, 100) if coherence < 1 / (2 * k)), default=0)
        assert theory.greedy_recovery_bound(coherence) == sums, coherence
        assert theory.decoding_bound(coherence) == bundles, coherence


def test_closed_forms_by_hand() -> None:
    assert theory.nearly_orthogonal_count(400, 0.2) == pytest.approx(np.exp(4.0))
    assert (theory.member_cosine(9), theory.crosstalk_deviation(9, 900)) == pytest.approx((1 / 3, 0.1))
    assert [theory.rankin_bound(d) for d in (1, 2, 10)] == [2, 4, 20]
    assert theory.unbinding_error(63, 16) == 2.0


def mean_squares(n: int, d: int, draws: int, seed: int) -> Rows:
    """Mean squared cosine over the pairs of n Gaussian vectors, pair by pair."""
    rng = np.random.default_rng(seed)
    found, pairs = np.empty(draws), np.triu_indices(n, 1)
    for draw in range(draws):
        rows = rng.standard_normal((n, d))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        found[draw] = np.mean((rows @ rows.T)[pairs] ** 2)
    return found


@pytest.mark.parametrize(("n", "d"), [(3, 64), (6, 64), (48, 64), (64, 64), (150, 64), (10, 5), (30, 3), (8, 10)])
def test_the_law_of_the_mean_squared_cosine_fits_gaussian_vectors_also_in_its_tails(n: int, d: int) -> None:
    drawn, law = mean_squares(n, d, 4000, n), theory.mean_square_law(n, d)
    assert drawn.mean() == pytest.approx(law.mean(), abs=4 * law.std() / 4000**0.5)
    assert law.mean() == pytest.approx(1 / d)
    assert drawn.std() == pytest.approx(law.std(), rel=0.06)
    # Of 4,000 draws 40 should lie in each tail of .01: fewer than 75 do.
    p = law.cdf(drawn)
    assert np.count_nonzero(p <= 0.01) < 75 and np.count_nonzero(p >= 0.99) < 75
    assert np.count_nonzero(p <= 0.1) == pytest.approx(400, abs=80)


def test_the_law_of_the_mean_squared_cosine_begins_where_a_tight_frame_lies() -> None:
    for n, d in ((30, 3), (4, 64), (128, 64)):
        law = theory.mean_square_law(n, d)
        assert law.support()[0] == pytest.approx(max(0.0, (n - d) / (d * (n - 1))))
    # Three vectors in the plane, 120 degrees apart.
    assert theory.mean_square_law(3, 2).cdf(0.25) == 0
    for n, d in ((1, 5), (5, 1)):
        with pytest.raises(ValueError, match="do not vary"):
            theory.mean_square_law(n, d)


def test_the_law_of_the_mean_squared_cosine_is_chi_square_at_both_ends() -> None:
    """Few vectors: each pair adds the square of a normal. Many: so does each axis of their second moment but one."""
    for n, d, degrees in ((5, 100_000, 10), (1_000_000, 4, 9)):
        law = theory.mean_square_law(n, d)
        least = max(0.0, (n - d) / (d * (n - 1)))
        for share in (0.001, 0.1, 0.9):
            scaled = (law.ppf(share) - least) / (law.mean() - least)
            assert scaled == pytest.approx(stats.chi2.ppf(share, degrees) / degrees, rel=1e-3)
