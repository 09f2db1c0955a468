"""Neurons as sums of so few tokens that hardly any random direction is one: k, shares, and the nulls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.oracles import Rows
from tests.sections.stand_in import Bench, bench_of
from vsa_checks import nulls
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.errors import NotChecked
from vsa_checks.judging.subjects import Subject
from vsa_checks.sections import neurons_few, stand_ins
from vsa_checks.statistics import stream

D, V, N = 100, 30, 40
SUBJECT = Subject("a-claim", "raw", 0, "W_in")


@pytest.fixture(autouse=True)
def few_random_neurons(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 instead of 512 random directions to settle k, and as many to compare with."""
    monkeypatch.setattr(neurons_few, "RANDOM_NEURONS", 100)


def words(n: int = V, d: int = D) -> Rows:
    return np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)


def weight(tokens: Rows, noise: float = 1.0) -> Rows:
    """W_in (d, n): half of the neurons sums of three tokens and noise as long, half noise, one dead."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((N, tokens.shape[1])) * noise
    middle = tokens - tokens.mean(axis=0)
    for neuron in range(N // 2):
        rows[neuron] += middle[rng.choice(len(tokens), 3, replace=False)].sum(axis=0) / np.sqrt(3)
    rows[7] = 0
    return rows.T.astype(np.float32)


def bench(tokens: Rows, matrix: Rows) -> Bench:
    return bench_of({"embed.W_E": tokens, "blocks.0.mlp.W_in": matrix}, d_model=tokens.shape[1])


def best_of_at_most(rows: Rows, tokens: Rows, most: int) -> list[float]:
    """Sums built up one token at a time, each the one that helps most; the best of them."""
    found = []
    for row in rows:
        total, left, reached = np.zeros(len(row)), list(range(len(tokens))), []
        for _ in range(most):
            scores = [cosine_of(total + tokens[t], row) for t in left]
            total = total + tokens[left.pop(int(np.argmax(scores)))]
            reached.append(max(scores))
        found.append(max(reached))
    return found


def cosine_of(first: Rows, second: Rows) -> float:
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def test_the_most_tokens_that_seldom_bring_a_random_direction_to_a_level() -> None:
    reached = np.zeros((200, 4))
    reached[:2, 1:] = 0.5  # one in a hundred from two tokens on
    reached[2, 3] = 0.5  # and one more with four
    assert neurons_few.tokens_by_chance(reached, 0.5) == 3
    assert neurons_few.tokens_by_chance(reached, 0.51) == 4
    assert neurons_few.tokens_by_chance(reached + 0.5, 0.5) == 0


@pytest.mark.parametrize(("level", "d"), [(0.5, D), (0.3, 2 * D)])
def test_share_of_neurons_that_few_tokens_explain(level: float, d: int) -> None:
    tokens = words(d=d)
    matrix = weight(tokens)
    middle = (tokens - tokens.astype(np.float64).mean(axis=0)).astype(np.float32)
    one = bench(tokens, matrix)
    found = neurons_few.share_with_few(one, SUBJECT, level)
    drawn = nulls.random_directions(200, d, stream(3, "few tokens, random directions"))
    few = found.details["most_tokens"]
    shares = {k: np.mean([c >= level for c in best_of_at_most(drawn[:100], middle, k)]) for k in (few, few + 1)}
    assert few > 1 and shares[few] <= 0.01
    assert shares[few + 1] > 0.01, "more tokens would bring too many random directions there"
    live = np.delete(matrix.T, 7, axis=0)
    hits = np.array(best_of_at_most(live, middle, few)) >= level
    assert 0.3 < hits.mean() < 0.8 and found.value == hits.mean()
    assert (found.n_examined, found.n_excluded, found.interval.unit) == (39, 1, "clusters of neurons")
    random, *others = found.nulls
    random_hits = np.array(best_of_at_most(drawn[100:], middle, few)) >= level
    table = [[hits.sum(), 39 - hits.sum()], [random_hits.sum(), 100 - random_hits.sum()]]
    assert (random.name, random.value) == ("random directions", random_hits.mean())
    assert random.p_value == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue)
    assert tuple(null.name for null in others) == stand_ins.SIGN_NULLS
    unit = live / np.linalg.norm(live, axis=1, keepdims=True)
    every = np.arange(39)
    changed = stand_ins.exchanged(one, "raw", (0, "W_in"), unit.astype(np.float32), every, every)
    for null in others:
        null_hits = np.array(best_of_at_most(changed[null.name], middle, few)) >= level
        assert found.details["clusters"] == 39 and null.value == null_hits.mean()
        # McNemar: of the pairs that differ, how many are ahead.
        ahead, behind = int(np.sum(hits & ~null_hits)), int(np.sum(~hits & null_hits))
        assert null.p_value == pytest.approx(stats.binom.sf(ahead - 1, ahead + behind, 0.5))
        assert null.p_opposite == pytest.approx(stats.binom.cdf(ahead, ahead + behind, 0.5))
    curve = found.details["curve"]
    assert curve["x"] == list(range(1, few + 1))
    assert [series["name"] for series in curve["series"]] == ["neurons", "random directions", *stand_ins.SIGN_NULLS]
    assert curve["series"][0]["y"][-1] == found.value


def test_both_levels_share_one_pursuit_of_each_set() -> None:
    tokens = words(d=2 * D)
    one = bench(tokens, weight(tokens))
    for level in (0.5, 0.3):
        neurons_few.share_with_few(one, SUBJECT, level)
    assert len(one.labels) == len(set(one.labels)) == 4, "random directions twice, all stand-ins, and the neurons"


def test_a_longer_pursuit_is_made_only_where_a_shorter_one_leaves_random_directions_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def counted(neurons: Any, dictionary: Any, most: int, **options: Any) -> Any:
        asked.append(most)
        return greedy_pursuit(neurons, dictionary, most, **options)

    monkeypatch.setattr(neurons_few, "greedy_pursuit", counted)
    monkeypatch.setattr(neurons_few, "MOST_TOKENS", (2, 4))
    found = neurons_few.share_with_few(bench(words(), weight(words())), SUBJECT, 0.5)
    assert asked[:2] == [2, 4] and found.details["most_tokens"] == 4, "no more than 4, although chance would allow them"
    asked.clear()
    many = np.random.default_rng(0).standard_normal((300, 24)).astype(np.float32)
    with pytest.raises(
        NotChecked, match=r"sums of 2 tokens bring more than 1% of random directions to a cosine of 0\.5"
    ):
        neurons_few.share_with_few(bench(many, weight(many)), SUBJECT, 0.5)
    assert asked == [2]


def test_neurons_without_sums_are_at_chance_and_sums_are_not() -> None:
    tokens = words()
    sums, noise = weight(tokens, 0.7)[:, : N // 2], np.random.default_rng(5).standard_normal((D, 200))
    found = neurons_few.share_with_few(bench(tokens, sums), SUBJECT, 0.5)
    assert found.value == 1 and found.nulls[0].p_value < 1e-6 and found.nulls[1].p_value < 1e-3
    found = neurons_few.share_with_few(bench(tokens, noise.astype(np.float32)), SUBJECT, 0.5)
    assert found.value < 0.05 and min(null.p_value for null in found.nulls) > 0.01
