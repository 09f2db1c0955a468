"""What all measurements of a run share: the model in each basis, the seed, and work that need be done only once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.models import Basis, Model, load
from vsa_checks.statistics import stream
from vsa_checks.texts import Text, shipped_text

T = TypeVar("T")
Progress = Callable[[int, int], None]
Tracker = Callable[[str], Progress | None]


class Workbench:
    """One model under measurement. Loads a basis when it is first asked for, and remembers shared work."""

    def __init__(
        self,
        name: str,
        *,
        seed: int = 0,
        device: str = "cpu",
        tracker: Tracker | None = None,
        loaded: Model | None = None,
        text: Text | None = None,
    ) -> None:
        self.name, self.seed, self.device = name, seed, device
        self.tokens_read: int | None = None
        self._text = text
        self._tracker = tracker
        self._models: dict[Basis, Model] = {} if loaded is None else {loaded.basis: loaded}
        self._shared: dict[Hashable, Any] = {}

    def model(self, basis: Basis) -> Model:
        """The model in this basis ("processed" or "raw"). Raises ModelError if it cannot be loaded."""
        if basis not in self._models:
            self._models[basis] = load(self.name, basis=basis, device=self.device)
        return self._models[basis]

    @property
    def text(self) -> Text:
        """What the model reads where a claim is about activations; `tokens_read` of it, None while nothing was read."""
        if self._text is None:
            self._text = shipped_text()
        return self._text

    def flags(self, basis: Basis) -> dict[str, bool]:
        """Which steps of weight processing really took effect in this basis."""
        return self.model(basis).effective_flags

    def rng(self, *purpose: object) -> np.random.Generator:
        """Random numbers of this run for this purpose, whatever was measured before."""
        return stream(self.seed, *purpose)

    def once(self, key: Hashable, work: Callable[[], T]) -> T:
        """The result of `work`, done on the first call with this key."""
        if key not in self._shared:
            self._shared[key] = work()
        result: T = self._shared[key]
        return result

    def progress(self, label: str) -> Progress | None:
        """Something to tell how far long work has come; None when nobody watches."""
        return self._tracker(label) if self._tracker is not None else None

    def weight(self, basis: Basis, layer: int, matrix: str) -> NDArray[np.float32]:
        """One weight matrix of a layer as TransformerLens shapes it. Raises NotChecked if the layer has none."""
        part = "attn" if matrix in ("W_Q", "W_K", "W_V", "W_O") else "mlp"
        name, model = f"blocks.{layer}.{part}.{matrix}", self.model(basis)
        if name not in model:
            raise NotChecked(f"layer {layer} of this model has no {matrix}")
        return model[name].numpy()

    def bias(self, basis: Basis, layer: int, name: str) -> NDArray[np.float32] | None:
        """One bias of a layer ("attn.b_V", "mlp.b_in"), None where the layer has none."""
        found = self.model(basis).get(f"blocks.{layer}.{name}")
        return None if found is None else found.numpy()

    def embedding(self, basis: Basis) -> NDArray[np.float32]:
        """The word embeddings W_E (d_vocab, d_model)."""
        return self.model(basis)["embed.W_E"].numpy()
