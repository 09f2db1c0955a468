"""Finds the tokens that may be the best ones to join a sum: the few whose upper bound reaches the highest lower bound.

First tiles: those whose upper bound reaches the neuron's floor, mostly one or two of fifty. Then their tokens, each by
itself, which also raises the floor. What is left, mostly one or two tokens for each neuron, is scored in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from vsa_checks.engine.on_device.bounds import HUGE, Bounds, Sums, bounds_of_tiles, bounds_of_tokens, first_bounds
from vsa_checks.engine.on_device.one_pass import Reduced, parts
from vsa_checks.engine.on_device.state import State, make_exact
from vsa_checks.engine.on_device.words import DeviceWords

MANY_TILES, MANY = 8, 32
"""Tiles and tokens that are left for a neuron, on average, before its overlaps are computed anew: looking at the tiles
again, or scoring the tokens, would cost as much."""
LOOKED = 2**20, 2**23
"""Entries of tiles that are looked at together, on a processor and elsewhere; each takes ten float32 numbers."""

Found = tuple[torch.Tensor, torch.Tensor]
"""Neurons (m,) and tiles, or neurons and tokens."""
Look = Callable[[torch.Tensor, torch.Tensor], Bounds]
"""Bounds the tokens (m, tile) of some neurons' tiles (m,)."""


def first_rivals(words: DeviceWords, state: State) -> Found:
    """Find the tokens that may have the highest cosine with the neuron itself."""
    projections, inverse = state.projections, words.inverse.view(-1, words.tile)
    n, n_tiles = state.slack.shape
    tops = []
    for some in parts(n, words.width, projections.device):
        tops.append((projections[some] * words.inverse).view(-1, n_tiles, words.tile).amax(dim=2))
    tiled = projections.view(n, n_tiles, words.tile)

    def look(neurons: torch.Tensor, tiles: torch.Tensor) -> Bounds:
        return first_bounds(tiled[neurons, tiles].mul_(inverse[tiles]))

    bounds = first_bounds(torch.cat(tops))
    return _among(words, look, _floor(bounds), *_reaching(bounds))


def next_rivals(words: DeviceWords, state: State, totals: torch.Tensor, sums: Sums, reduced: Reduced) -> Found:
    """Find the tokens that may give the sums (n, d) the highest cosine; `state` and `reduced` are up to date."""
    n, n_tiles = state.slack.shape
    projections, overlaps = (one.view(n, n_tiles, words.tile) for one in state[:2])
    norms = words.norms.view(n_tiles, words.tile)

    def look(neurons: torch.Tensor, tiles: torch.Tensor) -> Bounds:
        return bounds_of_tokens(
            sums.of_rows(neurons), projections[neurons, tiles], overlaps[neurons, tiles], norms[tiles],
            state.slack[neurons, tiles, None],
        )  # fmt: skip

    def reaching_tiles() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        bounds = bounds_of_tiles(sums, *reduced, words.largest, state.slack)
        return _floor(bounds), *_reaching(bounds)

    floor, neurons, tiles = reaching_tiles()
    if len(neurons) > MANY_TILES * n:
        make_exact(words, state, totals, sums, reduced, _off(state, neurons, MANY_TILES))
        floor, neurons, tiles = reaching_tiles()
    rivals, tokens = _among(words, look, floor, neurons, tiles)
    if len(rivals) > MANY * n and len(some := _off(state, rivals, MANY)):
        make_exact(words, state, totals, sums, reduced, some)
        rivals, tokens = _among(words, look, *reaching_tiles())
    return rivals, tokens


def _floor(bounds: Bounds) -> torch.Tensor:
    """What each neuron (n,) reaches for sure; finite, so that tokens that must not be taken are below it."""
    return bounds.low.amax(dim=1).clamp_min_(-HUGE)


def _reaching(bounds: Bounds) -> Found:
    neurons, tiles = (bounds.high >= _floor(bounds)[:, None]).nonzero(as_tuple=True)
    return neurons, tiles


def _off(state: State, neurons: torch.Tensor, many: int) -> torch.Tensor:
    """Find the neurons that are listed more than `many` times and whose overlaps are not as exact as they could be."""
    listed = neurons.bincount(minlength=len(state.slack)) > many
    return (listed & (state.slack > 0).any(dim=1)).nonzero().ravel()


def _among(words: DeviceWords, look: Look, floor: torch.Tensor, neurons: torch.Tensor, tiles: torch.Tensor) -> Found:
    """Find the tokens of these tiles whose upper bound reaches their neuron's floor (n,), which they raise."""
    at_once = max(1, LOOKED[neurons.device.type != "cpu"] // words.tile)
    pieces = [slice(start, start + at_once) for start in range(0, len(neurons), at_once)]
    seen = None
    for piece in pieces:
        seen = look(neurons[piece], tiles[piece])
        floor = floor.scatter_reduce(0, neurons[piece], seen.low.amax(dim=1), "amax")
    found = []
    for piece in pieces:
        # Where there is more than one piece they are looked at again: kept, they could fill the memory.
        high = seen.high if seen is not None and len(pieces) == 1 else look(neurons[piece], tiles[piece]).high
        place, column = (high >= floor[neurons[piece], None]).nonzero(as_tuple=True)
        found.append((neurons[piece][place], tiles[piece][place] * words.tile + column))
    rivals, tokens = (torch.cat(part) for part in zip(*found, strict=True))
    return rivals, tokens
