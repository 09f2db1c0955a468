"""The isometry of a head's product against its singular values; the nulls against what they keep and destroy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tests.oracles import Rows
from vsa_checks import nulls
from vsa_checks.isometry import gaussian_layers, isometry
from vsa_checks.orthogonality import live_rows


def heads(seed: int = 0, h: int = 3, d: int = 10, rank: int = 4, out: int | None = None) -> tuple[Rows, Rows]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((h, d, rank)), rng.standard_normal((h, rank, out or d))


def by_singular_values(left: Rows, right: Rows) -> Rows:
    squares = np.array([np.linalg.svd(a @ b, compute_uv=False) ** 2 for a, b in zip(left, right, strict=True)])
    return squares.sum(axis=1) ** 2 / (left.shape[2] * (squares**2).sum(axis=1))


@pytest.mark.parametrize(("d", "rank", "out"), [(10, 4, 10), (10, 4, 7), (6, 6, 6), (5, 1, 5)])
def test_it_is_the_formula_over_singular_values(d: int, rank: int, out: int) -> None:
    left, right = heads(1, 5, d, rank, out)
    np.testing.assert_allclose(isometry(left, right), by_singular_values(left, right), rtol=1e-10)


def test_float32_weights_are_multiplied_in_float64() -> None:
    left, right = (one.astype(np.float32) for one in heads(9))
    exact = by_singular_values(left.astype(np.float64), right.astype(np.float64))
    for one, other in ((left, right), (left.astype(np.float64), right), (left, right.astype(np.float64))):
        np.testing.assert_allclose(isometry(one, other), exact, rtol=1e-12)


def test_an_orthogonal_map_and_its_multiples_give_one() -> None:
    rng = np.random.default_rng(2)
    q, _ = np.linalg.qr(rng.standard_normal((9, 4)))
    r, _ = np.linalg.qr(rng.standard_normal((9, 4)))
    for scale in (1.0, 1e-6, 300.0):
        np.testing.assert_allclose(isometry(scale * q[None], r.T[None]), 1, rtol=1e-12)


def test_a_change_that_leaves_the_model_the_same_leaves_it_the_same() -> None:
    """W_V A and A^-1 W_O; the rows of W_V alone do change their cosines."""
    left, right = heads(3)
    mixing = np.random.default_rng(4).standard_normal((3, 4, 4)) * [[[1, 10, 0.1, 5]]]
    np.testing.assert_allclose(isometry(left @ mixing, np.linalg.inv(mixing) @ right), isometry(left, right), rtol=1e-8)
    rotation, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((10, 10)))
    np.testing.assert_allclose(isometry(rotation @ left, right @ rotation), isometry(left, right), rtol=1e-10)


def test_a_head_that_does_nothing_has_none() -> None:
    left, right = heads()
    left[1] = 0
    with warnings.catch_warnings(action="error"):
        assert np.isnan(isometry(left, right)).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("left", "right"),
    [((3, 5, 2), (3, 4, 5)), ((3, 5, 2), (2, 2, 5)), ((5, 2), (2, 5)), ((1, 5, 2), (1, 2)), ((5, 1), (5, 2, 5))],
)
def test_shapes_that_do_not_fit_are_refused(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(h, d, rank\) and \(h, rank, d\)"):
        isometry(np.ones(left), np.ones(right))


def layers_the_obvious_way(d: int, rank: int, out: int, heads: tuple[int, int], draws: int) -> Rows:
    """Matrices drawn whole, multiplied, and taken apart into singular values."""
    rng = np.random.default_rng(11)
    medians = []
    for _ in range(draws):
        left, right = rng.standard_normal((heads[0], d, rank)), rng.standard_normal((heads[1], rank, out))
        left, right = np.repeat(left, max(heads) // heads[0], axis=0), np.repeat(right, max(heads) // heads[1], axis=0)
        medians.append(np.median(by_singular_values(left, right)))
    return np.array(medians)


@pytest.mark.parametrize(
    ("d", "rank", "out", "heads"),
    [(20, 4, 20, (4, 4)), (20, 4, 8, (2, 6)), (12, 1, 12, (3, 3)), (5, 7, 9, (1, 3)), (30, 6, 30, (6, 1))],
)
def test_layers_of_gaussian_heads_have_the_law_of_matrices_drawn_whole(
    d: int, rank: int, out: int, heads: tuple[int, int]
) -> None:
    drawn = gaussian_layers((d, out), heads, rank, 1000, np.random.default_rng(0))
    whole = layers_the_obvious_way(d, rank, out, heads, 1000)
    assert drawn.shape == (1000,)
    if rank == 1:
        np.testing.assert_allclose(drawn, 1)
    else:
        assert stats.ks_2samp(drawn, whole).pvalue > 0.01
        assert drawn.std() == pytest.approx(whole.std(), rel=0.1)


def test_shared_heads_stray_further_than_heads_of_their_own() -> None:
    """Of six heads with one matrix in common, half of what each is made of is the same."""
    shared, own = (gaussian_layers((40, 40), (one, 6), 8, 1000, np.random.default_rng(1)) for one in (1, 6))
    assert shared.std() > 1.2 * own.std()


@pytest.mark.parametrize(("d", "out", "rank"), [(576, 576, 64), (768, 768, 64), (400, 200, 30)])
def test_gaussian_products_at_real_size_follow_the_closed_form(d: int, out: int, rank: int) -> None:
    """E (sum s^2)^2 over rank E sum s^4 for Wishart matrices: about 1/(1 + rank/d + rank/d_out)."""
    drawn = gaussian_layers((d, out), (1, 1), rank, 200, np.random.default_rng(2))
    exact = d * out / ((out + 1) * (d + rank + 1) + d * rank + 2)
    assert drawn.mean() == pytest.approx(exact, rel=0.002)


# --- nulls ----------------------------------------------------------------------------------------------------


def strong_layer(rows: int = 20_000, d: int = 12) -> NDArray[np.float64]:
    """Gaussian vectors most of whose variance lies along two directions, with a mean, and of very unequal lengths."""
    rng = np.random.default_rng(7)
    deviations = np.concatenate([[1.0, 0.8], np.full(d - 2, 0.15)])
    vectors = rng.standard_normal((rows, d)) * deviations + np.concatenate([np.zeros(d - 1), [0.3]])
    turned = vectors @ np.linalg.qr(rng.standard_normal((d, d)))[0]
    return turned * rng.lognormal(0.0, 0.7, (rows, 1))


def direction_moments(vectors: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.mean(axis=0), np.cov(unit.T)


def test_covariance_matched_vectors_point_as_the_layer_does_whatever_its_lengths() -> None:
    rows = strong_layer()
    mean, covariance = direction_moments(rows)
    drawn_mean, drawn = direction_moments(nulls.covariance_matched(rows).draw(40_000, np.random.default_rng(1)))
    # deviations of components are at most .6 and errors those of 20,000 rows
    np.testing.assert_allclose(drawn_mean, mean, atol=0.02)
    np.testing.assert_allclose(drawn, covariance, atol=0.01)
    # a Gaussian with the moments of the unit rows, brought to unit length in turn, points elsewhere
    unit = live_rows(rows).unit
    naive = np.random.default_rng(1).multivariate_normal(unit.mean(axis=0), np.cov(unit.T), 40_000)
    assert np.abs(direction_moments(naive)[1] - covariance).max() > 0.025
    # and so does one with the moments of the rows as they are
    long = np.random.default_rng(1).multivariate_normal(rows.mean(axis=0), np.cov(rows.T), 40_000)
    assert np.abs(direction_moments(long)[0] - mean).max() > 0.04


def test_the_gaussian_that_made_the_directions_is_found_again() -> None:
    rng = np.random.default_rng(3)
    d = 20
    mean, covariance = rng.standard_normal(d), np.diag(np.geomspace(4.0, 0.2, d))
    rows = rng.multivariate_normal(mean, covariance, 60_000)
    found_mean, found = nulls.gaussian_of_directions(live_rows(rows).unit)
    scale = np.trace(covariance) + mean @ mean
    np.testing.assert_allclose(found_mean, mean / np.sqrt(scale), atol=0.01)
    np.testing.assert_allclose(found, covariance / scale, atol=0.004)
    assert np.trace(found) + found_mean @ found_mean == pytest.approx(1.0)


def test_its_fit_is_that_of_the_obvious_way() -> None:
    """Row by row, with the lengths' density integrated by a sum: see the docstring's a and b."""
    unit = live_rows(strong_layer(60, 8)).unit.astype(np.float64)
    grid = np.linspace(1e-3, 12.0, 6000)
    lengths, squares = np.ones(60), np.ones(60)
    for _ in range(40):
        mean = sum(length * row for length, row in zip(lengths, unit, strict=True)) / 60
        second = sum(square * np.outer(row, row) for square, row in zip(squares, unit, strict=True)) / 60
        inverse = np.linalg.inv(second - np.outer(mean, mean))
        for i, row in enumerate(unit):
            logs = 7 * np.log(grid) - row @ inverse @ row * grid**2 / 2 + row @ inverse @ mean * grid
            density = np.exp(logs - logs.max())
            lengths[i] = (density * grid).sum() / density.sum()
            squares[i] = (density * grid**2).sum() / density.sum()
        scale = squares.mean()
        lengths, squares = lengths / np.sqrt(scale), squares / scale
    found_mean, found = nulls.gaussian_of_directions(unit)
    # the peak of the density stands for its mean: exact to order 1/d, and d is 8 here
    assert np.linalg.norm(found_mean - mean) < 0.06 * np.linalg.norm(mean)
    assert np.linalg.norm(found - (second - np.outer(mean, mean))) < 0.03 * np.linalg.norm(found)


def test_its_fit_is_the_formula_row_by_row() -> None:
    unit = live_rows(strong_layer(50, 6)).unit.astype(np.float64)
    lengths, squares = [1.0] * 50, [1.0] * 50
    for _ in range(60):
        mean = sum(length * row for length, row in zip(lengths, unit, strict=True)) / 50
        second = sum(square * np.outer(row, row) for square, row in zip(squares, unit, strict=True)) / 50
        inverse = np.linalg.inv(second - np.outer(mean, mean))
        for i, row in enumerate(unit):
            a, b = row @ inverse @ row, row @ inverse @ mean
            lengths[i] = (b + (b * b + 20 * a) ** 0.5) / (2 * a)
            squares[i] = lengths[i] ** 2 + 1 / (a + 5 / lengths[i] ** 2)
        scale = float(np.mean(squares))
        lengths, squares = [one / scale**0.5 for one in lengths], [one / scale for one in squares]
    found_mean, found = nulls.gaussian_of_directions(unit)
    np.testing.assert_allclose(found_mean, mean, atol=2e-4)
    np.testing.assert_allclose(found, second - np.outer(mean, mean), atol=2e-4)


@pytest.mark.parametrize(("spread", "push"), [(1.0, 2.0), (30.0, 0.0), (30.0, 0.5), (3000.0, 0.5)])
def test_larger_steps_end_where_plain_rounds_do_and_no_later(
    spread: float, push: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = push * rng.standard_normal(24) + rng.standard_normal((90, 24)) * np.geomspace(1.0, spread, 24)
    unit, rounds, moments = live_rows(rows).unit, [0], nulls._moments

    def counted(*given: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rounds[-1] += 1
        return moments(*given)

    monkeypatch.setattr(nulls, "_moments", counted)
    monkeypatch.setattr(nulls, "SETTLED", 1e-8)
    monkeypatch.setattr(nulls, "MOST_STEPS", 4_000)
    mean, covariance = nulls.gaussian_of_directions(unit)
    rounds.append(0)
    monkeypatch.setattr(nulls, "FURTHER", 1.0)
    plain_mean, plain = nulls.gaussian_of_directions(unit)
    np.testing.assert_allclose(mean, plain_mean, atol=1e-5)
    np.testing.assert_allclose(covariance, plain, atol=1e-5)
    assert rounds[0] <= rounds[1]


def test_twice_as_many_rows_as_dimensions_do_not_settle_a_gaussian() -> None:
    rows = strong_layer(13, 6)
    few, enough = rows[:12], rows
    for chosen, settles in ((few, False), (enough, True)):
        unit = live_rows(chosen).unit
        drawn = nulls.covariance_matched(chosen).draw(3, np.random.default_rng(0))
        spread = (unit - unit.mean(axis=0)) / np.sqrt(len(unit) - 1)
        simple = unit.mean(axis=0) + np.random.default_rng(0).standard_normal((3, len(unit)), np.float32) @ spread
        assert np.allclose(drawn, simple, atol=1e-5) != settles
        assert drawn.dtype == np.float32


def test_lengths_of_rows_and_dead_rows_change_nothing() -> None:
    rows = strong_layer(400)
    lengths = np.random.default_rng(0).lognormal(0.0, 1.0, (400, 1))
    sets = (rows, np.concatenate([np.zeros((30, 12)), lengths * rows]))
    same = [nulls.covariance_matched(one).draw(10, np.random.default_rng(3)) for one in sets]
    np.testing.assert_allclose(same[0], same[1], atol=1e-4)
    with pytest.raises(ValueError, match="fewer than two"):
        nulls.covariance_matched(np.concatenate([rows[:1], np.zeros((3, 12))]))


def test_a_layer_that_leaves_directions_out_is_matched_within_its_span() -> None:
    rows = np.zeros((400, 12))
    rows[:, :4] = strong_layer(400, 4)
    drawn = nulls.covariance_matched(rows).draw(50, np.random.default_rng(0))
    assert np.isfinite(drawn).all()
    assert np.abs(drawn[:, 4:]).max() < 1e-3 < np.abs(drawn[:, :4]).max()


def test_nulls_are_what_the_seed_draws() -> None:
    """float32 draws of the generator in order, put into the formula: the same seed gives the same report."""
    drawn = np.random.default_rng(11).standard_normal((7, 9), dtype=np.float32)
    expected = drawn / np.linalg.norm(drawn.astype(np.float64), axis=1, keepdims=True)
    np.testing.assert_allclose(nulls.random_directions(7, 9, np.random.default_rng(11)), expected, rtol=0, atol=1e-7)
    rows = np.array([[3.0, 0, 4], [0, 2, 0]])
    unit = np.array([[0.6, 0, 0.8], [0, 1, 0]])
    noise = np.random.default_rng(12).standard_normal((5, 2), dtype=np.float32)
    expected = unit.mean(axis=0) + noise @ (unit - unit.mean(axis=0))  # over sqrt(2 - 1)
    found = nulls.covariance_matched(rows).draw(5, np.random.default_rng(12))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    three = np.concatenate([unit, [[0, 0, 1]]])
    noise = np.random.default_rng(13).standard_normal((5, 3), dtype=np.float32)
    expected = three.mean(axis=0) + noise @ (three - three.mean(axis=0)) / np.sqrt(2)
    found = nulls.covariance_matched(three).draw(5, np.random.default_rng(13))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert found.dtype == np.float32


def test_vectors_all_alike_have_no_spread() -> None:
    """The mean of many is taken in float64: in float32 its error would look like a direction of variance."""
    rows = np.tile(np.random.default_rng(14).standard_normal(6), (40_000, 1))
    drawn = nulls.covariance_matched(rows).draw(3, np.random.default_rng(15))
    np.testing.assert_allclose(drawn, rows[:3] / np.linalg.norm(rows[0]), rtol=0, atol=2e-7)
