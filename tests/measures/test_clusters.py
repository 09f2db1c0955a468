"""Neurons that are nearly copies are put together, and others are not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles import Rows
from vsa_checks.clusters import bootstrap_share, clusters


def unit(rows: np.ndarray) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_copies_are_one_cluster_and_random_neurons_are_their_own() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 64))
    for first in range(0, 60, 20):
        rows[first : first + 20] = rows[first] + 0.2 * rng.standard_normal((20, 64))
    rows[10:20] *= -1  # a neuron turned about is no other neuron
    labels = clusters(unit(rows))
    assert [len(set(labels[first : first + 20])) for first in range(0, 60, 20)] == [1, 1, 1]
    assert len(set(labels)) > 135 and labels.min() == 0 and labels.max() == len(set(labels)) - 1


@pytest.mark.parametrize("size", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("turned", [False, True])
def test_a_direction_that_all_neurons_share_makes_no_cluster(size: float, turned: bool) -> None:
    rng = np.random.default_rng(1)
    amount = rng.standard_normal((200, 1)) if turned else 1.0
    rows = rng.standard_normal((200, 64)) + size * amount * rng.standard_normal(64)
    assert len(set(clusters(unit(rows)))) > 150


def test_a_few_large_clusters_are_found_on_demand() -> None:
    """Their centers are strong axes, as what all neurons share is; then a strong direction of all joins all."""
    rng = np.random.default_rng(4)
    rows = np.repeat(rng.standard_normal((5, 64)), 40, axis=0) + 0.3 * rng.standard_normal((200, 64))
    assert len(set(clusters(unit(rows)))) > 50
    assert clusters(unit(rows), few_large=True).reshape(5, 40).std(axis=1).tolist() == [0] * 5
    alone = rng.standard_normal((200, 64))
    assert len(set(clusters(unit(alone), few_large=True))) > 150
    assert len(set(clusters(unit(alone + 3 * rng.standard_normal(64)), few_large=True))) == 1


def test_copies_are_found_beside_such_a_direction() -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((200, 64))
    rows[:20] = rows[0] + 0.2 * rng.standard_normal((20, 64))
    rows += 3 * rng.standard_normal(64)
    labels = clusters(unit(rows))
    assert len(set(labels[:20])) == 1 and len(set(labels)) > 150


def test_few_axes_do_not_join_all_neurons() -> None:
    """Neighbours of neighbours reach nearly all of the layer; no cluster may."""
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((400, 64)) / np.sqrt(np.arange(1, 65))
    sizes = np.bincount(clusters(unit(rows)))
    assert sizes.max() < 20 and len(sizes) > 200


def test_all_alike_or_at_the_mean() -> None:
    same = unit(np.ones((5, 4)))
    assert sorted(clusters(same).tolist()) == [0, 1, 2, 3, 4], "nothing is left about the mean"
    opposite = unit(np.array([[1.0, 0, 0], [-1, 0, 0], [1, 0, 0], [-1, 0, 0]]))
    assert clusters(opposite).tolist() == [0, 0, 0, 0]


def test_the_interval_resamples_clusters() -> None:
    rng = np.random.default_rng(4)
    labels = np.repeat(np.arange(40), 10)
    hits = np.repeat(rng.random(40) < 0.3, 10)
    found = bootstrap_share(hits, labels, np.random.default_rng(5))
    share = hits.mean()
    error = np.sqrt(share * (1 - share) / 40)
    assert found.unit == "clusters of neurons" and found.level == 0.95
    assert found.low == pytest.approx(share - 1.96 * error, abs=0.03)
    assert found.high == pytest.approx(share + 1.96 * error, abs=0.03)
    alone = bootstrap_share(hits, np.arange(400), np.random.default_rng(5))
    assert alone.high - alone.low == pytest.approx((found.high - found.low) / np.sqrt(10), rel=0.2)
