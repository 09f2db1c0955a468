"""Which tokens stand for a vocabulary in a picture: frequent words of a text, and a seeded sample of all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vsa_checks.figures.bundle_arrays import MOST_CHARACTERS
from vsa_checks.figures.grams import MOST_VECTORS
from vsa_checks.figures.store import words
from vsa_checks.models.texts import shipped_text
from vsa_checks.models.vocabulary import Vocabulary
from vsa_checks.statistics import stream

FREQUENT = MOST_VECTORS // 2


def frequent_words(vocabulary: Vocabulary, ids: NDArray[np.int64], wanted: int) -> list[int]:
    """Tokens that are frequent words of the text that ships with the checks, most frequent first.

    A low id says nothing of frequency. Words are runs of letters; a word counts as the token that it is when a space
    stands before it, else as the token of the bare word. Words of several tokens are passed over.
    """
    counted = Counter(re.findall(r"[^\W\d_]+", " ".join(shipped_text().passages)))
    by_name: dict[str, int] = {}
    for token in ids:
        by_name.setdefault(vocabulary.name(int(token)), int(token))
    found: dict[int, None] = {}
    for word, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
        token = by_name.get(f" {word}", by_name.get(word))
        if token is not None:
            found[token] = None
        if len(found) == wanted:
            break
    return list(found)


def sample(
    ids: NDArray[np.int64], vocabulary: Vocabulary | None, name: Callable[[int], str]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Rows among the tokens `ids` to show, and their names with how many are frequent words, as `words` writes it.

    Without a vocabulary all are a sample.
    """
    frequent = [] if vocabulary is None else frequent_words(vocabulary, ids, min(FREQUENT, len(ids) // 2))
    others = np.setdiff1d(ids, np.array(frequent, np.int64))
    drawn = stream(0, "tokens of a picture").choice(
        others, min(MOST_VECTORS - len(frequent), len(others)), replace=False
    )
    chosen = [*frequent, *sorted(int(token) for token in drawn)]
    names = [name(token)[:MOST_CHARACTERS] for token in chosen]
    return np.searchsorted(ids, chosen), words({"frequent": len(frequent), "tokens": names})
