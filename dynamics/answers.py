"""What a network has learned about its language: its loss, and its answers to questions about the grammar's clauses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dynamics.grammar import EVERY, QUESTIONS, SOME, Clause, Grammar

CLAUSES = 3000
"""Clauses read; each kind of question is asked some 600 times, or twice as often where it has two halves."""
BEFORE = 3
"""A clause is read after so many others, as in the text."""
BATCH = 256


def guessing(grammar: Grammar) -> dict[str, float]:
    """What the probability of a right answer is where nothing is known, by kind of question."""
    return {"or": 1 / 4, "and": 1 / 2, "agreement": 1 / 2, "selection": 1 / 4, "copying": 1 / grammar.names}


def loss(module: Any, tokens: ArrayLike, n_positions: int) -> float:
    """Mean negative log-probability of the next token, in nats, over whole windows of a text (n,)."""
    import torch

    ids = np.asarray(tokens)
    windows = torch.from_numpy(ids[: len(ids) // n_positions * n_positions].reshape(-1, n_positions))
    with torch.no_grad():
        log_p = torch.log_softmax(module(windows).logits[:, :-1].double(), -1)
    return float(-log_p.gather(-1, windows[:, 1:, None]).mean())


def answers(module: Any, grammar: Grammar, n_positions: int, seed: int, n_clauses: int = CLAUSES) -> dict[str, float]:
    """The probability of a right answer among right and wrong ones, by kind of question.

    Returns
    -------
    dict of str to float
        The mean over clauses that no network was trained on. Of `and` it is the mean over the four combinations of
        determiner and set, so that answering always with the commoner adverb gives 1/2.
    """
    import torch

    ids = {word: at for at, word in enumerate(grammar.words())}
    clauses = list(islice(grammar.clauses(seed), n_clauses))
    found: dict[tuple[str, str], list[float]] = {}
    with torch.no_grad():
        for rows, places, asked in _batches(clauses, ids, n_positions):
            p = torch.softmax(module(rows).logits[torch.arange(len(rows)), places].double(), -1)
            for one, clause in zip(p, asked, strict=True):
                right, wrong = (
                    float(one[[ids[word] for word in words]].sum())
                    for words in (clause.question.right, clause.question.wrong)
                )
                found.setdefault((clause.question.kind, _cell(grammar, clause)), []).append(right / (right + wrong))
    return {
        kind: float(np.mean([np.mean(values) for (one, _), values in found.items() if one == kind]))
        for kind in QUESTIONS
    }


def _batches(clauses: Sequence[Clause], ids: dict[str, int], n_positions: int) -> Any:
    """Windows (batch, n) that end with a clause's words before its question, padded behind; the place; the clause."""
    import torch

    rows = []
    for at in range(BEFORE, len(clauses)):
        before = [word for clause in clauses[at - BEFORE : at] for word in clause.words]
        words = [*before, *clauses[at].words[: clauses[at].question.place]]
        rows.append(([ids[word] for word in words][-n_positions:], clauses[at]))
    for at in range(0, len(rows), BATCH):
        some = rows[at : at + BATCH]
        width = max(len(row) for row, _ in some)
        padded = torch.tensor([row + [0] * (width - len(row)) for row, _ in some])
        yield padded, torch.tensor([len(row) - 1 for row, _ in some]), [clause for _, clause in some]


def _cell(grammar: Grammar, clause: Clause) -> str:
    """Of an `and`: which of the four combinations."""
    if clause.question.kind != "and":
        return ""
    inside = grammar.in_and_set(category_of(clause.words[1]))
    return f"{clause.words[0]} {inside}"


def category_of(noun: str) -> int:
    """The category of a noun, from its name."""
    return int(noun.removeprefix("noun").split(".")[0])


def and_table(model: Any, grammar: Grammar, seed: int) -> NDArray[np.float64]:
    """What each layer-0 neuron gives on average at a noun (n, 2, categories), after "every" and after "some".

    Parameters
    ----------
    model : vsa_checks.Model
        Run over each noun after each determiner, after one other clause that is the same for all.
    grammar : Grammar
    seed : int
        Of that other clause.
    """
    ids = {word: at for at, word in enumerate(grammar.words())}
    before = [ids[word] for word in next(grammar.clauses(seed)).words]
    cells = []
    for determiner in (EVERY, SOME):
        for category in grammar.nouns:
            rows = [[*before, ids[determiner], ids[form]] for pair in category for form in pair]
            _, cache = model.run_with_cache(rows, names_filter=NEURONS, stop_at_layer=1, logits=False)
            cells.append(cache[NEURONS][:, -1].double().numpy().mean(0))
    return np.array(cells).reshape(2, len(grammar.nouns), -1).transpose(2, 0, 1)


NEURONS = "blocks.0.mlp.hook_post"
