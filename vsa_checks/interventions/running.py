"""A running model whose weights and activations can be changed and restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.models import Model
from vsa_checks.models.forward import CannotRun, module_from_directory
from vsa_checks.models.gguf_forward import Packed, module_from_gguf
from vsa_checks.models.parts import Kept, Norm, Part
from vsa_checks.models.quiet import quiet
from vsa_checks.models.raw_weights import RawWeights

if TYPE_CHECKING:
    import torch

Kind = Literal["attn", "mlp"]
Rows = NDArray[np.float32]
_OF_BIAS = {"b_Q": "q", "b_K": "k", "b_O": "o", "b_in": "up", "b_gate": "gate"}
"""The role of the module to whose output each bias is added."""


class Running:
    """The transformers module of a model, raw, float32, on the CPU, and its weights as they are stored.

    Raises NotChecked for a model without a next-token loss, and CannotRun for one that cannot be run.

    Attributes
    ----------
    module : the transformers module
    raw : its weights by TransformerLens names, one part of a layer at a time
    model : the model in its processed basis
    """

    def __init__(self, model: Model) -> None:
        found, raw = model._found, model._raw
        if not model.info.causal or raw.row.family != "decoder":
            raise NotChecked(
                f"it is an {raw.row.family}, which predicts no next token of a text alone: there is no loss that "
                "an intervention could change"
            )
        if raw.row.not_run or not raw.has_unembedding():
            raise NotChecked(raw.row.not_run or "it has no unembedding, and so predicts no next token")
        assert found.path is not None
        with quiet():
            if found.is_gguf:
                self.module = module_from_gguf(found.path, found.name)
            else:
                self.module = module_from_directory(found.path, found.name, raw.row, True)
        self.model: Model = model
        self.raw: RawWeights = raw
        self._read = Kept(1 << 30)  # each is asked for at every change, and packed ones take long to unpack
        self._parameters: dict[str, torch.Tensor] = dict(self.module.state_dict())
        self._packed = Packed(raw, raw.row, {name: tuple(one.shape) for name, one in self._parameters.items()}, None)

    def part(self, kind: Kind, layer: int) -> Part:
        """Attention or MLP of a layer as it is stored. Raises NotChecked where the layer has none of its own."""
        if not (self.raw.has_attention(layer) if kind == "attn" else self.raw.has_mlp(layer)):
            raise NotChecked(self.model.why_missing(layer, "W_Q" if kind == "attn" else "W_in"))
        read = self.raw.attention if kind == "attn" else self.raw.mlp
        return self._read.get((kind, layer), lambda: read(layer))

    @contextmanager
    def changed(self, parts: Mapping[tuple[Kind, int], Part]) -> Iterator[None]:
        """Run with other weights in some parts of layers. The original weights are restored at the end.

        A bias that the model does not have is added to what its matrix gives. Raises NotChecked where the module does
        not hold its weights in the way in which they are written here.
        """
        import torch

        kept: dict[str, torch.Tensor] = {}
        hooks: list[Any] = []
        try:
            for (kind, layer), whole in parts.items():
                stored = self.part(kind, layer)
                more = {name: whole.weights[name] for name in whole.weights.keys() - stored.weights.keys()}
                part = replace(whole, weights={name: whole.weights[name] for name in stored.weights})
                hooks += [self._added(layer, name, bias) for name, bias in more.items()]
                before, after = self._tensors(kind, layer, stored), self._tensors(kind, layer, part)
                for name, tensor in after.items():
                    own = self._parameters[name]
                    # Not to the last bit: a class may hold a norm's gain less one, which rounds.
                    if not torch.allclose(own, before[name], rtol=1e-5, atol=1e-6):
                        raise NotChecked(f"the class {self.raw.row.hf_class} holds {name} in another form")
                    if not torch.equal(before[name], tensor):
                        kept[name] = own.clone()
                        own.copy_(tensor)
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for name, tensor in kept.items():
                self._parameters[name].copy_(tensor)

    def _added(self, layer: int, name: str, bias: Rows) -> Any:
        """The hook that adds a bias by its TransformerLens name, which no tensor of the module holds."""
        import torch

        role = _OF_BIAS[name]
        if role not in self.raw.row.layout.roles:
            raise NotChecked(
                f"what the norm's bias gives through the matrix of {name} would change, and the class "
                f"{self.raw.row.hf_class} has neither such a bias nor a matrix of its own there to add it to"
            )
        added = torch.from_numpy(np.ascontiguousarray(bias, np.float32).reshape(-1))
        return self._module(layer, role).register_forward_hook(lambda module, given, output: output + added)

    def _tensors(self, kind: Kind, layer: int, part: Part) -> dict[str, torch.Tensor]:
        try:
            return self._packed.part(kind, layer, part)
        except CannotRun as problem:
            raise NotChecked(str(problem)) from problem

    @contextmanager
    def embedded(self, rows: Rows) -> Iterator[None]:
        """Run with other embeddings (d_vocab, d_model) of what is read; the unembedding stays as it is, tied or not."""
        import torch

        embedding = self.module.get_input_embeddings()
        table = torch.from_numpy(rows)
        own = torch.from_numpy(self.raw.embedding())
        probe = torch.arange(min(4, len(own)))
        if not torch.allclose(embedding(probe), own[probe], rtol=1e-6, atol=0.0):
            raise NotChecked(f"the class {self.raw.row.hf_class} does more to embeddings than to look them up")

        def look_up(module: Any, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            return table[given[0]]

        hook = embedding.register_forward_hook(look_up)
        try:
            yield
        finally:
            hook.remove()

    @contextmanager
    def held_at_mean(self, places: Mapping[tuple[int, str], slice], run: Callable[[], Any]) -> Iterator[None]:
        """Run with activations held at their mean over what `run` runs on the model as it is.

        Parameters
        ----------
        places : (layer, role) to the columns that are held: what the modules "gate" and "up" give, and what "o" reads
        run : runs the model over the text, without padding: each position counts in the mean
        """
        import torch

        modules = {place: self._module(*place) for place in places}
        sums: dict[tuple[int, str], torch.Tensor] = {}
        counts = dict.fromkeys(places, 0)

        def note(place: tuple[int, str], values: torch.Tensor) -> None:
            flat = values.reshape(-1, values.shape[-1])
            sums[place] = sums.get(place, torch.zeros(flat.shape[1], dtype=torch.float64)) + flat.double().sum(0)
            counts[place] += len(flat)

        def hold(place: tuple[int, str], values: torch.Tensor) -> torch.Tensor:
            held = values.clone()
            mean = (sums[place] / counts[place]).to(values.dtype)
            held[..., places[place]] = mean[places[place]]
            return held

        with _hooks(modules, note):
            run()
        with _hooks(modules, hold):
            yield

    def _module(self, layer: int, role: str) -> torch.nn.Module:
        layout = self.raw.row.layout
        if role not in layout.roles:
            raise NotChecked(f"the class {self.raw.row.hf_class} has no part that plays the role {role}")
        try:
            return self.module.get_submodule(layout.layer.format(layer) + layout.roles[role])
        except AttributeError as problem:
            raise NotChecked(f"the class {self.raw.row.hf_class} has other parts than its files name") from problem


@contextmanager
def _hooks(modules: Mapping[tuple[int, str], Any], use: Callable[[tuple[int, str], Any], Any]) -> Iterator[None]:
    """Call `use` with what attention's last projection ("o") reads, and with what other modules give."""
    handles = []
    for place, module in modules.items():
        if place[1] == "o":

            def before(module: Any, given: Any, place: tuple[int, str] = place) -> Any:
                found = use(place, given[0])
                return None if found is None else (found, *given[1:])

            handles.append(module.register_forward_pre_hook(before))
        else:

            def after(module: Any, given: Any, output: Any, place: tuple[int, str] = place) -> Any:
                return use(place, output)

            handles.append(module.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def unfolded(W: NDArray[np.float64], norm: Norm | None) -> NDArray[np.float64]:
    """What is stored (..., d, m) for a matrix that reads through a norm, from the matrix with the norm's gain in it."""
    if norm is None or norm.gain is None:
        return W
    gain = norm.gain.astype(np.float64)[:, None]
    return np.divide(W, gain, out=np.zeros(W.shape), where=gain != 0)


def moved_bias(
    bias: NDArray[np.float32] | None, before: NDArray[Any], after: NDArray[Any], norm: Norm | None
) -> NDArray[np.float32] | None:
    """The bias beside a matrix that is stored otherwise: what the norm's own bias gave through it stays.

    None where there is none, and none is needed; a model without one may need one, which `Running.changed` then adds.
    """
    if norm is None or norm.bias is None or not norm.bias.any():
        return bias
    read = np.einsum("...dm,d->...m", before.astype(np.float64) - after, norm.bias.astype(np.float64))
    return ((0.0 if bias is None else bias) + read).astype(np.float32)
