"""What the measurements of a run share: the model in each basis, random numbers, and work that is done only once."""

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
    """What a piece of work used: the text, how many of its tokens the model read (None: none), and random numbers."""

    asked: bool = False
    tokens_read: int | None = None
    drew: bool = False

    def add(self, other: Use) -> None:
        """Add the use of other work."""
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
        Called with a label when long work starts; returns a function of (steps done, total steps), or None.
    loaded : Model, optional
        The model in one basis, if it is already loaded.
    text : Text, optional
        The text that the model reads; by default the one that ships with the package.
    plan : Plan, optional
        How much memory the work may hold; unlimited by default.
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
        # By key and seed; the seed is None if the work uses no random numbers.
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
        """Measure with the random numbers of another seed; shared work without random numbers is not repeated."""
        own, self.seed = self.seed, seed
        try:
            yield
        finally:
            self.seed = own

    @contextmanager
    def use(self) -> Iterator[Use]:
        """Record the text and random numbers used inside, including by shared work that was done before."""
        outer, within = self._use, Use()
        self._use = within
        try:
            yield within
        finally:
            self._use = outer
            outer.add(within)

    def flags(self, basis: Basis) -> dict[str, bool]:
        """Which steps of weight processing took effect in this basis."""
        return self.model(basis).effective_flags

    def rng(self, *purpose: object) -> np.random.Generator:
        """Random numbers for one purpose.

        Parameters
        ----------
        *purpose : object
            Identify the purpose by their text: with the same seed, the same purpose always gives the same numbers,
            whatever was measured before.

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
            Prefix of their names.
        make : callable
            Returns the arrays. It must be cheap, and must not use the text or the run's random numbers, because that
            use would not be recorded.
        """
        if self._pictures is not None:
            self._pictures.update({f"{prefix}/{name}": array for name, array in make().items()})

    def once(self, key: Hashable, work: Callable[[], T]) -> T:
        """The result of shared work, which is done on the first call with its key.

        Parameters
        ----------
        key : hashable
            Identifies the work and everything it depends on within a run: ("pursuit", basis, layer, matrix).
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
        """The result of shared work like `once`, but computed again if there was not enough memory to keep it.

        As many of these results are kept as fit into the memory reserved for them; the least recently used are dropped
        first. `nbytes` gives the size of a result.
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
        """A function of (steps done, total steps) to call during long work; None if no progress is shown."""
        return self._tracker(label) if self._tracker is not None else None

    def weight(self, basis: Basis, layer: int, matrix: str, expert: int | None = None) -> NDArray[np.float32]:
        """One weight matrix of a layer.

        Parameters
        ----------
        basis : {"processed", "raw"}
        layer : int
        matrix : str
            TransformerLens's name without its layer, for example "W_Q" or "W_in".
        expert : int, optional
            The expert of a mixture; without it, all checked experts of the layer, with their neurons side by side.

        Returns
        -------
        ndarray, float32
            With the shape given in `vsa_checks.Model`, for example (d_model, d_mlp) for W_in. Do not write into it.

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
        """W_O or W_out of a layer as it writes to the stream: with the gain of the norm that follows it, if any.

        `weight` returns the matrix as stored. Raises NotChecked as `weight` does.
        """
        model = self.model(basis)
        if matrix == "W_out" and expert is None and layer in model.info.expert_layers:
            return np.concatenate([self.written(basis, layer, matrix, one) for one in experts_of(model.info, layer)])
        self.weight(basis, layer, matrix, expert)
        return model.written(layer, matrix, expert)

    def layers_held(self, basis: Basis) -> int:
        """For how many layers two MLP matrices may be in memory at a time."""
        info = self.model(basis).info
        both = 8 * info.d_model * info.d_mlp * len(experts_of(info, info.n_layers - 1))
        return max(1, min(info.n_layers, self.passing_bytes // max(both, 1)))

    def bias(self, basis: Basis, layer: int, name: str) -> NDArray[np.float32] | None:
        """One bias of a layer, for example "attn.b_V" or "mlp.b_in"; None if the layer has none."""
        found = f"blocks.{layer}.{name}"
        return self.model(basis).array(found) if found in self.model(basis) else None

    def embedding(self, basis: Basis) -> NDArray[np.float32]:
        """The word embeddings W_E (d_vocab, d_model), including rows that are not tokens. Do not write into them."""
        return self.model(basis).array("embed.W_E")

    def token_vectors(self, basis: Basis) -> NDArray[np.float32]:
        """The start of the stream for each row of W_E (d_vocab, d_model): W_E, after its own norm if it has one."""
        return self.model(basis).token_vectors()

    def tokens(self, basis: Basis) -> TokenRows:
        """Which rows of the word embeddings are tokens: see `token_rows`. All claims leave out the others."""

        def decide() -> TokenRows:
            model, rows = self.model(basis), self.embedding(basis)
            names = model.vocabulary if model.info.text else None
            return token_rows(rows, None if names is None else names.named(len(rows)))

        return self.once(("tokens", basis), decide)
