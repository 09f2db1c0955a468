"""What heads write beside what they attend to: against loops over full vectors, and a planted copying head."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vsa_checks import rebinding
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
