"""Whether layer-0 neurons hold the known concepts of a language: by their weights, as bundles, or by when they fire.

A concept is a set of words. Two scores say how well a neuron holds it, and that of its best neuron counts:

- reading: the probability that a word of the concept has a higher cosine with the neuron than another word (AUC).
- bundle: the share of the neuron's bundle, found by pursuit with as many tokens as the concept has, that is in it.

What chance gives is the same score of sets that the grammar knows nothing of: of the same size, made of words of the
same kind and frequency. For a union of categories these are unions of other categories, so that reading one category,
or nouns as such, counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from dynamics.grammar import Concept
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.statistics import holm, stream, tail_p

DRAWS = 1999
"""Sets drawn for each concept: with 16 concepts of a kind, p corrected by Holm can go down to .008."""
ALPHA = 0.05
READING, BUNDLE = "reading", "bundle"


@dataclass(frozen=True)
class Recovery:
    """How well a concept is recovered: score, the median and 95th percentile of what chance gives, p, corrected p."""

    name: str
    kind: str
    size: int
    neuron: int
    score: float
    chance: float
    bar: float
    p: float
    p_corrected: float

    @property
    def recovered(self) -> bool:
        """Whether it is, at .05 for all concepts of its kind together."""
        return self.p_corrected <= ALPHA


def recover(
    neurons: ArrayLike,
    dictionary: ArrayLike | Dictionary,
    concepts: Sequence[Concept],
    token_id: Callable[[str], int],
    seed: int,
    draws: int = DRAWS,
) -> dict[str, list[Recovery]]:
    """Score every concept by the neuron that holds it best, against chance.

    Parameters
    ----------
    neurons : array_like, shape (n, d)
        Input weights; those that are all zero are left out.
    dictionary : array_like or Dictionary, shape (V, d)
        Centered token vectors, rows by token id; the cosine of one that is all zero is 0.
    concepts : sequence of Concept
    token_id : callable
        The token of a word.
    seed : int
        Of the sets that are drawn.
    draws : int
        How many for each concept.

    Returns
    -------
    dict of str to list of Recovery
        For READING and for BUNDLE, in the order of the concepts. p counts the drawn sets that score as well or better,
        each by its own best neuron; it is corrected by Holm over the concepts of one kind, each a question of its own.
    """
    words = dictionary if isinstance(dictionary, Dictionary) else Dictionary.of(np.asarray(dictionary, np.float32))
    members = [np.array([token_id(word) for word in sorted(concept.words)]) for concept in concepts]
    bundles = greedy_pursuit(neurons, words, max(map(len, members)))
    alive = np.flatnonzero(~bundles.dead)
    order = np.array([bundles.tokens(int(neuron)) for neuron in alive])
    ranks = _ranks(np.asarray(neurons, np.float32)[alive], words.vectors)
    n_words = ranks.shape[1]
    agreed: dict[str, list[tuple[int, NDArray[np.float64]]]] = {READING: [], BUNDLE: []}
    for concept, ids in zip(concepts, members, strict=True):
        drawn = _sets(concept, token_id, n_words, stream(seed, "sets", concept.name), draws)
        sets, size = np.concatenate([_indicator([ids], n_words), drawn]).T, len(ids)
        # Mann and Whitney's statistic from the sum of ranks
        auc = (ranks @ sets - size * (size + 1) / 2) / (size * (n_words - size))
        share = _indicator(order[:, :size], n_words) @ sets / size
        for kind, scores in ((READING, auc), (BUNDLE, share)):
            agreed[kind].append((int(alive[scores[:, 0].argmax()]), scores.max(axis=0).astype(np.float64)))
    return {kind: _recoveries(concepts, found) for kind, found in agreed.items()}


def _ranks(neurons: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rank of each token's cosine among those of all tokens (n, V), for each neuron."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    ranks: NDArray[np.float32] = rankdata(neurons @ unit.T, axis=1).astype(np.float32)
    return ranks


def _recoveries(concepts: Sequence[Concept], found: list[tuple[int, NDArray[np.float64]]]) -> list[Recovery]:
    p = np.array([tail_p(float(scores[0]), scores[1:], ">=") for _, scores in found])
    corrected = p.copy()
    kinds = np.array([concept.kind for concept in concepts])
    for kind in set(kinds):
        corrected[kinds == kind] = holm(p[kinds == kind])
    return [
        Recovery(
            concept.name,
            concept.kind,
            len(concept.words),
            neuron,
            float(scores[0]),
            float(np.median(scores[1:])),
            float(np.quantile(scores[1:], 0.95)),
            float(p[at]),
            float(corrected[at]),
        )
        for at, (concept, (neuron, scores)) in enumerate(zip(concepts, found, strict=True))
    ]


def _indicator(sets: Sequence[NDArray[np.int64]] | NDArray[np.int64], n_words: int) -> NDArray[np.float32]:
    found = np.zeros((len(sets), n_words), np.float32)
    for row, ids in zip(found, sets, strict=True):
        row[ids] = 1.0
    return found


def _sets(
    concept: Concept, token_id: Callable[[str], int], n_words: int, rng: np.random.Generator, draws: int
) -> NDArray[np.float32]:
    """Sets like a concept (draws, V): from each pool as many units as the concept has, at random."""
    found = np.zeros((draws, n_words), np.float32)
    for pool, count in concept.strata:
        chosen = rng.random((draws, len(pool))).argpartition(count - 1, axis=1)[:, :count]
        units = _indicator([np.array([token_id(word) for word in unit]) for unit in pool], n_words)
        for place in range(count):
            found += units[chosen[:, place]]
    return found


@dataclass(frozen=True)
class Conjunction:
    """How far a layer-0 neuron fires only where both of two things hold, against other sets of categories."""

    neuron: int
    score: float
    chance: float
    bar: float
    p: float


def conjunction(table: ArrayLike, in_set: ArrayLike, seed: int, draws: int = DRAWS) -> Conjunction:
    """Score the AND of a determiner and a set of noun categories by the neuron that shows it best.

    Parameters
    ----------
    table : array_like, shape (n, 2, categories)
        What a neuron gives on average at a noun of a category, after the determiner that the AND is about, and after
        the other.
    in_set : array_like of bool, shape (categories,)
        Which categories the AND is about.
    seed, draws : int
        Of the other sets of as many categories.

    Returns
    -------
    Conjunction
        The score is the smaller of how far "both" lies above "this determiner, other categories" and above "other
        determiner, these categories", in standard deviations of the neuron over all its cells.
    """
    cells = np.asarray(table, np.float64)
    inside = np.asarray(in_set, bool)
    spread = cells.reshape(len(cells), -1).std(axis=1)
    live = np.flatnonzero(spread > 0)
    cells = cells[live] / spread[live, None, None]
    rng = stream(seed, "sets", "and")
    sets = np.concatenate([inside[None], np.array([rng.permutation(inside) for _ in range(draws)])]).T.astype(float)
    n_inside, n_outside = inside.sum(), (~inside).sum()
    both = cells[:, 0] @ sets / n_inside
    no_set = cells[:, 0] @ (1.0 - sets) / n_outside
    no_determiner = cells[:, 1] @ sets / n_inside
    scores = np.minimum(both - no_set, both - no_determiner)
    found = scores.max(axis=0)
    return Conjunction(
        int(live[int(scores[:, 0].argmax())]),
        float(found[0]),
        float(np.median(found[1:])),
        float(np.quantile(found[1:], 0.95)),
        tail_p(float(found[0]), found[1:], ">="),
    )
