"""The Gram matrix of a dictionary's tokens on a device: all cosines in float16, with a bound on what rounding changed.

Half of the products are made, V^2 d operations in float32; the other half is their mirror image. It takes 2 V^2 bytes:
5 GB for 50,257 tokens. `DeviceGram.errors` holds by how much rounding to float16 moved the cosines of a token and a
tile of tokens, as found and not as feared: the products themselves may be off by `ROUNDING` beside that.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

SHARE = 0.6
"""Share of the free memory that the Gram matrix may take."""
ROWS = 1024
"""Rows multiplied at a time, at least; whole tiles."""
MADE = 8
"""Bytes needed to make one of these products: float32, float16, and what the libraries need."""


class DeviceGram(NamedTuple):
    """Cosines of all pairs of W tokens (W, W) float16, and the largest error of each row and tile (W, tiles)."""

    cosines: torch.Tensor
    errors: torch.Tensor


def fits(width: int, tile: int, free: int) -> bool:
    """Tell whether this many free bytes are enough to make the Gram matrix of `width` tokens, and to work with it."""
    kept = 2 * width**2 + 4 * width * (width // tile)
    return kept <= SHARE * free and kept + MADE * width * min(max(ROWS, tile), width) <= free


def make_gram(units: torch.Tensor, tile: int) -> DeviceGram:
    """Make the Gram matrix of tokens at unit norm (W, d), W a multiple of `tile`; to be called in full float32."""
    width = len(units)
    cosines = torch.empty((width, width), dtype=torch.float16, device=units.device)
    errors = torch.empty((width, width // tile), device=units.device)
    step = max(ROWS // tile, 1) * tile
    for start in range(0, width, step):
        stop = min(start + step, width)
        products = units[start:stop] @ units[start:].T
        rounded = products.half()
        cosines[start:stop, start:] = rounded
        cosines[stop:, start:stop] = rounded[:, stop - start :].T
        off = products.sub_(rounded).abs_()
        errors[start:stop, start // tile :] = off.view(stop - start, -1, tile).amax(dim=2)
        mirrored = off[:, stop - start :].reshape((stop - start) // tile, tile, width - stop)
        if stop < width:
            errors[stop:, start // tile : stop // tile] = mirrored.amax(dim=1).T
    return DeviceGram(cosines, errors)
