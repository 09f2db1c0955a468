"""The paper's scan over tokens and bound tokens that are not held: against the scan over all of them, stacked."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vsa_checks import bound_scan, nulls
from vsa_checks.bound_heads import Heads
from vsa_checks.bound_scan import scan_with_bound
from vsa_checks.bound_tokens import Part
from vsa_checks.bundles import ranked_scan

D, RANK, TOKENS, HEADS = 24, 8, 70, 3


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def words(rng: np.random.Generator) -> Part:
    return Part(rng.standard_normal((TOKENS, D), dtype=np.float32))


@pytest.fixture
def heads(words: Part, rng: np.random.Generator) -> Heads:
    def factor(*shape: int) -> NDArray[np.float32]:
        return (rng.standard_normal(shape) / np.sqrt(RANK)).astype(np.float32)

    return Heads.of([Part(words.left @ factor(D, RANK), factor(RANK, D)) for _ in range(HEADS)])


def stacked(words: Part, heads: Heads) -> NDArray[np.float64]:
    places = np.arange(TOKENS)
    return np.concatenate([part.rows(places) for part in (words, *heads.parts)])


@pytest.mark.parametrize("block", [64, 5])
def test_it_is_the_scan_over_all_vectors(
    words: Part, heads: Heads, rng: np.random.Generator, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bound_scan, "MOST_BLOCK", block)
    neurons = nulls.random_directions(30, D, rng)
    neurons[:10] += stacked(words, heads)[[3, 80, 150]].sum(axis=0) / 5  # of one plain and two bound tokens
    steps: list[tuple[int, int]] = []
    found = scan_with_bound(3 * neurons, words, heads, progress=lambda n, of: steps.append((n, of)))
    known = ranked_scan(neurons, stacked(words, heads), None)
    assert steps[-1] == (30, 30)
    assert found.cosines == pytest.approx(known.cosine, abs=1e-5)
    plain = [int((known.tokens(i) < TOKENS).sum()) for i in range(30)]
    assert found.n_plain.tolist() == plain
    assert (found.n_plain + found.n_bound).tolist() == known.size.tolist()
    assert found.n_bound.min() > 0


def test_vectors_without_a_direction_are_never_included(words: Part, heads: Heads, rng: np.random.Generator) -> None:
    words.left[5:] = 0.0
    heads.left[1:], heads.squares[1:] = 0.0, 0.0
    neurons = nulls.random_directions(12, D, rng)
    found = scan_with_bound(neurons, words, heads)
    vectors = stacked(words, heads)
    known = ranked_scan(neurons, vectors[vectors.any(axis=1)], None)
    assert found.cosines == pytest.approx(known.cosine, abs=1e-5)
    assert (found.n_plain + found.n_bound).tolist() == known.size.tolist()


def test_a_neuron_without_a_direction_is_an_error(words: Part, heads: Heads) -> None:
    with pytest.raises(ValueError, match="1 of the neurons have no direction"):
        scan_with_bound(np.eye(2, D) * [[1.0], [0.0]], words, heads)
