"""The centered word embeddings, as a dictionary for bundles and as unit vectors, made once for all claims."""

from __future__ import annotations

import hashlib

from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.errors import NotChecked
from vsa_checks.models import Basis
from vsa_checks.orthogonality import Live, centered, live_rows
from vsa_checks.workbench.access import Workbench


def token_dictionary(bench: Workbench, basis: Basis) -> Dictionary:
    """The centered word embeddings. Bases with the same embeddings share them and all work that depends on them.

    Raises NotChecked if none has a direction.
    """

    def make() -> Dictionary:
        vectors = centered(bench.embedding(basis))
        if not vectors.any():
            raise NotChecked("no word embedding has a direction once centered")
        digest = hashlib.sha256(vectors.data).hexdigest()
        return bench.once(("dictionary of", digest), lambda: Dictionary.of(vectors))

    return bench.once(("dictionary", basis), make)


def token_directions(bench: Workbench, basis: Basis) -> Live:
    """The centered word embeddings at unit norm. Raises NotChecked if none has a direction."""
    words = token_dictionary(bench, basis)
    return bench.once(("token directions", id(words)), lambda: live_rows(words.vectors))
