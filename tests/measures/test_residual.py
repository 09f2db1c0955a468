"""What a stream keeps of its token and how orthogonal its parts are: against loops and planted streams."""

from __future__ import annotations

import numpy as np
import pytest

from vsa_checks.engine import loops
from vsa_checks.residual import (
    component_cosines,
    cosines_apart,
    exchanged_medians,
    own_ranks,
    ranks_of_each,
    shuffled_medians,
    unit_rows,
)
from vsa_checks.statistics import tail_p


def test_ranks_count_the_tokens_that_lie_closer() -> None:
    rng = np.random.default_rng(0)
    words, streams = rng.standard_normal((2, 60, 7)) * rng.random((2, 60, 1))
    tokens = rng.integers(60, size=60)
    unit = unit_rows(words)
    cosines = (words @ streams.T / np.linalg.norm(words, axis=1)[:, None] / np.linalg.norm(streams, axis=1)).T
    expected = [1 + sum(other > row[token] for other in row) for row, token in zip(cosines, tokens, strict=True)]
    assert own_ranks(streams, unit, tokens).tolist() == expected
    each = ranks_of_each(streams, unit, tokens[:5])
    assert each.shape == (60, 5)
    assert np.array_equal(np.diag(ranks_of_each(streams, unit, tokens)), expected)
    assert each[9].tolist() == [1 + int((cosines[9] > cosines[9, token]).sum()) for token in tokens[:5]]


def test_ranks_of_tokens_that_lie_anywhere_and_tie() -> None:
    rng = np.random.default_rng(3)
    lengths = np.concatenate([[0.0, 1.0, 1.0, 1.0 + 1e-7, 5.0, 1e9], rng.standard_normal(40), 1e-12 * rng.random(6)])
    values = np.outer([1.0, -1.0, 1e-30, 0.0], lengths).astype(np.float32)
    asked = np.array([4, 0, 1, 2, 3, 5, 20, 50, 49, 1])
    scores = values[:, asked]
    for some in (slice(None), slice(0, 1), slice(2, 4)):
        places = np.argsort(scores[:, some], axis=1)
        counts = np.empty(places.shape, np.int32)
        loops.count_above(values, np.take_along_axis(scores[:, some], places, axis=1), places, counts)
        assert np.array_equal(counts, (values[:, None] > scores[:, some, None]).sum(axis=2))


def test_streams_that_hold_their_token_rank_it_first_and_others_at_random() -> None:
    rng = np.random.default_rng(0)
    words = rng.standard_normal((400, 64))
    tokens = rng.permutation(400)[:150]
    streams = words[tokens] + 0.3 * rng.standard_normal((150, 64))
    assert (own_ranks(streams, unit_rows(words), tokens) == 1).all()
    noise = own_ranks(rng.standard_normal((150, 64)), unit_rows(words), tokens)
    assert np.median(noise) == pytest.approx(200, abs=40)


def test_rows_without_a_direction_stay_zero() -> None:
    assert unit_rows([[3.0, 4.0], [0.0, 0.0]]) == pytest.approx(np.array([[0.6, 0.8], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="no row has a direction"):
        unit_rows(np.zeros((3, 2)))


def test_tokens_are_exchanged_everywhere_alike() -> None:
    rng = np.random.default_rng(0)
    ranks, types = np.array([[1, 50], [1, 50], [50, 1], [1, 50]]), np.array([0, 0, 1, 0])
    drawn = shuffled_medians(ranks, types, 50, rng)
    assert set(drawn) == {1.0, 50.0}, "either both tokens stay what they are or both become the other"
    assert set(shuffled_medians(np.full((4, 3), 2), np.array([0, 1, 2, 0]), 20, rng)) == {2.0}


def test_a_token_that_recurs_counts_once_as_evidence() -> None:
    """Streams that are a random function of the token: p is uniform however often each token stands in the text."""
    rng = np.random.default_rng(1)
    p = []
    for _ in range(200):
        by_type = np.argsort(rng.standard_normal((6, 6)), axis=1) + 1
        types = np.repeat(np.arange(6), 30)
        ranks = by_type[types]
        value = np.median(ranks[np.arange(180), types])
        p.append(tail_p(value, shuffled_medians(ranks, types, 199, rng), "<="))
    assert np.mean(np.array(p) <= 0.05) < 0.1
    assert np.mean(p) > 0.45


def test_small_additions_keep_any_token_and_large_ones_only_if_they_lie_elsewhere() -> None:
    rng = np.random.default_rng(2)
    n, d = 50, 40
    words = np.hstack([rng.standard_normal((300, d // 2)), np.zeros((300, d // 2))])
    tokens, unit = rng.integers(300, size=n), unit_rows(words)
    elsewhere = np.hstack([np.zeros((n, d // 2)), rng.standard_normal((n, d // 2))])

    def medians(added: np.ndarray) -> tuple[float, np.ndarray]:
        streams = words[tokens] + added
        value = float(np.median(own_ranks(streams, unit, tokens)))
        return value, exchanged_medians(streams, words[tokens], unit, tokens, 30, rng)

    assert medians(0.05 * rng.standard_normal((n, d)))[1].tolist() == [1.0] * 30
    value, drawn = medians(8 * elsewhere)
    assert value == 1.0 and drawn.min() > 5
    value, drawn = medians(8 * elsewhere[:, ::-1])
    assert value > np.quantile(drawn, 0.9), "written where tokens are"


def test_random_additions_are_not_told_from_exchanged_ones() -> None:
    rng = np.random.default_rng(3)
    words = rng.standard_normal((200, 16))
    unit, p = unit_rows(words), []
    for _ in range(100):
        tokens = rng.integers(200, size=20)
        streams = words[tokens] + 1.5 * rng.standard_t(3, (20, 16))
        value = float(np.median(own_ranks(streams, unit, tokens)))
        p.append(tail_p(value, exchanged_medians(streams, words[tokens], unit, tokens, 39, rng), "<="))
    assert np.mean(np.array(p) <= 0.05) < 0.12
    assert np.mean(p) == pytest.approx(0.5, abs=0.1)


def test_components_apart_lose_what_they_share_at_a_position_and_keep_their_distributions() -> None:
    rng = np.random.default_rng(4)
    shared = np.repeat(rng.standard_normal((300, 1, 40)), 3, axis=1)
    assert component_cosines(shared)[0].mean() == pytest.approx(1.0, abs=1e-5)
    assert cosines_apart(shared, 100, 5, rng) == pytest.approx(np.full(5, 1 / np.sqrt(40)), rel=0.2)
    # Along one direction, beside a mean that is removed: unlike at random, alike at any two positions.
    narrow = np.zeros((300, 3, 40))
    narrow[..., 0], narrow[..., 1] = rng.standard_normal((300, 3)), 5.0
    assert cosines_apart(narrow, 64, 3, rng) == pytest.approx(np.ones(3), abs=1e-4)
    free = rng.standard_normal((300, 3, 40))
    together = np.sqrt(component_cosines(free)[0].mean())
    assert cosines_apart(free, 300, 9, rng).mean() == pytest.approx(together, rel=0.1)


def test_squared_cosines_are_those_of_loops() -> None:
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((150, 3, 6)) + 10 * rng.standard_normal((1, 3, 6))
    by_position, by_pair = component_cosines(parts)
    free = parts - parts.mean(axis=0)
    pairs = np.zeros((150, 3, 3))
    for n in range(150):
        for a in range(3):
            for b in range(3):
                x, y = free[n, a], free[n, b]
                pairs[n, a, b] = (x @ y) ** 2 / (x @ x) / (y @ y)
    assert by_pair == pytest.approx(pairs.mean(axis=0), rel=1e-4)
    off = ~np.eye(3, dtype=bool)
    assert by_position == pytest.approx(pairs[:, off].mean(axis=1), rel=1e-4)


def test_random_components_come_to_one_over_the_width_and_shared_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((400, 5, 50))
    assert component_cosines(parts)[0].mean() == pytest.approx(1 / 50, rel=0.05)
    parts += 3 * rng.standard_normal((400, 1, 50))
    assert component_cosines(parts)[0].mean() > 0.5


def test_components_that_cannot_be_compared_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="fewer than two components"):
        component_cosines(rng.standard_normal((5, 1, 3)))
    with pytest.raises(ValueError, match="component 1 is the same"):
        component_cosines(np.concatenate([rng.standard_normal((5, 1, 3)), np.ones((5, 1, 3)) / 3], axis=1))


def test_the_input_stays_as_it_is() -> None:
    parts = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    before = parts.copy()
    component_cosines(parts)
    assert np.array_equal(parts, before)
