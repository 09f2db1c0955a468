"""Compiled loops that make rows of the Gram matrix at a byte an entry; what for stands in `dictionary.GramRows`."""

from __future__ import annotations

import numba
import numpy as np

from vsa_checks.engine.compiled import compile_in_place

TILE = 2000
"""Columns of the Gram matrix that share one step of their bytes."""
STRIP = 64
"""Columns whose mirror image is made together, in the cache."""
LEAST_STEP = np.float32(1e-12)


def row_extremes(row):  # type: ignore[no-untyped-def]
    """Least and largest entry of a row of float32, or 0 where none is below or above it; no NaN.

    Positive floats are in order as signed integers, negative ones in reverse as unsigned: a maximum of integers is
    turned into vector instructions, one of floats is not.
    """
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


def _to_bytes(row, per_step, out):  # type: ignore[no-untyped-def]
    """Round each entry times `per_step` to a byte."""
    for t in range(len(row)):
        out[t] = np.int8(np.rint(row[t] * per_step))


def _multiply(row, factors):  # type: ignore[no-untyped-def]
    for t in range(len(row)):
        row[t] *= factors[t]


def quantize(products, inverse, ids, first, quantized, steps, lowest):  # type: ignore[no-untyped-def]
    """Store products (n, V) times inverse (V,), less the entry of token ids[r] itself, as bytes from row `first` on.

    steps[first + r, tile] receives the size of one unit in each TILE of columns, so that no entry is off by more than
    half of it; lowest[ids[r]] the least entry. An empty `quantized` (0, V) receives nothing.
    """
    n, n_words = products.shape
    for r in numba.prange(n):
        row = products[r]
        row[ids[r]] = 0.0
        _multiply(row, inverse)
        lowest[ids[r]] = 0.0
        for tile in range((n_words + TILE - 1) // TILE):
            start, stop = tile * TILE, min(tile * TILE + TILE, n_words)
            least, most = row_extremes(row[start:stop])
            lowest[ids[r]] = min(lowest[ids[r]], least)
            if len(quantized):
                step = max(max(most, -least) / np.float32(127.0), LEAST_STEP)
                _to_bytes(row[start:stop], np.float32(1.0) / step, quantized[first + r, start:stop])
                steps[first + r, tile] = step


def _column_extremes(rows, least, most):  # type: ignore[no-untyped-def]
    """Lower `least` and raise `most` (c,) to the extremes of the columns of rows (r, c)."""
    for r in range(len(rows)):
        row = rows[r]
        for c in range(len(least)):
            low, high, value = least[c], most[c], row[c]
            least[c] = value if value < low else low
            most[c] = value if value > high else high


def _turn(rows, per_step, out):  # type: ignore[no-untyped-def]
    """Put rows (r, c) times per_step (c,), rounded to bytes, into out (c, r)."""
    line = np.empty(len(per_step), np.int8)
    for r in range(len(rows)):
        _to_bytes_each(rows[r], per_step, line)
        for c in range(len(per_step)):
            out[c, r] = line[c]


def _to_bytes_each(row, per_step, out):  # type: ignore[no-untyped-def]
    """Round each entry times its own `per_step` to a byte."""
    for t in range(len(row)):
        out[t] = np.int8(np.rint(row[t] * per_step[t]))


def quantize_tile(products, row, column, quantized, steps, lowest):  # type: ignore[no-untyped-def]
    """As `_quantize`, for the tile of cosines (r, c) that begins at `row` and `column`, and for its mirror image.

    lowest (V,) is lowered. On the diagonal the tile is its own mirror image, and a token's product with itself is 0.
    """
    rows, columns = products.shape
    row_tile, column_tile = row // TILE, column // TILE
    for r in range(rows):
        if row == column:
            products[r, r] = 0.0
        least, most = row_extremes(products[r])
        lowest[row + r] = min(lowest[row + r], least)
        if len(quantized):
            step = max(max(most, -least) / np.float32(127.0), LEAST_STEP)
            _to_bytes(products[r], np.float32(1.0) / step, quantized[row + r, column : column + columns])
            steps[row + r, column_tile] = step
    if row == column:
        return
    for strip in range((columns + STRIP - 1) // STRIP):
        start, stop = strip * STRIP, min(strip * STRIP + STRIP, columns)
        least, most = np.zeros(stop - start, np.float32), np.zeros(stop - start, np.float32)
        _column_extremes(products[:, start:stop], least, most)
        for c in range(stop - start):
            place = column + start + c
            lowest[place] = min(lowest[place], least[c])
            step = max(max(most[c], -least[c]) / np.float32(127.0), LEAST_STEP)
            most[c] = np.float32(1.0) / step
            if len(quantized):
                steps[place, row_tile] = step
        if len(quantized):
            # Turned apart and then copied a row at a time: rows of the whole matrix displace each other in the cache.
            mirror = np.empty((stop - start, rows), np.int8)
            _turn(products[:, start:stop], most, mirror)
            for c in range(stop - start):
                quantized[column + start + c, row : row + rows] = mirror[c]


compile_in_place(_column_extremes, fastmath={"nnan", "nsz"})
compile_in_place(row_extremes, _to_bytes, _to_bytes_each, _multiply, _turn)
compile_in_place(quantize, parallel=True)
compile_in_place(quantize_tile, nogil=True)
