"""What all measurements of a run share: the model in each basis, the seed, and work that need be done only once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.models import Basis, Model, load
from vsa_checks.models.texts import Text, shipped_text
from vsa_checks.statistics import stream

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Progress = Callable[[int, int], None]
Tracker = Callable[[str], Progress | None]


@dataclass
class TextUse:
    """Whether some work asked for the text that the model reads, and how many tokens of it were read, if any."""

    asked: bool = False
    tokens_read: int | None = None

    def add(self, other: TextUse) -> None:
        """Count what other work did as this work's own."""
        self.asked |= other.asked
        self.tokens_read = other.tokens_read if self.tokens_read is None else self.tokens_read


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
        self._text, self._use = text, TextUse()
        self._tracker = tracker
        self._models: dict[Basis, Model] = {} if loaded is None else {loaded.basis: loaded}
        self._shared: dict[Hashable, tuple[Any, TextUse]] = {}

    def model(self, basis: Basis) -> Model:
        """The model in this basis ("processed" or "raw"). Raises ModelError if it cannot be loaded."""
        if basis not in self._models:
            self._models[basis] = load(self.name, basis=basis, device=self.device)
        return self._models[basis]

    @property
    def torch_device(self) -> torch.device | None:
        """Where torch is to find bundles and count pairs; None for the compiled engine."""
        if self.device == "cpu":
            return None
        import torch

        return torch.device(self.device)

    @property
    def text(self) -> Text:
        """What the model reads where a claim is about activations."""
        self._use.asked = True
        if self._text is None:
            self._text = shipped_text()
        return self._text

    def tokens_were_read(self, n_tokens: int) -> None:
        """Note that the model was run over so many tokens of the text."""
        self._use.tokens_read = n_tokens

    @contextmanager
    def text_use(self) -> Iterator[TextUse]:
        """What the work within has to do with the text, also by way of shared work that was done before."""
        outer, within = self._use, TextUse()
        self._use = within
        try:
            yield within
        finally:
            self._use = outer
            outer.add(within)

    def flags(self, basis: Basis) -> dict[str, bool]:
        """Which steps of weight processing really took effect in this basis."""
        return self.model(basis).effective_flags

    def rng(self, *purpose: object) -> np.random.Generator:
        """Random numbers of this run for this purpose, whatever was measured before."""
        return stream(self.seed, *purpose)

    def once(self, key: Hashable, work: Callable[[], T]) -> T:
        """The result of `work`, done on the first call with this key."""
        if key not in self._shared:
            with self.text_use() as use:
                made = work()
            self._shared[key] = made, use
        result: T
        result, use = self._shared[key]
        self._use.add(use)
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
