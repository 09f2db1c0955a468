"""A dictionary on a device, in tiles of tokens, kept with the dictionary for later calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.engine.on_device.gram import DeviceGram
from vsa_checks.engine.on_device.memory import to_device

TILE = 1024
"""Tokens whose bounds are reduced to one, a power of two; fewer where the dictionary is smaller."""
LEAST_TILE = 16
"""Fewest tokens of a tile: what Triton takes."""


@dataclass
class DeviceWords:
    """A dictionary on a device, with rows of zeros at its end that fill the last tile: W = tiles * tile rows.

    Attributes
    ----------
    count, tile : int, tokens V, and how many belong to a tile
    vectors, units : (W, d), the tokens, and at unit norm
    norms, inverse : (W,), and 1 / norms; 0 and 1 at the end
    largest : (tiles,), the largest norm of each tile
    barred : (W,) bool, what cannot be taken at first: copies of earlier tokens, and the rows at the end
    next_copy : (V,), the next token that equals each, or -1
    picks : int, tokens included so far by all pursuits with this dictionary
    gram : the cosines of all pairs of tokens, once they are made
    """

    count: int
    tile: int
    vectors: torch.Tensor
    units: torch.Tensor
    norms: torch.Tensor
    inverse: torch.Tensor
    largest: torch.Tensor
    barred: torch.Tensor
    next_copy: torch.Tensor
    picks: int = 0
    gram: DeviceGram | None = None

    @classmethod
    def of(cls, words: Dictionary, device: torch.device) -> DeviceWords:
        """Copy a dictionary to the device."""
        count = len(words.rows)
        tile = min(TILE, max(LEAST_TILE, 2 ** (count - 1).bit_length()))
        missing = -count % tile
        vectors = torch.nn.functional.pad(to_device(words.vectors, device), (0, 0, 0, missing))
        norms = torch.nn.functional.pad(to_device(words.norms, device, torch.float32), (0, missing))
        inverse = torch.nn.functional.pad(to_device(words.inverse, device), (0, missing), value=1.0)
        next_copy = to_device(next_copies(words), device)
        barred = torch.zeros(len(vectors), dtype=torch.bool, device=device)
        barred[next_copy[next_copy >= 0]] = True
        barred[count:] = True
        largest = norms.view(-1, tile).amax(dim=1)
        return cls(count, tile, vectors, vectors * inverse[:, None], norms, inverse, largest, barred, next_copy)

    @property
    def width(self) -> int:
        """W."""
        return len(self.vectors)


def kept_words(words: Dictionary, device: torch.device) -> DeviceWords:
    """Return the dictionary's copy on this device, which stays there as long as the dictionary is used."""
    held = words.on_devices
    if str(device) not in held:
        held[str(device)] = DeviceWords.of(words, device)
    found: DeviceWords = held[str(device)]
    return found


def next_copies(words: Dictionary) -> NDArray[np.int64]:
    """Find for each row of the dictionary the next row that equals it (V,), or -1."""
    copies, originals = words.copies
    chain = np.full(len(words.rows), -1)
    order = np.lexsort((copies, originals))
    later, first = copies[order], originals[order]
    follows = np.diff(first, prepend=-1) == 0
    chain[np.where(follows, np.roll(later, 1), first)] = later
    return chain
