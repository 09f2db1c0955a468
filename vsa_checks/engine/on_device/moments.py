"""Powers of products on a device, added up."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


def add_moments(values: torch.Tensor, sums: NDArray[np.float64]) -> None:
    """Add the first four powers of each row of values (n, m), less the row's mean, to sums (n, 4)."""
    away = values - values.mean(dim=1, keepdim=True, dtype=torch.float64)
    power, found = away, []
    for _ in range(4):
        found.append(power.sum(dim=1))
        power = power * away
    sums += torch.stack(found, dim=1).cpu().numpy()
