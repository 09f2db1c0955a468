"""pairwise_cosines against a double loop over pairs and a Gram matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from tests import oracles
from tests.oracles import CLOSE, Rows
from vsa_checks.orthogonality import (
    PairwiseCosines,
    centered,
    live_rows,
    mean_cosine,
    pairwise_cosines,
    rms_cosine,
    row_mean_squares,
    second_moment,
)

THRESHOLDS = (0.05, 0.2, 0.6)


def gaussian(n: int, d: int, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def awkward() -> Rows:
    """A dead row, a duplicate, a scaled duplicate, an antiparallel row, and norms over six orders of magnitude."""
    rows = gaussian(19, 6, 3) * 10.0 ** np.linspace(-3, 3, 19)[:, None].astype(np.float32)
    rows[4] = 0
    rows[7] = rows[2]
    rows[11] = rows[2] * np.float32(37)
    rows[15] = -rows[3]
    return rows


EXAMPLES = {
    "n<d": gaussian(9, 20),
    "n>d": gaussian(41, 5),
    "n=d": gaussian(12, 12),
    "one pair": gaussian(2, 7),
    "one dimension": gaussian(6, 1),
    "awkward": awkward(),
    "mean far from zero": gaussian(23, 8) + np.float32(5),
    "float16": gaussian(14, 9).astype(np.float16),
    "float64": gaussian(14, 9).astype(np.float64) * 1e-9,
    "lists of whole numbers": np.array([[1, 2], [3, 4], [-5, 6]]),
}


def assert_equal_to_pairs(found: PairwiseCosines, vectors: Rows) -> None:
    """Every number of `found` from the cosines of all pairs, one at a time."""
    pairs = oracles.pair_cosines(vectors)
    cosines = np.array(list(pairs.values()))
    alive = [i for i, row in enumerate(vectors) if row.any()]
    assert found.n_vectors == len(alive)
    assert found.n_excluded == len(vectors) - len(alive)
    assert found.n_pairs == len(pairs) == len(alive) * (len(alive) - 1) // 2
    assert found.rows.tolist() == alive
    assert found.mean == pytest.approx(cosines.mean(), abs=CLOSE)
    assert found.rms == pytest.approx(np.sqrt((cosines**2).mean()), abs=CLOSE)
    assert found.max_abs == pytest.approx(np.abs(cosines).max(), abs=CLOSE)
    assert found.max_abs <= 1
    own = [[c for pair, c in pairs.items() if i in pair] for i in alive]
    np.testing.assert_allclose(found.mean_square_by_row, [np.mean(np.square(row)) for row in own], rtol=0, atol=CLOSE)
    for threshold in THRESHOLDS:
        # a cosine within rounding of the threshold may be counted either way
        least = (np.abs(cosines) > threshold + CLOSE).mean()
        most = (np.abs(cosines) > threshold - CLOSE).mean()
        assert least - 1e-12 <= found.fraction_above[threshold] <= most + 1e-12
        for row, count in zip(own, found.above_by_row[threshold], strict=True):
            sizes = np.abs(row)
            assert (sizes > threshold + CLOSE).sum() <= count <= (sizes > threshold - CLOSE).sum()
        assert found.above_by_row[threshold].sum() == round(2 * found.n_pairs * found.fraction_above[threshold])
    assert_histogram(found, cosines)


def assert_histogram(found: PairwiseCosines, cosines: Rows) -> None:
    edges, below = found.bin_edges, np.concatenate([[0], np.cumsum(found.histogram)])
    assert (edges[0], edges[-1]) == (-1.0, 1.0)
    assert len(edges) == len(found.histogram) + 1
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0])
    assert found.histogram.sum() == found.n_pairs
    for edge, count in zip(edges[1:-1], below[1:-1], strict=True):
        assert (cosines < edge - CLOSE).sum() <= count <= (cosines < edge + CLOSE).sum(), f"bins below {edge}"


@pytest.mark.parametrize("block", [None, 1, 3, 7])
@pytest.mark.parametrize("example", EXAMPLES)
def test_every_number_is_that_of_all_pairs(example: str, block: int | None, device: torch.device | None) -> None:
    vectors = EXAMPLES[example]
    assert_equal_to_pairs(pairwise_cosines(vectors, THRESHOLDS, block=block, device=device), vectors)


def test_rows_of_several_chunks() -> None:
    """The compiled loop looks at 256 columns at a time, and one by one only where some pair is above a threshold.

    Here single pairs of 700 are, in the first chunk of a row, in a later one, or in none.
    """
    vectors = gaussian(700, 60, 11)
    for i, j in ((3, 40), (5, 300), (6, 290), (6, 699), (250, 600), (400, 401)):
        vectors[j] = vectors[i] + 0.1 * vectors[j]
    unit = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1)[:, None]
    sizes = np.abs(np.tril(unit @ unit.T, -1))
    for block in (2048, 300):
        found = pairwise_cosines(vectors, (0.45, 0.9), block=block)
        for threshold, most in ((0.45, 200), (0.9, 8)):
            assert 6 <= (sizes > threshold).sum() <= most, "the example is what it is meant to be"
            assert found.fraction_above[threshold] == (sizes > threshold).sum() / (700 * 699 // 2)
            own = (sizes > threshold).sum(axis=0) + (sizes > threshold).sum(axis=1)
            np.testing.assert_array_equal(found.above_by_row[threshold], own)
        assert found.max_abs == pytest.approx(sizes.max(), abs=CLOSE)
        assert_histogram(found, (unit @ unit.T)[np.tril_indices(700, -1)])
        assert found.histogram.dtype == found.above_by_row[0.9].dtype == np.int64


def test_rows_beyond_one_block_of_moments() -> None:
    """Moments are summed over 1,024 rows at a time: rows on both sides of the edges, each against all others."""
    vectors = gaussian(2060, 5, 9) + np.float32(0.3)
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    found = row_mean_squares(live_rows(vectors).unit)
    assert found.shape == (2060,)
    for i in (0, 500, 1022, 1023, 1024, 2047, 2048, 2059):
        assert found[i] == pytest.approx((np.square(unit @ unit[i]).sum() - 1) / 2059, abs=1e-7)
    np.testing.assert_allclose(second_moment(vectors), vectors.astype(np.float64).T @ vectors, rtol=1e-9)


@pytest.mark.parametrize("d", [191, 192, 193, 400])
def test_columns_beyond_one_strip_of_the_second_moment(d: int) -> None:
    unit = live_rows(gaussian(d + 60, d, d) + np.float32(0.3)).unit.astype(np.float64)
    gram = unit @ unit.T
    np.fill_diagonal(gram, 0)
    expected = np.square(gram).sum(axis=1) / (d + 59)
    np.testing.assert_allclose(row_mean_squares(unit.astype(np.float32)), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int32, np.bool_])
@pytest.mark.parametrize("dead", [(), (0, 4, 39)])
def test_unit_rows_are_quotients_in_float64_rounded_once(kind: type[np.generic], dead: tuple[int, ...]) -> None:
    vectors = (gaussian(40, 300, 8) * 3).astype(kind)
    vectors[list(dead)] = 0
    alive = [i for i in range(40) if i not in dead]
    live = live_rows(vectors)
    exact = vectors[alive].astype(np.float64)
    np.testing.assert_array_equal(live.unit, (exact / np.linalg.norm(exact, axis=1)[:, None]).astype(np.float32))
    assert live.unit.dtype == np.float32
    assert live.rows.tolist() == alive
    assert live.n_excluded == len(dead)


def test_exact_cosines_count_as_above_only_where_they_are_above(device: torch.device | None) -> None:
    vectors = np.array([[1, 1, 1, 1], [1, 1, 1, -1], [1, 1, -1, -1]], np.float32)  # cosines .5, 0, .5
    found = pairwise_cosines(vectors, (0.0, 0.5, 0.49), device=device)
    assert found.fraction_above == {0.0: 2 / 3, 0.5: 0.0, 0.49: 2 / 3}
    # A threshold is taken as float32, as the cosines are: 3/5 is not above .6.
    assert pairwise_cosines(np.array([[3.0, 4], [1, 0]]), (0.6,), device=device).fraction_above == {0.6: 0.0}


def test_thresholds_may_stand_in_any_order_or_be_left_out() -> None:
    vectors = gaussian(30, 4)
    ordered = pairwise_cosines(vectors, (0.1, 0.5, 0.9)).fraction_above
    assert pairwise_cosines(vectors, (0.9, 0.1, 0.5, 0.1)).fraction_above == ordered
    assert ordered[0.1] > ordered[0.5] > ordered[0.9] > 0
    assert pairwise_cosines(vectors).fraction_above == {}


def test_progress_runs_to_its_end() -> None:
    heard: list[tuple[int, int]] = []
    pairwise_cosines(gaussian(50, 5), block=20, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(done, 6) for done in range(1, 7)]


def test_an_interrupted_count_stops_and_leaves_blas_its_threads() -> None:
    heard: list[int] = []

    def interrupt(done: int, total: int) -> None:
        heard.extend(threads())
        raise KeyboardInterrupt

    def threads() -> list[int]:
        """Of the BLAS of NumPy and that of SciPy."""
        return [pool["num_threads"] for pool in threadpool_info() if "scipy_openblas" in pool["filepath"]]

    before = threads()
    with pytest.raises(KeyboardInterrupt):
        pairwise_cosines(gaussian(50, 5), block=20, progress=interrupt)
    assert heard == [1, 1]
    assert threads() == before


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((1, 3)), "1 vectors with a direction"),
        (np.zeros((5, 3)), "0 vectors with a direction"),
        (np.array([[0.0, 0], [1, 2], [0, 0]]), "1 vectors with a direction"),
        (np.ones(4), r"shape \(n, d\)"),
        (np.ones((2, 3, 4)), r"shape \(n, d\)"),
        (np.array([[1.0, 2], [np.nan, 1]]), "row 1 holds NaN"),
        (np.array([[1.0, 2], [1, 1], [np.inf, 1]]), "row 2 holds NaN or infinite"),
    ],
)
def test_vectors_that_make_no_pair_are_refused(vectors: Rows, message: str, device: torch.device | None) -> None:
    with pytest.raises(ValueError, match=message):
        pairwise_cosines(vectors, (0.1,), device=device)


def test_mean_and_rms_are_exact_for_either_shape() -> None:
    """The smaller of two Gram matrices is used: both must give the same."""
    for n, d in ((3, 50), (50, 3), (20, 20), (21, 20)):
        unit = live_rows(gaussian(n, d)).unit
        off = (unit.astype(np.float64) @ unit.T.astype(np.float64))[~np.eye(n, dtype=bool)]
        assert mean_cosine(unit) == pytest.approx(off.mean(), abs=1e-7)
        assert rms_cosine(unit) == pytest.approx(np.sqrt((off**2).mean()), abs=1e-7)
    for measure in (mean_cosine, rms_cosine):
        with pytest.raises(ValueError, match="make no pair"):
            measure(unit[:1])


def test_numbers_of_nearly_orthogonal_rows_are_exact() -> None:
    """Where little is left beside the diagonal, squared norms summed in float32 would be most of it."""
    for n, d in ((2, 30), (20, 30), (30, 20)):
        rows, _ = np.linalg.qr(np.random.default_rng(n).standard_normal((n, d)))
        unit = live_rows(np.pad(rows, ((0, 0), (0, d - rows.shape[1]))) + 1e-4 * gaussian(n, d)).unit
        gram = unit.astype(np.float64) @ unit.T.astype(np.float64)
        off = gram[~np.eye(n, dtype=bool)]
        assert rms_cosine(unit) == pytest.approx(np.sqrt((off**2).mean()), rel=1e-5)
        assert mean_cosine(unit) == pytest.approx(off.mean(), rel=1e-5)
        own = [(np.delete(row, i) ** 2).mean() for i, row in enumerate(gram)]
        np.testing.assert_allclose(row_mean_squares(unit), own, rtol=1e-5 if n <= d else 1e-10)
    assert row_mean_squares(unit).dtype == np.float64


def test_a_row_across_all_others_has_a_mean_square_of_zero_and_not_less() -> None:
    """In more rows than dimensions it is a difference of sums, which rounding may leave below zero."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        found = row_mean_squares(live_rows(axes[[0, 1, 1, 1, 1, 1]]).unit)
        assert 0 <= found[0] < 1e-12


def test_centering_takes_the_mean_in_float64() -> None:
    vectors = gaussian(5000, 3) + np.float32(1e4)
    expected = vectors - vectors.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(centered(vectors), expected, rtol=0, atol=1e-6)
    assert np.abs(centered(vectors).mean(axis=0)).max() < 1e-6
    assert centered(vectors.astype(np.float64)).dtype == np.float32
