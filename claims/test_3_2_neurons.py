"""Section 3.2: first-layer neurons are unweighted sums of token embeddings."""

import pytest

from vsa_checks.sections import beyond_chance, kurtosis, neurons, neurons_bound, neurons_few, table1


@pytest.mark.claim("neurons-cos50")
def test_neurons_cos50(subject, check):
    """The paper's scan explains more than 80% of layer-0 neurons to a cosine of at least .5."""
    check(subject, neurons.share_at, level=0.5)


@pytest.mark.claim("neurons-cos50-few")
def test_neurons_cos50_few(subject, check):
    """Sums of so few tokens that hardly any random direction is one explain 80% of layer-0 neurons to cosine .5."""
    check(subject, neurons_few.share_with_few, level=0.5)


@pytest.mark.claim("neurons-cos50-bound")
def test_neurons_cos50_bound(subject, check):
    """The paper's scan over tokens and bound tokens explains 80% of layer-0 neurons to a cosine of at least .5."""
    check(subject, neurons_bound.share_at_with_bound, level=0.5)


@pytest.mark.claim("neurons-cos50-bound-few")
def test_neurons_cos50_bound_few(subject, check):
    """Sums of so few tokens and bound tokens that hardly any random direction is one explain 80% to cosine .5."""
    check(subject, neurons_few.share_with_few, level=0.5, bound=True)


@pytest.mark.claim("neurons-cos30")
def test_neurons_cos30(subject, check):
    """The paper's scan explains more than 95% of layer-0 neurons to a cosine of at least .3."""
    check(subject, neurons.share_at, level=0.3)


@pytest.mark.claim("neurons-cos30-few")
def test_neurons_cos30_few(subject, check):
    """Sums of so few tokens that hardly any random direction is one explain 95% of layer-0 neurons to cosine .3."""
    check(subject, neurons_few.share_with_few, level=0.3)


@pytest.mark.claim("neurons-beyond-chance")
def test_neurons_beyond_chance(subject, check):
    """At least 2% of a layer's neurons lie closer to a sum of five tokens than 99% of random directions do."""
    check(subject, beyond_chance.share_beyond_chance)


@pytest.mark.claim("neurons-kurtosis")
def test_neurons_kurtosis(subject, check):
    """A rival explanation: at least 2% of a layer's neurons have a higher kurtosis than 99% of random directions."""
    check(subject, kurtosis.share_of_high_kurtosis)


@pytest.mark.claim("neurons-table1")
def test_neurons_table1(subject, check):
    """One number of neurons per token reproduces the cosines of the seven published neurons."""
    check(subject, table1.published_cosines)
