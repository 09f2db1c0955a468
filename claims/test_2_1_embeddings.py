"""Section 2.1: word embeddings have a mean near zero, so LayerNorm's centering changes little."""

import pytest

from vsa_checks.sections import embeddings


@pytest.mark.claim("embedding-mean-zero")
def test_embedding_mean_zero(subject, check):
    """The mean of all word embeddings is small beside the embeddings themselves."""
    check(subject, embeddings.mean_zero)


@pytest.mark.claim("embedding-component-mean")
def test_embedding_component_mean(subject, check):
    """The components of a word embedding average to nearly zero."""
    check(subject, embeddings.component_mean)
