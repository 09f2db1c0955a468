"""Section 2.2: attention compares, selects and rebinds vectors through nearly orthogonal matrices."""

import pytest

from vsa_checks.sections import attention


@pytest.mark.claim("attention-ov-isometry")
def test_attention_ov_isometry(subject, judge):
    """Each head's W_V W_O stretches all directions that it reads about evenly."""
    judge(subject, attention.ov_isometry)


@pytest.mark.claim("attention-qk-isometry")
def test_attention_qk_isometry(subject, judge):
    """Each head's W_Q W_K^T weighs all directions that it compares about evenly."""
    judge(subject, attention.qk_isometry)
