"""Replace layer-0 neurons by their bundles of k tokens, and by other vectors at the same distance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bundles import Bundles, greedy_pursuit
from vsa_checks.clusters import clusters
from vsa_checks.engine.dictionary import GRAM_BYTES
from vsa_checks.interventions.changes import at_same_cosine, bundle_vectors, cosines, relative_distance, unit
from vsa_checks.interventions.judging import DRAWS
from vsa_checks.interventions.running import Running, moved_bias, unfolded
from vsa_checks.interventions.trials import MATCHED, RANDOM, SIGNS, Away, Draws, Plan, Setting, Trial
from vsa_checks.nulls import covariance_matched
from vsa_checks.nulls_of_signs import exchange_signs, kept_axes, principal_axes
from vsa_checks.sections.tokens import token_dictionary
from vsa_checks.statistics import stream
from vsa_checks.workbench.access import Workbench

Rows = NDArray[np.float64]
SIZES = (1, 5, 20, 100)
JUDGED = (5, 20)
"""Sizes of bundles at which stand-ins that are no neurons are bundled too, and a verdict is given."""
UNJUDGED = "not judged: stand-ins were not bundled at this size"
WITH_TASKS = 20
SMALL = 2**20
"""Bytes for the cosines between tokens that pursuit keeps, where none is to come."""


class Neurons:
    """The neurons of layer 0 that read through one matrix, their bundles, and draws of stand-ins with theirs.

    Neurons are rows (m, d) in the processed basis: as they read what the norm gives. Bundles are found once.
    """

    def __init__(self, running: Running, bench: Workbench, matrix: str) -> None:
        self.matrix, self.running = matrix, running
        self.words = token_dictionary(bench, "processed")
        self.rows: Rows = running.model.array(f"blocks.0.mlp.{matrix}").T.astype(np.float64)
        self._seed = bench.seed
        self._live = np.linalg.norm(self.rows, axis=1) > 0
        self._unit = np.ascontiguousarray(unit(self.rows[self._live]), np.float32)
        self.words.limit_gram(GRAM_BYTES)
        self.bundles = greedy_pursuit(self._unit, self.words, max(SIZES))
        self.stand_ins = {
            (name, draw): self._stand_in(name, draw) for name in (SIGNS, MATCHED) for draw in range(DRAWS)
        }
        self.words.limit_gram(SMALL)  # all is pursued: gigabytes are free for the model

    def _rng(self, name: str, draw: int) -> np.random.Generator:
        return stream(self._seed, "intervene", self.matrix, name, draw)

    def _stand_in(self, name: str, draw: int) -> tuple[Rows, Bundles]:
        """Stand-in rows (m, d) at unit norm, and their bundles."""
        rows, rng = self._unit, self._rng(name, draw)
        if name == SIGNS or len(rows) < 2:
            axes, kept = principal_axes(self.words.vectors), kept_axes(rows.shape[1])
            drawn = exchange_signs(rows, clusters(rows), np.arange(len(rows)), rng, axes, kept)
        else:
            drawn = covariance_matched(rows).draw(len(rows), rng)
        return self._whole(unit(drawn.astype(np.float64))), greedy_pursuit(drawn, self.words, max(JUDGED))

    def _whole(self, rows: Rows) -> Rows:
        """Rows of live neurons among those of all, which stay as they are."""
        found = self.rows.copy()
        found[self._live] = rows
        return found

    def bundled(self, k: int) -> Rows:
        """Each neuron's bundle of k tokens, at its norm; a dead neuron stays."""
        vectors = bundle_vectors(self.bundles, self.words, k)
        return self._whole(vectors * np.linalg.norm(self.rows[self._live], axis=1, keepdims=True))

    def null(self, name: str, draw: int, k: int) -> Rows:
        """Each neuron changed as much as its bundle of k tokens changes it, in another direction.

        That direction is random, or it is the one in which a stand-in's own bundle of k tokens departs from it.
        """
        if name == RANDOM:
            directions = self._rng(RANDOM, draw).standard_normal(self.rows.shape)
        else:
            stand_in, bundles = self.stand_ins[name, draw]
            own = self._whole(bundle_vectors(bundles, self.words, k))
            directions = own - np.einsum("ij,ij->i", own, unit(stand_in))[:, None] * unit(stand_in)
        return at_same_cosine(self.rows, self.bundled(k), directions)


def plans(setting: Setting) -> tuple[list[Plan], dict[str, Away]]:
    """The trials on layer-0 neurons, and what takes each part away. Raises NotChecked for a model without them."""
    running = setting.running
    weights = running.part("mlp", 0).weights
    names: list[str] = [name for name in ("W_gate", "W_in") if name in weights]
    groups = [[name] for name in names] + ([names] if len(names) > 1 else [])

    @cache
    def found(matrix: str) -> Neurons:
        return Neurons(running, setting.bench, matrix)

    return [
        Plan(f"{_part(group)}/k={k}", _part(group), partial(_trial, running, found, group, k, group == groups[-1]))
        for group in groups
        for k in SIZES
    ], {_part(group): partial(_away, running, group) for group in groups}


def _part(group: list[str]) -> str:
    return f"neurons/{'+'.join(group)}"


def _trial(running: Running, found: Callable[[str], Neurons], group: list[str], k: int, all_of_them: bool) -> Trial:
    neurons = [found(name) for name in group]
    before = np.concatenate([one.rows for one in neurons])
    after = np.concatenate([one.bundled(k) for one in neurons])
    judged = k in JUDGED

    def drawn(name: str) -> Draws:
        return tuple(
            partial(with_rows, running, {one.matrix: partial(one.null, name, draw, k) for one in neurons})
            for draw in range(DRAWS)
        )

    return Trial(
        id=f"{_part(group)}/k={k}",
        part=_part(group),
        aim="idealise",
        dose={"tokens": float(k)},
        change=(partial(with_rows, running, {one.matrix: partial(one.bundled, k) for one in neurons}),),
        nulls={name: drawn(name) for name in ((RANDOM, SIGNS, MATCHED) if judged else (RANDOM,))},
        distance=relative_distance(before, after),
        cosine=float(cosines(before, after).mean()),
        in_tasks=k == WITH_TASKS and all_of_them,
        unjudged="" if judged else UNJUDGED,
    )


def with_rows(running: Running, made: Mapping[str, Callable[[], Rows]]) -> AbstractContextManager[None]:
    """Run with other neurons (m, d) in some matrices of layer 0."""
    part = running.part("mlp", 0)
    weights = dict(part.weights)
    for matrix, make in made.items():
        bias = f"b_{matrix[2:]}"
        stored = unfolded(make().T, part.reads_through)
        moved = moved_bias(weights.get(bias), weights[matrix], stored, part.reads_through)
        weights[matrix] = np.ascontiguousarray(stored, np.float32)
        if moved is not None:
            weights[bias] = moved
    return running.changed({("mlp", 0): replace(part, weights=weights)})


def _away(running: Running, group: list[str], run: Callable[[], object]) -> AbstractContextManager[None]:
    """Run with what the neurons of some matrices of layer 0 give, before the nonlinearity, held at its mean."""
    if "gate_up" in running.raw.row.layout.roles:
        width = running.part("mlp", 0).weights["W_in"].shape[1]
        halves = {"W_gate": slice(0, width), "W_in": slice(width, 2 * width)}
        whole = slice(None) if len(group) > 1 else halves[group[0]]
        return running.held_at_mean({(0, "gate_up"): whole}, run)
    roles = {"W_gate": "gate", "W_in": "up"}
    return running.held_at_mean({(0, roles[name]): slice(None) for name in group}, run)
