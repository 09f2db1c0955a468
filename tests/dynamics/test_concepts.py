"""Recovery of known concepts: against brute force, where they are planted and where not, and in untrained models."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from dynamics.concepts import BUNDLE, READING, Recovery, _sets, conjunction, recover
from dynamics.grammar import PLACEBO, Concept, Grammar
from dynamics.models import VARIANTS, Sizes, untrained
from fixtures.one_thread import one_thread
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.statistics import stream

GRAMMAR = Grammar()
IDS = {word: at for at, word in enumerate(GRAMMAR.words())}
CONCEPTS = GRAMMAR.concepts()
D = 128


def _recover(neurons: NDArray[np.float32], rows: NDArray[np.float32], draws: int = 999) -> dict[str, list[Recovery]]:
    return recover(neurons, rows - rows.mean(axis=0), CONCEPTS, IDS.__getitem__, 0, draws)


def _share(found: list[Recovery], placebo: bool = False) -> float:
    return float(np.mean([one.recovered for one in found if (one.kind == PLACEBO) == placebo]))


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((len(IDS), D)).astype(np.float32)


@pytest.fixture(scope="module")
def planted(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """A neuron for each concept that is one, the sum of its words' vectors with noise, among 60 random ones."""
    rng = np.random.default_rng(2)
    sums = np.array([
        rows[[IDS[word] for word in one.words]].sum(axis=0) for one in CONCEPTS if one.kind != PLACEBO
    ])  # fmt: skip
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    noisy = sums + 0.3 * rng.standard_normal(sums.shape) / np.sqrt(D)
    return np.concatenate([rng.standard_normal((60, D)) / np.sqrt(D), noisy]).astype(np.float32)


def test_scores_are_those_of_brute_force(rows: NDArray[np.float32]) -> None:
    rng = np.random.default_rng(3)
    neurons = rng.standard_normal((9, D)).astype(np.float32)
    neurons[4] = 0
    words = rows - rows.mean(axis=0)
    found = _recover(neurons, rows, 20)
    bundles = greedy_pursuit(neurons, words, max(len(one.words) for one in CONCEPTS))
    cosines = neurons @ (words / np.linalg.norm(words, axis=1, keepdims=True)).T

    def auc(neuron: int, inside: set[int]) -> float:
        others = [token for token in range(len(IDS)) if token not in inside]
        return float(np.mean(cosines[neuron, list(inside)][:, None] > cosines[neuron, others]))

    def share(neuron: int, inside: set[int]) -> float:
        return len(inside & set(bundles.tokens(neuron)[: len(inside)].tolist())) / len(inside)

    live = [at for at in range(9) if at != 4]
    for place in (0, len(CONCEPTS) - 9, len(CONCEPTS) - 1):
        concept = CONCEPTS[place]
        members = {IDS[word] for word in concept.words}
        drawn = _sets(concept, IDS.__getitem__, len(IDS), stream(0, "sets", concept.name), 20)
        for kind, score in ((READING, auc), (BUNDLE, share)):
            ours, by_neuron = found[kind][place], [score(at, members) for at in live]
            assert ours.score == pytest.approx(max(by_neuron), abs=1e-5)
            assert by_neuron[live.index(ours.neuron)] == max(by_neuron)
            null = [max(score(at, set(np.flatnonzero(one))) for at in live) for one in drawn]
            as_good = sum(value >= max(by_neuron) - 1e-6 for value in null)
            assert ours.p == pytest.approx((1 + as_good) / 21)
            assert ours.chance == pytest.approx(np.median(null), abs=1e-5)


def test_planted_concepts_are_recovered_and_placebos_are_not(
    rows: NDArray[np.float32], planted: NDArray[np.float32]
) -> None:
    found = _recover(planted, rows)
    for score in (READING, BUNDLE):
        assert _share(found[score], placebo=True) == 0.0
        # Pursuit cannot tell all words of a sum of 48 in 128 dimensions, so bundles show unions in part only.
        some = [
            one for one in found[score] if one.kind != PLACEBO and (score == READING or one.kind.endswith("category"))
        ]
        assert len(some) == (40 if score == READING else 28)
        assert all(one.recovered for one in some)
    assert [one.neuron for one in found[READING] if one.kind != PLACEBO] == list(range(60, 100))


def test_nothing_is_recovered_where_the_words_have_changed_places(
    rows: NDArray[np.float32], planted: NDArray[np.float32]
) -> None:
    found = _recover(planted, np.random.default_rng(4).permutation(rows))
    assert _share(found[READING]) == _share(found[BUNDLE]) == 0.0


def test_a_reader_of_one_category_recovers_no_union(rows: NDArray[np.float32]) -> None:
    """Every category has a neuron, and no union has: unions of other categories score as well."""
    rng = np.random.default_rng(5)
    categories = [one for one in CONCEPTS if one.kind == "noun category"]
    sums = np.array([rows[[IDS[word] for word in one.words]].sum(axis=0) for one in categories])
    found = _recover((sums + rng.standard_normal(sums.shape)).astype(np.float32), rows)
    by_kind = Counter(one.kind for one in found[READING] if one.recovered)
    assert by_kind["noun category"] == len(categories)
    assert by_kind["or set"] == by_kind["selected set"] == 0


@pytest.mark.slow
@pytest.mark.thorough
def test_untrained_networks_give_chance() -> None:
    """Over 20 seeds: so many kinds with a recovery as alpha allows, and p as uniform as ties leave it."""
    kinds, hits, p = 0, 0, []
    with one_thread():
        for seed in range(20):
            module = untrained(VARIANTS["plain"], Sizes(1, 32, 2, 8), len(IDS), seed)
            rows = module.transformer.wte.weight.detach().numpy()
            neurons = module.transformer.h[0].mlp.c_fc.weight.detach().numpy().T
            for found in recover(neurons, rows - rows.mean(axis=0), CONCEPTS, IDS.__getitem__, seed, 399).values():
                by_kind = {one.kind: False for one in found}
                for one in found:
                    by_kind[one.kind] |= one.recovered
                    p.append(one.p)
                kinds, hits = kinds + len(by_kind), hits + sum(by_kind.values())
    # 280 tests at .05: at most 14 expected, and 26 or more once in five hundred.
    assert kinds == 280 and hits <= 25
    assert 0.45 < np.mean(p) < 0.65
    assert np.mean(np.array(p) <= 0.1) < 0.13


def test_a_conjunction_is_told_from_its_parts() -> None:
    rng = np.random.default_rng(6)
    inside = np.arange(16) % 2 == 0
    noise = 0.1 * rng.standard_normal((50, 2, 16))
    both, only_set, only_determiner = noise.copy(), noise.copy(), noise.copy()
    both[7, 0, inside] += 1
    only_set[7, :, inside] += 1
    only_determiner[7, 0] += 1
    found = conjunction(both, inside, 0)
    assert found.neuron == 7 and found.p == pytest.approx(1 / 2000)
    for table in (only_set, only_determiner, noise):
        assert conjunction(table, inside, 0).p > 0.05
    cells = both[7] / both[7].std()
    expected = min(
        cells[0, inside].mean() - cells[0, ~inside].mean(), cells[0, inside].mean() - cells[1, inside].mean()
    )
    assert found.score == pytest.approx(expected)


def test_a_concept_of_units_is_drawn_from_them_alone() -> None:
    concept = Concept("pair", "or set", frozenset("ab"), (((("a",), ("b",), ("c",)), 2),))
    sets = _sets(concept, "abcd".index, 4, np.random.default_rng(0), 300)
    counts = Counter(map(tuple, sets.astype(int).tolist()))
    assert set(counts) == {(1, 1, 0, 0), (1, 0, 1, 0), (0, 1, 1, 0)} and min(counts.values()) > 70
