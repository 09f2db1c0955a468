"""The measures written the obvious way: float64, one pair, one token, one neuron at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bundles import Bundles

Rows = NDArray[Any]

CLOSE = 1e-6
"""Differences below this are left to rounding: float32 cosines err by about 1e-7."""


def cosine(a: Rows, b: Rows) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def pair_cosines(vectors: Rows) -> dict[tuple[int, int], float]:
    """The cosine of each pair of rows that have a direction."""
    rows = [row.astype(np.float64) for row in vectors]
    alive = [i for i, row in enumerate(rows) if row.any()]
    return {(i, j): cosine(rows[i], rows[j]) for place, i in enumerate(alive) for j in alive[place + 1 :]}


@dataclass
class Scan:
    """One neuron's bundle by the paper's scan, and how near the closest decision was to going the other way."""

    tokens: list[int] = field(default_factory=list)
    path: list[float] = field(default_factory=list)
    closest_call: float = np.inf

    def call(self, distance: float) -> None:
        self.closest_call = min(self.closest_call, abs(distance))


def scan(neurons: Rows, dictionary: Rows, neurons_per_token: int | None, exact: bool = False) -> list[Scan]:
    """The paper's scan, step by step. A dead neuron or token takes no part.

    Ties of identical rows are to be broken by id; other ties too where the arithmetic is `exact`, and count as close
    calls elsewhere.
    """
    neurons, dictionary = neurons.astype(np.float64), dictionary.astype(np.float64)
    alive = [i for i in range(len(neurons)) if neurons[i].any()]
    unit = {i: neurons[i] / np.sqrt(neurons[i] @ neurons[i]) for i in alive}
    results = [Scan() for _ in neurons]
    listed: dict[int, list[tuple[float, int]]] = {i: [] for i in alive}
    for t, token in enumerate(dictionary):
        if not token.any():
            continue
        ranking = sorted((-cosine(unit[i], token), i) for i in alive)
        count = len(alive) if neurons_per_token is None else min(neurons_per_token, len(alive))
        for negative, i in ranking[:count]:
            listed[i].append((-negative, t))
        if not exact and 0 < count < len(alive):
            (lowest, inside), (highest, outside) = ranking[count - 1 : count + 1]
            for place, (negative, i) in enumerate(ranking):
                bar, other = (highest, outside) if place < count else (lowest, inside)
                if not np.array_equal(neurons[i], neurons[other]):
                    results[i].call(bar - negative)
    for i in alive:
        _scan_one(unit[i], dictionary, listed[i], results[i], exact)
    return results


def _scan_one(neuron: Rows, dictionary: Rows, listed: list[tuple[float, int]], result: Scan, exact: bool) -> None:
    total, reached = np.zeros_like(neuron), 0.0
    before = (np.inf, -1)
    for own, t in sorted(listed, key=lambda entry: (-entry[0], entry[1])):
        result.call(own - 0.05)
        if own < 0.05:
            break
        if not (exact or np.array_equal(dictionary[t], dictionary[before[1]])):
            result.call(before[0] - own)
        before = (own, t)
        whole = total + dictionary[t]
        size = np.sqrt(whole @ whole)
        if size == 0:
            continue
        rise = float(whole @ neuron / size) - reached
        result.call(own - 0.1)
        if not exact or rise != 0:
            result.call(rise - (0.0 if own >= 0.1 else 0.04))
        if rise > 0 and (own >= 0.1 or rise > 0.04):
            total, reached = whole, reached + rise
            result.tokens.append(t)
            result.path.append(reached)


def pursuit(neuron: Rows, dictionary: Rows, max_tokens: int) -> tuple[list[int], list[float]]:
    """Greedy pursuit of one neuron, trying every token that is left at each step; the first of equals wins."""
    neuron, dictionary = neuron.astype(np.float64), dictionary.astype(np.float64)
    left = [t for t in range(len(dictionary)) if dictionary[t].any()]
    total, tokens, path = np.zeros_like(neuron), [], []
    for _ in range(min(max_tokens, len(left))):
        scores = _scores(neuron, total + dictionary[left])
        best = int(np.argmax(scores))
        tokens.append(left[best])
        path.append(float(scores[best]))
        total = total + dictionary[left.pop(best)]
    return tokens, path


def assert_pursued(found: Bundles, neurons: Rows, dictionary: Rows, max_tokens: int) -> None:
    """Every token found is the best at its step, up to rounding; every cosine is that of the bundle.

    Each step is checked from the tokens found so far, so that one near-tie does not hide what follows it.
    """
    targets, words = neurons.astype(np.float64), dictionary.astype(np.float64)
    live = [t for t in range(len(words)) if words[t].any()]
    row = np.unique(words + 0.0, axis=0, return_inverse=True)[1].ravel()  # equal for equal tokens; -0 + 0 is 0
    assert len(found) == len(targets)
    assert found.n_dictionary_excluded == len(words) - len(live)
    for i, target in enumerate(targets):
        tokens = found.tokens(i).tolist()
        if not target.any():
            assert tokens == [] and np.isnan(found.cosine[i]), f"neuron {i} is dead"
            continue
        assert len(tokens) == min(max_tokens, len(live)), f"neuron {i}: {len(tokens)} tokens"
        assert len(set(tokens)) == len(tokens) and set(tokens) <= set(live), f"neuron {i}: {tokens}"
        total, left = np.zeros_like(target), list(live)
        for step, token in enumerate(tokens):
            scores, at = _scores(target, total + words[left]), left.index(token)
            best = scores.max()
            first = left[int(scores.argmax())]
            where = f"neuron {i}, step {step}: token {token} gives {scores[at]}, token {first} gives {best}"
            assert scores[at] >= best - CLOSE, where
            twins = [t for t in left[:at] if row[t] == row[token]]
            assert not twins, f"neuron {i}, step {step}: token {token} stands before its duplicate {twins[0]}"
            assert abs(found.path(i)[step] - scores[at]) < CLOSE, where
            total = total + words[token]
            left.remove(token)


def assert_scanned(found: Bundles, neurons: Rows, expected: list[Scan]) -> None:
    """Bundles equal those of `scan` wherever no decision was closer than rounding."""
    assert len(found) == len(expected)
    clear = [i for i, one in enumerate(expected) if one.closest_call > CLOSE]
    for i in clear:
        assert found.tokens(i).tolist() == expected[i].tokens, f"neuron {i}"
        np.testing.assert_allclose(found.path(i), expected[i].path, rtol=0, atol=CLOSE, err_msg=f"neuron {i}")
        assert found.size[i] == len(expected[i].tokens)
        last = expected[i].path[-1] if expected[i].path else 0.0
        if neurons[i].any():
            assert abs(found.cosine[i] - last) < CLOSE
        else:
            assert np.isnan(found.cosine[i])


def _scores(neuron: Rows, totals: Rows) -> Rows:
    """Cosines of sums with the neuron, row by row alike; a sum that is nothing has none and counts as 0."""
    sizes = np.sqrt((neuron @ neuron) * (totals**2).sum(axis=1))
    return np.divide((totals * neuron).sum(axis=1), sizes, out=np.zeros(len(totals)), where=sizes > 0)
