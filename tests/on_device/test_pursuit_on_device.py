"""greedy_pursuit on a torch device against the compiled engine and against trying every token at every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracles
from tests.engine.test_greedy_pursuit import (  # noqa: F401 - on a device
    KINDS,
    example,
    test_a_vocabulary_of_several_chunks,
    test_each_step_takes_the_token_that_gives_the_highest_cosine,
    test_lengths_whose_squares_float32_cannot_hold,
    test_neurons_that_are_all_dead_give_empty_bundles,
    test_progress_runs_to_its_end,
    test_short_tokens_beside_long_ones,
    test_ties_go_to_the_lowest_id,
)
from tests.measures.test_measure_properties import (  # noqa: F401 - these too
    test_pursuit_of_any_small_problem,
    test_pursuit_of_rows_with_duplicates_zeros_and_opposites,
)
from vsa_checks.bundles import Bundles, Dictionary, greedy_pursuit
from vsa_checks.engine.on_device import bounds, one_pass, precision, pursuit
from vsa_checks.engine.on_device import words as placed
from vsa_checks.orthogonality import live_rows

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
ROUNDED = ("one dimension", "cancelling")
"""Kinds with ties that rounding decides."""


def assert_same(found: Bundles, expected: Bundles) -> None:
    """The same tokens in the same order, and cosines that differ by the rounding of float64 at most."""
    np.testing.assert_array_equal(found.starts, expected.starts)
    np.testing.assert_array_equal(found.dead, expected.dead)
    np.testing.assert_array_equal(found.token_ids, expected.token_ids)
    np.testing.assert_allclose(found.cosines, expected.cosines, rtol=0, atol=1e-12)
    assert found.n_dictionary_excluded == expected.n_dictionary_excluded
    for name in ("starts", "token_ids", "cosines", "dead"):
        assert getattr(found, name).dtype == getattr(expected, name).dtype


@pytest.mark.parametrize("block", [None, 1, 4])
@pytest.mark.parametrize("max_tokens", [1, 5, 12])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ROUNDED])
def test_bundles_are_those_of_the_compiled_engine(
    kind: str, max_tokens: int, block: int | None, device: torch.device
) -> None:
    neurons, words = example(kind, 1)
    found = greedy_pursuit(neurons, words, max_tokens, device=device, block=block)
    assert_same(found, greedy_pursuit(neurons, words, max_tokens))


def test_many_tokens_of_the_norms_of_a_real_model(device: torch.device) -> None:
    """A common mean, norms that spread as those of word embeddings, unused tokens next to each other, copies."""
    rng = np.random.default_rng(21)
    neurons, words = rng.standard_normal((40, 24)), rng.standard_normal((6000, 24))
    words *= rng.lognormal(0, 0.3, (6000, 1))
    words += rng.standard_normal(24)
    words[5000:5050] = words[5000] + 1e-4 * rng.standard_normal((50, 24))
    words[5900:] = words[100:200]
    neurons[:20] = words[:100].reshape(20, 5, 24).sum(axis=1) + 0.1 * neurons[:20]
    neurons, words = neurons.astype(np.float32), words.astype(np.float32)
    expected = greedy_pursuit(neurons, words, 24)
    for block in (None, 7):
        assert_same(greedy_pursuit(neurons, words, 24, device=device, block=block), expected)
    oracles.assert_pursued(greedy_pursuit(neurons[:3], words, 5, device=device), neurons[:3], words, 5)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 60), st.integers(1, 20), st.integers(1, 70))
def test_any_gaussians_give_what_the_compiled_engine_gives(seed: int, n: int, n_words: int, d: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    neurons = rng.standard_normal((n, d)).astype(np.float32)
    words = (rng.standard_normal((n_words, d)) * 10 ** rng.uniform(-2, 2, (n_words, 1))).astype(np.float32)
    found = greedy_pursuit(neurons, words, k, device=CPU, block=1 + seed % 3)
    if d > 1:  # in one dimension all that points the same way has the same cosine but for rounding
        assert_same(found, greedy_pursuit(neurons, words, k))
    oracles.assert_pursued(found, neurons, words, k)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.sampled_from([0.0, 1e-8, 1e-6, 1e-4, 1e-2, 1.0]),
    st.sampled_from([0.0, 1e-6, 1e-4, 1e-2]),
)
def test_bounds_hold_the_cosine_even_where_sums_nearly_cancel(seed: int, size: int, apart: float, off: float) -> None:
    rng = np.random.default_rng(seed)
    words = rng.standard_normal((50, 16)) * 10 ** rng.uniform(-3, 0, (50, 1))
    members = rng.choice(50, (3, size))
    # Each sum has a token that points straight against it, but for a difference in some direction.
    words[:3] = -words[members].sum(axis=1)
    words[:3] *= 1 + apart * rng.standard_normal((3, 16))
    dictionary = Dictionary.of(words)
    norms = torch.from_numpy(dictionary.norms).float()
    unit = live_rows(rng.standard_normal((3, 16))).unit
    totals = dictionary.vectors[members].astype(np.float64).sum(axis=1)
    sums = bounds.Sums.of(torch.from_numpy(totals), torch.from_numpy(unit))
    projections = torch.from_numpy(unit @ dictionary.vectors.T)
    # As far off as is allowed for, with either sign.
    slack = torch.tensor(off * sums.length.numpy() * rng.random((3, 5)), dtype=torch.float32)
    overlaps = totals @ dictionary.vectors.T / dictionary.norms
    overlaps += slack.numpy().repeat(10, axis=1) * rng.choice([-1, 1], (3, 50))
    overlaps = torch.from_numpy(overlaps).float()
    lowest, highest = (
        torch.cat(part, dim=1).numpy()
        for part in zip(
            *(
                bounds.bounds_of_tokens(sums, projections[:, some], overlaps[:, some], norms[some], slack[:, [i]])
                for i, some in enumerate(torch.arange(50).split(10))
            ),
            strict=True,
        )
    )
    top, least = one_pass.plain_pass(projections, overlaps, norms, sums, None, 10)
    low, high = bounds.bounds_of_tiles(sums, top, least, norms.view(5, 10).amax(dim=1), slack)
    own, first = (bound.numpy() for bound in bounds.first_bounds(projections / norms))
    exacts = np.empty((3, 50))
    for i in range(3):
        for t in range(50):
            whole = totals[i] + dictionary.vectors[t]
            assert (
                own[i, t] <= oracles.cosine(unit[i].astype(float), dictionary.vectors[t].astype(float)) <= first[i, t]
            )
            exact = oracles.cosine(unit[i].astype(float), whole) if whole @ whole > 1e-20 else 0.0
            assert lowest[i, t] <= exact <= highest[i, t]
            exacts[i, t] = exact
    best = exacts.reshape(3, 5, 10).max(axis=2)
    assert (low.numpy() <= best).all() and (best <= high.numpy()).all()
    # and apart from what cancels they are close
    assert np.median(highest - lowest) < 1e-3 + 10 * off


def test_few_tokens_are_scored_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds leave a token or two of 3,000 for each neuron and step: looking at all again would be no engine."""
    rng = np.random.default_rng(2)
    neurons, words = (rng.standard_normal(shape).astype(np.float32) for shape in ((50, 64), (3000, 64)))
    scored: list[int] = []
    exact = pursuit._exact

    def counted(*given: Any) -> torch.Tensor:
        scored.append(len(given[-1]))
        return exact(*given)

    monkeypatch.setattr(pursuit, "_exact", counted)
    greedy_pursuit(neurons, words, 10, device=CPU)
    assert len(scored) == 10
    assert min(scored) >= 50 and max(scored) < 100


def test_scoring_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tokens are multiples of four, by powers of two: each has the cosine of nine others to the last bit."""
    neurons, words = example("tenfold", 7)
    words *= 2.0 ** np.arange(40, dtype=np.float32)[:, None] / 2**20
    expected = greedy_pursuit(neurons, words, 9, device=CPU)
    assert set(expected.token_ids.reshape(6, 9)[:, 0]) <= {0, 1, 2, 3}, "the lowest of each ten"
    for aim in (24 * 12 * 3, 24 * 12 * 23):
        monkeypatch.setattr(pursuit, "EXACT_BYTES", aim)
        found = greedy_pursuit(neurons, words, 9, device=CPU)
        np.testing.assert_array_equal(found.token_ids, expected.token_ids)
        np.testing.assert_array_equal(found.cosines, expected.cosines)


def test_copies_go_by_id_whatever_rounding_makes_of_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    neurons, words = example("tenfold", 7)
    exact = pursuit._exact
    monkeypatch.setattr(pursuit, "_exact", lambda *given: exact(*given) + 1e-14 * given[-1])
    assert_same(greedy_pursuit(neurons, words, 30, device=CPU), greedy_pursuit(neurons, words, 30))


def test_a_first_token_so_short_that_float32_does_not_hold_its_square(device: torch.device) -> None:
    neurons, words = example("gaussian", 3)
    words[::2] *= np.float32(1e-25)
    found = greedy_pursuit(neurons, words, 1, device=device)
    assert any(t % 2 == 0 for t in found.token_ids), "the example has no short token to be found"
    oracles.assert_pursued(found, neurons, words, 1)


def test_the_next_copy_of_each_row() -> None:
    rows = np.array([[1, 2], [3, 4], [1, 2], [5, 5], [3, 4], [1, 2]])
    assert placed.next_copies(Dictionary.of(rows)).tolist() == [2, 4, 5, -1, -1, -1]
    assert placed.next_copies(Dictionary.of(np.eye(3))).tolist() == [-1, -1, -1]


def test_a_budget_is_that_of_the_compiled_engine(device: torch.device) -> None:
    with pytest.raises(ValueError, match="its own free memory"):
        greedy_pursuit(*example("gaussian"), 2, device=device, memory=10**9)


def _precision() -> str:
    return torch.get_float32_matmul_precision()


@pytest.mark.parametrize("setting", ["highest", "high", "medium"])
def test_float32_is_multiplied_as_float32_and_the_setting_comes_back(setting: str) -> None:
    seen: list[str] = []
    torch.set_float32_matmul_precision(setting)
    try:
        with precision.full_float32():
            assert _precision() == "highest"
            assert not torch.backends.cuda.matmul.allow_tf32
        assert _precision() == setting
        greedy_pursuit(*example("gaussian"), 2, device=CPU, progress=lambda *_: seen.append(_precision()))
        assert (seen, _precision()) == (["highest"], setting)
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(("cuda", "mkldnn"), [("tf32", "ieee"), ("ieee", "bf16"), ("ieee", "ieee"), ("none", "none")])
def test_the_same_where_it_was_set_by_the_newer_way(cuda: str, mkldnn: str) -> None:
    backends: Any = torch.backends
    settings = (backends.cuda.matmul, backends.mkldnn.matmul)
    torch.set_float32_matmul_precision("highest")
    try:
        for one, precision_of_it in zip(settings, (cuda, mkldnn), strict=True):
            one.fp32_precision = precision_of_it
        with precision.full_float32():
            assert [one.fp32_precision for one in settings] == ["ieee", "ieee"] and not settings[0].allow_tf32
        assert [one.fp32_precision for one in settings] == [cuda, mkldnn]
    finally:
        torch.set_float32_matmul_precision("highest")
