"""Exchanged coordinates: lengths and angles stay, places go, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from vsa_checks.exchanged import Exchange


def test_lengths_and_angles_stay_and_each_entry_is_found_again() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((5, 9)).astype(np.float32)
    exchange = Exchange.drawn(9, rng)
    moved = exchange.of(vectors)
    assert moved @ moved.T == pytest.approx(vectors @ vectors.T, abs=1e-5)
    assert np.array_equal(np.sort(np.abs(moved), axis=1), np.sort(np.abs(vectors), axis=1))
    assert not np.array_equal(moved, vectors)
    # All vectors alike, as by one matrix.
    assert moved == pytest.approx(vectors @ exchange.of(np.eye(9, dtype=np.float32)), abs=1e-6)


def test_any_axis_may_hold_the_coordinates() -> None:
    rng = np.random.default_rng(1)
    matrices = rng.standard_normal((2, 7, 3)).astype(np.float32)
    exchange = Exchange.drawn(7, rng)
    expected = exchange.of(matrices.transpose(0, 2, 1)).transpose(0, 2, 1)
    assert np.array_equal(exchange.of(matrices, 1), expected)


def test_orders_and_signs_are_drawn_alike() -> None:
    rng = np.random.default_rng(2)
    unit = np.array([1.0, 0.0, 0.0], np.float32)
    counts = np.zeros((2, 3))
    for _ in range(3_000):
        moved = Exchange.drawn(3, rng).of(unit)
        counts[int(moved.sum() > 0), np.flatnonzero(moved)[0]] += 1
    assert counts == pytest.approx(500 * np.ones((2, 3)), abs=100)
