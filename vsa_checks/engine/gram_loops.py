"""Compiled loops that round cosines between tokens to one byte each, for `dictionary.GramRows`.

`quantize_rows` rounds whole rows, `quantize_tile` a square of the matrix and its mirror image; the rest are their
inner loops. The end of the file compiles them. A byte times the step of its row and tile gives the cosine back.
"""

from __future__ import annotations

import numba
import numpy as np

from vsa_checks.engine.compiled import compile_in_place

TILE = 2000
"""Columns of the Gram matrix that share one step: the cosine that a byte of 1 stands for."""
STRIP = 64
"""Columns that are transposed together: they fit in the processor's cache."""
LEAST_STEP = np.float32(1e-12)
"""A row of zeros needs a step too."""


def find_extremes(row):  # type: ignore[no-untyped-def]
    """Return the least and the largest entry of a row of float32 and a zero; the row holds no NaN."""
    # Read as signed integers, positive floats keep their order; as unsigned ones, negative floats have the reverse
    # order. The compiler turns a maximum of integers into vector instructions, but not one of floats.
    extremes = np.zeros(2, np.uint32)
    signed, unsigned = row.view(np.int32), row.view(np.uint32)
    most, least = np.int32(0), np.uint32(0x80000000)
    for t in range(len(row)):
        most = max(most, signed[t])
    for t in range(len(row)):
        least = max(least, unsigned[t])
    extremes[0], extremes[1] = least, most
    floats = extremes.view(np.float32)
    return floats[0], floats[1]


def _round_to_bytes(row, per_step, out):  # type: ignore[no-untyped-def]
    """Round each entry times `per_step` to a byte."""
    for t in range(len(row)):
        out[t] = np.int8(np.rint(row[t] * per_step))


def _multiply_entries(row, factors):  # type: ignore[no-untyped-def]
    """Multiply each entry with its own factor."""
    for t in range(len(row)):
        row[t] *= factors[t]


def quantize_rows(products, inverse, ids, first, quantized, steps, lowest):  # type: ignore[no-untyped-def]
    """Round the cosines of n tokens with all V to bytes, into `quantized` (rows, V) from row `first` on.

    The cosines are products (n, V) times inverse (V,); that of token ids[r] with itself is set to 0. The step of each
    TILE of columns goes into steps[first + r, tile]: no entry is off by more than half of it. The least cosine goes
    into lowest[ids[r]]. With an empty `quantized` (0, V) only `lowest` is filled.
    """
    n, n_words = products.shape
    for r in numba.prange(n):
        row = products[r]
        row[ids[r]] = 0.0
        _multiply_entries(row, inverse)
        lowest[ids[r]] = 0.0
        for tile in range((n_words + TILE - 1) // TILE):
            start, stop = tile * TILE, min(tile * TILE + TILE, n_words)
            least, most = find_extremes(row[start:stop])
            lowest[ids[r]] = min(lowest[ids[r]], least)
            if len(quantized):
                step = max(max(most, -least) / np.float32(127.0), LEAST_STEP)
                _round_to_bytes(row[start:stop], np.float32(1.0) / step, quantized[first + r, start:stop])
                steps[first + r, tile] = step


def _update_column_extremes(rows, least, most):  # type: ignore[no-untyped-def]
    """Lower `least` and raise `most` (c,) to the extremes of the columns of rows (r, c)."""
    for r in range(len(rows)):
        row = rows[r]
        for c in range(len(least)):
            low, high, value = least[c], most[c], row[c]
            least[c] = value if value < low else low
            most[c] = value if value > high else high


def _transpose_to_bytes(rows, per_step, out):  # type: ignore[no-untyped-def]
    """Put rows (r, c) times per_step (c,), rounded to bytes, into out (c, r)."""
    line = np.empty(len(per_step), np.int8)
    for r in range(len(rows)):
        _round_each_to_bytes(rows[r], per_step, line)
        for c in range(len(per_step)):
            out[c, r] = line[c]


def _round_each_to_bytes(row, per_step, out):  # type: ignore[no-untyped-def]
    """Round each entry times its own `per_step` to a byte."""
    for t in range(len(row)):
        out[t] = np.int8(np.rint(row[t] * per_step[t]))


def quantize_tile(products, row, column, quantized, steps, lowest):  # type: ignore[no-untyped-def]
    """Round the tile of cosines (r, c) that begins at `row` and `column`, and its mirror image: see `quantize_rows`.

    `lowest` (V,) is lowered where the tile holds less. A tile on the diagonal is its own mirror image.
    """
    rows, columns = products.shape
    row_tile, column_tile = row // TILE, column // TILE
    for r in range(rows):
        if row == column:
            products[r, r] = 0.0
        least, most = find_extremes(products[r])
        lowest[row + r] = min(lowest[row + r], least)
        if len(quantized):
            step = max(max(most, -least) / np.float32(127.0), LEAST_STEP)
            _round_to_bytes(products[r], np.float32(1.0) / step, quantized[row + r, column : column + columns])
            steps[row + r, column_tile] = step
    if row == column:
        return
    for strip in range((columns + STRIP - 1) // STRIP):
        start, stop = strip * STRIP, min(strip * STRIP + STRIP, columns)
        least, most = np.zeros(stop - start, np.float32), np.zeros(stop - start, np.float32)
        _update_column_extremes(products[:, start:stop], least, most)
        for c in range(stop - start):
            place = column + start + c
            lowest[place] = min(lowest[place], least[c])
            step = max(max(most[c], -least[c]) / np.float32(127.0), LEAST_STEP)
            most[c] = np.float32(1.0) / step
            if len(quantized):
                steps[place, row_tile] = step
        if len(quantized):
            # Transposed into a small array and copied: rows of the whole matrix would evict each other from the cache.
            mirror = np.empty((stop - start, rows), np.int8)
            _transpose_to_bytes(products[:, start:stop], most, mirror)
            for c in range(stop - start):
                quantized[column + start + c, row : row + rows] = mirror[c]


compile_in_place(_update_column_extremes, fastmath={"nnan", "nsz"})
compile_in_place(find_extremes, _round_to_bytes, _round_each_to_bytes, _multiply_entries, _transpose_to_bytes)
compile_in_place(quantize_rows, parallel=True)
compile_in_place(quantize_tile, nogil=True)
