"""Neurons as sums of tokens and bound tokens: by the paper's scan and by few of them, against stacked vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests import oracles
from tests.oracles import Rows
from tests.sections.stand_in import Bench, bench_of
from vsa_checks import nulls
from vsa_checks.bundles import ranked_scan
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.sections import neurons_bound, neurons_few, stand_ins
from vsa_checks.sections.bound_tokens import REFLECTED, heads_that_bind
from vsa_checks.sections.neurons import MATCHED, RANDOM
from vsa_checks.statistics import stream

D, V, N, HEADS, RANK = 96, 12, 40, 3, 16
SUBJECT = Subject("a-claim", "raw", 0, "W_in")


@pytest.fixture(autouse=True)
def few_random_neurons(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 instead of 512 random directions to settle k, and as many to compare with."""
    monkeypatch.setattr(neurons_few, "RANDOM_NEURONS", 100)


def weights(noise: float = 1.0) -> dict[str, Rows]:
    """Tokens, three heads, and W_in: half of the neurons sums of three bound tokens, half noise, one dead."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> Rows:
        return rng.standard_normal(shape).astype(np.float32)

    made = {
        "embed.W_E": drawn(V, D),
        "blocks.0.attn.W_V": drawn(HEADS, D, RANK),
        "blocks.0.attn.W_O": drawn(HEADS, RANK, D),
    }
    rows, vectors = noise * drawn(N, D), stacked(made).astype(np.float32)
    for neuron in range(N // 2):
        rows[neuron] += vectors[rng.choice(np.arange(V, len(vectors)), 3, replace=False)].sum(axis=0) / np.sqrt(3)
    rows[7] = 0
    return made | {"blocks.0.mlp.W_in": rows.T.copy()}


def stacked(arrays: dict[str, Rows]) -> Rows:
    """The centered tokens, and those bound by each head, brought to the tokens' rms length."""
    tokens = arrays["embed.W_E"].astype(np.float64)
    tokens -= tokens.mean(axis=0)
    reads, writes = arrays["blocks.0.attn.W_V"], arrays["blocks.0.attn.W_O"]
    bound = [tokens @ read @ write for read, write in zip(reads, writes, strict=True)]
    length = np.sqrt((tokens**2).sum(axis=1).mean())
    return np.concatenate([tokens, *(length / np.sqrt((one**2).sum(axis=1).mean()) * one for one in bound)])


def bench(arrays: dict[str, Rows]) -> Bench:
    return bench_of(arrays, d_model=D, parallel=False, norm="layer_norm")


def test_the_scan_is_that_over_all_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neurons_bound, "NEURONS", 30)
    arrays = weights()
    one, vectors = bench(arrays), stacked(arrays)
    found = neurons_bound.share_at_with_bound(one, SUBJECT, 0.5)
    purpose = ("scan with bound tokens", "neurons", "raw", 0, "W_in")
    chosen = np.sort(stream(3, *purpose).choice(N - 1, 30, replace=False))
    live = np.delete(arrays["blocks.0.mlp.W_in"].T, 7, axis=0)[chosen]
    known = ranked_scan(live, vectors, None)
    hits = known.cosine >= 0.5
    assert 0.3 < hits.mean() < 1.0 and found.value == hits.mean()
    assert (found.n_examined, found.n_excluded) == (30, 1)
    plain = [int((known.tokens(i) < V).sum()) for i in range(30)]
    assert found.details["mean_tokens"] == np.mean(plain)
    assert found.details["mean_bound_tokens"] == pytest.approx((known.size - plain).mean())
    random, matched, mirrored = found.nulls
    assert [null.name for null in found.nulls] == [RANDOM, MATCHED, REFLECTED]
    drawn = nulls.random_directions(30, D, stream(3, "scan with bound tokens", RANDOM, "raw", 0, "W_in"))
    random_hits = ranked_scan(drawn, vectors, None).cosine >= 0.5
    table = [[hits.sum(), 30 - hits.sum()], [random_hits.sum(), 30 - random_hits.sum()]]
    assert random.value == random_hits.mean() and random.n == 30
    assert random.p_value == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue)
    assert matched.n == 30 and mirrored.value < found.value
    share = [series["y"][found.details["curve"]["x"].index(0.5)] for series in found.details["curve"]["series"]]
    assert share == [found.value, random.value, matched.value, mirrored.value]


def test_copies_of_a_sum_are_exchanged_as_wholes() -> None:
    """Four sums, ten near-copies each, all reached: as much evidence against random directions as four neurons."""
    arrays = weights(noise=0.3)
    sums, rng = arrays["blocks.0.mlp.W_in"].T[:4], np.random.default_rng(1)
    copies = np.repeat(sums, 10, axis=0) + 0.02 * rng.standard_normal((N, D)).astype(np.float32)
    found = neurons_bound.share_at_with_bound(bench(arrays | {"blocks.0.mlp.W_in": copies.T.copy()}), SUBJECT, 0.35)
    random = found.nulls[0]
    reached = round(random.value * N)
    assert found.value == 1.0 and found.interval is not None and found.interval.unit == "clusters of neurons"
    assert random.p_value == pytest.approx(stats.hypergeom(4 + N, 4 + reached, 4).sf(3), abs=0.01)
    fisher = stats.fisher_exact([[N, 0], [reached, N - reached]], alternative="greater").pvalue
    assert fisher < 1e-3 < random.p_value


def test_few_tokens_and_bound_tokens_are_those_of_the_obvious_pursuit() -> None:
    arrays = weights(noise=0.8)
    one, vectors = bench(arrays), stacked(arrays)
    found = neurons_few.share_with_few(one, SUBJECT, 0.5, bound=True)
    few = found.details["most_tokens"]

    def reached(rows: Rows, most: int, of: Rows = vectors) -> Rows:
        return np.array([max(oracles.pursuit(row.astype(np.float64), of, most)[1]) for row in rows])

    drawn = nulls.random_directions(200, D, stream(3, "few tokens, random directions"))
    assert few > 1 and (reached(drawn[:100], few) >= 0.5).mean() <= 0.01
    assert (reached(drawn[:100], few + 1) >= 0.5).mean() > 0.01
    live = np.delete(arrays["blocks.0.mlp.W_in"].T, 7, axis=0)
    hits = reached(live, few) >= 0.5
    assert 0.3 < hits.mean() < 0.9 and found.value == hits.mean() and found.n_examined == N - 1
    assert [null.name for null in found.nulls] == [RANDOM, *stand_ins.SIGN_NULLS, REFLECTED]
    assert found.nulls[0].value == (reached(drawn[100:], few) >= 0.5).mean()
    heads = heads_that_bind(one, "raw")
    signs = heads.reflections(1, stream(3, "few tokens, reflection", "raw", 0, "W_in"))[0]
    mirrored = [
        left @ (sign[:, None] * right) for left, sign, right in zip(heads.left, signs, heads.right, strict=True)
    ]
    assert found.nulls[-1].value == (reached(live, few, np.concatenate([vectors[:V], *mirrored])) >= 0.5).mean()


def test_of_many_neurons_some_are_looked_at_and_each_null_has_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neurons_few, "NULL_NEURONS", 20)
    found = neurons_few.share_with_few(bench(weights()), SUBJECT, 0.5, bound=True)
    assert (found.n_examined, found.n_excluded) == (20, 1)
    assert [null.n for null in found.nulls[1:]] == [20] * 5


@pytest.mark.parametrize("measure", [neurons_bound.share_at_with_bound, neurons_few.share_with_few])
def test_neurons_that_never_see_a_bound_token_are_not_checked(measure: Callable[..., Measurement]) -> None:
    options = {"bound": True} if measure is neurons_few.share_with_few else {}
    arrays = weights()
    side_by_side = bench(arrays)
    model = side_by_side._models["raw"]
    model.info = replace(model.info, parallel=True)
    with pytest.raises(NotChecked, match="attention and MLP of a layer read the same stream"):
        measure(side_by_side, SUBJECT, 0.5, **options)
    arrays["blocks.0.attn.W_O"][:] = 0.0
    with pytest.raises(NotChecked, match="no head of layer 0 binds tokens to anything"):
        measure(bench(arrays), SUBJECT, 0.5, **options)
