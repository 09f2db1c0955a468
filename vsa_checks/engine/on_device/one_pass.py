"""One pass over the state of a pursuit: adds a row of the Gram matrix to the overlaps and looks at all tokens.

The state of n neurons is two float32 numbers for each of W tokens: its projection on the neuron, and its overlap with
the sum (its dot product with it, over its norm). A pass adds the token just taken to the overlaps, and reduces each
tile of tokens to two numbers: the highest cosine that one of them would bring, and the least squared norm.

Where Triton can be used the pass is one kernel (`triton_pass`), which reads two floats and a float16 and writes a float
for each neuron and token. Triton comes with PyTorch's packages for CUDA. Before the kernel is trusted on a device, it
is tried there on a small example beside the PyTorch operations. If it cannot be compiled, or finds something else,
those are used from then on: on some rows at a time, so that in-between results stay in a processor's cache. Both round
a little differently, which the bounds allow for; the tokens chosen are the same.

Tests run the kernel in the interpreter of Triton, whose versions 3.6, 3.8 and 3.9 compile it for compute capability 8.0
and 9.0. It has not been run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import NamedTuple

import torch

from vsa_checks.engine.on_device.bounds import LEAST, Sums
from vsa_checks.engine.on_device.memory import lacks_memory

CACHED, LAUNCHED = 2**17, 2**25
"""Entries that PyTorch operations work on at a time: few where a processor has a cache, many where each operation is a
kernel to be launched."""
CLOSE = 1e-4
"""Most that two ways of rounding may differ in the trial, whose numbers are about 1."""


class Reduced(NamedTuple):
    """For each tile (n, tiles): the highest cosine that one of its tokens would bring, and the least squared norm."""

    top: torch.Tensor
    least: torch.Tensor


class Taken(NamedTuple):
    """The tokens (n,) that have joined the sums since the last pass, and the cosines (V, W) of all tokens."""

    tokens: torch.Tensor
    cosines: torch.Tensor


Pass = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Sums, Taken | None, int], Reduced]
"""Takes projections and overlaps (n, W), norms (W,), the sums, the tokens taken, and the tokens of a tile."""


def plain_pass(
    projections: torch.Tensor, overlaps: torch.Tensor, norms: torch.Tensor, sums: Sums, taken: Taken | None, tile: int
) -> Reduced:
    """Make the pass with PyTorch operations."""
    n, width = projections.shape
    top = projections.new_empty((n, width // tile))
    least = torch.empty_like(top)
    twice, squares = 2 * norms, norms.square()
    for some in parts(n, width, projections.device):
        if taken is not None:
            tokens = taken.tokens[some]
            overlaps[some].add_(taken.cosines[tokens] * norms[tokens, None])
        sizes = torch.addcmul(squares, overlaps[some], twice).add_(sums.square[some])
        least[some] = sizes.view(len(sizes), -1, tile).amin(dim=2)
        scores = sizes.clamp_min_(LEAST).rsqrt_().mul_(projections[some] + sums.along[some])
        top[some] = scores.view(len(scores), -1, tile).amax(dim=2)
    return Reduced(top, least)


def parts(n: int, width: int, device: torch.device) -> list[slice]:
    """Split n rows into parts that PyTorch operations should work on at a time."""
    rows = max(1, (CACHED if device.type == "cpu" else LAUNCHED) // width)
    return [slice(start, min(start + rows, n)) for start in range(0, n, rows)]


def fused_pass(
    projections: torch.Tensor, overlaps: torch.Tensor, norms: torch.Tensor, sums: Sums, taken: Taken | None, tile: int
) -> Reduced:
    """Make the pass with Triton. Raises ImportError where there is none."""
    from vsa_checks.engine.on_device.triton_pass import pass_over_tile

    n, width = projections.shape
    top = projections.new_empty((n, width // tile))
    least = torch.empty_like(top)
    tokens, cosines = (taken.tokens, taken.cosines) if taken is not None else (norms, norms)  # not looked at
    if not (projections.is_contiguous() and overlaps.is_contiguous() and cosines.is_contiguous()):
        raise ValueError("the kernel takes rows that follow one another, and these do not")
    # The same holds for the small ones, of which a column of a matrix may be given.
    tokens, along, square = tokens.contiguous(), sums.along.contiguous(), sums.square.contiguous()
    # Triton launches on the current device, which need not be this one.
    with torch.cuda.device(projections.device) if projections.is_cuda else nullcontext():
        pass_over_tile[(n, width // tile)](
            projections, overlaps, cosines, norms, tokens, along, square, top, least, width, width // tile,
            LEAST, ADD=taken is not None, TILE=tile,
        )  # fmt: skip
    return Reduced(top, least)


@cache
def best_pass(device: torch.device, tile: int) -> Pass:
    """Return the fused pass if it works on this device and for this size of a tile, or else the plain one."""
    if device.type != "cuda":
        return plain_pass  # Triton has no compiler for others, and the compiled engine is the one for processors
    try:
        alike = passes_agree(device, tile)
    except Exception as error:
        if lacks_memory(error):
            raise
        # No Triton, no C compiler for its launcher, a device too old for it, ...: whatever it is, there is another way.
        return plain_pass
    return fused_pass if alike else plain_pass


def passes_agree(device: torch.device, tile: int) -> bool:
    """Tell whether both passes find the same on a small example, a pass with a row to be added and one without."""
    n, width = 3, 2 * tile
    generator = torch.Generator().manual_seed(0)
    projections, overlaps = torch.rand((2, n, width), generator=generator).sub_(0.5)
    projections[0, 1] = projections[1, :tile] = -torch.inf
    cosines = torch.rand((4, width), generator=generator).sub_(0.5).half()
    norms, along, square = (torch.rand(size, generator=generator).add_(0.5) for size in ((width,), (n, 1), (n, 1)))
    square += 4  # so that no sum cancels
    tokens = torch.tensor([3, 0, 3])
    given = [one.to(device) for one in (projections, overlaps, norms, along, square, tokens, cosines)]
    for adding in (True, False):
        found = []
        for way in (plain_pass, fused_pass):
            projections, overlaps, norms, along, square, tokens, cosines = (one.clone() for one in given)
            taken = Taken(tokens, cosines) if adding else None
            found.append(
                (overlaps, *way(projections, overlaps, norms, Sums(along, square, square.sqrt()), taken, tile))
            )
        pairs = zip(*found, strict=True)
        if not all(torch.allclose(one, other, rtol=CLOSE, atol=CLOSE) for one, other in pairs):
            return False
    return True
