"""Section 2.4: neurons are boolean functions of the tokens in their bundles."""

import pytest

from vsa_checks.sections import boolean


@pytest.mark.claim("neuron-or")
def test_neuron_or(subject, check):
    """On held-out text most members of a neuron's bundle drive it by themselves."""
    check(subject, boolean.or_share)


@pytest.mark.claim("neuron-and")
def test_neuron_and(subject, check):
    """On held-out text some neurons are driven by no single member and by two or more together."""
    check(subject, boolean.and_share)
