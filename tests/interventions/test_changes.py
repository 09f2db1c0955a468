"""What is put in the place of weights: sizes, directions, polar factors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vsa_checks.interventions import embeddings
from vsa_checks.interventions.changes import at_same_cosine, cosines
from vsa_checks.interventions.products import Writer, asking, even_keys, product
from vsa_checks.isometry import isometry
from vsa_checks.orthogonality import centered, live_rows, rms_cosine

D, R = 24, 6


def _drawn(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(shape)


def test_a_null_is_as_long_as_near_and_as_far_as_the_change() -> None:
    before, after = _drawn(50, D), _drawn(50, D, seed=1) + 2 * _drawn(50, D)
    null = at_same_cosine(before, after, _drawn(50, D, seed=2))
    np.testing.assert_allclose(np.linalg.norm(null, axis=1), np.linalg.norm(after, axis=1))
    np.testing.assert_allclose(cosines(before, null), cosines(before, after))
    np.testing.assert_allclose(np.linalg.norm(null - before, axis=1), np.linalg.norm(after - before, axis=1))
    assert np.abs(cosines(null, after)).max() < 1 - 1e-3  # and it is another vector


def test_a_row_that_has_no_direction_is_changed_as_the_change_does() -> None:
    before, after = np.zeros((1, D)), _drawn(1, D)
    np.testing.assert_array_equal(at_same_cosine(before, after, _drawn(1, D, seed=1)), after)


def test_the_evened_product_is_the_polar_factor_at_the_same_norm() -> None:
    W_V, W_O = _drawn(D, R) * np.geomspace(1, 30, R), _drawn(R, D, seed=1)
    u, s, vt = np.linalg.svd(W_V @ W_O)
    nearest = np.linalg.norm(s) / np.sqrt(R) * u[:, :R] @ vt[:R]
    writer = Writer.of(W_V, W_O)
    found = writer.product
    np.testing.assert_allclose(W_V @ writer.writing(found.evened(1.0)), nearest, atol=1e-9)
    np.testing.assert_allclose(W_V @ writer.writing(found.evened(0.0)), W_V @ W_O, atol=1e-9)
    half = found.U @ found.evened(0.5) @ found.V.T
    powers = np.sqrt(s[:R])
    np.testing.assert_allclose(np.linalg.svd(half)[1][:R], powers * np.linalg.norm(s) / np.linalg.norm(powers))


def test_with_even_keys_queries_turned_by_any_position_read_evenly() -> None:
    W_Q, W_K = _drawn(D, R) * np.geomspace(1, 30, R), _drawn(D, R, seed=1) * np.geomspace(1, 9, R)
    found, keys = product(W_Q, W_K.T), even_keys(W_K, 1.0)
    queries = asking(keys, found, found.evened(1.0))
    np.testing.assert_allclose(queries @ keys.T, found.U @ found.evened(1.0) @ found.V.T, atol=1e-9)
    assert np.linalg.norm(keys) == pytest.approx(np.linalg.norm(W_K))
    turn = np.linalg.qr(_drawn(R, R, seed=2))[0]
    assert isometry((queries @ turn)[None], keys.T[None])[0] == pytest.approx(1.0)
    assert isometry((W_Q @ turn)[None], W_K.T[None])[0] < 0.7


def test_a_head_that_lost_directions_stays_without_them() -> None:
    W_V, W_O = _drawn(D, R), _drawn(R, D, seed=1)
    W_V[:, 0] = 0
    writer = Writer.of(W_V, W_O)
    assert len(writer.product.s) == R - 1
    assert np.linalg.matrix_rank(W_V @ writer.writing(writer.product.evened(1.0)), tol=1e-8) == R - 1


def test_doses_move_embeddings_where_they_should() -> None:
    rng = np.random.default_rng(0)
    spectrum = np.geomspace(1, 0.05, D)
    rows = (rng.standard_normal((3000, D)) * spectrum + 0.5 * spectrum).astype(np.float32)

    def raw(some: NDArray[np.float32]) -> float:
        return float(rms_cosine(live_rows(some).unit))

    def middle(some: NDArray[np.float32]) -> float:
        return raw(centered(some))

    norms = np.linalg.norm(rows, axis=1)
    assert raw(embeddings.centered_by(rows, 1.0)) == pytest.approx(middle(rows), rel=0.02)
    # Even variances leave what chance gives: 1 / sqrt(d).
    white = embeddings.whitened(rows, 1.0)
    assert middle(white) == pytest.approx(1 / np.sqrt(D), rel=0.03)
    assert middle(rows) > middle(embeddings.whitened(rows, 0.5)) > middle(white)
    np.testing.assert_allclose(embeddings.whitened(rows, 0.0), rows, atol=1e-5)
    far = embeddings.with_common_mean(rows, 2.0, rng)
    assert raw(far) > 2 * raw(rows)
    flat = embeddings.low_rank(rows, 0.25)
    assert np.linalg.matrix_rank(flat, tol=1e-2) in (D // 4, D // 4 + 1)  # and the mean
    alike = embeddings.mixed(rows, 0.75, rng)
    assert middle(alike) > 1.1 * middle(rows)
    for some in (far, flat, alike):
        np.testing.assert_allclose(np.linalg.norm(some, axis=1), norms, rtol=1e-4)
