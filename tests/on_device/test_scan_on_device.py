"""ranked_scan on a torch device against the paper's steps taken one by one, and against the compiled engine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import oracles
from tests.measures.test_measure_properties import test_scan_of_any_small_problem  # noqa: F401 - on a device
from tests.measures.test_ranked_scan import (  # noqa: F401 - these too
    COUNTS,
    KINDS,
    example,
    test_dead_neurons_are_told_from_neurons_that_nothing_explains,
    test_exact_arithmetic_with_many_ties,
    test_progress_runs_to_its_end,
    test_several_numbers_of_neurons_per_token_share_products_and_nothing_else,
)
from tests.oracles import Rows
from vsa_checks import bundles
from vsa_checks.bundles import Bundles, ranked_scan

pytestmark = pytest.mark.slow


def assert_same_bundles(found: Bundles, expected: Bundles, clear: list[int]) -> None:
    """Sizes and dtypes agree, and tokens and cosines of the neurons where no decision was closer than rounding."""
    assert len(found) == len(expected) and found.dead.tolist() == expected.dead.tolist()
    assert found.n_dictionary_excluded == expected.n_dictionary_excluded
    for name in ("starts", "token_ids", "cosines", "dead"):
        assert getattr(found, name).dtype == getattr(expected, name).dtype
    for i in clear:
        assert found.tokens(i).tolist() == expected.tokens(i).tolist(), f"neuron {i}"
        np.testing.assert_allclose(found.path(i), expected.path(i), rtol=0, atol=oracles.CLOSE)


@pytest.mark.parametrize("neurons_per_token", COUNTS)
@pytest.mark.parametrize("kind", KINDS)
def test_bundles_are_those_of_the_steps_and_of_the_compiled_engine(
    kind: str, neurons_per_token: int | None, device: torch.device
) -> None:
    neurons, words = example(kind)
    expected = oracles.scan(neurons, words, neurons_per_token)
    clear = [i for i, one in enumerate(expected) if one.closest_call > oracles.CLOSE]
    assert len(clear) >= 10, "the example is too close to call to be one"
    compiled = ranked_scan(neurons, words, neurons_per_token)
    for block in (None, 1, 5):
        found = ranked_scan(neurons, words, neurons_per_token, block=block, device=device)
        oracles.assert_scanned(found, neurons, expected)
        assert_same_bundles(found, compiled, clear)


@pytest.mark.parametrize("neurons_per_token", [None, 2])
def test_identical_tokens_and_identical_neurons_come_by_id(
    neurons_per_token: int | None, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies stand at all places of a block of products, which need not be the same to the last bit: here are not."""
    _products_differ(monkeypatch)
    rng = np.random.default_rng(6)
    words = np.concatenate([rng.standard_normal((33, 24))] * 3).astype(np.float32)
    neurons = np.concatenate([rng.standard_normal((17, 24))] * 2).astype(np.float32)
    found = ranked_scan(neurons, words, neurons_per_token, block=20, device=device)
    assert found.size.sum() > 50
    for i in range(34):
        for first in range(33):
            copies = [int(one) for one in found.tokens(i) if one % 33 == first]
            assert copies == [first, first + 33, first + 66][: len(copies)], f"neuron {i}"
    if neurons_per_token is None:
        assert [found.tokens(i).tolist() for i in range(17)] == [found.tokens(i).tolist() for i in range(17, 34)]
    alone = ranked_scan(neurons, words, 1, device=device)
    assert alone.size[:17].sum() > 0 and alone.size[17:].tolist() == [0] * 17


def _products_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each place of a product have rounding of its own, rising from left to right and downwards."""
    to_float32 = torch.Tensor.float

    def rounded(made: torch.Tensor) -> torch.Tensor:
        rows, columns = (torch.arange(size, device=made.device) / size for size in made.shape)
        return to_float32(made) + 1e-6 * (rows[:, None] + columns)

    monkeypatch.setattr(torch.Tensor, "float", rounded)


def test_neurons_of_many_blocks_and_threads(device: torch.device) -> None:
    """More neurons than a thread goes through at a time, in blocks that do not end where those do."""
    rng = np.random.default_rng(13)
    neurons, words = (rng.standard_normal(shape).astype(np.float32) for shape in ((300, 20), (900, 20)))
    neurons[[5, 290]] = 0
    for count in (None, 4):
        compiled, found = ranked_scan(neurons, words, count), ranked_scan(neurons, words, count, device=device)
        same = [found.tokens(i).tolist() == compiled.tokens(i).tolist() for i in range(300)]
        assert sum(same) >= 297, "rounding decides now and then, not often"
        np.testing.assert_allclose(
            found.cosine[np.array(same)], compiled.cosine[np.array(same)], rtol=0, atol=oracles.CLOSE
        )
        for block in (131, 7):
            blocks = ranked_scan(neurons, words, count, device=device, block=block)
            np.testing.assert_array_equal(blocks.token_ids, found.token_ids)
            np.testing.assert_allclose(blocks.cosines, found.cosines, rtol=0, atol=1e-7)


def test_the_least_cosine_of_a_candidate_is_that_of_the_compiled_engine(device: torch.device) -> None:
    """Whole numbers of norm 20: the cosine is 1/20 as exactly as float32 has it."""
    axis = np.eye(6, dtype=np.float32)[:1]
    neurons = np.concatenate([axis, -axis])
    for first, taken in ((1.0, [0]), (0.9999, [])):
        words = np.array([[first, 19, 6, 1, 1, 0]])
        for count in (None, 1):
            for where in (None, device):
                assert ranked_scan(neurons, words, count, device=where).tokens(0).tolist() == taken


def test_dead_neurons_one_token_and_no_neuron(device: torch.device) -> None:
    neurons, words = example("dead rows")
    for count in (None, 1, 3):
        found = ranked_scan(neurons, words, count, device=device)
        assert np.flatnonzero(found.dead).tolist() == [0, 5, 11]
        one = ranked_scan(neurons, words[1:2], count, device=device)
        assert one.token_ids.tolist() == ranked_scan(neurons, words[1:2], count).token_ids.tolist()
        dead = ranked_scan(np.zeros((3, 16)), words, count, device=device)
        assert dead.dead.all() and len(dead) == 3 and len(dead.token_ids) == len(dead.cosines) == 0


def test_the_compiled_products_are_not_made_beside(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Rows:
        raise AssertionError("this is the compiled engine's")

    monkeypatch.setattr(bundles.loops, "collect_candidates", refuse)
    monkeypatch.setattr(bundles.loops, "keep_largest", refuse)
    neurons, words = example("planted")
    assert ranked_scan(neurons, words, device=device).size.sum() > 0
    assert ranked_scan(neurons, words, 2, device=device).size.sum() > 0
