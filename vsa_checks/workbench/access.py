"""What all measurements of a run share: the model in each basis, random numbers, and work that is done only once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.judging.subjects import experts_of
from vsa_checks.models import Basis, Model
from vsa_checks.models.memory import GB
from vsa_checks.models.texts import Text, shipped_text
from vsa_checks.models.token_rows import TokenRows, token_rows
from vsa_checks.statistics import stream
from vsa_checks.workbench.loading import load
from vsa_checks.workbench.resources import Plan

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Progress = Callable[[int, int], None]
Tracker = Callable[[str], Progress | None]


@dataclass
class Use:
    """What a piece of work used: the text, how many tokens of it the model read (None: none), and random numbers."""

    asked: bool = False
    tokens_read: int | None = None
    drew: bool = False

    def add(self, other: Use) -> None:
        """Add what other work used."""
        self.asked |= other.asked
        self.drew |= other.drew
        self.tokens_read = other.tokens_read if self.tokens_read is None else self.tokens_read


class Workbench:
    """One model under measurement: its weights and text, and work that several claims share.

    A basis of the weights is loaded when it is first asked for.

    Parameters
    ----------
    name : str
        Name or path of the model.
    seed : int
        Seed of all random numbers of the run.
    device : str
        Where torch computes: "cpu" or "cuda".
    tracker : callable, optional
        Called with a label when long work starts; returns what to call with (steps done, steps in all), or None.
    loaded : Model, optional
        The model in one basis, if it is already loaded.
    text : Text, optional
        What the model reads; by default the text that is shipped with the package.
    plan : Plan, optional
        How much memory the work may hold; by default as much as it likes.
    """

    def __init__(
        self,
        name: str,
        *,
        seed: int = 0,
        device: str = "cpu",
        tracker: Tracker | None = None,
        loaded: Model | None = None,
        text: Text | None = None,
        plan: Plan | None = None,
    ) -> None:
        self.name, self.seed, self.device = name, seed, device
        self._text, self._use = text, Use()
        self._tracker = tracker
        self._pictures: dict[str, NDArray[np.generic]] | None = None
        self._models: dict[Basis, Model] = {} if loaded is None else {loaded.basis: loaded}
        # By key and, for what is made of random numbers, seed; None where any seed gives the same.
        self._shared: dict[tuple[Hashable, int | None], tuple[Any, Use]] = {}
        self._passing: OrderedDict[tuple[Hashable, int | None], tuple[Any, int, Use]] = OrderedDict()
        self.plan = plan
        self.passing_bytes = 8 * GB if plan is None else plan.shared_bytes

    def model(self, basis: Basis) -> Model:
        """The model in one basis of its weights, "processed" or "raw". Raises ModelError if it cannot be loaded."""
        if basis not in self._models:
            self._models[basis] = load(self.name, basis, self.device, self.plan)
        return self._models[basis]

    @property
    def torch_device(self) -> torch.device | None:
        """The device on which torch finds bundles and counts pairs; None for the compiled loops on the CPU."""
        if self.device == "cpu":
            return None
        import torch

        return torch.device(self.device)

    @property
    def text(self) -> Text:
        """The text that the model reads, for claims about activations."""
        self._use.asked = True
        if self._text is None:
            self._text = shipped_text()
        return self._text

    def tokens_were_read(self, n_tokens: int) -> None:
        """Note how many tokens of the text the model was run over."""
        self._use.tokens_read = n_tokens

    @contextmanager
    def other_seed(self, seed: int) -> Iterator[None]:
        """Measure with the random numbers of another seed; shared work that needs none is not done again."""
        own, self.seed = self.seed, seed
        try:
            yield
        finally:
            self.seed = own

    @contextmanager
    def use(self) -> Iterator[Use]:
        """Record what the work inside uses of text and random numbers, also by shared work that was done before."""
        outer, within = self._use, Use()
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
        """Random numbers for one purpose.

        Parameters
        ----------
        *purpose : object
            Names the purpose by its text: the same purpose gives the same numbers in each run of one seed, whatever
            was measured before.

        Returns
        -------
        numpy.random.Generator
        """
        self._use.drew = True
        return stream(self.seed, *purpose)

    @contextmanager
    def pictured(self) -> Iterator[dict[str, NDArray[np.generic]]]:
        """Gather the arrays for pictures that the measures inside hand over with `picture`."""
        outer, self._pictures = self._pictures, {}
        try:
            yield self._pictures
        finally:
            self._pictures = outer

    def picture(self, prefix: str, make: Callable[[], Mapping[str, NDArray[np.generic]]]) -> None:
        """Hand over arrays for pictures (`vsa_checks.figures.kept`); without `pictured` nothing is made.

        Parameters
        ----------
        prefix : str
            The beginning of their names.
        make : callable
            Gives the arrays. It must be cheap, and may use neither the text nor the run's random numbers: neither
            would be noted.
        """
        if self._pictures is not None:
            self._pictures.update({f"{prefix}/{name}": array for name, array in make().items()})

    def once(self, key: Hashable, work: Callable[[], T]) -> T:
        """The result of shared work, which is done on the first call with its key.

        Parameters
        ----------
        key : hashable
            Names the work and all that it depends on within a run, such as ("pursuit", basis, layer, matrix).
        work : callable
            Called without arguments.

        Returns
        -------
        object
            What `work` returned; do not change it. If it raises, the next call does the work again. Work that drew
            random numbers is done once for each seed.
        """
        found = self._shared.get((key, None)) or self._shared.get((key, self.seed))
        if found is None:
            with self.use() as used:
                made = work()
            found = self._shared[key, self.seed if used.drew else None] = made, used
        result: T
        result, use = found
        self._use.add(use)
        return result

    def while_room(self, key: Hashable, work: Callable[[], T], nbytes: Callable[[T], int]) -> T:
        """The result of shared work as `once` gives it, but made again where memory was too short to keep it.

        Of these results, as many are kept as fit into the memory set aside for them; the longest unused go first.
        `nbytes` tells how much a result takes.
        """
        for place in ((key, None), (key, self.seed)):
            if place in self._passing:
                self._passing.move_to_end(place)
                found: T
                found, _, use = self._passing[place]
                self._use.add(use)
                return found
        with self.use() as used:
            made = work()
        self._passing[key, self.seed if used.drew else None] = made, nbytes(made), used
        total = sum(size for _, size, _ in self._passing.values())
        while total > self.passing_bytes and len(self._passing) > 1:
            total -= self._passing.popitem(last=False)[1][1]
        return made

    def progress(self, label: str) -> Progress | None:
        """What to call with (steps done, steps in all) during long work; None where no progress is shown."""
        return self._tracker(label) if self._tracker is not None else None

    def weight(self, basis: Basis, layer: int, matrix: str, expert: int | None = None) -> NDArray[np.float32]:
        """One weight matrix of a layer.

        Parameters
        ----------
        basis : {"processed", "raw"}
        layer : int
        matrix : str
            TransformerLens's name without its layer, such as "W_Q" or "W_in".
        expert : int, optional
            The expert of a mixture; without it, those of the layer that are looked at, their neurons side by side.

        Returns
        -------
        ndarray, float32
            Shaped as `vsa_checks.Model` says, such as (d_model, d_mlp) for W_in. Do not write into it.

        Raises
        ------
        NotChecked
            If the layer has no such matrix.
        """
        model = self.model(basis)
        part = "attn" if matrix in ("W_Q", "W_K", "W_V", "W_O") else "mlp"
        if part == "mlp" and expert is None and layer in model.info.expert_layers:
            some = [self.weight(basis, layer, matrix, one) for one in experts_of(model.info, layer)]
            return np.concatenate(some, axis=0 if matrix == "W_out" else 1)
        inner = part if expert is None else f"mlp.experts.{expert}"
        name = f"blocks.{layer}.{inner}.{matrix}"
        if name not in model:
            raise NotChecked(model.why_missing(layer, matrix))
        return model.array(name)

    def written(self, basis: Basis, layer: int, matrix: str, expert: int | None = None) -> NDArray[np.float32]:
        """W_O or W_out of a layer as it is added to the stream: with the gain of the norm that follows it, if any.

        Raises NotChecked as `weight` does, which gives the matrix as stored.
        """
        model = self.model(basis)
        if matrix == "W_out" and expert is None and layer in model.info.expert_layers:
            return np.concatenate([self.written(basis, layer, matrix, one) for one in experts_of(model.info, layer)])
        self.weight(basis, layer, matrix, expert)
        return model.written(layer, matrix, expert)

    def layers_held(self, basis: Basis) -> int:
        """Of how many layers one matrix of the MLP may be in memory at a time, beside another."""
        info = self.model(basis).info
        both = 8 * info.d_model * info.d_mlp * len(experts_of(info, info.n_layers - 1))
        return max(1, min(info.n_layers, self.passing_bytes // max(both, 1)))

    def bias(self, basis: Basis, layer: int, name: str) -> NDArray[np.float32] | None:
        """One bias of a layer, such as "attn.b_V" or "mlp.b_in"; None where the layer has none."""
        found = f"blocks.{layer}.{name}"
        return self.model(basis).array(found) if found in self.model(basis) else None

    def embedding(self, basis: Basis) -> NDArray[np.float32]:
        """The word embeddings W_E (d_vocab, d_model), rows that are no tokens too. Do not write into them."""
        return self.model(basis).array("embed.W_E")

    def token_vectors(self, basis: Basis) -> NDArray[np.float32]:
        """What the stream begins with for each row of W_E (d_vocab, d_model): W_E, after its own norm if it has one."""
        return self.model(basis).token_vectors()

    def tokens(self, basis: Basis) -> TokenRows:
        """Which rows of the word embeddings are tokens: see `token_rows`. All claims leave out the others alike."""

        def decide() -> TokenRows:
            model, rows = self.model(basis), self.embedding(basis)
            names = model.vocabulary if model.info.text else None
            return token_rows(rows, None if names is None else names.named(len(rows)))

        return self.once(("tokens", basis), decide)
