"""The claims on neurons as sums of tokens, from the bundles of the neurons and of both nulls."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.oracles import Rows
from tests.sections.stand_in import Bench, bench_of
from vsa_checks import nulls
from vsa_checks.bundles import ranked_scan, ranked_scans
from vsa_checks.errors import NotChecked
from vsa_checks.judging.subjects import Subject
from vsa_checks.sections import neurons, pursued
from vsa_checks.sections.beyond_chance import share_beyond_chance
from vsa_checks.statistics import stream

COUNTS = (1, 2, 3, 5, 10, None)
D = 24


@pytest.fixture(autouse=True)
def few_random_neurons(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 instead of 20,000 random directions behind the bars."""
    monkeypatch.setattr(pursued, "RANDOM_NEURONS", 60)


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


def centered(words: Rows) -> Rows:
    return (words - words.astype(np.float64).mean(axis=0)).astype(np.float32)


def test_a_nulls_share_its_spread_and_its_p() -> None:
    hits, null_hits = np.arange(10) < 6, np.arange(8) < 2
    found = neurons.share_null("a name", hits, null_hits)
    assert (found.name, found.value, found.n) == ("a name", 0.25, 8)
    assert found.spread == pytest.approx(np.sqrt(0.25 * 0.75 / 10)), "over as many neurons as the layer has"
    for p, other in ((found.p_value, "greater"), (found.p_opposite, "less")):
        assert p == pytest.approx(stats.fisher_exact([[6, 4], [2, 6]], alternative=other).pvalue)


def test_copies_of_a_neuron_are_no_further_evidence() -> None:
    """Four clusters, of which three hit, count as four neurons of whatever size; ones of their own make it Fisher's."""
    hits, null_hits = np.arange(40) < 30, np.arange(40) < 10
    rng = np.random.default_rng(0)
    each = neurons.share_null("a name", hits, null_hits, np.arange(40), rng)
    assert each == neurons.share_null("a name", hits, null_hits) and each.p_value < 1e-4
    found = neurons.share_null("a name", hits, null_hits, np.arange(40) // 10, rng)
    assert (found.value, found.spread, found.n) == (each.value, each.spread, each.n)
    assert found.p_value == pytest.approx(stats.hypergeom(44, 13, 4).sf(2), abs=0.01)
    assert found.p_opposite == pytest.approx(stats.hypergeom(44, 13, 4).cdf(3), abs=0.01)
    uneven = np.repeat([0, 1, 2, 3], [28, 1, 1, 10])
    assert neurons.share_null("a name", hits, null_hits, uneven, rng).p_value == pytest.approx(found.p_value, abs=0.01)


# --- the paper's scan -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.7])
def test_share_of_neurons_at_a_cosine(level: float) -> None:
    words = tokens(14)
    rows, middle = weight(words).T, centered(words)
    sets = {
        "": rows,
        "random_": nulls.random_directions(40, D, stream(3, "scan random")),
        "matched_": nulls.covariance_matched(rows).draw(40, stream(3, "scan matched", "raw", 0, "W_in")),
    }
    reached = {kind: [one.cosine[~one.dead] for one in ranked_scans(v, middle, COUNTS)] for kind, v in sets.items()}
    one = bench({"blocks.0.mlp.W_in": weight(words)}, words)
    found = neurons.share_at(one, subject(), level)
    shares = [(cosines[-1] >= level).mean() for cosines in reached.values()]
    assert 0 < shares[0] < 1 and len(set(shares)) == 3
    assert (found.value, *(null.value for null in found.nulls)) == pytest.approx(tuple(shares))
    names = ["neurons", "random directions", "covariance-matched neurons"]
    assert [null.name for null in found.nulls] == names[1:]
    assert (found.n_examined, found.n_excluded, found.interval.unit) == (39, 1, "clusters of neurons")
    assert ("bootstrap", "a-claim/raw/L0/W_in") in one.drawn_for
    curve, sweep = found.details["curve"], found.details["sweep"]
    assert (curve["x_label"], curve["y_label"]) == ("cosine at least", "share of neurons (K = all)")
    assert curve["x"] == [place / 20 for place in range(21)]
    assert [series["name"] for series in curve["series"]] == names
    for series, (kind, cosines) in zip(curve["series"], reached.items(), strict=True):
        assert series["y"] == pytest.approx([(cosines[-1] >= least).mean() for least in curve["x"]])
        for row, of_count in zip(sweep, cosines, strict=True):
            assert row[f"{kind}share_50"] == pytest.approx((of_count >= 0.5).mean())
            assert row[f"{kind}share_30"] == pytest.approx((of_count >= 0.3).mean())
    for row, count in zip(sweep, COUNTS, strict=True):
        bundles = ranked_scan(rows, middle, count)
        assert row["neurons_per_token"] == count
        assert row["mean_tokens"] == pytest.approx(bundles.size[~bundles.dead].mean())
    live = rows[rows.any(axis=1)]
    spanned = np.linalg.svd(middle)[2][:13]  # 14 tokens that sum to zero
    ceilings = np.linalg.norm(live @ spanned.T, axis=1) / np.linalg.norm(live, axis=1)
    assert found.details["mean_cosine"] == pytest.approx(reached[""][-1].mean())
    assert found.details["mean_ceiling_of_span"] == pytest.approx(ceilings.mean(), abs=1e-6)
    assert found.details["mean_share_of_ceiling"] == pytest.approx((reached[""][-1] / ceilings).mean(), abs=1e-6)


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


# --- what is shared, and what is not there --------------------------------------------------------------------


def test_dead_neurons_and_dead_dictionaries_are_not_checked() -> None:
    words, matrix = tokens(), weight(tokens())
    matrix[:, 1:] = 0
    one = bench({"blocks.0.mlp.W_in": matrix}, words)
    alike = bench({"blocks.0.mlp.W_in": weight(words)}, np.repeat(words[:1], 30, axis=0))
    for measure in (share_beyond_chance, partial(neurons.share_at, level=0.5)):
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
    assert share_beyond_chance(bench({"blocks.0.mlp.W_in": two}, words), subject()).n_examined == 2


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


def test_each_scan_bar_and_pursuit_is_made_once_and_told() -> None:
    one = several()
    bars = set()
    for level in (0.5, 0.3):
        for basis, layer, matrix in PLACES:
            neurons.share_at(one, subject(matrix, layer, basis), level)
    scans, one.labels = one.labels, []
    for basis, layer, matrix in PLACES:
        bars.add(share_beyond_chance(one, subject(matrix, layer, basis)).details["cosine_bar"])
    assert len(bars) == 2, "one bar for each dictionary"
    told: tuple[list[str], list[str]] = [], []
    for basis, layer, matrix in PLACES:
        told[0].extend(
            [f"scan of layer {layer} {matrix} ({basis})", f"scan of its covariance-matched neurons ({basis})"]
        )
        pursuit = f"pursuit in layer {layer} {matrix} ({basis})"
        told_first = [pursuit]
        if (layer, matrix) == (0, "W_gate"):
            told[0].append(f"scan of random directions ({basis})")
            told_first.append(f"pursuit of 60 random directions ({basis})")
        told[1].extend([*told_first, f"{pursuit}, nulls"])
    assert (scans, one.labels) == told


def test_bases_of_equal_embeddings_share_all_that_is_made_of_them() -> None:
    words = tokens()
    matrices = {"blocks.0.mlp.W_in": weight(words)}
    moved = {"embed.W_E": words, "blocks.0.mlp.W_in": weight(words, 8)}
    one = bench(matrices, words, processed=moved)
    for basis in ("raw", "processed"):
        share_beyond_chance(one, subject(basis=basis))
        neurons.share_at(one, subject(basis=basis), 0.5)
    random = [label for label in one.labels if "random" in label]
    assert random == ["pursuit of 60 random directions (raw)", "scan of random directions (raw)"]


def test_the_measures_of_one_layer_do_not_depend_on_what_came_before() -> None:
    alone = neurons.share_at(several(), subject("W_in", 1, "processed"), 0.5)
    one = several()
    for basis, layer, matrix in PLACES:
        last = neurons.share_at(one, subject(matrix, layer, basis), 0.5)
    assert last == alone
