"""Make embeddings more and less nearly orthogonal. The input changes; the unembedding stays, even if it is tied.

Each dose is reported with the quantities of the theory: the rms cosine of the tokens, raw and centered, and the share
of layer-0 neurons that are beyond chance as sums of five of them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bundles import greedy_pursuit
from vsa_checks.engine.dictionary import Dictionary
from vsa_checks.errors import NotChecked
from vsa_checks.interventions import embeddings
from vsa_checks.interventions.changes import at_same_cosine
from vsa_checks.interventions.judging import DRAWS
from vsa_checks.interventions.running import Running
from vsa_checks.interventions.trials import RANDOM, Aim, Away, Plan, Setting, Trial
from vsa_checks.models.architecture import LAYER_NORM
from vsa_checks.models.processing import centered_rows
from vsa_checks.nulls import random_directions
from vsa_checks.orthogonality import centered, live_rows, rms_cosine
from vsa_checks.statistics import stream

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
    "whitened": ("idealise", (0.5, 1.0), lambda rows, dose, rng: embeddings.whitened(rows, dose)),
    "common mean": ("spoil", (0.5, 1.0), embeddings.with_common_mean),
    "mixed with neighbours": ("spoil", (0.5, 0.75), embeddings.mixed),
    "low rank": ("spoil", (0.5, 0.25), lambda rows, dose, rng: embeddings.low_rank(rows, dose)),
}
"""Each kind of change: what it is for, its doses, the strongest last, and how it is made."""
DRAWN = ("common mean", "mixed with neighbours")
"""Kinds whose change is random itself."""


def plans(setting: Setting, kinds: tuple[str, ...]) -> tuple[list[Plan], dict[str, Away]]:
    """The trials on embeddings, and what takes them away. Raises NotChecked where W_E is not what the stream reads."""
    raw = setting.running.raw
    if raw.embedding_norm() is not None or raw.embedding_projection() is not None:
        raise NotChecked("a norm or a projection stands between its embeddings and the stream")
    own, tokens = raw.embedding(), setting.bench.tokens("processed")
    table = Table(setting, own, tokens.of(own), np.asarray(tokens.ids))
    away: dict[str, Away] = {PART: partial(_away, setting.running, own)}
    return [
        Plan(f"{PART}/{kind}/{dose:g}", PART, partial(_trial, table, kind, dose))
        for kind in kinds
        for dose in KINDS[kind][1]
    ], away


@dataclass(frozen=True)
class Table:
    """All rows of W_E (own), and those of tokens among them: `rows` (n, d), at the places `ids`."""

    setting: Setting
    own: Rows
    rows: Rows
    ids: NDArray[np.int64]

    @property
    def seed(self) -> int:
        """The seed of all random numbers."""
        return self.setting.bench.seed

    def made(self, kind: str, dose: float, draw: int) -> Rows:
        """The tokens at a dose. The same random numbers at every dose, so that doses differ in nothing else."""
        return KINDS[kind][2](self.rows, dose, stream(self.seed, "intervene", kind, draw))

    def changed(self, kind: str, dose: float, draw: int) -> AbstractContextManager[None]:
        """Run with the tokens at a dose."""
        return self._embedded(self.ids, self.made(kind, dose, draw))

    def moved(self, kind: str, dose: float, draw: int, null: int) -> AbstractContextManager[None]:
        """Run with each token moved as far as the dose moves it, in a random direction of its own, to the same norm.

        Only tokens that are read are moved; their directions do not depend on which these are.
        """
        made, rng = self.made(kind, dose, draw), stream(self.seed, "intervene", PART, RANDOM, null)
        read = np.flatnonzero(np.isin(self.ids, self.setting.read))
        directions = np.empty((len(read), self.rows.shape[1]))
        for start in range(0, len(self.ids), 4096):
            drawn = rng.standard_normal((min(4096, len(self.ids) - start), self.rows.shape[1]), dtype=np.float32)
            here = (read >= start) & (read < start + 4096)
            directions[here] = drawn[read[here] - start]
        before, after = (some[read].astype(np.float64) for some in (self.rows, made))
        return self._embedded(self.ids[read], at_same_cosine(before, after, directions).astype(np.float32))

    def _embedded(self, places: NDArray[np.int64], rows: Rows) -> AbstractContextManager[None]:
        found = self.own.copy()
        found[places] = rows
        return self.setting.running.embedded(found)


def _trial(table: Table, kind: str, dose: float) -> Trial:
    aim, doses, _ = KINDS[kind]
    made, rows = table.made(kind, dose, 0), table.rows
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(made, axis=1)
    inner = np.einsum("ij,ij->i", rows, made)
    drawn = kind in DRAWN
    return Trial(
        id=f"{PART}/{kind}/{dose:g}",
        part=PART,
        aim=aim,
        dose={"dose": dose},
        change=tuple(partial(table.changed, kind, dose, draw) for draw in range(DRAWS if drawn else 1)),
        nulls={RANDOM: tuple(partial(table.moved, kind, dose, draw if drawn else 0, draw) for draw in range(DRAWS))},
        distance=float(np.linalg.norm(made - rows) / np.linalg.norm(rows)),
        cosine=float((inner / np.where(norms > 0, norms, 1.0)).mean()),
        in_tasks=dose == doses[-1],
        beside=near_orthogonality(table.setting.running, made, table.seed),
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


def _away(running: Running, own: Rows, run: Callable[[], object]) -> AbstractContextManager[None]:
    """Run with the mean embedding in place of every token's."""
    mean = own.mean(axis=0, dtype=np.float64).astype(np.float32)
    return running.embedded(np.ascontiguousarray(np.broadcast_to(mean, own.shape)))
