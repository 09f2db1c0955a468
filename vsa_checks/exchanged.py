"""The same vectors on exchanged coordinates: a null that keeps all lengths and angles and destroys where they point.

Orders and signs of coordinates form a group. So among weights whose entries are independent and symmetric, of whatever
distribution, and among all whose law no rotation changes, what was exchanged cannot be told from what was there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Exchange:
    """A new order of the coordinates (d,), and the sign that each gets (d,)."""

    order: NDArray[np.int64]
    signs: NDArray[np.float32]

    @classmethod
    def drawn(cls, d: int, rng: np.random.Generator) -> Exchange:
        """Draw an order and signs of d coordinates, all alike."""
        return cls(rng.permutation(d), rng.choice(np.array([-1.0, 1.0], np.float32), d))

    def of(self, vectors: NDArray[np.float32], axis: int = -1) -> NDArray[np.float32]:
        """The vectors along an axis of an array, on exchanged coordinates."""
        shape = [1] * vectors.ndim
        shape[axis] = -1
        moved: NDArray[np.float32] = np.take(vectors, self.order, axis=axis) * self.signs.reshape(shape)
        return moved
