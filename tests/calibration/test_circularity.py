"""The point of docs/circularity.md: noise passes the circular check as well as planted neurons do."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.circularity import mean_aucs
from fixtures.planted import plant
from fixtures.small_models import Sizes


def test_noise_and_planted_neurons_all_pass() -> None:
    weights, _ = plant(Sizes())
    neurons = weights.W_in[0].T.astype(np.float32)
    found = mean_aucs(neurons, weights.W_E.astype(np.float32), np.random.default_rng(0))
    assert list(found) == ["neurons", "Gaussian neurons", "covariance-matched neurons"]
    for pursuit, _ in found.values():
        assert pursuit > 0.93
    assert found["neurons"][0] == pytest.approx(1.0, abs=0.005)
