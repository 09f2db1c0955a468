"""The published neurons: the sweep over numbers of neurons per token, and the named tokens, on planted bundles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.sections.stand_in import Bench, bench_of
from vsa_checks.bundles import Bundles, ranked_scan
from vsa_checks.errors import NotChecked
from vsa_checks.judging.subjects import Subject
from vsa_checks.sections import table1
from vsa_checks.sections.table1 import NEURONS_PER_TOKEN, PublishedNeuron

SUBJECT = Subject("neurons-table1", "raw")
COUNTS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100, 200, None)
D, V = 20, 50
NAMES = tuple(f" t{i}" if i % 2 else f"t{i}" for i in range(V))


def bench(is_paper_model: bool = True) -> Bench:
    rng = np.random.default_rng(0)
    weights = {
        "embed.W_E": rng.standard_normal((V, D)) + 1,
        "blocks.0.mlp.W_in": rng.standard_normal((D, 30)),
        "blocks.1.mlp.W_in": rng.standard_normal((D, 30)),
    }
    return bench_of(weights, names=NAMES, is_paper_model=is_paper_model, d_vocab=V, d_model=D)


def published(one: Bench, count: int | None, off: tuple[float, ...]) -> tuple[PublishedNeuron, ...]:
    """Neurons whose cosines are those of the scan with `count` neurons per token, moved by `off`."""
    words = one.embedding("raw").astype(np.float64)
    found = ranked_scan(one.weight("raw", 0, "W_in").T, words - words.mean(axis=0), count)
    places = [int(neuron) for neuron in np.flatnonzero(found.size > 1)[: len(off)]]
    return tuple(
        PublishedNeuron(
            layer=0,
            index=place,
            cosine=float(found.cosine[place]) + moved,
            pairing="as printed" if place == places[0] else "uncertain",
            # Spaces are not preserved in print: the first two of its bundle, and one that is no token.
            tokens=(*(NAMES[token].strip() for token in found.tokens(place)[:2]), "nowhere"),
        )
        for place, moved in zip(places, off, strict=True)
    )


@pytest.mark.parametrize("count", [2, 5, 10])
def test_published_cosines(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of twelve neurons names two tokens of its bundle, and its cosine is up to .004 off."""
    one, off = bench(), (0.0005, -0.004, 0.001, 0.0015, -0.002, 0.0025, 0.003, -0.0035, 0.0, 0.00225, 0.00125, 0.00325)
    printed = published(one, count, off)
    assert len(printed) == 12
    monkeypatch.setattr(table1, "published_neurons", lambda: printed)
    found = table1.published_cosines(one, SUBJECT)
    assert (found.value, found.interval.high, found.n_examined) == pytest.approx((0.004, 0.004, 12))
    assert found.interval.low < 0.004 and found.interval.unit == "neurons"
    assert one.drawn_for == [("bootstrap", SUBJECT.id)]
    assert one.labels == ["scans for the published neurons (raw)"]
    assert found.details["neurons_per_token"] == count and len(found.details["notes"]) == 2
    sweep = {row["neurons_per_token"]: row["largest_distance"] for row in found.details["sweep"]}
    assert list(sweep) == list(COUNTS) and min(sweep.values()) == sweep[count] == pytest.approx(0.004)
    p = []
    for row, neuron, moved in zip(found.details["neurons"], printed, off, strict=True):
        assert (row["neuron"], row["published"], row["pairing"]) == (neuron.index, neuron.cosine, neuron.pairing)
        assert row["measured"] == pytest.approx(neuron.cosine - moved)
        assert (row["named"], row["found"]) == (3, 2), "the third is no token"
        # both of the two named tokens lie in a bundle of so many of 50
        assert row["p_value"] == pytest.approx(row["bundle"] * (row["bundle"] - 1) / (V * (V - 1)))
        p.append(row["p_value"])
    # Fisher's: minus twice the sum of the logarithms follows chi-square with twice as many degrees.
    assert found.details["named_tokens_p"] == pytest.approx(stats.chi2.sf(-2 * np.log(p).sum(), 24))


def bundles_of(*cosines: float) -> Bundles:
    """One bundle of one token for each cosine."""
    n = len(cosines)
    return Bundles(np.arange(n + 1), np.zeros(n, np.int64), np.array(cosines), np.zeros(n, bool), 0)


def test_one_number_of_neurons_per_token_for_all() -> None:
    """The best K is that of the smallest largest distance, not of the smallest sum or of each neuron's own best."""
    printed = tuple(PublishedNeuron(0, place, 0.5, "as printed", ("t0",)) for place in (2, 0))
    found = [bundles_of(0.0, 0.5, 0.0)] * 14
    found[4], found[9] = bundles_of(0.2, 0.5, 0.5), bundles_of(0.66, 0.5, 0.34)
    measured = table1.compare(bench().model("raw"), np.arange(V), printed, found, np.random.default_rng(0))
    assert measured.details["neurons_per_token"] == COUNTS[9] == 30
    assert measured.value == pytest.approx(0.16)
    assert [one["largest_distance"] for one in measured.details["sweep"]] == pytest.approx(
        [0.5] * 4 + [0.3] + [0.5] * 4 + [0.16] + [0.5] * 4
    )


def test_tokens_are_found_with_and_without_a_leading_space() -> None:
    one = bench()
    model, rows, words = one.model("raw"), one.weight("raw", 0, "W_in").T, one.embedding("raw")
    found = [ranked_scan(rows, words, k) for k in COUNTS]
    inside = next(int(t) for t in found[-1].tokens(3) if NAMES[int(t)].startswith(" "))
    for printed in (NAMES[inside], NAMES[inside].strip(), f"  {NAMES[inside].strip()} "):
        neuron = PublishedNeuron(0, 3, float(found[-1].cosine[3]), "as printed", (printed,))
        (row,) = table1.compare(model, np.arange(V), (neuron,), found, np.random.default_rng(0)).details["neurons"]
        assert row["found"] == 1, printed
    outside = next(t for t in range(V) if t not in found[-1].tokens(3))
    neuron = PublishedNeuron(0, 3, float(found[-1].cosine[3]), "as printed", (NAMES[outside],))
    (row,) = table1.compare(model, np.arange(V), (neuron,), found, np.random.default_rng(0)).details["neurons"]
    assert (row["found"], row["p_value"]) == (0, 1.0)


def test_names_that_are_no_tokens_have_no_p() -> None:
    one = bench()
    found = [ranked_scan(one.weight("raw", 0, "W_in").T, one.embedding("raw"), k) for k in COUNTS]
    neuron = PublishedNeuron(0, 3, 0.5, "as printed", ("nowhere",))
    details = table1.compare(one.model("raw"), np.arange(V), (neuron,), found, np.random.default_rng(0)).details
    assert details["neurons"][0]["p_value"] is None and details["named_tokens_p"] is None
    named = PublishedNeuron(0, 11, 0.5, "as printed", ("t1",))
    details = table1.compare(one.model("raw"), np.arange(V), (neuron, named), found, np.random.default_rng(0)).details
    assert details["named_tokens_p"] == pytest.approx(details["neurons"][1]["p_value"])


def test_other_models_have_other_neurons() -> None:
    with pytest.raises(NotChecked, match="those of GPT-2 small"):
        table1.published_cosines(bench(is_paper_model=False), SUBJECT)


def test_the_published_neurons_are_the_seven_of_the_paper() -> None:
    found = table1.published_neurons()
    assert [one.index for one in found] == [12, 186, 192, 205, 247, 1844, 20]
    assert {one.layer for one in found} == {0}
    assert [one.cosine for one in found] == [0.61, 0.63, 0.65, 0.58, 0.62, 0.69, 0.73]
    assert found[0].tokens == ("CNN", "Cold", "NBC", "lying", "TRUMP")
    assert NEURONS_PER_TOKEN == COUNTS
