"""Find how positions rotate queries against keys from the running model: any rotary embedding, or none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.interventions.running import Running
from vsa_checks.models.forward import CannotRun

if TYPE_CHECKING:
    import torch

Turns = NDArray[np.float64]
_FUNCTION = "apply_rotary_pos_emb"
"""What every model type of transformers that turns queries and keys calls the function that does."""


def turns(running: Running, layers: list[int], n_positions: int) -> dict[int, Turns]:
    """How a layer's queries are turned, against a key 0, 1, ... positions before them.

    Parameters
    ----------
    running : the model; it reads one sequence of n_positions tokens
    layers : those that are asked for
    n_positions : at least 1

    Returns
    -------
    dict of layer to an array (distances, d_head, d_head), for row vectors: W_Q @ turn @ W_K.T compares them. One
    distance alone, that of the identity, where positions do not turn anything.

    Raises
    ------
    NotChecked : it turns them in a way that cannot be read off
    """
    d_head = running.model.info.d_head
    plain = np.eye(d_head)[None]
    source = sys.modules[type(running.module).__module__]
    if not hasattr(source, _FUNCTION):
        if any("rotary" in name.lower() or "rope" in name.lower() for name in vars(source)):
            raise NotChecked(f"how positions turn the queries of {running.raw.row.hf_class} cannot be read off")
        return dict.fromkeys(layers, plain)
    seen: dict[int, Turns] = {}
    # Another length than the number of heads, so that positions are known by it.
    length = n_positions + (n_positions in (running.model.info.n_heads, running.model.info.n_kv_heads))
    length += length in (running.model.info.n_heads, running.model.info.n_kv_heads)
    with _watched(running, layers, source, length, seen):
        try:
            _read(running, length)
        except NotChecked:
            raise
        except Exception as problem:  # transformers may raise anything
            raise CannotRun(f"The model cannot be run over {n_positions} tokens: {problem}") from problem
    return {layer: seen[layer][:n_positions] if layer in seen else plain for layer in layers}


def _read(running: Running, n_positions: int) -> None:
    import torch

    with torch.no_grad():
        running.module(torch.zeros((1, n_positions), dtype=torch.long), use_cache=False)


@contextmanager
def _watched(
    running: Running, layers: list[int], source: Any, n_positions: int, seen: dict[int, Turns]
) -> Iterator[None]:
    """Note in `seen`, of each layer that calls the function, what it makes of every unit vector."""
    original, now, handles = getattr(source, _FUNCTION), [-1], []

    def enter(layer: int) -> Any:
        def note(*_: Any) -> None:
            now[0] = layer

        return note

    def watching(q: torch.Tensor, *rest: Any, **named: Any) -> Any:
        if now[0] >= 0 and now[0] not in seen:
            seen[now[0]] = _turned(original, q, rest, named, n_positions, running.model.info.d_head)
        return original(q, *rest, **named)

    layout = running.raw.row.layout
    for layer in range(running.model.info.n_layers):
        module = running.module.get_submodule(layout.layer.format(layer).rstrip("."))
        handles.append(module.register_forward_pre_hook(enter(layer if layer in layers else -1)))
    setattr(source, _FUNCTION, watching)
    try:
        yield
    finally:
        setattr(source, _FUNCTION, original)
        for handle in handles:
            handle.remove()


def _turned(original: Any, q: torch.Tensor, rest: Any, named: Any, n_positions: int, d_head: int) -> Turns:
    """The turn at each distance from what the function gives for unit vectors; dimensions it does not get stay."""
    import torch

    axes = [axis for axis in range(1, q.ndim - 1) if q.shape[axis] == n_positions]
    if q.ndim != 4 or len(axes) != 1 or q.shape[-1] > d_head:
        raise NotChecked("how positions turn its queries cannot be read off")
    width = q.shape[-1]
    found = np.tile(np.eye(d_head), (n_positions, 1, 1))
    for at in range(width):
        probe = torch.zeros_like(q)
        probe[..., at] = 1.0
        made = original(probe, *rest, **named)
        first = made[0] if isinstance(made, tuple) else made
        if first.shape != q.shape:
            raise NotChecked("how positions turn its queries cannot be read off")
        # Every head is turned alike: the first stands for all.
        found[:, at, :width] = first[0].select(2 - axes[0], 0).double().numpy()
    # A query at position p is turned by M_p and a key at 0 by M_0, so that M_p M_0^T compares them.
    return found @ found[0].T
