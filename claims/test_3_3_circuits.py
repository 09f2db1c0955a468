"""Section 3.3: MLP inputs are made of what heads bind and what earlier neurons write."""

import pytest

from vsa_checks.sections import bound_tokens, circuits, figure2


@pytest.mark.claim("circuits-bound-tokens")
def test_circuits_bound_tokens(subject, check):
    """Tokens bound by the heads of layer 0 bring sums of five closer to first-layer neurons."""
    check(subject, bound_tokens.gain_of_bound_tokens)


@pytest.mark.claim("circuits-mlp-to-mlp")
def test_circuits_mlp_to_mlp(subject, check):
    """What neurons write is read by later layers more often than by earlier ones."""
    check(subject, circuits.mlp_to_mlp)


@pytest.mark.claim("circuit-figure2")
def test_circuit_figure2(subject, check):
    """The links of figure 2 rank first, or nearly, among all of their layers."""
    check(subject, figure2.published_path)
