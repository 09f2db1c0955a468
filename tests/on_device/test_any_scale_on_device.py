"""Vectors of any size on a torch device: the tests of the compiled engine."""

from __future__ import annotations

from tests.measures.test_any_scale import (  # noqa: F401 - on a device
    test_bundles_of_neurons_of_any_size,
    test_bundles_of_tokens_of_any_size,
    test_cosines_of_pairs,
    test_tokens_of_very_different_sizes,
)
