"""Embeddings made more and less nearly orthogonal. What is read changes; the unembedding stays, also where it is tied.

At each dose stands what the theory asks for: the rms cosine of the tokens, raw and centered, and the share of layer-0
neurons that are beyond chance as sums of five of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bundles import greedy_pursuit
from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.errors import NotChecked
from vsa_checks.interventions import embeddings
from vsa_checks.interventions.changes import at_same_cosine
from vsa_checks.interventions.running import Running
from vsa_checks.interventions.trials import RANDOM, Aim, Away, Trial
from vsa_checks.models.architecture import LAYER_NORM
from vsa_checks.models.processing import centered_rows
from vsa_checks.nulls import random_directions
from vsa_checks.orthogonality import centered, live_rows, rms_cosine
from vsa_checks.statistics import stream
from vsa_checks.workbench.access import Workbench

Rows = NDArray[np.float32]
PART = "embeddings"
TOKENS, QUANTILE = 5, 0.99
NEURONS, DIRECTIONS = 384, 1_000
"""Neurons drawn for the share beyond chance, and random directions that give its level, anew at each dose."""

GRAM_BYTES = 2**29
"""Memory for cosines between tokens; bundles do not depend on it."""

Make = Callable[[Rows, float, np.random.Generator], Rows]
KINDS: dict[str, tuple[Aim, tuple[float, ...], Make]] = {
    "centered": ("idealise", (0.5, 1.0), lambda rows, dose, rng: embeddings.centered_by(rows, dose)),
    "whitened": ("idealise", (0.25, 0.5, 1.0), lambda rows, dose, rng: embeddings.whitened(rows, dose)),
    "common mean": ("spoil", (0.5, 1.0, 2.0), embeddings.with_common_mean),
    "mixed with neighbours": ("spoil", (0.25, 0.5, 0.75), embeddings.mixed),
    "low rank": ("spoil", (0.5, 0.25, 0.125), lambda rows, dose, rng: embeddings.low_rank(rows, dose)),
}
"""Each kind of change: what it is for, its doses, the strongest last, and how it is made."""


def trials(running: Running, bench: Workbench, kinds: tuple[str, ...]) -> tuple[Iterator[Trial], dict[str, Away]]:
    """The trials on embeddings, and what takes them away. Raises NotChecked where W_E is not what the stream reads."""
    raw = running.raw
    if raw.embedding_norm() is not None or raw.embedding_projection() is not None:
        raise NotChecked("a norm or a projection stands between its embeddings and the stream")
    own, tokens = raw.embedding(), bench.tokens("processed")

    def whole(rows: Rows) -> Rows:
        """All rows of W_E, of which those that are no tokens stay as they are."""
        found = own.copy()
        found[tokens.ids] = rows
        return found

    away: dict[str, Away] = {PART: partial(_away, running, own)}
    return _trials(running, bench, kinds, tokens.of(own), whole), away


def _trials(
    running: Running, bench: Workbench, kinds: tuple[str, ...], rows: Rows, whole: Callable[[Rows], Rows]
) -> Iterator[Trial]:
    for kind in kinds:
        aim, doses, make = KINDS[kind]
        for dose in doses:
            # The same random numbers at every dose, so that doses differ in nothing else.
            made = make(rows, dose, stream(bench.seed, "intervene", kind))
            norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(made, axis=1)
            inner = np.einsum("ij,ij->i", rows, made)
            yield Trial(
                id=f"{PART}/{kind}/{dose:g}",
                part=PART,
                aim=aim,
                dose={"dose": dose},
                change=partial(_embedded, running, whole, made),
                nulls={RANDOM: partial(_moved, running, whole, rows, made, bench.seed)},
                distance=float(np.linalg.norm(made - rows) / np.linalg.norm(rows)),
                cosine=float((inner / np.where(norms > 0, norms, 1.0)).mean()),
                in_tasks=dose == doses[-1],
                beside=near_orthogonality(running, made, bench.seed),
            )


def near_orthogonality(running: Running, rows: Rows, seed: int) -> dict[str, Any]:
    """The rms cosine of tokens (n, d), raw and centered, and the share of layer-0 neurons beyond chance by matrix."""
    found: dict[str, Any] = {"rms_cosine": float(rms_cosine(live_rows(rows).unit))}
    middle = centered(centered_rows(rows) if running.model.info.norm == LAYER_NORM else rows)
    found["rms_cosine_centered"] = float(rms_cosine(live_rows(middle).unit))
    found["beyond_chance"] = {}
    if not running.raw.has_mlp(0):
        return found
    rng, words = stream(seed, "intervene", "beyond chance"), Dictionary.of(middle)
    words.limit_gram(GRAM_BYTES)
    directions = random_directions(DIRECTIONS, rows.shape[1], rng)
    bar = np.quantile(greedy_pursuit(directions, words, TOKENS).cosine, QUANTILE)
    for matrix in ("W_gate", "W_in"):
        if f"blocks.0.mlp.{matrix}" not in running.model:
            continue
        neurons = running.model.array(f"blocks.0.mlp.{matrix}").T
        neurons = neurons[neurons.any(axis=1)]
        if len(neurons) > NEURONS:
            neurons = neurons[np.sort(rng.choice(len(neurons), NEURONS, replace=False))]
        if len(neurons):
            cosine = greedy_pursuit(neurons, words, TOKENS).cosine
            found["beyond_chance"][matrix] = float((cosine > bar).mean())
    return found


def _embedded(running: Running, whole: Callable[[Rows], Rows], rows: Rows) -> AbstractContextManager[None]:
    return running.embedded(whole(rows))


def _moved(
    running: Running, whole: Callable[[Rows], Rows], rows: Rows, made: Rows, seed: int
) -> AbstractContextManager[None]:
    """Run with each token moved as far as `made` moves it, in a random direction of its own, to the same norm."""
    rng, moved = stream(seed, "intervene", PART, RANDOM), np.empty_like(rows)
    for start in range(0, len(rows), 4096):
        some = slice(start, start + 4096)
        before, after = rows[some].astype(np.float64), made[some].astype(np.float64)
        moved[some] = at_same_cosine(before, after, rng.standard_normal(before.shape))
    return running.embedded(whole(moved))


def _away(running: Running, own: Rows, run: Callable[[], object]) -> AbstractContextManager[None]:
    """Run with the mean embedding in the place of every token's."""
    mean = own.mean(axis=0, dtype=np.float64).astype(np.float32)
    return running.embedded(np.ascontiguousarray(np.broadcast_to(mean, own.shape)))
