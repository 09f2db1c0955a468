"""Vectors of any size that float32 holds: values are those of the same vectors at the usual size."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.claim_tests import claim_test
from fixtures.in_memory import model_in_memory
from fixtures.planted import planted_weights
from fixtures.small_models import Sizes, Weights
from tests import oracles
from tests.oracles import Rows
from vsa_checks import nulls, rebinding, residual
from vsa_checks.binding import head_maps, measure_binding
from vsa_checks.boolean import driven_by_members
from vsa_checks.bundles import greedy_pursuit, ranked_scan
from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.engine.scale import near_one, row_norms
from vsa_checks.errors import NotChecked
from vsa_checks.isometry import isometry
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import enumerate_subjects
from vsa_checks.orthogonality import live_rows, pairwise_cosines
from vsa_checks.workbench.access import Workbench

SIZES = (1e-30, 1e-25, 1e-22, 1e-10, 1.0, 1e10, 1e30)
WHOLE = [2.0**-100, 2.0**-70, 2.0**100]
"""Powers of two: every number of the scaled array is exactly that of the other one."""
CLAIMS = {claim.id: (claim, claim_test(claim.id)) for claim in load_claims().values()}


def drawn(n: int, d: int, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def uneven(rows: Rows) -> Rows:
    """Each row at another of the sizes."""
    return (rows * np.resize(SIZES, len(rows))[:, None]).astype(np.float32)


# --- norms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norms_at_the_ends_of_the_range(dtype: Any) -> None:
    info = np.finfo(dtype)
    rows = np.array([[3, 4, 0]] * 6, dtype)
    scales = np.array([info.smallest_subnormal * 2, info.tiny, info.tiny / 8, 1, info.max / 8, 0], dtype)
    with np.errstate(over="raise", invalid="raise"):
        assert row_norms(rows * scales[:, None]) == pytest.approx(5 * scales.astype(np.float64), rel=1e-6, abs=0)
    assert (row_norms(rows * scales[:, None]) > 0).tolist() == [True] * 5 + [False]
    assert not np.isfinite(row_norms(np.array([[1, np.nan], [np.inf, 0]], dtype))).any()
    assert row_norms(np.zeros((2, 0))).tolist() == [0, 0]


def test_scaling_by_powers_of_two_keeps_every_digit() -> None:
    rows = uneven(drawn(14, 6))
    found = near_one(rows)
    powers = (found / rows.astype(np.float64)).max(axis=1)
    assert (np.log2(powers) % 1 == 0).all() and ((found / powers[:, None]).astype(np.float32) == rows).all()
    assert ((np.abs(found).max(axis=1) >= 0.5) & (np.abs(found).max(axis=1) < 1)).all()
    tiny = np.array([[3e-45, 0], [0, 0]], np.float32)
    assert near_one(tiny)[0, 0] >= 2.0**-24 and not near_one(tiny)[1].any()


def test_a_row_is_dead_only_if_all_its_entries_are_zero() -> None:
    rows = np.zeros((3, 4), np.float32)
    rows[0, 1], rows[2, 3] = np.finfo(np.float32).smallest_subnormal, -3e38
    found = live_rows(rows)
    assert (found.rows.tolist(), found.n_excluded) == ([0, 2], 1)
    assert found.unit.tolist() == [[0, 1, 0, 0], [0, 0, 0, -1]]
    # float64 reaches further still
    assert live_rows(np.array([[3e-200, 4e-200], [3e200, -4e200]])).unit == pytest.approx(
        np.array([[0.6, 0.8], [0.6, -0.8]])
    )
    assert residual.unit_rows(np.array([[0, 0], [3e-60, 4e-60]])) == pytest.approx(np.array([[0, 0], [0.6, 0.8]]))


# --- measures -------------------------------------------------------------------------------------------------


def test_cosines_of_pairs(device: torch.device | None) -> None:
    rows = drawn(40, 8)
    plain, found = (pairwise_cosines(one, (0.4,), device=device) for one in (rows, uneven(rows)))
    expected = np.array(list(oracles.pair_cosines(rows).values()))
    assert (found.n_vectors, found.n_excluded) == (40, 0)
    assert found.rms == pytest.approx(np.sqrt((expected**2).mean()), abs=1e-7)
    assert found.rms == pytest.approx(plain.rms, abs=1e-7) and found.max_abs == pytest.approx(plain.max_abs, abs=1e-6)
    assert found.fraction_above == plain.fraction_above
    assert found.mean_square_by_row == pytest.approx(plain.mean_square_by_row, abs=1e-6)


def test_bundles_of_neurons_of_any_size(device: torch.device | None) -> None:
    neurons, words = drawn(21, 8), drawn(30, 8, 1)
    assert (np.abs(uneven(neurons)).max(axis=1) > 0).all()
    oracles.assert_pursued(greedy_pursuit(uneven(neurons), words, 5, device=device), uneven(neurons), words, 5)
    for count in (None, 3):
        expected = oracles.scan(neurons, words, count)
        oracles.assert_scanned(ranked_scan(uneven(neurons), words, count, device=device), neurons, expected)


@pytest.mark.parametrize("scale", [1e-43, 1e-30, 1e-22, 1e30, 3e37])
def test_bundles_of_tokens_of_any_size(scale: float, device: torch.device | None) -> None:
    neurons, words = drawn(12, 8), (drawn(30, 8, 1) * scale).astype(np.float32)
    oracles.assert_pursued(greedy_pursuit(neurons, words, 5, device=device), neurons, words.astype(np.float64), 5)
    expected = oracles.scan(neurons, words.astype(np.float64), None)
    oracles.assert_scanned(ranked_scan(neurons, words, device=device), neurons, expected)


@pytest.mark.parametrize("scale", [1e-12, 1e-18, 1e-25, 1e-38])
def test_tokens_of_very_different_sizes(scale: float, device: torch.device | None) -> None:
    """Tokens far shorter than others have cosines and sums like any, and add nothing to a sum with the others."""
    neurons = drawn(12, 8)
    words = drawn(30, 8, 1)
    words[3:12] *= np.float32(scale)
    dictionary = Dictionary.of(words)
    assert len(dictionary.rows) == 30 and np.isfinite(dictionary.inverse).all()
    unit = words.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    assert dictionary.vectors / dictionary.norms[:, None] == pytest.approx(unit, abs=1e-6)
    oracles.assert_pursued(greedy_pursuit(neurons, words, 3, device=device), neurons, words.astype(np.float64), 3)
    expected = oracles.scan(neurons, words.astype(np.float64), None)
    oracles.assert_scanned(ranked_scan(neurons, words, device=device), neurons, expected)


def test_a_null_of_vectors_of_any_size() -> None:
    for n in (10, 60):  # fewer and more vectors than a covariance needs
        rows = drawn(n, 6, 2)
        plain, found = nulls.covariance_matched(rows), nulls.covariance_matched(uneven(rows))
        assert found.mean == pytest.approx(plain.mean, abs=1e-6)
        assert found.root.T @ found.root == pytest.approx(plain.root.T @ plain.root, abs=1e-5)


@pytest.mark.parametrize(("left", "right"), [(1e-30, 1e-30), (1e-45, 1e-40), (1e37, 1e37), (1e-30, 1e30)])
def test_heads_of_any_size(left: float, right: float) -> None:
    reads, writes = np.random.default_rng(3).standard_normal((2, 4, 10, 3)).astype(np.float32)
    writes = writes.transpose(0, 2, 1)
    scaled = (reads * np.float64(left)).astype(np.float32), (writes * np.float64(right)).astype(np.float32)
    digits = 1e-5 if min(left, right) > 1e-38 else 0.5  # denormal numbers have few
    assert isometry(*scaled) == pytest.approx(isometry(reads, writes), rel=digits)
    unit, queries = live_rows(drawn(50, 10)).unit, np.arange(50)
    plain = measure_binding(unit, head_maps(reads), queries)
    found = measure_binding(unit, head_maps(scaled[0]), queries)
    assert found.similarity_change == pytest.approx(plain.similarity_change, rel=digits)
    assert digits > 0.1 or (found.recovered == plain.recovered).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e30])
def test_what_heads_write_of_any_size(scale: float) -> None:
    rng = np.random.default_rng(4)
    written, bound = rng.standard_normal((2, 5, 3, 4)).astype(np.float32)
    W_O, vectors = rng.standard_normal((3, 4, 9)).astype(np.float32), drawn(6, 9, 5)
    metric = W_O @ W_O.transpose(0, 2, 1)
    by = np.float32(scale)
    assert rebinding.head_cosines(written * by, bound / by, metric * by) == pytest.approx(
        rebinding.head_cosines(written, bound, metric), abs=1e-6
    )
    assert rebinding.token_cosines(written * by, vectors / by, W_O * by) == pytest.approx(
        rebinding.token_cosines(written, vectors, W_O), abs=1e-6
    )
    assert rebinding.next_token_margin(vectors * by, drawn(6, 9) / by) == pytest.approx(
        rebinding.next_token_margin(vectors, drawn(6, 9)), abs=1e-6
    )
    W_V, product = rng.standard_normal((3, 9, 4)), rng.standard_normal((9, 9))
    assert rebinding.copying_scores(W_V * scale, W_O * by, product * scale) == pytest.approx(
        rebinding.copying_scores(W_V, W_O, product), abs=1e-6
    )


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e30])
def test_streams_of_any_size(scale: float) -> None:
    streams, words = drawn(20, 9), drawn(30, 9, 1)
    tokens, by = np.arange(20) % 30, np.float32(scale)
    unit, again = residual.unit_rows(words), residual.unit_rows(words * by)
    assert (residual.own_ranks(streams * by, again, tokens) == residual.own_ranks(streams, unit, tokens)).all()
    assert (residual.ranks_of_each(streams * by, again, tokens) == residual.ranks_of_each(streams, unit, tokens)).all()
    parts = np.random.default_rng(6).standard_normal((20, 4, 9)).astype(np.float32)
    for plain, found in zip(residual.component_cosines(parts), residual.component_cosines(parts * by), strict=True):
        assert found == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e30])
def test_what_drives_a_neuron_of_any_size(scale: float) -> None:
    rng, neurons, words = np.random.default_rng(8), drawn(12, 9), drawn(30, 9, 1)
    tokens, counted = rng.integers(30, size=(40, 6)), np.ones((40, 6), bool)
    stream = words[tokens] + 0.1 * drawn(240, 9, 9).reshape(40, 6, 9)
    bundles = greedy_pursuit(neurons, words, 3)
    plain, found = (
        driven_by_members([*(stream * by)], [*tokens], [*counted], neurons * by, bundles)
        for by in (np.float32(1), np.float32(scale))
    )
    assert plain.driving_alone.any() and plain.driven_together.any()
    for field in dataclasses.fields(plain):
        assert (getattr(found, field.name) == getattr(plain, field.name)).all(), field.name


# --- claims ---------------------------------------------------------------------------------------------------

SMALL = Sizes(d_model=24, d_vocab=90, n_layers=3, n_heads=2, n_kv_heads=2, d_head=12, d_mlp=30)
SMALL_GATED = dataclasses.replace(SMALL, n_kv_heads=1, d_head=6, gated=True)


def values(sizes: Sizes, weights: Weights) -> dict[str, Any]:
    """The value, the nulls' values and what was counted for each claim on the weights."""
    bench = Workbench("any", loaded=model_in_memory(sizes, weights))
    found: dict[str, Any] = {}
    for claim, test in CLAIMS.values():
        if claim.subjects != "paper-model" and "text" not in claim.needs:
            for subject in enumerate_subjects(claim, bench.model("raw").info, ["raw"]):
                try:
                    one = test.measure(bench, subject)
                    reference = one.reference.value if one.reference else 0.0
                    numbers = [one.value, *(null.value for null in one.nulls), reference]
                    found[subject.id] = pytest.approx(numbers, rel=1e-4), one.n_examined, one.n_excluded
                except NotChecked as reason:
                    found[subject.id] = str(reason)
    return found


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("sizes", "scales"), [(SMALL, WHOLE[::2]), (SMALL_GATED, WHOLE[1:2])], ids=["like GPT-2", "like Llama"]
)
def test_no_claim_sees_how_large_a_matrix_is(sizes: Sizes, scales: list[float]) -> None:
    weights = planted_weights(sizes, bundle=3)
    plain = values(sizes, weights)
    assert sum(isinstance(one, tuple) for one in plain.values()) > 40
    for scale in scales:
        scaled = copy.copy(weights)
        for name in ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_gate", "W_out"):
            matrix = getattr(weights, name)
            setattr(scaled, name, None if matrix is None else matrix * scale)
        found = values(sizes, scaled)
        for name, one in plain.items():
            again = found[name]
            if isinstance(one, tuple) and isinstance(again, tuple):
                assert again[0].expected == one[0], (name, scale)
                assert again[1:] == one[1:], (name, scale)
            else:
                assert again == one, (name, scale)
