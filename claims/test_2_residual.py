"""Section 2: the residual stream is a bundle of nearly orthogonal vectors."""

import pytest

from vsa_checks.sections import residual


@pytest.mark.claim("residual-keeps-token")
def test_residual_keeps_token(subject, check):
    """Half-way through the model the stream still points to the embedding of its own token."""
    check(subject, residual.keeps_token)


@pytest.mark.claim("residual-components")
def test_residual_components(subject, check):
    """The vectors that the components add at a position are nearly orthogonal."""
    check(subject, residual.components)
