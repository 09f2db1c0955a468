"""The claims on neurons as sums of tokens: every figure from the bundles of the neurons and of both nulls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.measures.oracles import Rows
from tests.sections.stand_in import Bench, assert_same, bench_of
from vsa_checks import nulls
from vsa_checks.bundles import Bundles, greedy_pursuit, ranked_scan
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.sections import neurons
from vsa_checks.statistics import bootstrap, share_p, stream

COUNTS = (1, 2, 3, 5, 10, None)
D = 24
FULL_NULL = neurons.RANDOM_NEURONS


@pytest.fixture(autouse=True)
def few_random_neurons(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 instead of 20,000 random directions behind the bars."""
    monkeypatch.setattr(neurons, "RANDOM_NEURONS", 60)


def tokens(n: int = 30, d: int = D, seed: int = 0) -> Rows:
    """Embeddings with a common mean."""
    return (np.random.default_rng(seed).standard_normal((n, d)) + 0.5).astype(np.float32)


def weight(words: Rows, seed: int = 1, n: int = 40) -> Rows:
    """W_in (d, n): half of the neurons sums of three centered tokens and noise, half noise, one dead."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, words.shape[1])) + 0.3
    middle = words - words.mean(axis=0)
    for neuron in range(n // 2):
        rows[neuron] += 3 * middle[rng.choice(len(words), 3, replace=False)].sum(axis=0)
    rows[7] = 0
    return rows.T.astype(np.float32)


def bench(matrices: dict[str, Rows], words: Rows, processed: dict[str, Rows] | None = None) -> Bench:
    return bench_of({"embed.W_E": words, **matrices}, processed=processed)


def subject(matrix: str = "W_in", layer: int = 0, basis: Any = "raw") -> Subject:
    return Subject("a-claim", basis, layer, matrix)


def share(name: str, hits: Rows, null_hits: Rows) -> NullMeasurement:
    """A null's share, the deviation of such a share over as many neurons as the layer has, and both p values."""
    p = float(np.mean(null_hits))
    counts = int(hits.sum()), len(hits), int(null_hits.sum()), len(null_hits)
    return NullMeasurement(
        name, p, float(np.sqrt(p * (1 - p) / len(hits))), len(null_hits),
        share_p(*counts), share_p(*counts, direction="<="),
    )  # fmt: skip


def centered(words: Rows) -> Rows:
    return (words - words.astype(np.float64).mean(axis=0)).astype(np.float32)


# --- the paper's scan -----------------------------------------------------------------------------------------


def scanned(rows: Rows, words: Rows) -> list[Bundles]:
    return [ranked_scan(rows, words, count) for count in COUNTS]


@pytest.mark.parametrize("level", [0.5, 0.7])
def test_share_of_neurons_at_a_cosine(level: float) -> None:
    words = tokens(14)
    rows, middle = weight(words).T, centered(words)
    sets = {
        "": rows,
        "random_": nulls.random_directions(40, D, stream(3, "scan random")),
        "matched_": nulls.covariance_matched(rows).draw(40, stream(3, "scan matched", "raw", 0, "W_in")),
    }
    found = {prefix: scanned(vectors, middle) for prefix, vectors in sets.items()}
    cosines = {prefix: [one.cosine[~one.dead] for one in bundles] for prefix, bundles in found.items()}
    hits = {prefix: whole[-1] >= level for prefix, whole in cosines.items()}
    assert 0 < hits[""].mean() < 1 and len({h.mean() for h in hits.values()}) == 3
    levels = [place / 20 for place in range(21)]
    live = rows[rows.any(axis=1)].astype(np.float64)
    values, axes = np.linalg.eigh(middle.T.astype(np.float64) @ middle)
    inside = live @ axes[:, values > 1e-8]
    ceilings = np.linalg.norm(inside, axis=1) / np.linalg.norm(live, axis=1)
    details: dict[str, Any] = {
        "sweep": [
            {"neurons_per_token": count, "mean_tokens": float(found[""][place].size[~found[""][place].dead].mean())}
            | {
                f"{prefix}share_{name}": float((whole[place] >= least).mean())
                for prefix, whole in cosines.items()
                for name, least in (("50", 0.5), ("30", 0.3))
            }
            for place, count in enumerate(COUNTS)
        ],
        "curve": {
            "x_label": "cosine at least",
            "y_label": "share of neurons (K = all)",
            "x": levels,
            "series": [
                {"name": name, "y": [float((cosines[prefix][-1] >= least).mean()) for least in levels]}
                for name, prefix in (
                    ("neurons", ""), ("random directions", "random_"), ("covariance-matched neurons", "matched_")
                )
            ],
        },
        "mean_ceiling_of_span": float(ceilings.mean()),
        "mean_share_of_ceiling": float((cosines[""][-1] / ceilings).mean()),
        "mean_cosine": float(cosines[""][-1].mean()),
    }  # fmt: skip
    expected = Measurement(
        value=float(hits[""].mean()),
        interval=bootstrap(hits[""], "neurons", stream(3, "bootstrap", "a-claim/raw/L0/W_in")),
        n_examined=39,
        n_excluded=1,
        nulls=(
            share("random directions", hits[""], hits["random_"]),
            share("covariance-matched neurons", hits[""], hits["matched_"]),
        ),
        details=details,
    )
    one = bench({"blocks.0.mlp.W_in": weight(words)}, words)
    assert_same(neurons.share_at(one, subject(), level), expected)


def test_a_cosine_on_the_level_is_enough() -> None:
    """Of one token and its opposite, 45 degrees away in the plane, the level is what the scan reaches."""
    words = np.array([[1.0, 0], [-1, 0]], np.float32)
    matrix = np.array([[1.0, 1, -1, 3], [0, 1, -1, 4]], np.float32)  # cosines 1, .707, .707, .6
    one = bench({"blocks.0.mlp.W_in": matrix}, words)
    reached = float(ranked_scan(matrix.T, words).cosine[3])
    assert neurons.share_at(one, subject(), reached).value == 1
    assert neurons.share_at(one, subject(), np.nextafter(reached, 1)).value == 0.75
    # All of each neuron that one token can explain is explained.
    found = neurons.share_at(one, subject(), 0.5).details
    assert found["curve"]["series"][0]["y"][-1] == 0.25, "a cosine of 1 is at least 1"
    assert found["mean_share_of_ceiling"] == pytest.approx(1)
    assert found["mean_ceiling_of_span"] == pytest.approx(np.mean([1, np.sqrt(0.5), np.sqrt(0.5), 0.6]))


def test_a_cosine_of_one_half_is_at_least_one_half() -> None:
    """Half of the four coordinates' square lies along the only token."""
    words = np.array([[1.0, 0, 0, 0], [-1, 0, 0, 0]], np.float32)
    one = bench({"blocks.0.mlp.W_in": np.array([[1.0, 1, 1, 1], [1, -1, 1, -1]], np.float32).T}, words)
    found = neurons.share_at(one, subject(), 0.5)
    assert found.value == 1 and found.details["sweep"][-1]["share_50"] == 1


def test_fewer_tokens_than_a_quarter_of_the_dimensions_cannot_explain_neurons() -> None:
    for n, d, checked in ((12, 50, False), (12, 48, True), (13, 50, True)):
        words = tokens(n, d)
        one = bench({"blocks.0.mlp.W_in": weight(words)}, words)
        if checked:
            assert neurons.share_at(one, subject(), 0.5).n_examined == 39
        else:
            with pytest.raises(NotChecked, match=r"12 tokens span .* 50 dimensions \(sqrt\(V/d\) = 0\.49 < 0\.5\)"):
                neurons.share_at(one, subject(), 0.5)


# --- pursuit --------------------------------------------------------------------------------------------------


def paths(found: Bundles, steps: int) -> Rows:
    return np.array([found.path(i) for i in range(len(found)) if len(found.path(i)) == steps])


def test_share_of_neurons_beyond_chance() -> None:
    words = tokens(40)
    rows, middle = weight(words, 2).T, centered(words)
    drawn = nulls.random_directions(60, D, stream(3, "pursuit random"))
    bars = np.quantile(paths(greedy_pursuit(drawn, middle, 5), 5), 0.99, axis=0)
    matched = nulls.covariance_matched(rows).draw(40, stream(3, "pursuit matched", "raw", 1, "W_gate"))
    real, null = paths(greedy_pursuit(rows, middle, 5), 5), paths(greedy_pursuit(matched, middle, 5), 5)
    hits, null_hits = real[:, 4] > bars[4], null[:, 4] > bars[4]
    assert 0 < hits.mean() < 1 and hits.mean() != null_hits.mean() > 0
    expected = Measurement(
        value=float(hits.mean()),
        interval=bootstrap(hits, "neurons", stream(3, "bootstrap", "a-claim/raw/L1/W_gate")),
        n_examined=39,
        n_excluded=1,
        nulls=(share("covariance-matched neurons", hits, null_hits),),
        details={
            "cosine_bar": float(bars[4]),
            "share_by_tokens": [
                {
                    "tokens": k + 1,
                    "share": float((real[:, k] > bars[k]).mean()),
                    "null_share": float((null[:, k] > bars[k]).mean()),
                }
                for k in range(5)
            ],
            "curve": {
                "x_label": "tokens in the bundle",
                "y_label": "cosine with the neuron",
                "x": [1, 2, 3, 4, 5],
                "series": [
                    {"name": "neurons, mean", "y": real.mean(axis=0).tolist()},
                    {"name": "covariance-matched neurons, mean", "y": null.mean(axis=0).tolist()},
                    {"name": "random directions, 99th percentile", "y": bars.tolist()},
                ],
            },
        },
    )
    one = bench({"blocks.1.mlp.W_gate": weight(words, 2)}, words)
    assert_same(neurons.beyond_chance(one, subject("W_gate", 1)), expected)


def test_a_cosine_on_the_bar_is_not_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """All random directions and all neurons are one token each: nothing exceeds a cosine of 1."""
    words = np.eye(4, dtype=np.float32)
    only = (words - words.mean(axis=0))[:1]
    monkeypatch.setattr(neurons.nulls, "random_directions", lambda n, d, rng: np.repeat(only, n, axis=0))
    one = bench({"blocks.0.mlp.W_in": np.repeat(only, 3, axis=0).T}, words)
    found = neurons.beyond_chance(one, subject())
    assert found.value == 0 and found.details["share_by_tokens"][0]["share"] == 0


def test_the_bars_are_those_of_20_000_random_directions() -> None:
    """200 of them lie beyond the 99th percentile: fewer would leave it to luck."""
    assert FULL_NULL == 20_000 and neurons.TAIL == 0.99 and neurons.PURSUIT_TOKENS == 5


# --- what is shared, and what is not there --------------------------------------------------------------------


def test_dead_neurons_and_dead_dictionaries_are_not_checked() -> None:
    words, matrix = tokens(), weight(tokens())
    matrix[:, 1:] = 0
    one = bench({"blocks.0.mlp.W_in": matrix}, words)
    alike = bench({"blocks.0.mlp.W_in": weight(words)}, np.repeat(words[:1], 30, axis=0))
    measures: list[Callable[[Bench, Subject], Measurement]] = [
        neurons.beyond_chance, lambda bench, subject: neurons.share_at(bench, subject, 0.5)
    ]  # fmt: skip
    for measure in measures:
        with pytest.raises(NotChecked, match="fewer than two neurons of W_in have a direction"):
            measure(one, subject())
        with pytest.raises(NotChecked, match="no word embedding has a direction once centered"):
            measure(alike, subject())
        with pytest.raises(NotChecked, match="layer 0 of this model has no W_gate"):
            measure(one, subject("W_gate"))
        for lacking in (Subject("a-claim", "raw", 0), Subject("a-claim", "raw", None, "W_in")):
            with pytest.raises(ValueError, match=r"a-claim/raw.* names no layer and matrix"):
                measure(one, lacking)
    two = weight(words)
    two[:, 2:] = 0
    assert neurons.beyond_chance(bench({"blocks.0.mlp.W_in": two}, words), subject()).n_examined == 2


def several() -> Bench:
    """Two layers, two matrices and two bases, of which all weights differ."""
    words = tokens(20)
    raw = {
        f"blocks.{layer}.mlp.{matrix}": weight(words, 10 * layer + place, 16)
        for layer in (0, 1)
        for place, matrix in enumerate(("W_gate", "W_in"))
    }
    return bench(raw, words, processed={"embed.W_E": tokens(20, seed=5)} | {name: 2 * one for name, one in raw.items()})


PLACES = [(basis, layer, matrix) for basis in ("raw", "processed") for layer in (0, 1) for matrix in ("W_gate", "W_in")]


def test_each_scan_is_made_once_and_told() -> None:
    one = several()
    for level in (0.5, 0.3):
        for basis, layer, matrix in PLACES:
            neurons.share_at(one, subject(matrix, layer, basis), level)
    expected = []
    for basis, layer, matrix in PLACES:
        expected += [f"scan of layer {layer} {matrix} ({basis})", f"scan of its covariance-matched neurons ({basis})"]
        if (layer, matrix) == (0, "W_gate"):
            expected += [f"scan of random directions ({basis})"]
    assert one.labels == expected


def test_each_random_bar_is_made_once_and_pursuits_are_told() -> None:
    one = several()
    found = [neurons.beyond_chance(one, subject(matrix, layer, basis)) for basis, layer, matrix in PLACES]
    expected = []
    for basis, layer, matrix in PLACES:
        if (layer, matrix) == (0, "W_gate"):
            expected += [f"pursuit of 60 random directions ({basis})"]
        label = f"pursuit in layer {layer} {matrix} ({basis})"
        expected += [label, f"{label}, null"]
    assert one.labels == expected
    assert len({measured.details["cosine_bar"] for measured in found}) == 2, "one bar for each dictionary"


def test_bases_of_equal_embeddings_share_all_that_is_made_of_them() -> None:
    words = tokens()
    matrices = {"blocks.0.mlp.W_in": weight(words)}
    moved = {"embed.W_E": words, "blocks.0.mlp.W_in": weight(words, 8)}
    one = bench(matrices, words, processed=moved)
    for basis in ("raw", "processed"):
        neurons.beyond_chance(one, subject(basis=basis))
        neurons.share_at(one, subject(basis=basis), 0.5)
    random = [label for label in one.labels if "random" in label]
    assert random == ["pursuit of 60 random directions (raw)", "scan of random directions (raw)"]


def test_the_measures_of_one_layer_do_not_depend_on_what_came_before() -> None:
    alone = neurons.share_at(several(), subject("W_in", 1, "processed"), 0.5)
    one = several()
    for basis, layer, matrix in PLACES:
        last = neurons.share_at(one, subject(matrix, layer, basis), 0.5)
    assert last == alone
