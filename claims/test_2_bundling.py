"""Section 2, the premise: random vectors of many dimensions are nearly orthogonal, so their sums can be read.

No model is needed here. The laws that the paper builds on are compared with simulations. Where a law says that a
bundle can no longer be read, reading it must fail.
"""

from functools import partial

import numba
import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from threadpoolctl import threadpool_limits

from vsa_checks import theory
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.nulls import random_directions
from vsa_checks.orthogonality import centered, pairwise_cosines
from vsa_checks.premise import constructions, trials
from vsa_checks.premise import operations as vsa

# Tolerances. A simulation agrees with a law within 4.5 of its own standard errors: a correct law fails in about one of
# 100,000 examples. Enough is drawn for `singles_out` to reject, in the same example, the law for half and for twice the
# size. `slack` is given only where a law is a limit or an approximation: it is the law's largest error at the sizes
# drawn here, found by integrating the exact Beta law of the cosines. What holds for all vectors, not just on average,
# must hold to within ROUNDING, many times the error of float32 products.
ROUNDING = 1e-5

# Derandomized: the same examples every time. No shrinking: a smaller seed is not a simpler one.
PHASES = (Phase.explicit, Phase.generate)
law_holds = settings(deadline=None, derandomize=True, database=None, phases=PHASES, max_examples=6)
always = settings(deadline=None, derandomize=True, database=None, phases=PHASES, max_examples=40)

seeds = st.integers(0, 2**32 - 1)
dimensions = st.sampled_from([128, 256, 512])
tightnesses = st.sampled_from(np.linspace(0.05, 0.95, 38).tolist())  # none of them on a bound


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Run on one thread: the problems are so small that more threads cost more than they save."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    with threadpool_limits(1):
        yield
    numba.set_num_threads(before)


# --- near orthogonality ---------------------------------------------------------------------------------------


@law_holds
@given(seeds, dimensions)
def test_cosines_of_random_vectors_deviate_by_one_over_the_root_of_d(seed, d):
    """Random vectors are nearly orthogonal: their cosines have a standard deviation of 1/sqrt(d)."""
    found = trials.cosine_trials(300, d, 30, np.random.default_rng(seed))
    assert found.singles_out(theory.cosine_deviation, d)


@law_holds
@given(seeds, st.sampled_from([(128, 0.25), (256, 0.2), (512, 0.12)]))
def test_large_cosines_of_random_vectors_are_as_rare_as_the_beta_law_says(seed, case):
    """Cosines far from zero are as rare as the Beta law says, so an excess of them is an artifact."""
    d, size = case
    found = trials.tail_trials(300, d, size, 100, np.random.default_rng(seed))
    assert found.singles_out(partial(theory.cosine_tail, size=size), d)


@law_holds
@given(seeds, st.sampled_from([(300, 128), (400, 256)]), st.sampled_from([0.25, 0.5, 0.75]))
def test_coherence_of_random_vectors_follows_cai_fan_jiang(seed, shape, quantile):
    """The largest |cos| of n random vectors follows the law of Cai, Fan and Jiang."""
    n, d = shape
    found = trials.largest_cosine_trials(n, d, quantile, 600, np.random.default_rng(seed))
    # A limit in ln n: the quantiles of n(n-1)/2 cosines of the Beta law lie up to .0035 above it here.
    assert found.singles_out(lambda size: theory.largest_cosine(n, size, quantile), d, slack=0.0035)
    assert found.singles_out(lambda count: theory.largest_cosine(count, d, quantile), n, slack=0.0035)


@always
@given(st.data(), st.integers(1, 8))
def test_no_vectors_beat_the_welch_bound(data, d):
    """However n > d vectors are chosen, their largest and their rms |cos| reach the Welch bound."""
    shape = st.tuples(st.integers(2, 24), st.just(d))
    vectors = data.draw(arrays(np.float32, shape, elements=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])))
    assume(np.count_nonzero(vectors.any(axis=1)) > d)
    found = pairwise_cosines(vectors)
    assert found.n_vectors > d
    bound = theory.welch_bound(found.n_vectors, d)
    assert found.max_abs >= bound - ROUNDING
    assert found.rms >= bound - ROUNDING


@always
@given(seeds, st.integers(2, 40))
def test_the_welch_bound_is_reached(seed, d):
    """A regular simplex reaches the Welch bound with its largest |cos|, axes and their opposites with the rms."""
    rng = np.random.default_rng(seed)
    corners, opposites = (
        pairwise_cosines(constructions.simplex(d, rng)),
        pairwise_cosines(constructions.cross_polytope(d, rng)),
    )
    assert corners.max_abs == pytest.approx(theory.welch_bound(corners.n_vectors, d), abs=ROUNDING)
    assert opposites.rms == pytest.approx(theory.welch_bound(opposites.n_vectors, d), abs=ROUNDING)


@always
@given(st.data(), st.integers(1, 5))
def test_rankin_no_more_than_2d_vectors_point_away_from_each_other(data, d):
    """Of any 2d + 1 vectors two have a positive cosine."""
    elements = st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0])
    vectors = data.draw(arrays(np.float64, (theory.rankin_bound(d) + 1, d), elements=elements))
    assume(vectors.any(axis=1).all())
    assert vsa.closest_pair(vectors) > 0


@always
@given(seeds, st.integers(1, 40))
def test_rankin_2d_vectors_do_and_there_is_no_room_for_one_more(seed, d):
    """2d vectors with no positive cosine exist; any direction added to them has one."""
    rng = np.random.default_rng(seed)
    vectors = constructions.cross_polytope(d, rng)
    assert len(vectors) == theory.rankin_bound(d)
    assert vsa.closest_pair(vectors) <= ROUNDING
    assert vsa.closest_pair(np.concatenate([vectors, random_directions(1, d, rng)])) > ROUNDING


@law_holds
@given(seeds, st.floats(0.14, 0.18))
def test_nearly_orthogonal_vectors_fit_in_exponential_number(seed, size):
    """At least e^(d eps^2/4) vectors with all |cos| <= eps fit into d = 1000 dimensions."""
    count = theory.nearly_orthogonal_count(1000, size)
    vectors = constructions.pack(count, 1000, size, np.random.default_rng(seed))
    found = pairwise_cosines(vectors)
    assert found.n_vectors >= count
    assert found.max_abs <= size + ROUNDING


def test_many_more_nearly_orthogonal_vectors_than_dimensions_fit():
    """d = 1000 has room for more than 3,000 vectors, all within 10.4 degrees of a right angle to each other."""
    found = pairwise_cosines(
        constructions.pack(theory.nearly_orthogonal_count(1000, 0.18), 1000, 0.18, np.random.default_rng(0))
    )
    assert found.n_vectors > 3000
    assert found.max_abs <= 0.18 + ROUNDING


@always
@given(st.integers(100, 900), st.floats(0.1, 0.3))
def test_that_number_of_random_vectors_keeps_within_eps_by_the_coherence_law(d, size):
    """The two laws fit: e^(d eps^2/4) random vectors have all |cos| < eps, the number for 2d dimensions has not."""
    count, too_many = (round(theory.nearly_orthogonal_count(dims, size)) for dims in (d, 2 * d))
    assume(count > 10)
    assert theory.largest_cosine(count, d) < size < theory.largest_cosine(too_many, d)


# --- bundles can be read --------------------------------------------------------------------------------------


@law_holds
@given(seeds, dimensions, st.sampled_from([2, 3, 10, 30, 100]))
def test_a_bundle_has_cosine_one_over_root_k_with_its_members(seed, d, k):
    """The sum of k vectors stays similar to each: cosine 1/sqrt(k)."""
    found = trials.member_trials(d, k, 300, np.random.default_rng(seed))
    assert found.singles_out(theory.member_cosine, k)


@law_holds
@given(seeds, dimensions, st.sampled_from([1, 10, 30, 100]))
def test_crosstalk_deviates_by_the_root_of_k_over_d(seed, d, k):
    """A vector outside a bundle of k resembles it by chance only: its dot product deviates by sqrt(k/d)."""
    found = trials.crosstalk_trials(d, k, 300, np.random.default_rng(seed))
    assert found.singles_out(partial(theory.crosstalk_deviation, k), d)


@law_holds
@given(seeds, st.sampled_from([(512, 50), (512, 100), (1024, 100), (1024, 200)]), st.sampled_from([100, 300, 1000]))
def test_recall_of_members_follows_the_capacity_law(seed, case, n):
    """A member is told from n - 1 other vectors as often as the law p_corr of Frady, Kleyko and Sommer says."""
    d, k = case
    found = trials.recall_trials(d, k, n, 30, np.random.default_rng(seed))
    # The law assumes crosstalk from k others, not k - 1, and normal tails.
    assert found.singles_out(partial(theory.recall_probability, k=k, n=n), d, slack=0.007)


@law_holds
@given(seeds, st.sampled_from([(256, 4, 256), (512, 8, 512), (1024, 16, 1024)]))
def test_recall_collapses_beyond_capacity(seed, case):
    """Few members are all recalled among 1,000 vectors; with as many members as dimensions hardly any is."""
    d, few, many = case
    rng = np.random.default_rng(seed)
    assert trials.recall_trials(d, few, 1000, 5, rng).value > 0.999
    assert trials.recall_trials(d, many, 1000, 5, rng).value < 0.05


@law_holds
@given(seeds, st.sampled_from([256, 512]))
def test_a_common_mean_destroys_recall_and_centering_restores_it(seed, d):
    """With a mean far from zero vectors are not nearly orthogonal: their bundles cannot be read until it is removed."""
    rng = np.random.default_rng(seed)
    words, members = random_directions(500, d, rng), constructions.draw_bundles(500, 8, 50, rng)
    shifted = constructions.with_common_mean(words, 8.0, rng)
    assert vsa.recalled(words, members).mean() > 0.95
    assert vsa.recalled(shifted, members).mean() < 0.2
    assert vsa.recalled(centered(shifted), members).mean() > 0.95


# --- neurons as bundles: what chance gives, and what a pursuit recovers ---------------------------------------


@always
@given(seeds, st.integers(1, 30), st.floats(0.05, 0.95))
def test_the_closed_form_of_a_bundles_cosine(seed, k, cosine):
    """Sums of vectors that share only a target come as near to it as the closed form says, at each size."""
    target, vectors = constructions.fan(k, cosine, 64, np.random.default_rng(seed))
    path = greedy_pursuit(target, vectors, k).path(0)
    assert len(path) == k
    for size, reached in enumerate(path, start=1):
        assert reached == pytest.approx(theory.bundle_cosine(size, cosine), abs=ROUNDING)


@law_holds
@given(seeds, st.sampled_from([(2000, 128), (4000, 256)]), st.sampled_from([1, 2, 5, 10, 20]))
def test_chance_bundles_follow_the_closed_form(seed, shape, k):
    """The sum of the k most similar of n random vectors comes as near to a random direction as the closed form says."""
    n, d = shape
    found = trials.chance_bundle_trials(k, n, d, False, 30, np.random.default_rng(seed))
    # The law uses middle quantiles for means of the largest cosines: .004 too high for k = 1, less for larger k.
    assert found.singles_out(partial(theory.chance_bundle_cosine, k, n), d, slack=0.005)


@law_holds
@given(seeds, st.sampled_from([(2000, 128), (4000, 256)]), st.sampled_from([5, 10, 20]))
def test_greedy_pursuit_finds_more_in_noise_than_the_closed_form(seed, shape, k):
    """A pursuit uses the crosstalk between vectors too, so noise gives it more: it needs a null of its own."""
    n, d = shape
    found = trials.chance_bundle_trials(k, n, d, True, 5, np.random.default_rng(seed))
    assert found.exceeds(theory.chance_bundle_cosine(k, n, d))


@law_holds
@given(seeds, st.sampled_from([64, 256]))
def test_pursuit_recovers_every_bundle_below_the_coherence_bound(seed, d):
    """Where coherence < 1/(2k - 1), greedy pursuit finds the members of every bundle of k, and no other vector."""
    vectors = constructions.spikes_and_waves(d)
    k = theory.greedy_recovery_bound(vsa.coherence(vectors))
    assert k >= 4
    members = constructions.draw_bundles(len(vectors), k, 100, np.random.default_rng(seed))
    assert vsa.recovered(vectors, members).all()


@law_holds
@given(seeds, st.sampled_from([(40, 512), (60, 1024), (100, 2048)]))
def test_pursuit_recovers_bundles_of_random_vectors_below_the_coherence_bound(seed, shape):
    """The same for random vectors and the few members that their own coherence allows."""
    (n, d), rng = shape, np.random.default_rng(seed)
    vectors = random_directions(n, d, rng)
    k = theory.greedy_recovery_bound(vsa.coherence(vectors))
    assert k >= 2
    assert vsa.recovered(vectors, constructions.draw_bundles(len(vectors), k, 100, rng)).all()


@always
@given(seeds, st.integers(2, 12), tightnesses)
def test_recovery_fails_just_beyond_the_coherence_bound(seed, k, tightness):
    """The members that are hardest to recover are recovered below the bound and lost above it."""
    vectors = constructions.trap(k, tightness, 32, np.random.default_rng(seed))
    promised = theory.greedy_recovery_bound(vsa.coherence(vectors))
    assert vsa.recovered(vectors, [range(k)]).all() == (k <= promised)


@law_holds
@given(seeds, st.sampled_from([64, 256]))
def test_decoding_is_exact_below_its_coherence_bound(seed, d):
    """Where coherence < 1/(2k), dot products above 1/2 are those of the members, for every bundle of k."""
    vectors = constructions.spikes_and_waves(d)
    k = theory.decoding_bound(vsa.coherence(vectors))
    assert k >= 3
    members = constructions.draw_bundles(len(vectors), k, 500, np.random.default_rng(seed))
    assert vsa.decoded(vectors, members).all()


@always
@given(seeds, st.integers(1, 12), tightnesses)
def test_decoding_fails_just_beyond_its_coherence_bound(seed, k, tightness):
    """The members that are hardest to decode are decoded below the bound and not above it."""
    vectors = constructions.trap(k, tightness, 32, np.random.default_rng(seed))
    assert vsa.decoded(vectors, [range(k)]).all() == (k <= theory.decoding_bound(vsa.coherence(vectors)))


@always
@given(seeds, st.integers(2, 10))
def test_a_duplicated_token_cannot_be_recovered(seed, k):
    """Which of two equal vectors is the member cannot be told: a pursuit explains the bundle with the wrong one."""
    rng = np.random.default_rng(seed)
    vectors, members = constructions.with_a_twin(rng.choice([-1.0, 1.0], (100, 256)), k, rng)
    assert theory.greedy_recovery_bound(vsa.coherence(vectors)) == 0
    np.testing.assert_allclose(greedy_pursuit(vsa.bundle(vectors, members), vectors, k).cosine, 1, atol=ROUNDING)
    assert not vsa.recovered(vectors, members).any()
    assert not vsa.recalled(vectors, members)[:, 0].any()
