"""Section 2.2, the premise: binding by nearly orthogonal matrices keeps similarities and can be undone."""

from functools import partial

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from vsa_checks import theory
from vsa_checks.nulls import random_directions
from vsa_checks.premise import constructions, trials
from vsa_checks.premise import operations as vsa

# Tolerances and settings as in test_2_bundling.
ROUNDING = 1e-5
PHASES = (Phase.explicit, Phase.generate)
law_holds = settings(deadline=None, derandomize=True, database=None, phases=PHASES, max_examples=6)
always = settings(deadline=None, derandomize=True, database=None, phases=PHASES, max_examples=25)

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Run on one thread: the problems are so small that more threads cost more than they save."""
    with threadpool_limits(1):
        yield


@always
@given(seeds, st.integers(2, 80))
def test_orthogonal_binding_preserves_dot_products(seed, d):
    """Binding by one orthogonal matrix changes no dot product."""
    rng = np.random.default_rng(seed)
    vectors, key = rng.standard_normal((20, d)), constructions.frame(d, d, rng)
    bound = vsa.bind(vectors, key)
    np.testing.assert_allclose(bound @ bound.T, vectors @ vectors.T, atol=ROUNDING)
    assert vsa.similarity_change(vectors, bound) < ROUNDING


@always
@given(seeds, st.integers(2, 80))
def test_unbinding_is_the_inverse_of_orthogonal_binding(seed, d):
    """Unbinding a bound vector gives the vector back, and binding an unbound one gives it back too."""
    rng = np.random.default_rng(seed)
    vectors, key = rng.standard_normal((20, d)), constructions.frame(d, d, rng)
    np.testing.assert_allclose(vsa.unbind(vsa.bind(vectors, key), key), vectors, atol=ROUNDING)
    np.testing.assert_allclose(vsa.bind(vsa.unbind(vectors, key), key), vectors, atol=ROUNDING)


@always
@given(seeds, st.integers(1, 10))
def test_binding_a_bundle_binds_its_members(seed, k):
    """Binding a bundle equals bundling the bound members: binding distributes over sums, whatever the matrix."""
    rng = np.random.default_rng(seed)
    vectors, members = random_directions(50, 64, rng), constructions.draw_bundles(50, k, 5, rng)
    matrix = constructions.gaussian_matrix(64, 16, rng)
    bound = vsa.bind(vsa.bundle(vectors, members), matrix)
    np.testing.assert_allclose(bound, vsa.bundle(vsa.bind(vectors, matrix), members), atol=ROUNDING)


@law_holds
@given(seeds, st.sampled_from([16, 32, 64]))
def test_a_bound_vector_is_as_far_from_itself_as_a_random_one(seed, d):
    """Binding makes a new concept: a vector and its bound version are as dissimilar as two random vectors."""
    found = trials.binding_trials(d, 500, np.random.default_rng(seed))
    assert found.singles_out(theory.cosine_deviation, d)


@law_holds
@given(seeds, st.sampled_from([50, 100, 300]))
def test_members_bound_by_their_own_matrices_are_recalled_by_the_capacity_law(seed, n):
    """Unbinding a sum of k bound vectors finds each of them as often as the law p_corr says."""
    found = trials.bound_recall_trials(64, 10, n, 30, np.random.default_rng(seed))
    # The law assumes crosstalk from k others, not k - 1, and normal tails.
    assert found.singles_out(partial(theory.recall_probability, k=10, n=n), 64, slack=0.021)


@law_holds
@given(seeds, st.sampled_from([16, 32, 64, 128]))
def test_a_gaussian_matrix_preserves_similarity_up_to_one_over_the_root_of_its_rank(seed, rank):
    """Binding by a Gaussian matrix changes cosines by 1/sqrt(rank): a nearly orthogonal matrix keeps them nearly."""
    found = trials.similarity_trials(512, rank, 100, 20, np.random.default_rng(seed))
    # Cosines that were not zero change a little less: by 2/512 of the square.
    assert found.singles_out(theory.cosine_deviation, rank, slack=0.0005)


@law_holds
@given(seeds, st.sampled_from([(64, 64), (128, 128), (128, 32)]))
def test_unbinding_from_a_gaussian_matrix_errs_by_the_root_of_d_over_its_rank(seed, shape):
    """Unbinding by a Gaussian matrix is no inverse: its error is as long as the vector itself, or longer."""
    d, rank = shape
    found = trials.unbinding_trials(d, rank, 100, np.random.default_rng(seed))
    assert found.singles_out(partial(theory.unbinding_error, d), rank)


@law_holds
@given(seeds, st.sampled_from([256, 512]))
def test_cleanup_undoes_that_error_unless_the_matrix_is_too_narrow(seed, d):
    """That error is spread over all vectors: cleanup among 500 finds each again, but not after only 2 dimensions."""
    rng = np.random.default_rng(seed)
    words = random_directions(500, d, rng)
    assert vsa.found_again(words, constructions.gaussian_matrix(d, d, rng)).all()
    assert vsa.found_again(words, constructions.gaussian_matrix(d, 2, rng)).mean() < 0.1
