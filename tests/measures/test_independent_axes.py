"""Axes of heavy tails are found again, the refined ones closer than the first."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vsa_checks.independent_axes import _orthogonal, independent_axes, refined_axes

D = 24


def rotation(d: int, seed: int = 1) -> np.ndarray:
    return stats.ortho_group.rvs(d, random_state=seed).astype(np.float32)


def found_again(rows: np.ndarray, turn: np.ndarray, seed: int = 0) -> np.ndarray:
    """Cosines (d, d) of the axes found with the true ones."""
    rows = (rows @ turn.T).astype(np.float32)
    found = independent_axes(rows - rows.mean(axis=0), np.random.default_rng(seed))
    assert found.T @ found == pytest.approx(np.eye(len(turn)), abs=1e-5)
    return np.abs(turn.T @ found)


@pytest.mark.parametrize("law", ["t", "laplace", "sparse", "one-sided"])
def test_rotated_axes_of_heavy_tails_are_found_again(law: str) -> None:
    rng = np.random.default_rng(13)
    shape = (3000, D)
    rows = {
        "t": lambda: rng.standard_t(3, shape),
        "laplace": lambda: rng.laplace(size=shape),
        "sparse": lambda: rng.standard_normal(shape) * (rng.random(shape) < 0.1),
        "one-sided": lambda: np.abs(rng.standard_t(3, shape)),
    }[law]()
    cosines = found_again(rows, rotation(D))
    assert np.median(cosines.max(axis=0)) > 0.93 and np.median(cosines.max(axis=1)) > 0.93


def test_of_groups_of_axes_the_groups_are_found_again() -> None:
    rng = np.random.default_rng(14)
    group = np.arange(D) // 6
    rows = rng.standard_normal((3000, D)) * np.where(rng.integers(4, size=(3000, 1)) == group, 4, 1)
    energy = (found_again(rows, rotation(D)) ** 2).reshape(4, 6, D).sum(axis=1)
    assert np.median(energy.max(axis=0)) > 0.95


@pytest.mark.parametrize("rank", [D - 1, D // 2])
def test_axes_of_vectors_that_do_not_span_the_space_are_found_again(rank: int) -> None:
    rng, turn = np.random.default_rng(14), rotation(D)[:, :rank]
    rows = centered(rng.standard_t(3, (3000, rank)) @ turn.T)
    found = independent_axes(rows, np.random.default_rng(0))
    assert found.T @ found == pytest.approx(np.eye(D), abs=1e-5)
    assert np.abs(turn.T @ found[:, rank:]).max() < 1e-4, "the rest is across all vectors"
    cosines = np.abs(turn.T @ found[:, :rank])
    assert np.median(cosines.max(axis=0)) > 0.93 and cosines.max(axis=1).min() > 0.8


def test_fewer_vectors_than_dimensions_leave_the_rest_of_space_as_it_is() -> None:
    rows = centered(np.random.default_rng(15).standard_normal((10, D)))
    found = independent_axes(rows, np.random.default_rng(0))
    assert found.shape == (D, D) and found.T @ found == pytest.approx(np.eye(D), abs=1e-5)
    assert np.abs(rows @ found[:, 9:]).max() < 1e-4
    with pytest.raises(ValueError, match="have no axes"):
        independent_axes(np.zeros((10, D), np.float32), np.random.default_rng(0))


@pytest.mark.parametrize("least", [1.0, 0.3, 2e-3, 5e-4, 1e-9, 0.0])
def test_the_closest_orthogonal_matrix_has_the_same_singular_vectors(least: float) -> None:
    """Whether it comes from the square of the matrix or, where that is too far from even, from its singular values."""
    left, right = rotation(D, 2).astype(float), rotation(D, 3).astype(float)
    values = np.linspace(1.0, least, D)
    found = _orthogonal((left * values) @ right)
    assert found.T @ found == pytest.approx(np.eye(D), abs=1e-8)
    n = D if least else D - 1  # a value of zero leaves its direction's sign open
    assert left.T[:n] @ found @ right.T[:, :n] == pytest.approx(np.eye(n), abs=1e-5 if least < 1e-6 else 1e-6)


def test_rounding_does_not_lead_to_other_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries round differently. These vectors are nearly Gaussian: the search multiplies every difference."""
    rng = np.random.default_rng(17)
    rows = centered(rng.standard_t(9, (1536, 96)) @ rng.standard_normal((96, 96)))

    def found() -> np.ndarray:
        return independent_axes(rows, np.random.default_rng(0))

    first, plain, noise = found(), np.tanh, np.random.default_rng(18)
    monkeypatch.setattr(np, "tanh", lambda x: plain(x) * (1 + 2e-16 * noise.standard_normal(x.shape)))
    assert np.abs(found() - first).max() < 1e-6
    monkeypatch.setattr("vsa_checks.independent_axes._on_grid", lambda axes: axes)
    on_no_grid = found()
    assert np.abs(found() - on_no_grid).max() > 1e-3, "no vectors to show it"


def test_the_signs_of_principal_axes_do_not_matter_to_independent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(16).standard_t(3, (2000, D)).astype(np.float32)
    rows -= rows.mean(axis=0)
    first = independent_axes(rows, np.random.default_rng(0))
    plain = np.linalg.eigh

    def turned(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, axes = plain(matrix)
        return values, axes * np.where(np.arange(len(values)) % 3, 1, -1)

    monkeypatch.setattr(np.linalg, "eigh", turned)
    assert independent_axes(rows, np.random.default_rng(0)) == pytest.approx(first, abs=1e-6)


def centered(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean(axis=0)).astype(np.float32)


LAWS = {
    "sparse": (lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.1), 1e-3),
    "t": (lambda rng, shape: rng.standard_t(3, shape), 0.035),
}


@pytest.mark.parametrize("spread", [1.0, 5.0])
@pytest.mark.parametrize("law", LAWS)
def test_refined_axes_are_closer_to_the_true_ones(law: str, spread: float) -> None:
    draw, most = LAWS[law]
    before: list[float] = []
    after: list[float] = []
    for seed in range(5):
        rng, turn = np.random.default_rng([20, seed]), rotation(D, seed)
        rows = centered((draw(rng, (600, D)) * np.geomspace(1, spread, D)) @ turn.T)
        first = independent_axes(rows, np.random.default_rng(0))
        found = refined_axes(rows, first)
        assert found.T @ found == pytest.approx(np.eye(D), abs=1e-5)
        for kept, axes in ((before, first), (after, found)):
            kept.append(float(np.mean(1 - np.abs(turn.T @ axes).max(axis=1) ** 2)))
    assert np.mean(after) < most
    assert np.mean(after) < 0.7 * np.mean(before)


def test_two_axes_halfway_between_the_true_ones_are_told_apart() -> None:
    """There the slope of the contrast is zero, and a step along it leads nowhere."""
    rows = centered(np.random.default_rng(21).laplace(size=(4000, D)))
    halfway = np.eye(D, dtype=np.float32)
    halfway[:2, :2] = np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    found = np.abs(refined_axes(rows, halfway))
    assert (found.max(axis=1) > 0.99).all()


@pytest.mark.parametrize("seed", range(4))
def test_in_a_plane_refined_axes_are_those_of_a_search_over_all_angles(seed: int) -> None:
    rng = np.random.default_rng([22, seed])
    rows = centered(rng.laplace(size=(400, 2)) @ rotation(2, seed))

    def axes(angle: float) -> np.ndarray:
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def contrast(angle: float) -> float:
        entries = rows @ axes(angle)
        return float(np.log(np.cosh(2 * entries / rows.std())).mean())

    angles = np.linspace(0, np.pi / 2, 2001)
    best = axes(angles[np.argmin([contrast(angle) for angle in angles])])
    found = refined_axes(rows, axes(rng.uniform(0, np.pi)).astype(np.float32))
    assert np.abs(best.T @ found).max(axis=0) == pytest.approx(1.0, abs=2e-4)


def test_how_many_parts_are_in_memory_at_once_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = centered(np.random.default_rng(23).laplace(size=(5000, D)))
    found = []
    for parts in (8, 2):
        monkeypatch.setattr("vsa_checks.independent_axes.PARTS", parts)
        found.append(refined_axes(rows, independent_axes(rows, np.random.default_rng(0))))
    assert np.array_equal(found[0], found[1])
