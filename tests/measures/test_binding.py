"""What heads do to tokens, against brute force, the operations of vsa.py, and matrices whose effect is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vsa_checks import binding
from vsa_checks.binding import gaussian_maps, gram_square, head_maps, measure_binding
from vsa_checks.orthogonality import live_rows
from vsa_checks.premise.operations import found_again

N, D, RANK, HEADS = 70, 24, 6, 3


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def unit(rng: np.random.Generator) -> NDArray[np.float32]:
    return live_rows(rng.standard_normal((N, D)) + 0.5 * rng.standard_normal(D)).unit


def brute_change(before: NDArray[np.floating], after: NDArray[np.floating]) -> float:
    squares = []
    for i in range(len(before)):
        for j in range(i):
            cosine = after[i] @ after[j] / np.sqrt((after[i] @ after[i]) * (after[j] @ after[j]))
            squares.append((cosine - before[i] @ before[j]) ** 2)
    return float(np.sqrt(np.mean(squares)))


def brute_recovered(unit: NDArray[np.floating], matrix: NDArray[np.floating], query: int) -> bool:
    back = (unit[query] @ matrix) @ matrix.T
    return bool(np.argmax([back @ word for word in unit]) == query)


@pytest.mark.parametrize("product", [False, True], ids=["one matrix", "a product"])
def test_both_numbers_are_those_of_the_obvious_way(
    product: bool, unit: NDArray[np.float32], rng: np.random.Generator
) -> None:
    reads = rng.standard_normal((HEADS, D, RANK))
    writes = rng.standard_normal((HEADS, RANK, D + 3))
    asked = np.arange(0, N, 2)
    found = measure_binding(unit, head_maps(reads, writes if product else None), asked)
    for head in range(HEADS):
        whole = reads[head] @ writes[head] if product else reads[head]
        exact = unit.astype(np.float64)
        assert found.similarity_change[head] == pytest.approx(brute_change(exact, exact @ whole), rel=1e-5)
        assert found.recovered[head].tolist() == [brute_recovered(exact, whole, int(query)) for query in asked]
    assert 0 < found.recovered.mean() < 1


def test_a_projection_changes_cosines_by_what_theory_says() -> None:
    """Projected onto r of d random dimensions: cosines of deviation 1/sqrt(d) become those of deviation 1/sqrt(r)."""
    d, rank, n = 600, 40, 400
    rng = np.random.default_rng(0)
    unit = live_rows(rng.standard_normal((n, d))).unit
    frames = np.stack([np.linalg.qr(rng.standard_normal((d, rank)))[0] for _ in range(6)])
    changes = measure_binding(unit, head_maps(frames), [0]).similarity_change
    # The dot product before is uncorrelated with what projecting adds to it; each has its own variance.
    assert changes == pytest.approx(np.sqrt(1 / rank - 1 / d), rel=0.03)


def test_a_head_that_forgets_a_direction_loses_the_tokens_in_it(rng: np.random.Generator) -> None:
    axes = np.eye(6, dtype=np.float32)
    keep = np.diag([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    found = measure_binding(axes, head_maps(keep[None]), np.arange(6))
    assert found.recovered[0].tolist() == [True, True, True, False, False, False]
    assert found.similarity_change[0] == 0.0  # of the three that are left, all orthogonal as before


def test_a_head_that_maps_to_nothing_has_no_number(unit: NDArray[np.float32]) -> None:
    found = measure_binding(unit, np.zeros((1, D, RANK)), np.arange(N))
    assert np.isnan(found.similarity_change[0])
    assert not found.recovered.any()


def test_what_is_known_of_the_tokens_beforehand_changes_nothing(
    unit: NDArray[np.float32], rng: np.random.Generator
) -> None:
    maps = gaussian_maps(HEADS, D, RANK, rng, D)
    assert gram_square(unit) == pytest.approx(np.sum((unit.astype(np.float64) @ unit.T) ** 2), rel=1e-6)
    first = measure_binding(unit, maps, np.arange(N))
    again = measure_binding(unit, maps, np.arange(N), gram_square(unit))
    assert np.array_equal(first.similarity_change, again.similarity_change)
    assert np.array_equal(first.recovered, again.recovered)


def test_heads_and_words_in_blocks_give_what_single_heads_do(
    unit: NDArray[np.float32], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = gaussian_maps(5, D, RANK, rng)
    maps[1] = np.outer(np.eye(D)[0], np.eye(RANK)[0])  # the words without the first coordinate map to zero here
    words = unit.copy()
    words[3:20, 0] = 0.0
    singly = [measure_binding(words, one[None], np.arange(N)) for one in maps]
    monkeypatch.setattr(binding, "TOGETHER", 2 * RANK)
    monkeypatch.setattr(binding, "BLOCK_ROWS", 16)
    monkeypatch.setattr(binding, "RIVALS", 8)
    monkeypatch.setattr(binding, "QUERIES", 9)
    found = measure_binding(words, maps, np.arange(N))
    assert found.similarity_change == pytest.approx(np.concatenate([one.similarity_change for one in singly]), rel=1e-5)
    assert np.array_equal(found.recovered, np.concatenate([one.recovered for one in singly]))
    exact = words.astype(np.float64)
    for head in (0, 2, 3, 4):
        assert found.recovered[head].tolist() == found_again(exact, maps[head]).tolist()
    kept = np.flatnonzero(words[:, 0])
    assert found.similarity_change[1] == pytest.approx(brute_change(exact[kept], exact[kept] @ maps[1]), rel=1e-4)
    assert not found.recovered[1, 3:20].any()


def test_of_equal_words_the_first_is_named(unit: NDArray[np.float32], rng: np.random.Generator) -> None:
    twice = np.concatenate([unit, unit])
    found = measure_binding(twice, gaussian_maps(1, D, D, rng), np.arange(2 * N))
    assert found.recovered[0, :N].any()
    assert not found.recovered[0, N:].any()


def test_gaussian_products_have_the_geometry_of_their_products() -> None:
    maps = gaussian_maps(2, D, RANK, np.random.default_rng(3), D)
    again = np.random.default_rng(3)
    reads = again.standard_normal((2, D, RANK)) / np.sqrt(D)
    whole = reads @ (again.standard_normal((2, RANK, D)) / np.sqrt(RANK))
    for image, product in zip(maps, whole, strict=True):
        assert image @ image.T == pytest.approx(product @ product.T, abs=1e-5)


@pytest.mark.parametrize(
    ("reads", "writes"),
    [
        (np.ones((3, 2)), None),
        (np.ones((1, 3, 2)), np.ones((1, 3, 2))),
        (np.ones((2, 3, 2)), np.ones((1, 2, 3))),
        (np.ones((3, 2)), np.ones((2, 3))),
    ],
)
def test_matrices_that_do_not_fit_are_refused(reads: NDArray[np.floating], writes: NDArray[np.floating] | None) -> None:
    with pytest.raises(ValueError, match="expected"):
        head_maps(reads, writes)
