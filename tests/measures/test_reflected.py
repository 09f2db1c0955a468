"""Bound tokens reflected in their principal axes, and the pursuit among a shortlist: against the pursuit over all."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vsa_checks import bound_heads, nulls, shortlisted
from vsa_checks.bound_heads import Heads
from vsa_checks.bound_tokens import Part, pursue
from vsa_checks.reflected import pursue_reflected

D, RANK, TOKENS = 24, 16, 90
Rows = NDArray[np.float32]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def words(rng: np.random.Generator) -> Part:
    return Part(rng.standard_normal((TOKENS, D), dtype=np.float32))


@pytest.fixture
def bound(rng: np.random.Generator) -> list[Part]:
    spectrum = (np.arange(1.0, RANK + 1) ** -0.5).astype(np.float32)
    return [
        Part(
            rng.standard_normal((TOKENS, RANK), dtype=np.float32) * spectrum,
            rng.standard_normal((RANK, D)).astype(np.float32),
        )
        for _ in range(3)
    ]


def vectors(part: Part) -> NDArray[np.float64]:
    return part.rows(np.arange(len(part.left)))


def reflect(heads: Heads, signs: Rows) -> list[Part]:
    return [Part(left, sign[:, None] * right) for left, right, sign in zip(heads.left, heads.right, signs, strict=True)]


def test_on_their_principal_axes_bound_tokens_are_the_same_vectors(bound: list[Part]) -> None:
    heads = Heads.of(list(bound))
    for part, own, right, squares in zip(bound, heads.parts, heads.right, heads.squares, strict=True):
        assert vectors(own) == pytest.approx(vectors(part), abs=1e-4)
        assert right @ right.T == pytest.approx(np.eye(RANK), abs=1e-5)
        assert squares == pytest.approx((vectors(part) ** 2).sum(axis=1), rel=1e-4)
        moment = own.left.T @ own.left
        assert moment == pytest.approx(np.diag(np.diag(moment)), abs=1e-2)
        assert (np.diff(np.diag(moment)) < 1e-2).all()


def test_a_head_of_less_rank_than_its_width_keeps_its_vectors(rng: np.random.Generator) -> None:
    narrow = rng.standard_normal((3, D)).astype(np.float32)
    part = Part(
        rng.standard_normal((TOKENS, 5), dtype=np.float32), rng.standard_normal((5, 3)).astype(np.float32) @ narrow
    )
    assert vectors(Heads.of([part]).parts[0]) == pytest.approx(vectors(part), abs=1e-4)


def test_reflections_keep_lengths_angles_space_and_covariance(bound: list[Part], rng: np.random.Generator) -> None:
    heads = Heads.of(list(bound))
    signs = heads.reflections(200, rng)
    assert signs.shape == (200, 3, RANK)
    assert (signs[:, :, : RANK // bound_heads.KEPT] == 1).all()
    assert np.abs(signs[:, :, RANK // bound_heads.KEPT :].mean(axis=0)).max() < 5 / np.sqrt(200)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    for part, mirrored in zip(bound, reflect(heads, signs[0]), strict=True):
        before, after = vectors(part), vectors(mirrored)
        assert after @ after.T == pytest.approx(before @ before.T, abs=1e-3)
        assert after.T @ after == pytest.approx(before.T @ before, abs=1e-2)
        assert np.linalg.matrix_rank(np.vstack([before, after]), tol=1e-3) == RANK
        assert np.abs(after - before).max() > 0.5


def test_with_all_on_the_shortlist_it_is_the_pursuit_over_all(
    words: Part, bound: list[Part], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlisted, "SHORTLIST", 4 * TOKENS)
    monkeypatch.setattr(shortlisted, "STRIP", 37)
    heads, neurons = Heads.of(list(bound)), nulls.random_directions(20, D, rng)
    signs = np.concatenate([np.ones((1, 3, RANK), np.float32), heads.reflections(4, rng)])
    steps: list[tuple[int, int]] = []
    found = pursue_reflected(neurons, words, heads, signs, 5, progress=lambda n, of: steps.append((n, of)))
    assert steps == [(n, 5) for n in range(1, 6)]
    assert found[0] == pytest.approx(pursue(neurons, [words, *bound], 5).cosines[:, -1], abs=1e-5)
    for cosines, sign in zip(found, signs, strict=True):
        known = pursue(neurons, [words, *reflect(heads, sign)], 5).cosines[:, -1]
        assert cosines == pytest.approx(known, abs=1e-5)


def test_on_other_axes_all_is_as_in_the_pursuit_over_the_reflected_vectors(
    words: Part, bound: list[Part], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlisted, "SHORTLIST", 4 * TOKENS)
    heads, neurons = Heads.of(list(bound)), nulls.random_directions(20, D, rng)
    axes = np.linalg.qr(rng.standard_normal((D, D)))[0].astype(np.float32)
    signs = rng.choice(np.array([-1, 1], np.float32), (2, 3, D))
    found = pursue_reflected(neurons, words, heads, signs, 5, axes=axes)
    for cosines, sign in zip(found, signs, strict=True):
        mirrored = [(vectors(part) @ axes * own) @ axes.T for part, own in zip(bound, sign, strict=True)]
        for before, part in zip(mirrored, heads.reflected_on(axes, sign).parts, strict=True):
            assert vectors(part) == pytest.approx(before, abs=1e-4)
        known = pursue(neurons, [words, *(Part(one.astype(np.float32)) for one in mirrored)], 5).cosines[:, -1]
        assert cosines == pytest.approx(known, abs=1e-5)


@pytest.mark.parametrize("sample", [2**15, 60])
def test_a_shortlist_holds_the_vectors_of_largest_cosine_and_bundles_become_hardly_worse(
    sample: int, words: Part, bound: list[Part], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlisted, "SHORTLIST", 30)
    monkeypatch.setattr(shortlisted, "SAMPLE", sample)
    heads, neurons = Heads.of(list(bound)), nulls.random_directions(40, D, rng)
    found = pursue_reflected(neurons, words, heads, np.ones((1, 3, RANK), np.float32), 5)[0]
    whole = pursue(neurons, [words, *bound], 5).cosines[:, -1]
    assert whole.mean() - 0.03 < found.mean() <= whole.mean() + 0.003
    single = pursue_reflected(neurons, words, heads, np.ones((1, 3, RANK), np.float32), 1)[0]
    assert single == pytest.approx(pursue(neurons, [words, *bound], 1).cosines[:, 0], abs=1e-5)


def test_vectors_without_a_direction_are_never_included(
    words: Part, bound: list[Part], rng: np.random.Generator
) -> None:
    words.left[5:] = 0.0
    for part in bound:
        part.left[:] = 0.0
    bound[1].left[7] = 1.0
    neurons = -nulls.random_directions(6, D, rng)
    heads = Heads.of(list(bound))
    found = pursue_reflected(neurons, words, heads, np.ones((1, 3, RANK), np.float32), 5)[0]
    assert found == pytest.approx(pursue(neurons, [words, *bound], 5).cosines[:, -1], abs=1e-5)


@pytest.mark.slow
def test_neurons_that_share_one_direction_give_p_values_that_are_even() -> None:
    """All of a layer's neurons gain alike then, and so the draw of the bound tokens alone decides."""
    ranks = []
    for seed in range(150):
        rng = np.random.default_rng([seed, 2])
        words = Part(rng.standard_normal((TOKENS, D), dtype=np.float32))
        # At about the tokens' length, as bound tokens are.
        reads, writes = rng.standard_normal((3, D, 8)) / D, rng.standard_normal((3, 8, D)) * np.sqrt(D / 8)
        heads = Heads.of(
            [
                Part(words.left @ read.astype(np.float32), write.astype(np.float32))
                for read, write in zip(reads, writes, strict=True)
            ]
        )
        direction = rng.standard_normal(D) + 0.05 * rng.standard_normal((10, D))
        neurons = (direction / np.linalg.norm(direction, axis=1, keepdims=True)).astype(np.float32)
        signs = np.concatenate([np.ones((1, 3, 8), np.float32), heads.reflections(19, rng)])
        means = pursue_reflected(neurons, words, heads, signs, 5).mean(axis=1)
        ranks.append(np.count_nonzero(means[1:] >= means[0]))
    counts = np.bincount(ranks, minlength=20)
    assert counts[0] / 150 < 0.12  # 5% expected
    assert counts.reshape(4, 5).sum(axis=1) / 150 == pytest.approx(0.25, abs=0.12)
