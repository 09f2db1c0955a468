"""What heads write beside what they attend to: against loops over full vectors, and a planted copying head."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from vsa_checks import rebinding
from vsa_checks.statistics import tail_p
from vsa_checks.workbench.activations import SINK_DESTINATIONS, SINK_SHARE, sinks

Array = NDArray[np.float64]


def cosine(a: Array, b: Array) -> float:
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size else 0.0


def causal_pattern(h: int, n: int, rng: np.random.Generator) -> Array:
    weights = np.tril(rng.random((h, n, n)))
    return weights / weights.sum(axis=2, keepdims=True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# --- who is attended to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [True, False])
def test_sources_are_the_most_attended_one_and_another_of_the_context(causal: bool, rng: np.random.Generator) -> None:
    h, n = 3, 12
    pattern = causal_pattern(h, n, rng) if causal else rng.dirichlet(np.ones(n), (h, n))
    allowed = rng.random(n) > 0.3
    at, most, other = rebinding.attended_sources(pattern, allowed, rng, causal)
    for i in range(n):
        context = [j for j in range(n) if allowed[j] and (j <= i or not causal)]
        if not allowed[i] or len(context) < 2:
            assert i not in at
            continue
        row = list(at).index(i)
        for head in range(h):
            assert most[row, head] == max(context, key=lambda j: pattern[head, i, j])
            assert other[row, head] in context and other[row, head] != most[row, head]


def test_every_other_source_is_drawn_alike(rng: np.random.Generator) -> None:
    pattern = np.zeros((1, 5, 5))
    pattern[0, 4, 2] = 1.0
    draws = [int(rebinding.attended_sources(pattern, np.ones(5), rng)[2][-1, 0]) for _ in range(2_000)]
    counts = np.bincount(draws, minlength=5)
    assert counts[2] == 0
    assert counts[[0, 1, 3, 4]] == pytest.approx(500, abs=100)


def test_nothing_to_choose_from_gives_no_destination(rng: np.random.Generator) -> None:
    at, most, other = rebinding.attended_sources(causal_pattern(2, 4, rng), np.array([0, 0, 1, 0]), rng)
    assert (len(at), most.shape, other.shape) == (0, (0, 2), (0, 2))


# --- cosines --------------------------------------------------------------------------------------------------


def test_cosines_within_the_head_are_those_of_what_is_written(rng: np.random.Generator) -> None:
    m, h, r, d, k = 5, 3, 4, 10, 6
    written, bound = rng.standard_normal((2, m, h, r))
    W_O, vectors = rng.standard_normal((h, r, d)), rng.standard_normal((k, d))
    written[2, 1] = 0.0
    found = rebinding.head_cosines(written, bound, W_O @ W_O.transpose(0, 2, 1))
    towards = rebinding.token_cosines(written, vectors, W_O)
    for i in range(m):
        for head in range(h):
            out = written[i, head] @ W_O[head]
            assert found[i, head] == pytest.approx(cosine(out, bound[i, head] @ W_O[head]))
            assert towards[i, head] == pytest.approx([cosine(out, vector) for vector in vectors])


def test_the_margin_is_the_mean_over_all_shuffles(rng: np.random.Generator) -> None:
    outputs, following = rng.standard_normal((2, 6, 5))
    own, shuffled = rebinding.next_token_margin(outputs, following)
    assert own == pytest.approx(np.mean([cosine(outputs[i], following[i]) for i in range(6)]))
    assert shuffled == pytest.approx(
        np.mean([cosine(outputs[i], following[j]) for i in range(6) for j in range(6) if i != j])
    )


def test_rebinding_under_a_pattern_is_that_of_loops_over_full_vectors(rng: np.random.Generator) -> None:
    h, kv, m, d, r = 4, 2, 3, 10, 4
    streams, attended, others = rng.standard_normal((3, h, m, d))
    W_V, W_O = rng.standard_normal((kv, d, r)), rng.standard_normal((h, r, d))
    metric = W_O @ W_O.transpose(0, 2, 1)
    own, drawn = rebinding.exchanged_margins(streams, attended, others, W_V, metric, 0, rng)
    assert drawn.shape[0] == 0
    for head in range(h):
        product = W_V[head // 2] @ W_O[head]
        each = [
            cosine(streams[head, i] @ product, attended[head, i] @ product) ** 2
            - cosine(streams[head, i] @ product, others[head, i] @ product) ** 2
            for i in range(m)
        ]
        assert own[head] == pytest.approx(np.mean(each))


def test_exchanging_coordinates_of_w_v_is_exchanging_those_of_all_that_is_read(rng: np.random.Generator) -> None:
    """With two dimensions there are eight exchanges: each is found, and no other value."""
    streams, attended, others = rng.standard_normal((3, 1, 1, 2))
    W_V, metric = rng.standard_normal((1, 2, 2)), np.eye(2)[None]
    drawn = rebinding.exchanged_margins(streams, attended, others, W_V, metric, 300, rng)[1]
    expected = set()
    for order in ([0, 1], [1, 0]):
        for signs in ([1, 1], [1, -1], [-1, 1], [-1, -1]):
            x, e, o = (one[..., order] * signs for one in (streams, attended, others))
            expected.add(round(float(rebinding.exchanged_margins(x, e, o, W_V, metric, 0, rng)[0][0]), 9))
    assert {round(float(value), 9) for value in drawn[:, 0]} == expected


def test_heads_that_read_tokens_alone_beat_all_exchanges_and_gaussian_ones_do_not(rng: np.random.Generator) -> None:
    """Streams are tokens in half of the dimensions, beside something three times as long in the other half."""
    h, m, d, r = 3, 40, 40, 8
    attended, others, beside = rng.standard_normal((3, h, m, d))
    attended[..., d // 2 :] = others[..., d // 2 :] = beside[..., : d // 2] = 0.0
    W_V, metric = rng.standard_normal((h, d, r)), np.stack([np.eye(r)] * h)
    ranks = []
    for _ in range(60):
        free = rng.standard_normal((h, d, r))
        own, drawn = rebinding.exchanged_margins(attended + 3 * beside, attended, others, free, metric, 19, rng)
        ranks.append((np.median(drawn, axis=1) < np.median(own)).sum())
    assert np.mean(ranks) == pytest.approx(9.5, abs=2.5)
    W_V[:, d // 2 :] = 0.0
    own, drawn = rebinding.exchanged_margins(attended + 3 * beside, attended, others, W_V, metric, 99, rng)
    assert np.median(own) > np.median(drawn, axis=1).max() + 0.5


def test_heads_that_share_w_v_are_exchanged_together(rng: np.random.Generator) -> None:
    streams, attended, others = np.repeat(rng.standard_normal((3, 1, 4, 6)), 2, axis=1)
    W_V = np.repeat(rng.standard_normal((1, 6, 3)), 2, axis=0)
    drawn = rebinding.exchanged_margins(streams, attended, others, W_V, np.stack([np.eye(3)] * 2), 20, rng)[1]
    assert drawn[:, 0] == pytest.approx(drawn[:, 1])


def test_weights_of_next_tokens_add_up_to_the_margin(rng: np.random.Generator) -> None:
    outputs, vectors = rng.standard_normal((9, 5)), rng.standard_normal((4, 5))
    types = np.array([0, 1, 1, 3, 0, 0, 1, 3, 3])
    weights = rebinding.next_token_weights(outputs, types, 4)
    own, shuffled = rebinding.next_token_margin(outputs, vectors[types])
    assert not weights[2].any()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (weights * unit).sum() == pytest.approx(own - shuffled)
    found, drawn = rebinding.exchanged_tokens(weights, vectors, 400, rng)
    assert found == pytest.approx(own - shuffled)
    every = {
        round(float(np.subtract(*rebinding.next_token_margin(outputs, vectors[list(order)][types]))), 9)
        for order in itertools.permutations(range(4))
    }
    assert {round(float(value), 9) for value in drawn} == every


def test_what_follows_the_same_token_counts_as_evidence_once(rng: np.random.Generator) -> None:
    """Outputs are a random function of the word, on a circle of six words: p is uniform, however long the text."""
    p = []
    for _ in range(200):
        words = np.arange(120) % 6
        outputs, vectors = rng.standard_normal((2, 6, 12))
        weights = rebinding.next_token_weights(outputs[words], (words + 1) % 6, 6)
        own, drawn = rebinding.exchanged_tokens(weights, vectors, 199, rng)
        p.append(tail_p(own, drawn, ">="))
    assert np.mean(np.array(p) <= 0.05) < 0.1
    assert np.mean(p) == pytest.approx(0.5, abs=0.07)


def test_one_position_cannot_be_shuffled() -> None:
    with pytest.raises(ValueError, match="fewer than two positions"):
        rebinding.next_token_margin(np.ones((1, 3)), np.ones((1, 3)))


def test_copying_scores_are_those_of_the_whole_matrix(rng: np.random.Generator) -> None:
    h, d, r, n_words = 3, 6, 2, 9
    W_E, W_U = rng.standard_normal((n_words, d)), rng.standard_normal((d, n_words))
    W_V, W_O = rng.standard_normal((h, d, r)), rng.standard_normal((h, r, d))
    found = rebinding.copying_scores(W_V, W_O, W_U @ W_E)
    for head in range(h):
        values = np.linalg.eigvals(W_E @ W_V[head] @ W_O[head] @ W_U)
        assert found[head] == pytest.approx(values.sum().real / np.abs(values).sum(), abs=1e-6)


def test_heads_that_copy_and_heads_that_turn_away_score_one_and_minus_one(rng: np.random.Generator) -> None:
    axes = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    W_V = np.stack([axes[:, :4], axes[:, :4], axes[:, :4]])
    W_O = np.stack([axes[:, :4].T, -axes[:, :4].T, 0 * axes[:, :4].T])
    W_E = rng.standard_normal((30, 8))
    assert rebinding.copying_scores(W_V, W_O, W_E.T @ W_E) == pytest.approx([1.0, -1.0, 0.0])


# --- sinks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [True, False])
def test_sinks_are_found_by_their_share_of_what_can_see_them(causal: bool, rng: np.random.Generator) -> None:
    n = 24
    pattern = causal_pattern(4, n, rng)
    pattern[:, 6:, 5] += 0.8
    pattern /= pattern.sum(axis=2, keepdims=True)
    found = sinks(pattern, causal)
    for j in range(n):
        others = [i for i in range(n) if (i > j if causal else i != j)]
        share = np.mean([pattern[:, i, j].mean() for i in others]) if others else 0.0
        assert found[j] == (len(others) >= SINK_DESTINATIONS and share >= SINK_SHARE)
    assert found[5] and found[1:].sum() == 1


def test_even_attention_makes_no_sinks_but_at_the_start() -> None:
    n = 64
    pattern = np.tril(np.ones((2, n, n))) / np.arange(1, n + 1)[None, :, None]
    assert not sinks(pattern, True).any()
