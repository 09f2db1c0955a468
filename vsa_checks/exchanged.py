"""The same vectors on exchanged coordinates: a null that keeps all lengths and angles and destroys directions.

Reorderings and sign changes of coordinates form a group. So the exchanged weights cannot be distinguished from the
originals if the entries are independent and symmetric, with any distribution, or if the distribution is invariant
under rotation.
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
        """Draw an order and signs of d coordinates, all equally likely."""
        return cls(rng.permutation(d), rng.choice(np.array([-1.0, 1.0], np.float32), d))

    def of(self, vectors: NDArray[np.float32], axis: int = -1) -> NDArray[np.float32]:
        """The vectors along an axis of an array, on exchanged coordinates."""
        shape = [1] * vectors.ndim
        shape[axis] = -1
        moved: NDArray[np.float32] = np.take(vectors, self.order, axis=axis) * self.signs.reshape(shape)
        return moved
