"""Models that know what follows which token: by bundles of tokens, or by neurons of which bundles keep too little."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures.small_models import Sizes, Weights, gaussian_weights, save
from vsa_checks.interventions import on_neurons
from vsa_checks.interventions.running import Running
from vsa_checks.interventions.trials import Setting
from vsa_checks.interventions.trying import Trying
from vsa_checks.models import load
from vsa_checks.models.texts import Window
from vsa_checks.workbench.access import Workbench

D, USED, V, GROUP = 96, 64, 120, 5
"""Embeddings fill USED of D dimensions. After a token of one group of GROUP follows any token of one other group."""


Make = Callable[[NDArray[np.int64], np.random.Generator], Weights]


def _rule(rng: np.random.Generator) -> tuple[NDArray[np.int64], list[Window]]:
    """Which group follows each group, all in one circle, and windows of tokens."""
    circle = rng.permutation(V // GROUP)
    following = np.empty_like(circle)
    following[circle] = np.roll(circle, -1)
    windows = []
    for _ in range(12):
        groups = [int(rng.integers(len(following)))]
        while len(groups) < 24:
            groups.append(int(following[groups[-1]]))
        windows.append(Window(np.array(groups) * GROUP + rng.integers(0, GROUP, 24), 0, 24))
    return following, windows


def _silent(neurons: int, rng: np.random.Generator) -> Weights:
    """A layer whose heads write nothing, and embeddings of unit norm in the dimensions that are used."""
    sizes = Sizes(d_model=D, d_vocab=V, n_layers=1, n_heads=4, n_kv_heads=2, d_head=12, d_mlp=neurons, gated=True)
    weights = gaussian_weights(sizes, rng)
    weights.W_O[:] = 0
    rows = np.concatenate([rng.standard_normal((V, USED)), np.zeros((V, D - USED))], axis=1)
    weights.W_E = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return weights


def _next(weights: Weights, following: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each group the sum of the tokens that may follow it (groups, d)."""
    sums: NDArray[np.float64] = weights.W_E.reshape(-1, GROUP, D).sum(axis=1)[following]
    return sums


def _by_bundles(following: NDArray[np.int64], rng: np.random.Generator) -> Weights:
    """A neuron for each group: its tokens' sum, and as much again in dimensions that no token has."""
    n = V // GROUP
    weights = _silent(n, rng)
    tokens = weights.W_E - weights.W_E.mean(axis=0)
    sums = tokens.reshape(n, GROUP, D).sum(axis=1)
    noise = np.concatenate([np.zeros((n, USED)), rng.standard_normal((n, D - USED))], axis=1)
    neurons = sums + noise * (np.linalg.norm(sums, axis=1) / np.linalg.norm(noise, axis=1))[:, None]
    assert weights.W_gate is not None
    weights.W_gate[0] = weights.W_in[0] = 0.4 * neurons.T
    weights.W_out[0] = 0.4 * _next(weights, following)
    return weights


def _by_no_bundles(following: NDArray[np.int64], rng: np.random.Generator) -> Weights:
    """Neurons in random directions, all of which are read to find the token that follows."""
    weights = _silent(200, rng)
    directions = np.concatenate([rng.standard_normal((200, USED)), np.zeros((200, D - USED))], axis=1)
    assert weights.W_gate is not None
    weights.W_gate[0] = weights.W_in[0] = 0.15 * directions.T
    read = np.sqrt(D) * weights.W_E @ weights.W_gate[0]
    active = read**2 / (1 + np.exp(-read))
    weights.W_out[0] = np.linalg.lstsq(active, 2.0 * np.repeat(_next(weights, following), GROUP, axis=0), rcond=1e-3)[0]
    return weights


@pytest.mark.parametrize(("make", "verdict"), [(_by_bundles, "carries"), (_by_no_bundles, "does not carry")])
def test_bundles_carry_what_is_done_by_bundles_alone(tmp_path: Path, make: Make, verdict: str) -> None:
    rng = np.random.default_rng(0)
    following, windows = _rule(rng)
    weights = make(following, rng)
    sizes = Sizes(
        d_model=D, d_vocab=V, n_layers=1, n_heads=4, n_kv_heads=2, d_head=12, d_mlp=weights.W_in.shape[2], gated=True
    )
    model = load(save(tmp_path / "model", sizes, weights), "processed")
    running, bench = Running(model), Workbench("control", loaded=model)
    trying = Trying(running, windows, {})
    plans, away = on_neurons.plans(Setting(running, bench, (24,) * len(windows), np.arange(V)))
    plan = next(one for one in plans if one.id == "neurons/W_gate+W_in/k=5")
    found = trying.record(plan.make(), away[plan.part])
    assert found["verdict"] == verdict, found["reason"]
    # Both are worth it, and each bundle costs less than any other vector that is as close to its neuron.
    assert found["without"]["cost"]["low"] > 1
    assert all(null["above_change"]["low"] > 0 for null in found["nulls"])
    if verdict == "carries":
        # The noise that the bundle leaves out is half of the neuron, and does nothing.
        assert found["cosine"] == pytest.approx(np.sqrt(0.5), abs=0.02)
