"""Section 2.2: attention compares, selects and rebinds vectors through nearly orthogonal matrices."""

import pytest

from vsa_checks.sections import binding, isometry, rebinding


@pytest.mark.claim("attention-ov-isometry")
def test_attention_ov_isometry(subject, check):
    """Each head's W_V W_O stretches all directions that it reads about evenly."""
    check(subject, isometry.ov_isometry)


@pytest.mark.claim("attention-ov-isometry-as-random")
def test_attention_ov_isometry_as_random(subject, check):
    """Each head's W_V W_O stretches all directions that it reads as evenly as a product of random matrices does."""
    check(subject, isometry.ov_beside_random)


@pytest.mark.claim("attention-qk-isometry")
def test_attention_qk_isometry(subject, check):
    """Each head's W_Q W_K^T weighs all directions that it compares about evenly."""
    check(subject, isometry.qk_isometry)


@pytest.mark.claim("attention-qk-isometry-as-random")
def test_attention_qk_isometry_as_random(subject, check):
    """Each head's W_Q W_K^T weighs all directions that it compares as evenly as a product of random matrices does."""
    check(subject, isometry.qk_beside_random)


@pytest.mark.claim("binding-preserves-similarity")
def test_binding_preserves_similarity(subject, check):
    """A head's matrices change the cosines between tokens no more than random ones of their shape."""
    check(subject, binding.similarity_kept)


@pytest.mark.claim("unbinding-recovers")
def test_unbinding_recovers(subject, check):
    """A token bound by a head's matrix is found again after the transpose is applied."""
    check(subject, binding.tokens_recovered)


@pytest.mark.claim("attention-rebinds")
def test_attention_rebinds(subject, check):
    """What heads write on text points to the tokens that they attend to, bound by W_V W_O."""
    check(subject, rebinding.rebinds)


@pytest.mark.claim("attention-next-token")
def test_attention_next_token(subject, check):
    """The attention output on text points to the unembedding of the token that comes next."""
    check(subject, rebinding.next_token)
