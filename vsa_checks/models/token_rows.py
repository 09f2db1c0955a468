"""Which rows of the word embeddings are tokens: padding and rows that were never trained are not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

ZERO, UNNAMED, COPIES = "zero", "unnamed", "copies"
"""Why a row is no token: all its entries are zero; the tokenizer has no token of this id; it was never trained."""
BLOCK = 4096
"""Rows looked at together."""


@dataclass(frozen=True)
class TokenRows:
    """The rows of the word embeddings that are tokens.

    Attributes
    ----------
    ids : int array (n,), token ids, rising
    excluded : dict of str to int, how many other rows there are, by reason; without reasons that do not occur
    n_rows : int, rows of the word embeddings in all
    """

    ids: NDArray[np.int64]
    excluded: dict[str, int]
    n_rows: int

    @property
    def n_excluded(self) -> int:
        """How many rows are no tokens."""
        return self.n_rows - len(self.ids)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Whether each row is a token (n_rows,)."""
        found = np.zeros(self.n_rows, bool)
        found[self.ids] = True
        return found

    def of(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the tokens' rows (n, d) out of an array with a row for each id (n_rows, d)."""
        return rows[self.ids] if self.n_excluded else rows


def token_rows(W_E: ArrayLike, named: NDArray[np.bool_] | None = None) -> TokenRows:
    """Decide which rows of the word embeddings are tokens.

    Left out are rows whose entries are all zero, rows without a name, and untrained copies: all rows that equal another
    one in every entry. Training moves each token's row by itself, so rows that are equal to the last bit still are what
    something else set them to: none of them is kept. If that would leave out half of the rows or more, no row is called
    a copy: then being alike tells nothing of training.

    The answer is the same for raw and processed weights. Processing does the same to each row by itself (it takes away
    the mean of its entries), so rows that are equal as stored are equal in it too.

    Parameters
    ----------
    W_E : array (n_rows, d)
    named : bool array (n_rows,), whether the tokenizer has a token of each id; without it where none can be trusted

    Returns
    -------
    TokenRows
    """
    rows = np.asarray(W_E, np.float32)
    zero = ~rows.any(axis=1)
    unnamed = np.zeros(len(rows), bool) if named is None else ~named & ~zero
    left = ~(zero | unnamed)
    copies = _copies(rows) & left
    if 2 * np.count_nonzero(copies) >= np.count_nonzero(left):
        copies[:] = False
    counts = {reason: int(which.sum()) for reason, which in ((ZERO, zero), (UNNAMED, unnamed), (COPIES, copies))}
    ids = np.flatnonzero(left & ~copies)
    return TokenRows(ids, {reason: count for reason, count in counts.items() if count}, len(rows))


def _copies(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which rows equal another one in every entry; 0 and -0 are equal."""
    copies = np.zeros(len(rows), bool)
    # Sums of the bits first, which equal rows share: comparing whole rows takes longer.
    sums = [_bits(rows[at : at + BLOCK]).sum(axis=1, dtype=np.uint64) for at in range(0, len(rows), BLOCK)]
    _, place, count = np.unique(np.concatenate(sums), return_inverse=True, return_counts=True)
    alike = np.flatnonzero(count[place] > 1)
    if len(alike):
        bits = _bits(rows[alike])
        whole = bits.view(np.dtype((np.void, bits.itemsize * bits.shape[1]))).ravel()
        _, place, count = np.unique(whole, return_inverse=True, return_counts=True)
        copies[alike] = count[place] > 1
    return copies


def _bits(rows: NDArray[np.float32]) -> NDArray[np.uint32]:
    """The bits of rows (n, d), as numbers. Adding 0 makes a zero of -0."""
    return np.ascontiguousarray(rows + 0.0, dtype=np.float32).view(np.uint32)
