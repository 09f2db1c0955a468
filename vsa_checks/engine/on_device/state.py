"""What a pursuit on a device knows of its neurons and all tokens, and how that is brought up to date.

The overlaps of a sum with all tokens, over the tokens' norms, come from rows of the Gram matrix, one for each token
that joins it, or from a product of all sums with all tokens on tensor cores. Either is quick and a little off. `slack`
bounds by how much; `make_exact` computes overlaps anew in full float32 for the neurons whose slack leaves much open.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from vsa_checks.engine.loops import ROUNDING
from vsa_checks.engine.on_device.bounds import Sums
from vsa_checks.engine.on_device.one_pass import Reduced, Taken, best_pass, parts, plain_pass
from vsa_checks.engine.on_device.precision import multiply_roughly, tf32_error
from vsa_checks.engine.on_device.words import DeviceWords

GROWTH, DRIFT = 1 + 2**-20, 2**-22
"""What adding a row in float32 does to `slack`, relative to the slack and to the norm of the new sum.

The addition is off by at most 2^-24 of its result, which is at most the sum's norm and the slack."""


class State(NamedTuple):
    """What a pursuit knows of n neurons and W tokens.

    projections (n, W): -inf for tokens that must not be taken; overlaps (n, W), off by at most `slack` (n, tiles)
    beyond a float32 product's error.
    """

    projections: torch.Tensor
    overlaps: torch.Tensor
    slack: torch.Tensor

    @classmethod
    def of(cls, words: DeviceWords, projections: torch.Tensor) -> State:
        """Begin with sums of nothing."""
        slack = projections.new_zeros((len(projections), len(words.largest)))
        return cls(projections.masked_fill_(words.barred, -torch.inf), torch.zeros_like(projections), slack)


def include(words: DeviceWords, state: State, totals: torch.Tensor, sums: Sums, tokens: torch.Tensor) -> Reduced:
    """Bring the overlaps up to date with the tokens (n,) that have just joined the sums, and reduce all tiles."""
    taken = None
    if words.gram is not None:
        # The row is off by what float16 did to it, and as much as a product of unit vectors may be.
        added = words.gram.errors[tokens].add_(ROUNDING).mul_(words.norms[tokens, None])
        state.slack.mul_(GROWTH).add_(added).add_(sums.length, alpha=DRIFT)
        taken = Taken(tokens, words.gram.cosines)
    else:
        multiply_roughly(totals.float(), words.units, state.overlaps)
        state.slack.copy_(sums.length * tf32_error(totals.shape[1]))
    way = best_pass(totals.device, words.tile)
    return way(state.projections, state.overlaps, words.norms, sums, taken, words.tile)


def make_exact(
    words: DeviceWords, state: State, totals: torch.Tensor, sums: Sums, reduced: Reduced, some: torch.Tensor
) -> None:
    """Compute the overlaps of some neurons (m,) anew, without slack, and reduce their tiles again."""
    for part in parts(len(some), words.width, some.device):
        rows = some[part]
        overlaps = totals[rows].float() @ words.units.T
        state.overlaps[rows], state.slack[rows] = overlaps, 0.0
        again = plain_pass(state.projections[rows], overlaps, words.norms, sums.of_rows(rows), None, words.tile)
        reduced.top[rows], reduced.least[rows] = again
