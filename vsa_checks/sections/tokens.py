"""The tokens as vectors, computed once for all claims, which all leave out rows that are not tokens.

Two kinds of vectors represent a token. Its word embedding is its row of W_E; sections 2.1 and 3.1 are about these. Its
token vector is the one with which the stream starts: heads bind it, neurons read sums of it, and text is compared with
it. They differ if W_E has its own norm (BERT, BLOOM). Both are centered by the mean over tokens only.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.errors import NotChecked
from vsa_checks.models import Basis
from vsa_checks.orthogonality import Live, centered, live_rows
from vsa_checks.workbench.access import Workbench

NORM_FOLLOWS = (
    "A norm follows the word embeddings before the stream begins; the figures are of the embeddings themselves."
)


def word_embeddings(bench: Workbench, basis: Basis) -> NDArray[np.float32]:
    """The tokens' rows of W_E (n, d_model), in the order of `Workbench.tokens`."""
    return bench.tokens(basis).of(bench.embedding(basis))


def excluded(bench: Workbench, basis: Basis) -> dict[str, Any]:
    """For a measurement's details: how many rows of W_E are not tokens, by reason; empty if all are."""
    reasons = bench.tokens(basis).excluded
    return {"excluded": dict(reasons)} if reasons else {}


def about_embeddings(bench: Workbench, basis: Basis) -> dict[str, Any]:
    """For the details of a claim on W_E itself: `excluded`, and a note if a norm follows W_E."""
    same = np.array_equal(bench.token_vectors(basis), bench.embedding(basis))
    return excluded(bench, basis) | ({} if same else {"notes": [NORM_FOLLOWS]})


def token_dictionary(bench: Workbench, basis: Basis) -> Dictionary:
    """The dictionary of centered token vectors; its rows are token ids. Bases with the same vectors share it.

    Raises NotChecked if none has a direction.
    """

    def make() -> Dictionary:
        tokens, rows = bench.tokens(basis), bench.token_vectors(basis)
        vectors = centered(tokens.of(rows)) if len(tokens.ids) else np.zeros((0, rows.shape[1]), np.float32)
        if not vectors.any():
            raise NotChecked("no word embedding has a direction once centered")
        if tokens.n_excluded:
            kept, vectors = vectors, np.zeros(rows.shape, np.float32)
            vectors[tokens.ids] = kept
        digest = hashlib.sha256(vectors.data).hexdigest()
        words = bench.once(("dictionary of", digest), lambda: Dictionary.of(vectors))
        if bench.plan is not None:
            words.limit_gram(bench.plan.gram_bytes)
        return words

    return bench.once(("dictionary", basis), make)


def token_directions(bench: Workbench, basis: Basis) -> Live:
    """The centered token vectors at unit norm. Raises NotChecked if none has a direction."""
    words = token_dictionary(bench, basis)
    return bench.once(("token directions", id(words)), lambda: live_rows(words.vectors))
