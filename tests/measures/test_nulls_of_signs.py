"""Exchanged signs keep sizes and the use of each axis, and lose how signs go together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vsa_checks import nulls_of_signs
from vsa_checks.nulls_of_signs import exchange_signs, kept_axes, principal_axes

M, D = 320, 24
ALONE, ALL = np.arange(M), np.arange(M)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def neurons(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return unit(rng.standard_normal((M, D)) + 0.3)


def rotation(d: int, seed: int = 1) -> np.ndarray:
    return stats.ortho_group.rvs(d, random_state=seed).astype(np.float32)


@pytest.mark.parametrize("axes", [None, rotation(D)])
def test_each_neuron_keeps_its_sizes_on_each_axis(axes: np.ndarray | None) -> None:
    rows = neurons()
    found = exchange_signs(rows, ALONE, ALL, np.random.default_rng(2), axes)
    turn = np.eye(D) if axes is None else axes
    assert np.abs(found @ turn) == pytest.approx(np.abs(rows @ turn), abs=1e-6)
    assert not np.allclose(found, rows)


def test_each_axis_keeps_how_often_entries_of_a_size_are_positive() -> None:
    rows = neurons()
    found = exchange_signs(rows, ALONE, ALL, np.random.default_rng(2))
    for axis in range(D):
        order = np.argsort(-np.abs(rows[:, axis]), kind="stable")
        before, after = ((one[order, axis] > 0).reshape(-1, 16).sum(axis=1) for one in (rows, found))
        assert before.tolist() == after.tolist()
    assert found.mean(axis=0) == pytest.approx(rows.mean(axis=0), abs=0.01)
    assert stats.skew(found.ravel()) == pytest.approx(stats.skew(rows.ravel()), abs=0.05)


def test_signs_on_two_axes_no_longer_go_together() -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((M, D))
    rows[:, 1] = rows[:, 0] + 0.1 * rng.standard_normal(M)
    found = exchange_signs(unit(rows), ALONE, ALL, np.random.default_rng(4))
    assert np.mean(np.sign(found[:, 0]) == np.sign(found[:, 1])) == pytest.approx(0.5, abs=0.1)
    assert np.mean(np.sign(found) != np.sign(rows)) == pytest.approx(0.5 * 15 / 16, abs=0.02)


def test_entries_of_one_sign_stay() -> None:
    rows = np.abs(neurons())
    assert np.array_equal(exchange_signs(rows, ALONE, ALL, np.random.default_rng(5)), rows)


def test_a_cluster_turns_as_a_whole() -> None:
    rows = neurons()
    labels = np.arange(M) // 8
    found = exchange_signs(rows, labels, ALL, np.random.default_rng(6))
    turned = (np.sign(found) != np.sign(rows)).reshape(-1, 8, D)
    assert np.array_equal(turned.any(axis=1), turned.all(axis=1)) and 0.2 < turned.mean() < 0.6
    some = np.array([3, 50, 51, 319])
    assert np.array_equal(exchange_signs(rows, labels, some, np.random.default_rng(6)), found[some])


@pytest.mark.parametrize("kept", [0, 3, 8])
def test_the_first_axes_stay_as_they_are(kept: int) -> None:
    rows, axes = neurons(), rotation(D)
    found = exchange_signs(rows, ALONE, ALL, np.random.default_rng(7), axes, kept) @ axes
    same = np.isclose(found, rows @ axes, atol=1e-6).all(axis=0)
    assert same[:kept].all() and not same[kept:].any()


@pytest.mark.parametrize("columns", [1, 5, 64])
def test_axes_are_exchanged_a_few_at_a_time(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nulls_of_signs, "COLUMNS", columns)
    found = exchange_signs(neurons(), ALONE, ALL, np.random.default_rng(8))
    assert np.mean(np.sign(found) != np.sign(neurons())) == pytest.approx(0.45, abs=0.05)


def test_the_sign_of_an_axis_does_not_matter() -> None:
    rows, axes = neurons(), rotation(D)
    turned = axes * np.random.default_rng(9).choice([-1, 1], D).astype(np.float32)
    found = [exchange_signs(rows, ALONE, ALL, np.random.default_rng(10), one, 3) for one in (axes, turned)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_which_of_equal_axes_are_taken_matters_little() -> None:
    """Tokens of equal variance in all directions have no axes of their own: any give the same law."""
    rng = np.random.default_rng(11)
    targets = rng.standard_normal((2000, D))
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    closest = [
        (exchange_signs(neurons(), ALONE, ALL, rng, rotation(D, seed)) @ targets.T).max(axis=1).mean()
        for seed in range(6)
    ]
    assert np.std(closest) < 0.01


# --- axes -----------------------------------------------------------------------------------------------------


def test_principal_axes_come_in_order_of_variance() -> None:
    rng, turn = np.random.default_rng(12), rotation(D)
    rows = ((rng.standard_normal((4000, D)) * 2.0 ** -np.arange(D)) @ turn.T).astype(np.float32)
    found = principal_axes(rows)
    assert found.T @ found == pytest.approx(np.eye(D), abs=1e-5)
    assert np.abs(np.einsum("ij,ij->j", found, turn))[:8] == pytest.approx(1.0, abs=0.01)


def test_a_large_mean_lies_on_the_first_axis() -> None:
    rng, turn = np.random.default_rng(17), rotation(D)
    rows = (rng.standard_normal((400, D)) + 5 * turn[:, 0]).astype(np.float32)
    assert abs(principal_axes(rows)[:, 0] @ turn[:, 0]) > 0.99


@pytest.mark.parametrize(("d", "kept"), [(4, 0), (24, 3), (64, 8), (576, 8)])
def test_most_axes_are_not_kept(d: int, kept: int) -> None:
    assert kept_axes(d) == kept
