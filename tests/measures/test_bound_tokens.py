"""The pursuit over products: the same as over their vectors stacked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures.planted import bound_token_neurons
from fixtures.small_models import GATED, Sizes
from tests import oracles
from vsa_checks import bound_tokens
from vsa_checks.bound_tokens import Part, pursue
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.sections.bound_tokens import bound_tokens as tokens_bound
from vsa_checks.workbench.access import Workbench

D, RANK = 20, 5


def drawn(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def parts(rng: np.random.Generator) -> list[Part]:
    return [Part(drawn(rng, 60, D)), *(Part(drawn(rng, 60, RANK), drawn(rng, RANK, D)) for _ in range(3))]


def stacked(parts: list[Part]) -> NDArray[np.float64]:
    return np.concatenate([part.rows(np.arange(len(part.left))) for part in parts])


def test_it_finds_what_the_obvious_way_finds(parts: list[Part], rng: np.random.Generator) -> None:
    neurons = drawn(rng, 12, D)
    found = pursue(neurons, parts, 6)
    for i, neuron in enumerate(neurons.astype(np.float64)):
        chosen, path = oracles.pursuit(neuron, stacked(parts), 6)
        assert (60 * found.parts[i] + found.places[i]).tolist() == chosen
        assert found.cosines[i] == pytest.approx(path, abs=1e-6)


def test_blocks_change_nothing(parts: list[Part], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    neurons = drawn(rng, 23, D)
    whole = pursue(neurons, parts, 4)
    monkeypatch.setattr(bound_tokens, "BLOCK_BYTES", 4 * 240 * 5)
    seen: list[tuple[int, int]] = []
    blocks = pursue(neurons, parts, 4, progress=lambda done, n: seen.append((done, n)))
    assert seen == [(5, 23), (10, 23), (15, 23), (20, 23), (23, 23)]
    assert np.array_equal(whole.places, blocks.places) and np.array_equal(whole.parts, blocks.parts)
    assert whole.cosines == pytest.approx(blocks.cosines, abs=1e-6)


def test_parts_of_many_vectors_are_looked_at_to_the_end(rng: np.random.Generator) -> None:
    parts = [Part(drawn(rng, 700, D)), Part(drawn(rng, 650, RANK), drawn(rng, RANK, D))]
    parts[1].left[:3] = parts[1].left[600:603]  # equal vectors: the first is taken first
    neurons = np.concatenate([drawn(rng, 30, D), -stacked(parts)[700:703].astype(np.float32), stacked(parts)[700:703]])
    found, known = pursue(neurons, parts, 5), greedy_pursuit(neurons, stacked(parts).astype(np.float32), 5)
    assert np.array_equal(700 * found.parts + found.places, known.token_ids.reshape(-1, 5))
    assert found.cosines == pytest.approx(known.cosines.reshape(-1, 5), abs=1e-6)
    assert found.places[33:, 0].tolist() == [0, 1, 2]


def test_vectors_without_a_direction_are_never_included(rng: np.random.Generator) -> None:
    left = drawn(rng, 8, RANK)
    left[[0, 3]] = 0.0
    found = pursue(-drawn(rng, 5, D), [Part(left, drawn(rng, RANK, D))], 6)
    assert all(sorted(row) == [1, 2, 4, 5, 6, 7] for row in found.places.tolist())


def test_what_cannot_be_pursued_is_refused(parts: list[Part]) -> None:
    with pytest.raises(ValueError, match="1 of the neurons have no direction"):
        pursue(np.zeros((1, D)), parts, 2)
    for count in (0, 241):
        with pytest.raises(ValueError, match="cannot be built"):
            pursue(np.ones((1, D)), parts, count)


@pytest.mark.parametrize(("sizes", "matrix"), [(Sizes(), "W_in"), (GATED, "W_gate")], ids=["like GPT-2", "gated"])
def test_planted_bound_tokens_are_found_by_head_and_token(sizes: Sizes, matrix: str, tmp_path: Path) -> None:
    directory, truth = bound_token_neurons(tmp_path, sizes, bundle=2, noise=0.1)
    bench = Workbench(str(directory))
    words = bench.embedding("raw")
    heads = tokens_bound(bench, "raw")
    assert heads is not None
    parts = [Part(words - words.mean(axis=0)), *heads.parts]
    found = pursue(bench.weight("raw", 0, matrix).T, parts, 2)
    hits = [
        len({*zip(found.parts[i] - 1, found.places[i], strict=True)} & set(members))
        for i, members in enumerate(truth[matrix])
    ]
    assert np.mean(hits) / 2 > 0.8
