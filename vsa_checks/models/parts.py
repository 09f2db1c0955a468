"""Parts of a model as they are read: weights by TransformerLens names, and the norms around them; a store of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Weights = dict[str, Array]


@dataclass(frozen=True)
class Norm:
    """A norm's gain and bias (d,), either None where it has none; its offset is already in the gain."""

    gain: Array | None
    bias: Array | None


@dataclass(frozen=True)
class Part:
    """Attention or MLP of a layer: weights by TransformerLens names ("W_Q", "b_Q", ...), and the norms around it.

    reads_through: the norm before it. written_through: the norm on what it writes. q_norm, k_norm: gains of the norms
    of queries (n_heads, d_head) and keys (n_kv_heads, d_head).
    """

    weights: Weights
    reads_through: Norm | None = None
    written_through: Norm | None = None
    q_norm: Array | None = None
    k_norm: Array | None = None

    @property
    def nbytes(self) -> int:
        """Size of its weights."""
        return sum(weight.nbytes for weight in self.weights.values())


class Kept:
    """Parts of a model that were read, kept as long as all of them fit into `most_bytes`; the oldest go first."""

    def __init__(self, most_bytes: int = 8 << 30) -> None:
        self.most_bytes = most_bytes
        self._parts: OrderedDict[Hashable, Part] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Size of all that is kept."""
        return sum(part.nbytes for part in self._parts.values())

    def get(self, key: Hashable, read: Callable[[], Part]) -> Part:
        """The part of a key, read if it is not kept. A part larger than `most_bytes` is given and not kept."""
        if key in self._parts:
            self._parts.move_to_end(key)
            return self._parts[key]
        part = read()
        self._parts[key] = part
        total = self.nbytes
        while total > self.most_bytes:
            total -= self._parts.popitem(last=False)[1].nbytes
        return part
