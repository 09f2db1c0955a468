"""A language from a seeded grammar with known concepts, so that bundles and bindings have a right answer.

Nouns come in categories, each word in a singular and a plural form, and so do verbs; adjectives and names have one
form. A text is a stream of clauses of five kinds, each of which asks its reader one question:

- or: "the NOUN of ...": the particle depends on the set of categories that the noun's category is in: a union.
- and: "every NOUN indeed ..." where the determiner is "every" AND the noun is of one set; in all other cases "perhaps".
- agreement: "a NOUN near these NOUNS sees ...": the verb has the number of the first noun, across the second.
- selection: "such ADJECTIVE NOUN ...": the adjective's category decides which set of categories the noun is from.
- copying: "recall NAME NAME NAME NAME again NAME NAME NAME NAME".

Each verb is followed by the ending of its category. Names are all used alike: sets of them that are called concepts
here are none, and must not be recovered.

The words of a category differ in frequency, and in the same way in each category: the word of a rank is as frequent as
the word of that rank in any other category of its kind.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

QUESTIONS = ("or", "and", "agreement", "selection", "copying")
UNKNOWN, END = "<unk>", "."
PARTICLES = ("of", "with", "from", "by")
ADVERBS = ("indeed", "perhaps")
EVERY, SOME = "every", "some"
OTHER_WORDS = ("the", EVERY, SOME, "a", "near", "these", "such", "recall", "again", *PARTICLES, *ADVERBS)
PLACEBO = "placebo"
"""The kind of sets that are no concepts."""


@dataclass(frozen=True)
class Concept:
    """A set of words that the grammar treats alike.

    kind: what makes it a concept. strata: pools of units (each unit some words) and how many of a pool are in the
    concept; choosing as many of each pool at random gives a set that the grammar knows nothing of, but of the same
    size, of words of the same kind and frequency.
    """

    name: str
    kind: str
    words: frozenset[str]
    strata: tuple[tuple[tuple[tuple[str, ...], ...], int], ...]


@dataclass(frozen=True)
class Question:
    """At a place of a clause (its word's number), the word expected is one of `right` and not of `wrong`."""

    kind: str
    place: int
    right: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Clause:
    """Words, the last of which ends the clause, and what is asked of their reader."""

    words: tuple[str, ...]
    question: Question


@dataclass(frozen=True)
class Grammar:
    """The language. Seeded numbers decide only which clauses a text has, not what the words are.

    Parameters
    ----------
    noun_categories, verb_categories, adjective_categories : int
        Noun categories are a multiple of 4: there are four sets of them for `or`, and four others for `selection`.
    lemmas : int
        Nouns and verbs of a category, each in two forms; an adjective category has twice as many words.
    names : int
    """

    noun_categories: int = 16
    verb_categories: int = 8
    adjective_categories: int = 4
    lemmas: int = 6
    names: int = 32

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that leave no sets of categories."""
        if self.noun_categories < 8 or self.noun_categories % 4 or self.adjective_categories != 4:
            raise ValueError("a grammar needs a multiple of 4 noun categories, at least 8, and 4 of adjectives")
        if min(self.lemmas, self.verb_categories) < 2 or self.names < 8 or self.names % 4:
            raise ValueError(
                "a grammar needs at least 2 lemmas, 2 verb categories and a multiple of 4 names, at least 8"
            )

    @cached_property
    def nouns(self) -> list[list[tuple[str, str]]]:
        """Categories of nouns, each word as (singular, plural)."""
        return [[(f"noun{c}.{i}", f"noun{c}.{i}s") for i in range(self.lemmas)] for c in range(self.noun_categories)]

    @cached_property
    def verbs(self) -> list[list[tuple[str, str]]]:
        """Categories of verbs, each word as (form with a singular, form with a plural)."""
        return [[(f"verb{c}.{i}s", f"verb{c}.{i}") for i in range(self.lemmas)] for c in range(self.verb_categories)]

    @cached_property
    def adjectives(self) -> list[list[str]]:
        """Categories of adjectives."""
        return [[f"adj{c}.{i}" for i in range(2 * self.lemmas)] for c in range(self.adjective_categories)]

    @cached_property
    def endings(self) -> list[str]:
        """What follows the verbs of each category."""
        return [f"end{c}" for c in range(self.verb_categories)]

    @cached_property
    def name_words(self) -> list[str]:
        """Names, which mean nothing and are only copied."""
        return [f"name{i}" for i in range(self.names)]

    def words(self) -> list[str]:
        """The whole vocabulary; a word's place is its token id."""
        forms = [form for category in (*self.nouns, *self.verbs) for pair in category for form in pair]
        adjectives = [word for category in self.adjectives for word in category]
        return [UNKNOWN, END, *OTHER_WORDS, *self.endings, *forms, *adjectives, *self.name_words]

    def or_set(self, category: int) -> int:
        """Which particle follows nouns of a category: neighbours are in different sets."""
        return category % 4

    def selected_by(self, category: int) -> int:
        """Which category of adjectives stands before nouns of a category."""
        return category * 4 // self.noun_categories

    def in_and_set(self, category: int) -> bool:
        """Whether "every" before a noun of this category makes the adverb "indeed": half of each set of the others."""
        return (category // 4 + category) % 2 == 0

    def concepts(self) -> list[Concept]:
        """All concepts: categories of each part of speech, sets of noun categories, and number; and the placebos."""
        nouns, verbs = self.nouns, self.verbs
        found = [
            *_categories("noun", [[form for pair in one for form in pair] for one in nouns]),
            *_categories("verb", [[form for pair in one for form in pair] for one in verbs]),
            *_categories("adjective", self.adjectives),
        ]
        units = tuple(tuple(form for pair in one for form in pair) for one in nouns)
        sets: list[tuple[str, str, list[int]]] = [
            (f"before {PARTICLES[s]!r}", "or set", [c for c in range(len(nouns)) if self.or_set(c) == s])
            for s in range(4)
        ]
        sets += [
            (f"after adjective {s}", "selected set", [c for c in range(len(nouns)) if self.selected_by(c) == s])
            for s in range(4)
        ]
        for name, kind, members in sets:
            words = frozenset(word for c in members for word in units[c])
            found.append(Concept(name, kind, words, ((units, len(members)),)))
        for part, pairs in (("noun", nouns), ("verb", verbs)):
            strata = tuple((((one,), (other,)), 1) for category in pairs for one, other in category)
            for at, number in enumerate(("singular", "plural")):
                words = frozenset(pair[at] for category in pairs for pair in category)
                found.append(Concept(f"{number} {part}s", "number", words, strata))
        quarter, every_name = self.names // 4, tuple((word,) for word in self.name_words)
        for at in range(4):
            words = frozenset(self.name_words[at * quarter : (at + 1) * quarter])
            found.append(Concept(f"names, quarter {at}", PLACEBO, words, ((every_name, quarter),)))
        return found

    def clauses(self, seed: int) -> Iterator[Clause]:
        """Clauses without end, the same for a seed."""
        rng = random.Random(seed)
        while True:
            yield getattr(self, f"_{rng.choice(QUESTIONS)}")(rng)

    def text(self, seed: int, n_words: int) -> list[str]:
        """The first n_words words of the clauses of a seed."""
        found: list[str] = []
        for clause in self.clauses(seed):
            found += clause.words
            if len(found) >= n_words:
                return found[:n_words]
        raise AssertionError("clauses do not end")

    def _noun(self, rng: random.Random, among: Sequence[int] | None = None) -> tuple[int, int, int]:
        """Category, lemma and number of a noun."""
        category = rng.choice(range(self.noun_categories) if among is None else among)
        return category, self._lemma(rng), rng.randrange(2)

    def _lemma(self, rng: random.Random) -> int:
        """Rarer and rarer: weights 1, 1/2, 1/3, ..."""
        return rng.choices(range(self.lemmas), [1 / (1 + at) for at in range(self.lemmas)])[0]

    def _predicate(self, rng: random.Random, number: int) -> tuple[str, str, str]:
        """A verb, the ending of its category, and the end of the clause."""
        category = rng.randrange(self.verb_categories)
        return self.verbs[category][self._lemma(rng)][number], self.endings[category], END

    def _all_verbs(self, number: int) -> tuple[str, ...]:
        return tuple(pair[number] for category in self.verbs for pair in category)

    def _or(self, rng: random.Random) -> Clause:
        category, lemma, number = self._noun(rng)
        right = PARTICLES[self.or_set(category)]
        wrong = tuple(word for word in PARTICLES if word != right)
        words = ("the", self.nouns[category][lemma][number], right, *self._predicate(rng, number))
        return Clause(words, Question("or", 2, (right,), wrong))

    def _and(self, rng: random.Random) -> Clause:
        category, lemma, number = self._noun(rng)
        determiner = rng.choice((EVERY, SOME))
        right = ADVERBS[0] if determiner == EVERY and self.in_and_set(category) else ADVERBS[1]
        wrong = ADVERBS[1] if right == ADVERBS[0] else ADVERBS[0]
        words = (determiner, self.nouns[category][lemma][number], right, *self._predicate(rng, number))
        return Clause(words, Question("and", 2, (right,), (wrong,)))

    def _agreement(self, rng: random.Random) -> Clause:
        (category, lemma, number), (other, other_lemma, _) = self._noun(rng), self._noun(rng)
        between = self.nouns[other][other_lemma][1 - number]
        words = ("a", self.nouns[category][lemma][number], "near", "these", between, *self._predicate(rng, number))
        return Clause(words, Question("agreement", 5, self._all_verbs(number), self._all_verbs(1 - number)))

    def _selection(self, rng: random.Random) -> Clause:
        chooser = rng.randrange(self.adjective_categories)
        adjective = self.adjectives[chooser][2 * self._lemma(rng) + rng.randrange(2)]
        among = [c for c in range(self.noun_categories) if self.selected_by(c) == chooser]
        category, lemma, number = self._noun(rng, among)
        right, wrong = (
            tuple(form for c in range(self.noun_categories) if (c in among) == inside for pair in self.nouns[c]
                  for form in pair)
            for inside in (True, False)
        )  # fmt: skip
        words = ("such", adjective, self.nouns[category][lemma][number], *self._predicate(rng, number))
        return Clause(words, Question("selection", 2, right, wrong))

    def _copying(self, rng: random.Random) -> Clause:
        names = tuple(rng.sample(self.name_words, 4))
        words = ("recall", *names, "again", *names, END)
        wrong = tuple(word for word in self.name_words if word != names[2])
        return Clause(words, Question("copying", 8, (names[2],), wrong))


def _categories(kind: str, categories: Sequence[Sequence[str]]) -> list[Concept]:
    """Each category as a concept; the words of one rank are exchanged between categories."""
    strata = tuple((tuple((one[rank],) for one in categories), 1) for rank in range(len(categories[0])))
    return [Concept(f"{kind} {at}", f"{kind} category", frozenset(one), strata) for at, one in enumerate(categories)]
