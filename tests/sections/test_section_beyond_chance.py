"""The claim on neurons closer to sums of five tokens than chance brings them, against four nulls of exchanged signs."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.null_neurons import few_sums
from fixtures.small_models import Sizes
from tests import oracles
from tests.sections.stand_in import bench_of
from vsa_checks import nulls
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.clusters import clusters
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.nulls_of_signs import exchange_signs
from vsa_checks.sections import pursued, stand_ins
from vsa_checks.sections.beyond_chance import share_beyond_chance
from vsa_checks.sections.stand_ins import SIGN_NULLS
from vsa_checks.sections.tokens import token_dictionary
from vsa_checks.statistics import stream

FULL_NULL, FULL_NEURONS = pursued.RANDOM_NEURONS, stand_ins.NULL_NEURONS
D, V, M = 32, 90, 60


@pytest.fixture(autouse=True)
def few_random_neurons(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 instead of 20,000 random directions behind the bars."""
    monkeypatch.setattr(pursued, "RANDOM_NEURONS", 400)


def planted(share: float = 0.5, m: int = M, copies: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (V, d), and neurons (d, m) of which this share are sums of five of them."""
    sizes = Sizes(d_model=D, d_vocab=V, n_layers=1, d_head=8, d_mlp=m)
    weights = few_sums(sizes, share=share, noise=0.5, copies=copies, seed=1)
    return weights.W_E.astype(np.float32), weights.W_in[0].astype(np.float32)


def measured(words: np.ndarray, matrix: np.ndarray) -> Measurement:
    return share_beyond_chance(
        bench_of({"embed.W_E": words, "blocks.1.mlp.W_gate": matrix}), Subject("a-claim", "raw", 1, "W_gate")
    )


def bars(words: np.ndarray) -> np.ndarray:
    """Brute force: pursuit of the random directions, each by the oracle."""
    drawn = nulls.random_directions(400, D, stream(0, "pursuit random"))
    return np.quantile([oracles.pursuit(one, words, 5)[1] for one in drawn], 0.99, axis=0)


def test_value_and_bars_by_brute_force() -> None:
    words, matrix = planted()
    matrix[:, 7] = 0
    middle = words - words.mean(axis=0)
    level = bars(middle)
    paths = np.array([oracles.pursuit(one, middle, 5)[1] for one in matrix.T if one.any()])
    found = measured(words, matrix)
    assert 0.3 < found.value < 0.7 and found.value == pytest.approx((paths[:, -1] > level[-1]).mean())
    assert (found.n_examined, found.n_excluded, found.interval.unit) == (M - 1, 1, "clusters of neurons")
    assert found.details["cosine_bar"] == pytest.approx(level[-1], abs=1e-6)
    assert [row["share"] for row in found.details["share_by_tokens"]] == pytest.approx((paths > level).mean(axis=0))
    series = found.details["curve"]["series"]
    assert found.details["curve"]["x"] == [1, 2, 3, 4, 5]
    assert series[0]["y"] == pytest.approx(paths.mean(axis=0), abs=1e-6)
    assert series[2]["y"] == pytest.approx(level, abs=1e-6)


def test_a_null_is_the_share_of_some_neurons_with_exchanged_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_ins, "NULL_NEURONS", 40)
    words, matrix = planted()
    middle = words - words.mean(axis=0)
    unit = matrix.T / np.linalg.norm(matrix.T, axis=1, keepdims=True)
    asked = np.sort(
        stream(3, "neurons of the nulls", "neurons-beyond-chance/raw/L1/W_gate").choice(M, 40, replace=False)
    )
    rng = stream(3, SIGN_NULLS[0], "raw", 1, "W_gate")
    changed = exchange_signs(unit, clusters(unit), asked, rng)
    bar = bars(middle)[-1]
    cosines = np.array([oracles.pursuit(one, middle, 5)[1][-1] for one in changed])
    own = np.array([oracles.pursuit(one, middle, 5)[1][-1] for one in unit[asked]])
    null = measured(words, matrix).nulls[0]
    assert (null.name, null.n) == (SIGN_NULLS[0], 40) and null.value == pytest.approx((cosines > bar).mean())
    # p: by random signs, of how far each pair lies beyond the bar.
    ahead = np.maximum(own - bar, 0) - np.maximum(cosines - bar, 0)
    signs = np.random.default_rng(0).choice([-1, 1], size=(100_000, 40))
    drawn = signs @ ahead
    if len(set(clusters(unit))) == M:
        assert null.p_value == pytest.approx(np.mean(drawn >= ahead.sum() - 1e-9), abs=0.002)
        assert null.p_opposite == pytest.approx(np.mean(drawn <= ahead.sum() + 1e-9), abs=0.002)


def test_all_four_nulls_lose_planted_sums_and_p_is_far_below_alpha() -> None:
    found = measured(*planted())
    assert [null.name for null in found.nulls] == list(SIGN_NULLS)
    for null in found.nulls:
        assert null.value < 0.2 < found.value and null.p_value < 1e-4 and null.p_opposite > 0.99
        assert null.n == M


def test_random_neurons_are_not_told_from_their_nulls() -> None:
    found = measured(*planted(0.0))
    assert found.value < 0.1
    assert all(null.p_value > 0.01 for null in found.nulls)


def test_copies_count_as_one() -> None:
    """Twelve copies of one sum, and nothing else: one piece of evidence, where p can be no less than 1/2."""
    found = measured(*planted(0.0, copies=0.2))
    assert found.value > 0.15 and found.details["largest_cluster"] == 12
    assert all(null.p_value > 0.1 for null in found.nulls)
    assert found.interval.low < 0.05, "without the one cluster there is next to nothing"


def test_a_null_has_an_honest_spread() -> None:
    """Over neurons that are their own clusters, the standard error of a share."""
    found = measured(*planted(0.5, 200))
    assert found.details["clusters"] > 150
    for null in found.nulls:
        assert null.spread == pytest.approx(np.sqrt(null.value * (1 - null.value) / 200), rel=0.25)


def test_nulls_are_as_large_as_their_test_needs() -> None:
    """Four times 384 neurons take as long as the 1,536 of the embedded model's layers; the bars need their 200 hits."""
    assert FULL_NEURONS == 384 and FULL_NULL == 20_000 and pursued.TAIL == 0.99
    found = measured(*planted(0.1, 500))
    assert found.n_examined == 500 and {null.n for null in found.nulls} == {384} == {found.details["null_neurons"]}


def test_a_cosine_on_the_bar_is_not_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """All random directions and all neurons are one token each: nothing exceeds a cosine of 1."""
    words = np.eye(4, dtype=np.float32)
    only = (words - words.mean(axis=0))[:1]
    monkeypatch.setattr(pursued.nulls, "random_directions", lambda n, d, rng: np.repeat(only, n, axis=0))
    found = measured(words, np.repeat(only, 3, axis=0).T)
    assert found.value == 0 and found.details["share_by_tokens"][0]["share"] == 0


def test_the_measurement_of_one_layer_does_not_depend_on_what_came_before() -> None:
    words, matrix = planted()
    weights = {"embed.W_E": words, "blocks.0.mlp.W_in": matrix[:, ::-1].copy(), "blocks.1.mlp.W_gate": matrix}
    one = bench_of(weights)
    share_beyond_chance(one, Subject("a-claim", "raw", 0, "W_in"))
    assert share_beyond_chance(one, Subject("a-claim", "raw", 1, "W_gate")) == measured(words, matrix)


def test_many_tokens_show_their_independent_axes_alone_and_once_for_each_seed() -> None:
    rng = np.random.default_rng(5)
    words, matrix = rng.standard_normal((300, 16)), rng.standard_normal((16, 40))
    weights = {"embed.W_E": words, "blocks.0.mlp.W_in": matrix, "blocks.1.mlp.W_in": matrix}
    one = bench_of({name: array.astype(np.float32) for name, array in weights.items()})
    for seed in (3, 4):
        with one.other_seed(seed):
            for layer in (0, 1):
                share_beyond_chance(one, Subject("a-claim", "raw", layer, "W_in"))
    found = {key: axes for key, (axes, _) in one._shared.items() if "independent axes" in str(key)}
    of_tokens = "independent axes", id(token_dictionary(one, "raw"))
    assert list(found) == [(of_tokens, 3), (of_tokens, 4)], "for all layers"
    assert np.abs(found[of_tokens, 3] - found[of_tokens, 4]).max() > 0.1


def test_greedy_pursuit_gives_what_the_oracle_gives() -> None:
    """So that brute force and code part ways only where the claim's own code is wrong."""
    words, matrix = planted()
    middle = words - words.mean(axis=0)
    found = greedy_pursuit(matrix.T, middle, 5).cosine
    assert found == pytest.approx([oracles.pursuit(one, middle, 5)[1][-1] for one in matrix.T], abs=1e-6)
