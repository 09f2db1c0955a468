"""The dictionary that bundles are made from, and its Gram matrix: the cosines between all its tokens.

The pursuit needs rows of the Gram matrix. V^2 floats would be too many, so a cosine is kept as one byte, and rows are
computed when first needed, by the loops in `gram_loops`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsa_checks.engine import gram_loops
from vsa_checks.engine.scale import row_norms
from vsa_checks.engine.threads import share_out, workers

GRAM_BYTES = 5 * 2**29
"""Most memory for rows of the Gram matrix: 2.5 GiB, enough for all rows of 50,257 tokens at a byte an entry."""
SHORT, SHORTEST = 56, 63
"""Powers of two below the longest row. A row shorter than the first is lost when added to it in float64; float32 can
hold the square of a row down to the second."""
BATCH_BYTES = 64 * 2**20
"""Memory for the float32 products of a batch of rows."""


@dataclass(frozen=True)
class Dictionary:
    """Dictionary rows (V, d) that are not zero, with their norms and original row numbers (V,): see `of`.

    All rows are scaled by the same power of two, which brings the largest norm into [1, 2). Cosines of sums stay the
    same to the last bit, and squared norms fit into float32. Rows more than 2^SHORT times shorter than the longest are
    lengthened, together, to just below that: they add nothing to a sum with it, and have their own cosines and sums.
    Among them, those more than 2^(SHORTEST - SHORT) times shorter than the longest are lengthened to that.
    """

    vectors: NDArray[np.float32]
    norms: NDArray[np.float64]
    rows: NDArray[np.int64]
    n_excluded: int

    @classmethod
    def of(cls, vectors: ArrayLike) -> Dictionary:
        """Make a dictionary of rows (V, d), leaving out those whose entries are all zero, and no others.

        Raises ValueError for another shape, NaN or infinite numbers, or if all rows are zero.
        """
        array = np.asarray(vectors)
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float32)
        if array.ndim != 2:
            raise ValueError(f"expected a dictionary of shape (V, d), got an array of shape {array.shape}")
        norms = row_norms(array)
        if not np.isfinite(norms).all():
            raise ValueError(f"dictionary row {int(np.flatnonzero(~np.isfinite(norms))[0])} is not finite")
        rows = np.flatnonzero(norms > 0)
        if not len(rows):
            raise ValueError("no row of the dictionary has a direction")
        norms = norms[rows]
        exponents = np.floor(np.log2(norms)).astype(np.int64)
        longest = int(exponents.max())
        short = exponents < longest - SHORT
        kept = array if len(rows) == len(array) else array[rows]
        if kept.dtype == np.float32 and not short.any() and abs(longest) < 127:
            # If float32 can hold the factor, multiplying is as exact as ldexp and much faster.
            kept, norms = kept * np.float32(2.0**-longest), np.ldexp(norms, -longest)
        else:
            shift = np.full(len(rows), -longest)
            if short.any():
                shift[short] = -SHORT - exponents[short].max()
            shift = np.maximum(shift, -SHORTEST - exponents)
            kept = np.ldexp(kept.astype(np.float64), shift[:, None]).astype(np.float32)
            norms = row_norms(kept)
        return cls(np.ascontiguousarray(kept), norms, rows, len(array) - len(rows))

    @cached_property
    def copies(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows that equal an earlier one, and the first row that each equals: see `repeated_rows`."""
        return repeated_rows(self.vectors)

    @cached_property
    def inverse(self) -> NDArray[np.float32]:
        """One over each norm (V,)."""
        return (1.0 / self.norms).astype(np.float32)

    @cached_property
    def gram(self) -> GramRows:
        """The cosines between the dictionary's vectors, kept with the dictionary."""
        return GramRows(self)

    @cached_property
    def on_devices(self) -> dict[str, Any]:
        """Data that the engine keeps on a device as long as the dictionary is used, by the device's name."""
        return {}

    def limit_gram(self, budget: int) -> GramRows:
        """Give `gram` room for as many rows as fit into `budget` bytes; if that changes, existing rows are lost."""
        held, fits = self.gram, int(min(len(self.rows), max(budget // len(self.rows), 1)))
        if fits != held.capacity:
            self.__dict__["gram"] = GramRows(self, budget)
            self.gram.lowest[:] = held.lowest
        return self.gram


def repeated_rows(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the rows of `vectors` (n, d) that equal an earlier row: their numbers, and the first row that each equals.

    A matrix product may give equal rows dot products that differ in the last bit. Since ties go to the lowest row, code
    that ranks dot products must give each copy the value of the first row.
    """
    array = np.ascontiguousarray(vectors)
    # Compare sums of the bits first, which equal rows share: comparing whole rows takes longer than multiplying them.
    sums = array.view(np.uint32).sum(axis=1, dtype=np.uint64)
    _, place, count = np.unique(sums, return_inverse=True, return_counts=True)
    alike = np.flatnonzero(count[place] > 1)
    rows = array[alike].view(np.dtype((np.void, array.shape[1] * array.itemsize))).ravel()
    _, first, group = np.unique(rows, return_index=True, return_inverse=True)
    original = alike[first[group]]
    again = original != alike
    return alike[again], original[again]


def bytes_to_make_all(words: Dictionary) -> int:
    """Return the bytes that `GramRows.prepare` allocates, beside the rows, to make all rows at once."""
    n_words, d = words.vectors.shape
    tile = min(gram_loops.TILE, n_words)
    return 4 * (2 * tile * d + tile * tile + n_words) * workers((n_words // tile) ** 2)


class GramRows:
    """Rows of the Gram matrix as bytes, made when first asked for and kept while there is room.

    A byte times its step is within half a step of the cosine. Where that is too rough to choose a token, the pursuit
    computes cosines exactly.

    Attributes
    ----------
    capacity : number of rows that there is room for
    rows, steps : int8 array (capacity, V), and step of each row and tile of columns (capacity, tiles)
    slot : int array (V,), where each token's row is in `rows`; -1 if it is not there
    lowest : float32 array (V,), least cosine of each token with any other; NaN if not known yet
    """

    def __init__(self, words: Dictionary, budget: int = GRAM_BYTES) -> None:
        n_words = len(words.rows)
        self._words = words
        self.capacity = int(min(n_words, max(budget // n_words, 1)))
        self.slot = np.full(n_words, -1, np.int64)
        self._filled = 0
        self.rows = np.empty((self.capacity, n_words), np.int8)
        self.steps = np.zeros((self.capacity, -(-n_words // gram_loops.TILE)), np.float32)
        self.lowest = np.full(n_words, np.nan, np.float32)

    def slots(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Make the rows of these tokens that are missing, and return where all of them are in `rows` and `steps`.

        If there is no room for the missing ones, all rows made before are dropped first. Raises ValueError if one call
        asks for more rows than there is room for.
        """
        wanted = np.unique(tokens)
        missing = wanted[self.slot[wanted] < 0]
        if self._filled + len(missing) > self.capacity:
            if len(wanted) > self.capacity:
                raise ValueError(f"{len(wanted)} rows of the Gram matrix do not fit into {self.capacity}")
            self.slot[:] = -1
            self._filled = 0
            missing = wanted
        self._make(missing, keep=True)
        return self.slot[tokens]

    def find_lowest(self, tokens: NDArray[np.int64], keep: bool) -> None:
        """Fill in `lowest` for these tokens; their rows are made for it, and kept if `keep`."""
        if keep:
            self.slots(tokens)
        wanted = np.unique(tokens)
        self._make(wanted[np.isnan(self.lowest[wanted])], keep=False)

    @property
    def complete(self) -> bool:
        """Whether all rows are kept."""
        return self._filled == len(self.slot)

    def prepare(self, picks: int, keep: bool) -> None:
        """Make all rows at once if a pursuit that includes `picks` tokens will probably need most of them.

        The Gram matrix is symmetric, so this takes half of the products. `keep`: keep the rows, not just `lowest`.
        """
        n_words = len(self.slot)
        known = np.count_nonzero(self.slot >= 0 if keep else ~np.isnan(self.lowest))
        fits = not keep or self.capacity == n_words
        if fits and known < n_words and (picks >= n_words or known >= n_words // 4):
            self._make_all(keep)

    def _make(self, tokens: NDArray[np.int64], keep: bool) -> None:
        batch = max(1, BATCH_BYTES // (4 * len(self.slot)))
        rows = self.rows if keep else self.rows[:0]
        for start in range(0, len(tokens), batch):
            some = tokens[start : start + batch]
            products = (self._words.vectors[some] * self._words.inverse[some, None]) @ self._words.vectors.T
            gram_loops.quantize_rows(products, self._words.inverse, some, self._filled, rows, self.steps, self.lowest)
            if keep:
                self.slot[some] = np.arange(self._filled, self._filled + len(some))
                self._filled += len(some)

    def _make_all(self, keep: bool) -> None:
        vectors, inverse = self._words.vectors, self._words.inverse[:, None]
        (n_words, d), rows = vectors.shape, self.rows if keep else self.rows[:0]
        tile = min(gram_loops.TILE, n_words)
        corners = [(i, j) for i in range(0, n_words, tile) for j in range(i, n_words, tile)]
        # For each thread: unit vectors of a tile's rows and columns, the tile's cosines, and each token's least cosine.
        scratch = [
            (np.empty((2, tile, d), np.float32), np.empty(tile * tile, np.float32), np.zeros(n_words, np.float32))
            for _ in range(workers(len(corners)))
        ]

        def fill(corner: tuple[int, int], mine: tuple[NDArray[np.float32], ...]) -> None:
            i, j = corner
            units, products, lowest = mine
            rows_here, columns_here = slice(i, min(i + tile, n_words)), slice(j, min(j + tile, n_words))
            left = np.multiply(vectors[rows_here], inverse[rows_here], out=units[0, : rows_here.stop - i])
            right = np.multiply(vectors[columns_here], inverse[columns_here], out=units[1, : columns_here.stop - j])
            cosines = products[: len(left) * len(right)].reshape(len(left), len(right))
            np.matmul(left, right.T, out=cosines)
            gram_loops.quantize_tile(cosines, i, j, rows, self.steps, lowest)

        if keep:
            self.slot[:], self._filled = -1, 0  # if this is interrupted, no row can be trusted
        share_out(fill, corners, scratch)
        self.lowest[:] = np.minimum.reduce([lowest for _, _, lowest in scratch])
        if keep:
            self.slot[:] = np.arange(n_words)
            self._filled = n_words
