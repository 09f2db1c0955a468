"""Kurtosis as a rival to bundles: the share, its nulls of exchanged signs, and whether it finds the same neurons."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fixtures.null_neurons import few_sums
from fixtures.small_models import Sizes
from tests import oracles
from tests.oracles import Rows
from tests.sections.stand_in import Bench, bench_of
from vsa_checks import nulls
from vsa_checks.clusters import clusters
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.nulls_of_signs import exchange_signs, kept_axes, principal_axes
from vsa_checks.sections import kurtosis, pursued, stand_ins
from vsa_checks.sections.beyond_chance import share_beyond_chance
from vsa_checks.sections.kurtosis import share_of_high_kurtosis
from vsa_checks.sections.stand_ins import OF_TOKENS, SIGN_NULLS
from vsa_checks.statistics import stream

D, V, M = 48, 400, 60
SUBJECT = Subject("a-claim", "raw", 1, "W_gate")


@pytest.fixture(autouse=True)
def few_random_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 random directions behind the bars instead of 20,000."""
    monkeypatch.setattr(pursued, "RANDOM_NEURONS", 500)


def planted(share: float = 0.5, m: int = M, copies: float = 0.0, noise: float = 0.3) -> tuple[Rows, Rows]:
    """Tokens (V, d), and neurons (d, m) of which this share are sums of five of them."""
    sizes = Sizes(d_model=D, d_vocab=V, n_layers=1, d_head=D // 4, d_mlp=m)
    weights = few_sums(sizes, share=share, noise=noise, copies=copies, seed=1)
    return weights.W_E.astype(np.float32), weights.W_in[0].astype(np.float32)


def bench(words: Rows, matrix: Rows) -> Bench:
    return bench_of({"embed.W_E": words, "blocks.1.mlp.W_gate": matrix}, d_model=D)


def measured(words: Rows, matrix: Rows) -> Measurement:
    return share_of_high_kurtosis(bench(words, matrix), SUBJECT)


def obvious(neurons: Rows, words: Rows) -> Rows:
    """Kurtosis of each neuron's products with all tokens at once, in float64."""
    return np.asarray(stats.kurtosis(neurons.astype(np.float64) @ words.astype(np.float64).T, axis=1))


def bar(words: Rows) -> float:
    return float(np.quantile(obvious(nulls.random_directions(500, D, stream(0, "pursuit random")), words), 0.99))


def test_value_and_bar_by_brute_force() -> None:
    words, matrix = planted()
    matrix[:, 7] = 0
    live = np.delete(matrix.T, 7, axis=0)
    found = measured(words, matrix)
    expected = (obvious(live, words) > bar(words)).mean()
    assert 0.1 < found.value < 0.8 and found.value == pytest.approx(expected)
    assert (found.n_examined, found.n_excluded, found.interval.unit) == (M - 1, 1, "clusters of neurons")
    assert found.interval.low < found.value < found.interval.high
    assert found.details["kurtosis_bar"] == pytest.approx(bar(words), abs=1e-4)
    assert found.details["median_kurtosis"] == pytest.approx(np.median(obvious(live, words)), abs=1e-4)


def test_rows_that_are_no_tokens_are_left_out() -> None:
    words, matrix = planted()
    more = np.concatenate([words, np.zeros((100, D), np.float32)])
    found, expected = measured(more, matrix), measured(words, matrix)
    assert found.value == expected.value and found.details["excluded"] == {"zero": 100}
    assert found.details["kurtosis_bar"] == pytest.approx(expected.details["kurtosis_bar"], abs=1e-5)


@pytest.mark.parametrize("name", [SIGN_NULLS[0], OF_TOKENS])
def test_a_null_is_the_share_of_some_neurons_with_exchanged_signs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_ins, "NULL_NEURONS", 40)
    words, matrix = planted()
    middle = (words - words.mean(axis=0, dtype=np.float64)).astype(np.float32)
    unit = (matrix.T / np.linalg.norm(matrix.T, axis=1, keepdims=True)).astype(np.float32)
    labels = clusters(unit)
    drawn = stream(3, "neurons of the nulls", "neurons-beyond-chance/raw/L1/W_gate")
    asked = np.sort(drawn.choice(M, 40, replace=False))
    axes = (principal_axes(middle), kept_axes(D)) if name == OF_TOKENS else (None, 0)
    changed = exchange_signs(unit, labels, asked, stream(3, name, "raw", 1, "W_gate"), *axes)
    level, own, other = bar(words), obvious(unit[asked], words), obvious(changed, words)
    (null,) = (one for one in measured(words, matrix).nulls if one.name == name)
    assert null.n == 40 and null.value == pytest.approx((other > level).mean())
    # p: by random signs, of how far the logarithms lie beyond that of the bar, where they do.
    ahead = [
        max(np.log((a + 3) / (level + 3)), 0) - max(np.log((b + 3) / (level + 3)), 0)
        for a, b in zip(own, other, strict=True)
    ]
    summed = np.array([sum(x for x, label in zip(ahead, labels[asked], strict=True) if label == one) for one in labels])
    summed = summed[np.unique(labels, return_index=True)[1]]
    turned = np.random.default_rng(0).choice([-1, 1], size=(100_000, len(summed))) @ summed
    assert null.p_value == pytest.approx(np.mean(turned >= summed.sum() - 1e-9), abs=0.003)
    assert null.p_opposite == pytest.approx(np.mean(turned <= summed.sum() + 1e-9), abs=0.003)


def test_all_four_nulls_lose_planted_sums() -> None:
    found = measured(*planted(0.5, 200, noise=0.0))
    assert [null.name for null in found.nulls] == list(SIGN_NULLS)
    for null in found.nulls:
        assert null.value < 0.2 < found.value and null.p_value < 1e-4 and null.p_opposite > 0.99


def test_random_neurons_are_not_told_from_their_nulls() -> None:
    found = measured(*planted(0.0, 200))
    assert found.value < 0.05
    assert all(null.p_value > 0.01 for null in found.nulls)


def test_copies_count_as_one() -> None:
    """Twelve copies of one token, and nothing else: one piece of evidence, where p can be no less than 1/2."""
    words, matrix = planted(0.0)
    matrix[:, :12] = words[:1].T + 0.02 * matrix[:, :12]
    found = measured(words, matrix)
    assert found.value >= 0.2 and found.details["largest_cluster"] == 12
    assert all(null.p_value > 0.1 for null in found.nulls)
    assert found.interval.low < 0.05


def test_nulls_are_as_large_as_their_test_needs() -> None:
    found = measured(*planted(0.1, 500))
    assert found.n_examined == 500 and {null.n for null in found.nulls} == {384} == {found.details["null_neurons"]}


def test_the_neurons_that_bundles_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the pursuit written the obvious way: how many lie beyond chance, and how many of them kurtosis ranks first."""
    monkeypatch.setattr(pursued, "RANDOM_NEURONS", 60)
    words, matrix = planted(0.3)
    middle = words - words.mean(axis=0)
    directions = nulls.random_directions(60, D, stream(0, "pursuit random"))
    level = np.quantile([oracles.pursuit(one, middle, 5)[1][-1] for one in directions], 0.99)
    cosines = np.array([oracles.pursuit(one, middle, 5)[1][-1] for one in matrix.T])
    beyond, own = set(np.flatnonzero(cosines > level).tolist()), obvious(matrix.T, words)
    order = sorted(range(M), key=lambda neuron: -own[neuron])
    details = measured(words, matrix).details
    count = len(beyond)
    assert 12 <= count <= 24 and details["beyond_chance_by_bundles"] == count
    assert details["found_by_kurtosis"] == pytest.approx(len(beyond & set(order[:count])) / count)
    assert details["found_by_kurtosis"] > 0.6 > details["found_by_luck"] == count / M
    ranks = [stats.rankdata(one) for one in (own, cosines)]
    assert details["rank_correlation_with_bundles"] == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-6)
    curve = details["curve"]
    closest = set(sorted(range(M), key=lambda neuron: -cosines[neuron])[:6])
    first = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert curve["x"] == first
    assert [one["name"] for one in curve["series"]] == [
        "the tenth closest to their bundles",
        "beyond chance by bundles",
        "by luck",
    ]
    for place, wanted in enumerate((closest, beyond)):
        shares = [len(wanted & set(order[: round(x * M)])) / len(wanted) for x in first]
        assert curve["series"][place]["y"] == pytest.approx(shares)
    assert curve["series"][2]["y"] == first


def test_where_no_neuron_lies_beyond_chance_there_still_is_a_curve() -> None:
    words, matrix = planted(0.0)
    details = kurtosis._beside_bundles(np.arange(40.0), np.linspace(0.1, 0.2, 40), 0.3)
    assert details["beyond_chance_by_bundles"] == 0
    assert details["found_by_kurtosis"] is None and details["found_by_luck"] is None
    assert [one["name"] for one in details["curve"]["series"]] == ["the tenth closest to their bundles", "by luck"]
    assert details["curve"]["series"][0]["y"][4:6] == [1.0, 1.0], "in one order, the tenth are the first tenth"
    assert details["rank_correlation_with_bundles"] == pytest.approx(1.0)
    reverse = kurtosis._beside_bundles(np.arange(40.0)[::-1], np.linspace(0.1, 0.2, 40), 0.3)
    assert reverse["curve"]["series"][0]["y"][-2:] == [0.0, 1.0]
    assert reverse["rank_correlation_with_bundles"] == pytest.approx(-1.0)
    same = kurtosis._beside_bundles(np.zeros(3), np.arange(3.0), 5.0)
    assert same["rank_correlation_with_bundles"] is None
    assert measured(words, matrix).details["curve"]["x"] == list(kurtosis.FIRST)


def test_bundles_and_their_bars_are_those_of_neurons_beyond_chance() -> None:
    one = bench(*planted())
    share_beyond_chance(one, SUBJECT)
    labels = list(one.labels)
    found = share_of_high_kurtosis(one, SUBJECT)
    assert one.labels == labels, "kurtosis comes with the bundles, for neurons, stand-ins and random directions"
    assert found == measured(*planted()), "and what came before changes nothing"


def test_directions_are_drawn_once_for_all_layers() -> None:
    words, matrix = planted()
    weights = {"embed.W_E": words, "blocks.0.mlp.W_in": matrix, "blocks.1.mlp.W_in": matrix}
    one = bench_of(weights, d_model=D)
    for layer in (0, 1):
        share_of_high_kurtosis(one, Subject("a-claim", "raw", layer, "W_in"))
    assert len([label for label in one.labels if label.startswith("pursuit of 500 random directions")]) == 1


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_sizes_do_not_matter(scale: float) -> None:
    words, matrix = planted()
    found = measured(words * np.float32(scale), matrix * np.float32(scale))
    assert found.value == pytest.approx(measured(words, matrix).value, abs=1.01 / M)


def test_what_has_no_neurons_or_tokens_is_not_checked() -> None:
    words, matrix = planted()
    with pytest.raises(NotChecked, match="fewer than two neurons of W_gate have a direction"):
        measured(words, matrix * (np.arange(M) == 3))
    with pytest.raises(NotChecked, match="no word embedding has a direction"):
        measured(words * 0, matrix)


def test_each_expert_of_a_mixture_has_its_own_neurons() -> None:
    words, matrix = planted()
    other = matrix[:, ::-1].copy()
    other[:, :20] = 0
    one = bench_of(
        {"embed.W_E": words, "blocks.1.mlp.experts.0.W_in": matrix, "blocks.1.mlp.experts.3.W_in": other},
        d_model=D,
        n_experts=4,
        expert_layers=(1,),
    )
    first, last = (share_of_high_kurtosis(one, Subject("a-claim", "raw", 1, "W_in", expert=i)) for i in (0, 3))
    assert (first.n_examined, first.n_excluded) == (M, 0) and (last.n_examined, last.n_excluded) == (M - 20, 20)
    assert first.value == measured(words, matrix).value
