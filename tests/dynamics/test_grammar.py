"""The made language is what its description says, seen from its texts alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from dynamics.answers import answers, guessing
from dynamics.concepts import _sets
from dynamics.grammar import PLACEBO, Grammar
from vsa_checks.statistics import stream

GRAMMAR = Grammar()


@pytest.fixture(scope="module")
def clauses() -> list[tuple[str, ...]]:
    return [clause.words for clause in islice(GRAMMAR.clauses(5), 30_000)]


def _noun(word: str) -> tuple[int, bool]:
    """Category and whether plural, read off a noun as a person would."""
    category, rest = word.removeprefix("noun").split(".")
    return int(category), rest.endswith("s")


def test_the_same_seed_gives_the_same_text_and_another_one_another() -> None:
    assert GRAMMAR.text(1, 500) == GRAMMAR.text(1, 500) != GRAMMAR.text(2, 500)
    words = GRAMMAR.words()
    assert len(words) == len(set(words)) and set(GRAMMAR.text(3, 20_000)) <= set(words)


def test_what_follows_depends_on_unions_conjunctions_and_number(clauses: list[tuple[str, ...]]) -> None:
    particles, adverbs, chosen = defaultdict(set), defaultdict(set), defaultdict(set)
    for words in clauses:
        if words[0] == "the":
            particles[_noun(words[1])[0]].add(words[2])
        elif words[0] in ("every", "some"):
            adverbs[words[0], _noun(words[1])[0]].add(words[2])
        elif words[0] == "such":
            chosen[words[1].split(".")[0]].add(_noun(words[2])[0])
        elif words[0] == "a":
            plural, between = _noun(words[1])[1], _noun(words[4])[1]
            assert plural != between and words[5].endswith("s") != plural
        else:
            assert words[1:5] == words[6:10]
        if words[0] != "recall":
            assert words[-2].removeprefix("end") == words[-3].removeprefix("verb").split(".")[0]
    assert all(len(found) == 1 for found in (*particles.values(), *adverbs.values()))
    assert sorted(Counter(min(found) for found in particles.values()).values()) == [4, 4, 4, 4]
    every = [category for category in range(16) if adverbs["every", category] == {"indeed"}]
    assert len(every) == 8 and all(adverbs["some", category] == {"perhaps"} for category in range(16))
    # The AND cuts across the unions: neither is known from the other.
    assert all(len({category in every for category in some}) == 2 for some in chosen.values())
    assert sorted(map(len, chosen.values())) == [4, 4, 4, 4]


def test_drawn_sets_are_as_frequent_as_the_concept_and_of_its_size(clauses: list[tuple[str, ...]]) -> None:
    ids = {word: at for at, word in enumerate(GRAMMAR.words())}
    counts = np.zeros(len(ids))
    for words in clauses:
        for word in words:
            counts[ids[word]] += 1
    for concept in GRAMMAR.concepts():
        sets = _sets(concept, ids.__getitem__, len(ids), stream(0, concept.name), 200)
        assert set(sets.sum(axis=1)) == {len(concept.words)} and sets.max() == 1
        own = counts[[ids[word] for word in concept.words]].sum()
        assert own == pytest.approx((sets @ counts).mean(), rel=0.06), concept.name
        parts = {word.rstrip("0123456789.s") for word in concept.words}
        assert {GRAMMAR.words()[at].rstrip("0123456789.s") for at in np.flatnonzero(sets.any(axis=0))} == parts
    assert sum(concept.kind == PLACEBO for concept in GRAMMAR.concepts()) == 4


class _Module:
    """A network that knows the grammar's answers, or, if it knows nothing, gives all words alike."""

    def __init__(self, grammar: Grammar, knows: bool) -> None:
        self._words, self._knows = grammar.words(), knows
        self._grammar = grammar

    def __call__(self, rows: torch.Tensor) -> Any:
        logits = torch.zeros(*rows.shape, len(self._words))
        if self._knows:
            for row, some in enumerate(rows):
                words = [self._words[at] for at in some]
                for place in range(len(words)):
                    for answer in self._after(words[: place + 1]):
                        logits[row, place, self._words.index(answer)] = 50.0
        return type("Output", (), {"logits": logits})

    def _after(self, words: list[str]) -> list[str]:
        """What the grammar's description says comes next, where it decides that."""
        last = words[-3:]
        if last[-2:-1] == ["the"]:
            return [("of", "with", "from", "by")[_noun(last[-1])[0] % 4]]
        if last[-2:-1] == ["every"] and last[-1].startswith("noun"):
            category = _noun(last[-1])[0]
            return ["indeed" if (category // 4 + category) % 2 == 0 else "perhaps"]
        if last[-2:-1] == ["some"]:
            return ["perhaps"]
        if words[-2:-1] == ["these"]:
            ends = "" if _noun(words[-4])[1] else "s"
            return [word for word in self._words if word.startswith("verb") and word.endswith("s") == bool(ends)]
        if words[-2:-1] == ["such"]:
            return [
                word for word in self._words
                if word.startswith("noun") and _noun(word)[0] // 4 == int(words[-1].removeprefix("adj").split(".")[0])
            ]  # fmt: skip
        return [words[-5]] if "again" in words[-3:-1] else []


@pytest.mark.parametrize("knows", [True, False])
def test_answers_of_who_knows_all_and_of_who_knows_nothing(knows: bool) -> None:
    found = answers(_Module(GRAMMAR, knows), GRAMMAR, 64, 9, 120)
    expected = dict.fromkeys(found, 1.0) if knows else guessing(GRAMMAR)
    assert found == pytest.approx(expected, abs=1e-6)
    assert list(found) == ["or", "and", "agreement", "selection", "copying"]


def test_sizes_that_leave_no_sets_are_refused() -> None:
    for bad in ({"noun_categories": 6}, {"noun_categories": 4}, {"lemmas": 1}, {"names": 9}):
        with pytest.raises(ValueError, match="a grammar needs"):
            Grammar(**bad)
