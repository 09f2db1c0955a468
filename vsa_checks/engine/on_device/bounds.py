"""Bounds of the cosine that each token would bring, for tiles of tokens and for single tokens.

Let a sum have the dot product `along` with its neuron and the squared norm q. A token of norm n, projection p and
overlap o (its dot product with the sum, over n) brings the cosine s = x / sqrt(y), where x = along + p and
y = q + n^2 + 2 n o. float32 knows x and y but for

    |x off| <= ROUNDING (sqrt q + n),    |y off| <= ROUNDING (q + n^2) + 2 n slack.

`ROUNDING` is 168 units of float32's last place: the error of the dot products p and o takes up to 17 of them (as seen),
the formula and the square root 10 at most. (A product's error is relative to the product of the norms, and twice that
is at most q + n^2.) `slack` bounds how far o is off beyond that: what float16 and additions, or TF32, have changed.

`bounds_of_tokens` puts the ends of these intervals into x / sqrt(y). `bounds_of_tiles` knows less: the highest s of a
tile's tokens as float32 has it, its least y and its largest norm N. With N for n, y0 the least y and z = y0 - |y off|,
every token of the tile has y / (y - |y off|) <= y0 / z = g^2, and so, since (1 - e) (1 + e) <= 1,

    s / g - |x off| / sqrt z <= true <= s g + |x off| / sqrt z    for s > 0, and with 1 / g for g otherwise.

Where rounding leaves nothing of y, only an infinite bound is safe. A token that must not be taken has p = -inf.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from vsa_checks.engine.loops import ROUNDING
from vsa_checks.engine.pursuit_loops import LEAST_SQUARE

LEAST = float(LEAST_SQUARE)
"""Squared norms are not taken for smaller than float32's smallest normal number."""
HUGE = 3e38
"""Instead of one over a squared norm's root, where the squared norm may be zero."""


class Sums(NamedTuple):
    """The sums of n neurons: dot products with the neuron, squared norms and norms, (n, 1) each."""

    along: torch.Tensor
    square: torch.Tensor
    length: torch.Tensor

    @classmethod
    def of(cls, totals: torch.Tensor, unit: torch.Tensor) -> Sums:
        """Measure sums (n, d) in float64 with neurons (n, d)."""
        square = totals.square().sum(dim=1, keepdim=True)
        return cls((totals * unit).sum(dim=1, keepdim=True).float(), square.float(), square.sqrt().float())

    def of_rows(self, rows: torch.Tensor) -> Sums:
        """Return the sums of some neurons (m,)."""
        return Sums(*(one[rows] for one in self))


class Bounds(NamedTuple):
    """From below and above, of the same shape."""

    low: torch.Tensor
    high: torch.Tensor


def bounds_of_tiles(
    sums: Sums, top: torch.Tensor, least: torch.Tensor, largest: torch.Tensor, slack: torch.Tensor
) -> Bounds:
    """Bound the highest cosine that a token of each tile (n, tiles) would bring.

    top (n, tiles): the highest cosine as float32 has it, -inf for a tile without tokens to be taken; least (n, tiles):
    the least squared norm; largest (tiles,): the largest norm of a token; slack (n, tiles).
    """
    loose = (sums.square + largest.square()).mul_(ROUNDING).addcmul_(slack, largest, value=2.0)
    safe = least - loose
    sound = safe > LEAST
    root = safe.clamp_min_(LEAST).rsqrt_()
    grown = least.clamp_min(LEAST).sqrt_().mul_(root)
    away = (sums.length + largest).mul_(ROUNDING).mul_(root)
    more, less = top * grown, top / grown
    low = torch.where(top > 0, less, more).sub_(away)
    high = torch.where(top > 0, more, less).add_(away)
    low.masked_fill_(~sound, -torch.inf)
    high.masked_fill_(~sound & (top > -torch.inf), torch.inf)
    return Bounds(low, high)


def bounds_of_tokens(
    sums: Sums, projections: torch.Tensor, overlaps: torch.Tensor, norms: torch.Tensor, slack: torch.Tensor
) -> Bounds:
    """Bound the cosine that each token (m, t) would bring to one of m sums; norms (m, t), slack (m, 1)."""
    parts = sums.square + norms.square()
    size = (overlaps * norms).mul_(2.0).add_(parts)
    loose = parts.mul_(ROUNDING).addcmul_(norms, slack, value=2.0)
    narrow = (size + loose).clamp_min_(LEAST).rsqrt_()
    least = size.sub_(loose)
    wide = torch.where(least > LEAST, least.clamp_min(LEAST).rsqrt_(), HUGE)
    reach = projections + sums.along
    away = (norms + sums.length).mul_(ROUNDING)
    low, high = reach - away, reach.add_(away)
    return Bounds(low * torch.where(low > 0, narrow, wide), high * torch.where(high > 0, wide, narrow))


def first_bounds(cosines: torch.Tensor) -> Bounds:
    """Bound tokens' own cosines with the neurons: relative to the norm, short tokens are no less exact than others."""
    return Bounds(cosines - ROUNDING, cosines + ROUNDING)
