"""Laws of chance: their published check values, closed forms where there are any, and simulation.

Simulations are seeded; a tolerance is four standard errors of the simulated figure unless said otherwise.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.measures.oracles import Rows
from vsa_checks import theory
from vsa_checks.isometry import gaussian_isometry


def directions(n: int, d: int, rng: np.random.Generator) -> Rows:
    rows = rng.standard_normal((n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "d", "median"), [(2000, 768, 0.1820), (50257, 768, 0.221)])
def test_largest_cosine_check_values(n: int, d: int, median: float) -> None:
    assert theory.largest_cosine(n, d) == pytest.approx(median, abs=5e-4)
    assert theory.largest_cosine(n, d) < np.sqrt(4 * np.log(n) / d), "the crude bound is too high"


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


def test_welch_check_value() -> None:
    assert theory.welch_bound(50257, 768) == pytest.approx(0.0358, abs=5e-5)


@pytest.mark.parametrize(
    ("d", "k", "n", "law"), [(1024, 100, 200, 0.666), (512, 50, 1000, 0.486), (256, 20, 1000, 0.626)]
)
def test_recall_check_values(d: int, k: int, n: int, law: float) -> None:
    assert theory.recall_probability(d, k, n) == pytest.approx(law, abs=1e-3)


@pytest.mark.parametrize(
    ("k", "cosine"), [(1, 0.155), (5, 0.306), (10, 0.399), (20, 0.506), (50, 0.654), (140, 0.796), (1000, 0.941)]
)
def test_what_noise_reaches_with_k_tokens_of_the_papers_vocabulary(k: int, cosine: float) -> None:
    assert theory.chance_bundle_cosine(k, 50257, 768) == pytest.approx(cosine, abs=3e-3)


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


def test_as_many_nearly_orthogonal_vectors_as_the_union_bound_promises_exist() -> None:
    assert theory.nearly_orthogonal_count(400, 0.2) == pytest.approx(np.exp(4.0))
    rng = np.random.default_rng(3)
    n = int(theory.nearly_orthogonal_count(400, 0.2))
    largest = []
    for _ in range(10):
        rows = directions(n, 400, rng)
        largest.append((np.abs(rows @ rows.T) - np.eye(n)).max())
    assert min(largest) <= 0.2


def test_edges_of_the_gram_spectrum() -> None:
    """Within 3% of the limit at 300 vectors in 1,200 dimensions."""
    rows = directions(300, 1200, np.random.default_rng(4))
    spectrum = np.linalg.eigvalsh(rows @ rows.T)
    low, high = theory.gram_edges(300, 1200)
    assert (low, high) == (0.25, 2.25)
    assert spectrum[0] == pytest.approx(low, rel=0.03)
    assert spectrum[-1] == pytest.approx(high, rel=0.03)


@pytest.mark.parametrize(("d", "k", "n"), [(256, 40, 100), (200, 50, 20)])
def test_recall_by_simulation(d: int, k: int, n: int) -> None:
    """One item of n, in a sum with k - 1 other random vectors; at k = 40 the law is good to .03."""
    rng = np.random.default_rng(5)
    right = []
    for _ in range(40):
        items = rng.choice([-1.0, 1.0], (n, d))
        sums = items[0] + rng.choice([-1.0, 1.0], (50, k - 1, d)).sum(axis=1)
        right.append((np.argmax(sums @ items.T, axis=1) == 0).mean())
    assert np.mean(right) == pytest.approx(theory.recall_probability(d, k, n), abs=0.03)


def test_members_and_crosstalk_of_a_bundle_by_simulation() -> None:
    rng = np.random.default_rng(6)
    k, d, trials = 9, 500, 2000
    rows = directions(trials, d, rng)
    member = directions(trials, d, rng)
    bundles = member + np.sqrt(k - 1) * directions(trials, d, rng)  # stands for k - 1 others
    cosines = np.einsum("ij,ij->i", bundles, member) / np.linalg.norm(bundles, axis=1)
    assert cosines.mean() == pytest.approx(theory.member_cosine(k), abs=4 * cosines.std() / np.sqrt(trials))
    noise = np.einsum("ij,ij->i", bundles, rows)
    assert noise.std() == pytest.approx(theory.crosstalk_deviation(k, d), rel=4 / np.sqrt(2 * trials))


@pytest.mark.parametrize("k", [1, 3, 8])
def test_cosine_of_a_bundle_of_vectors_that_share_nothing_but_the_target(k: int) -> None:
    """Built exactly: each vector is c of the target and the rest of an axis of its own."""
    c = 0.3
    vectors = np.hstack([np.full((k, 1), c), np.sqrt(1 - c**2) * np.eye(k)])
    total = vectors.sum(axis=0)
    assert theory.bundle_cosine(k, c) == pytest.approx(total[0] / np.linalg.norm(total), abs=1e-12)


@pytest.mark.parametrize("k", [1, 5, 30])
def test_what_noise_reaches_by_simulation(k: int) -> None:
    """The best k of 1,000 random tokens, for 200 random targets in 64 dimensions; the law is good to .01 there."""
    rng = np.random.default_rng(7)
    tokens = directions(1000, 64, rng)
    reached = []
    for target in directions(200, 64, rng):
        total = tokens[np.argsort(-(tokens @ target))[:k]].sum(axis=0)
        reached.append(total @ target / np.linalg.norm(total))
    error = 4 * np.std(reached) / np.sqrt(200)
    assert np.mean(reached) == pytest.approx(theory.chance_bundle_cosine(k, 1000, 64), abs=0.01 + error)


def test_bound_of_surely_recovered_sums_is_its_definition() -> None:
    for coherence in (0.01, 0.1, 0.199, 0.2, 0.201, 0.221, 1 / 3, 0.34, 0.9, 1.0):
        expected = max((k for k in range(1, 100) if coherence < 1 / (2 * k - 1)), default=0)
        assert theory.greedy_recovery_bound(coherence) == expected, coherence
    assert theory.greedy_recovery_bound(0.221) == 2


def test_bound_of_surely_decoded_bundles_is_its_definition() -> None:
    for coherence in (0.01, 0.1, 0.2499, 0.25, 0.251, 0.5, 0.9, 1.0):
        expected = max((k for k in range(1, 100) if coherence < 1 / (2 * k)), default=0)
        assert theory.decoding_bound(coherence) == expected, coherence


def test_rankin_bound_and_unbinding_error_by_hand() -> None:
    assert [theory.rankin_bound(d) for d in (1, 2, 10)] == [2, 4, 20]
    assert theory.unbinding_error(63, 16) == 2.0


@pytest.mark.parametrize(("d", "rank"), [(96, 8), (60, 30)])
def test_isometry_of_gaussian_products_by_simulation(d: int, rank: int) -> None:
    """The limit is within 2% at these sizes."""
    drawn = gaussian_isometry(d, rank, 60, np.random.default_rng(8))
    assert len(drawn) == 60
    assert drawn.mean() == pytest.approx(theory.product_isometry(d, rank), rel=0.02)
