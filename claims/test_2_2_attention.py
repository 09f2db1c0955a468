"""Section 2.2: attention compares, selects and rebinds vectors through nearly orthogonal matrices."""

import pytest

from vsa_checks.sections import attention, attention_text, binding


@pytest.mark.claim("attention-ov-isometry")
def test_attention_ov_isometry(subject, judge):
    """Each head's W_V W_O stretches all directions that it reads about evenly."""
    judge(subject, attention.ov_isometry)


@pytest.mark.claim("attention-qk-isometry")
def test_attention_qk_isometry(subject, judge):
    """Each head's W_Q W_K^T weighs all directions that it compares about evenly."""
    judge(subject, attention.qk_isometry)


@pytest.mark.claim("binding-preserves-similarity")
def test_binding_preserves_similarity(subject, judge):
    """A head's matrices change the cosines between tokens no more than random ones of their shape."""
    judge(subject, binding.similarity_kept)


@pytest.mark.claim("unbinding-recovers")
def test_unbinding_recovers(subject, judge):
    """A token bound by a head's matrix is found again after the transpose is applied."""
    judge(subject, binding.tokens_recovered)


@pytest.mark.claim("attention-rebinds")
def test_attention_rebinds(subject, judge):
    """What heads write on text points to the tokens that they attend to, bound by W_V W_O."""
    judge(subject, attention_text.rebinds)


@pytest.mark.claim("attention-next-token")
def test_attention_next_token(subject, judge):
    """The attention output on text points to the unembedding of the token that comes next."""
    judge(subject, attention_text.next_token)
