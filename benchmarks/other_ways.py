"""Obvious implementations: one product per step, FAISS with a Python loop, a blocked product."""

from __future__ import annotations

import time

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.sizes import Rows

Ids = NDArray[np.int64]


def obvious_pursuit(neurons: Rows, dictionary: Rows, steps: int) -> tuple[Ids, NDArray[np.float32], list[float]]:
    """Pursuit with one matrix product per step: all tokens are scored, and the best is taken.

    Returns tokens (n, steps), cosines (n, steps) and the seconds of each step, for neurons (n, d), dictionary (m, d).
    """
    unit = neurons / np.linalg.norm(neurons, axis=1, keepdims=True)
    projections = unit @ dictionary.T
    squares = (dictionary * dictionary).sum(axis=1)
    totals, rows = np.zeros_like(unit), np.arange(len(unit))
    taken = np.zeros(projections.shape, bool)
    tokens, cosines, seconds = [], [], []
    for _ in range(steps):
        start = time.perf_counter()
        overlaps = totals @ dictionary.T
        along = (totals * unit).sum(axis=1, keepdims=True)
        size = (totals * totals).sum(axis=1, keepdims=True)
        scores = (along + projections) / np.sqrt(size + 2 * overlaps + squares)
        scores[taken] = -np.inf
        best = scores.argmax(axis=1)
        taken[rows, best] = True
        totals += dictionary[best]
        tokens.append(best)
        cosines.append(scores[rows, best])
        seconds.append(time.perf_counter() - start)
    return np.array(tokens).T, np.array(cosines).T, seconds


def flat_search(neurons: Rows, dictionary: Rows, neighbours: int) -> tuple[NDArray[np.float32], Ids]:
    """FAISS's exact search for the k tokens of largest cosine, with set-up: cosines (n, k) and tokens (n, k)."""
    unit = dictionary / np.linalg.norm(dictionary, axis=1, keepdims=True)
    queries = neurons / np.linalg.norm(neurons, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(unit.shape[1])
    index.add(unit)
    found: tuple[NDArray[np.float32], Ids] = index.search(queries, neighbours)
    return found


def plain_scan(neurons: Rows, dictionary: Rows) -> tuple[list[list[int]], list[float]]:
    """The paper's scan with K = all as a loop over neurons and candidates: tokens and cosine of each bundle."""
    unit = dictionary / np.linalg.norm(dictionary, axis=1, keepdims=True)
    bundles, cosines = [], []
    for row in neurons:
        neuron = row / np.linalg.norm(row)
        own = unit @ neuron
        total, reached, tokens = np.zeros(len(neuron)), 0.0, []
        for token in np.argsort(-own, kind="stable"):
            if own[token] < 0.05:
                break
            whole = total + dictionary[token]
            cosine = float(whole @ neuron / np.linalg.norm(whole))
            if cosine > reached and (own[token] >= 0.1 or cosine - reached > 0.04):
                total, reached = whole, cosine
                tokens.append(int(token))
        bundles.append(tokens)
        cosines.append(reached)
    return bundles, cosines


def half_gram(unit: Rows, block: int = 2048) -> None:
    """One blocked product of half of the Gram matrix of rows (n, d); the products are not used."""
    products = np.empty(block * block, np.float32)
    for i in range(0, len(unit), block):
        left = unit[i : i + block]
        for j in range(i, len(unit), block):
            right = unit[j : j + block]
            np.matmul(left, right.T, out=products[: len(left) * len(right)].reshape(len(left), len(right)))
