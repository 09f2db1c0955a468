"""The pass over the state of a pursuit as a Triton kernel: see `one_pass`. To be imported only where Triton is."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["tiles"])  # else one more kernel would be compiled where there is one tile
def pass_over_tile(  # type: ignore[no-untyped-def]
    projections, overlaps, cosines, norms, tokens, along, square, top, least, width, tiles, floor,
    ADD: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Add a row to the overlaps of one neuron with one tile of tokens, and reduce the tile; programs (n, tiles).

    projections, overlaps (n, width); cosines (V, width) and tokens (n,), only where ADD; norms (width,); along, square
    (n,); top, least (n, tiles), the result. `floor` is the least squared norm that has a root.
    """
    neuron = tl.program_id(0).to(tl.int64)  # its product with the width may not fit into 32 bits
    tile = tl.program_id(1)
    columns = tile * TILE + tl.arange(0, TILE)
    places = neuron * width + columns
    overlap = tl.load(overlaps + places)
    if ADD:
        token = tl.load(tokens + neuron)
        row = tl.load(cosines + token * width + columns).to(tl.float32)
        overlap += tl.load(norms + token) * row
        tl.store(overlaps + places, overlap)
    norm = tl.load(norms + columns)
    size = tl.load(square + neuron) + norm * (norm + 2.0 * overlap)
    score = (tl.load(along + neuron) + tl.load(projections + places)) * tl.rsqrt(tl.maximum(size, floor))
    tl.store(least + neuron * tiles + tile, tl.min(size, axis=0))
    tl.store(top + neuron * tiles + tile, tl.max(score, axis=0))
