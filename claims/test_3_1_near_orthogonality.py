"""Section 3.1: M^T M of embeddings, attention matrices and MLP outputs shows strong diagonals, minimal artifacts."""

import pytest

from vsa_checks.sections import attention, embeddings, mlp


@pytest.mark.claim("embedding-near-orthogonal")
def test_embedding_near_orthogonal(subject, check):
    """Word embeddings are nearly orthogonal to each other."""
    check(subject, embeddings.tokens_near_orthogonal, center=False)


@pytest.mark.claim("embedding-near-orthogonal-centered")
def test_embedding_near_orthogonal_centered(subject, check):
    """Centered word embeddings are nearly orthogonal to each other."""
    check(subject, embeddings.tokens_near_orthogonal, center=True)


@pytest.mark.claim("embedding-artifacts")
def test_embedding_artifacts(subject, check):
    """Hardly any pair of tokens has a cosine far outside what random vectors give."""
    check(subject, embeddings.tokens_artifacts, center=False)


@pytest.mark.claim("embedding-artifacts-centered")
def test_embedding_artifacts_centered(subject, check):
    """Hardly any pair of centered tokens has a cosine far outside what random vectors give."""
    check(subject, embeddings.tokens_artifacts, center=True)


@pytest.mark.claim("embedding-copies")
def test_embedding_copies(subject, check):
    """Hardly any token is so close to another one that sums could not tell them apart."""
    check(subject, embeddings.tokens_with_a_copy)


@pytest.mark.claim("attention-near-orthogonal")
def test_attention_near_orthogonal(subject, check):
    """The vectors of an attention matrix, one per head dimension, are nearly orthogonal."""
    check(subject, attention.heads_near_orthogonal)


@pytest.mark.claim("attention-artifacts")
def test_attention_artifacts(subject, check):
    """Hardly any two vectors of an attention matrix have a cosine far outside what random vectors give."""
    check(subject, attention.heads_artifacts)


@pytest.mark.claim("attention-beyond-random")
def test_attention_beyond_random(subject, check):
    """Beyond the paper: the vectors of an attention matrix are more orthogonal than random ones."""
    check(subject, attention.heads_beyond_random)


@pytest.mark.claim("mlp-out-near-orthogonal")
def test_mlp_out_near_orthogonal(subject, check):
    """The vectors that a layer's neurons write are nearly orthogonal."""
    check(subject, mlp.outputs_near_orthogonal)


@pytest.mark.claim("mlp-out-artifacts")
def test_mlp_out_artifacts(subject, check):
    """Hardly any two neurons write in directions whose cosine is far outside what random vectors give."""
    check(subject, mlp.outputs_artifacts)


@pytest.mark.claim("mlp-out-beyond-random")
def test_mlp_out_beyond_random(subject, check):
    """Beyond the paper: the vectors that a layer's neurons write are more orthogonal than random ones."""
    check(subject, mlp.outputs_beyond_random)
