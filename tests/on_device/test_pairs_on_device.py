"""pairwise_cosines on a torch device against a double loop over pairs, and against the compiled engine."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.measures.test_measure_properties import test_pairs_of_any_small_rows  # noqa: F401 - on a device
from tests.measures.test_pairwise_cosines import (  # noqa: F401 - these too
    EXAMPLES,
    THRESHOLDS,
    test_every_number_is_that_of_all_pairs,
    test_exact_cosines_count_as_above_only_where_they_are_above,
    test_vectors_that_make_no_pair_are_refused,
)
from vsa_checks.orthogonality import PairwiseCosines, pairwise_cosines


def assert_identical(found: PairwiseCosines, expected: PairwiseCosines) -> None:
    """Every field equal, to the last pair and bit."""
    for field in dataclasses.fields(expected):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, dict):
            assert one.keys() == other.keys()
            for key in other:
                np.testing.assert_array_equal(one[key], other[key], err_msg=f"{field.name} {key}")
        else:
            assert type(one) is type(other)
            np.testing.assert_array_equal(one, other, err_msg=field.name)


@pytest.mark.parametrize("block", [None, 1, 16, 50])
@pytest.mark.parametrize("levels", [(), (0.25,), (0.5, 0.0, 0.25, 1.0, -0.1)])
def test_exact_cosines_are_counted_as_the_compiled_engine_counts_them(
    levels: tuple[float, ...], block: int | None, device: torch.device
) -> None:
    """Vectors of 16 signs: cosines are multiples of 1/8, many of them at an edge of a bin, or equal to a level."""
    vectors = np.random.default_rng(1).choice([-1.0, 1.0], (90, 16)).astype(np.float32)
    vectors[3], vectors[8], vectors[40] = vectors[2], -vectors[2], 0
    found = pairwise_cosines(vectors, levels, block=block, device=device)
    assert_identical(found, pairwise_cosines(vectors, levels))


def test_vectors_of_real_norms_differ_by_rounding_alone(device: torch.device) -> None:
    rng = np.random.default_rng(5)
    vectors = (rng.standard_normal((1500, 48)) * rng.lognormal(0, 0.3, (1500, 1)) + 0.2).astype(np.float32)
    compiled = pairwise_cosines(vectors, THRESHOLDS)
    for block in (None, 400):
        found = pairwise_cosines(vectors, THRESHOLDS, block=block, device=device)
        assert (found.mean, found.rms) == (compiled.mean, compiled.rms), "moments are made alike"
        assert found.max_abs == pytest.approx(compiled.max_abs, abs=1e-6)
        assert found.histogram.sum() == compiled.histogram.sum() == found.n_pairs
        # of a million pairs few lie within rounding of an edge of their bin
        assert np.abs(np.cumsum(found.histogram - compiled.histogram)).max() <= 20
        for level in THRESHOLDS:
            assert np.abs(found.above_by_row[level] - compiled.above_by_row[level]).max() <= 2


def test_progress_runs_to_its_end(device: torch.device) -> None:
    heard: list[tuple[int, int]] = []
    vectors = EXAMPLES["n>d"]
    pairwise_cosines(vectors, block=20, device=device, progress=lambda *told: heard.append(told))
    assert heard == [(20, 41), (40, 41), (41, 41)]
