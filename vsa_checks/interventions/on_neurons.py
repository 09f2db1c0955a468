"""Layer-0 neurons replaced by their bundles of k tokens, and by what is no bundle of theirs at the same distance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vsa_checks.bundles import Bundles, greedy_pursuit
from vsa_checks.clusters import clusters
from vsa_checks.interventions.changes import at_same_cosine, bundle_vectors, cosines, relative_distance, unit
from vsa_checks.interventions.running import Running, moved_bias, unfolded
from vsa_checks.interventions.trials import MATCHED, RANDOM, SIGNS, Away, Trial
from vsa_checks.nulls import covariance_matched
from vsa_checks.nulls_of_signs import exchange_signs, kept_axes, principal_axes
from vsa_checks.sections.tokens import token_dictionary
from vsa_checks.statistics import stream
from vsa_checks.workbench.access import Workbench

Rows = NDArray[np.float64]
SIZES = (1, 2, 3, 5, 10, 20, 50, 100)
JUDGED = (5, 20, 100)
"""Sizes of bundles at which stand-ins that are no neurons are bundled too, and a verdict is given."""
WITH_TASKS = 20
SMALL = 2**20
"""Bytes for the cosines between tokens that pursuit keeps, where none is to come."""


class Neurons:
    """The neurons of layer 0 that read through one matrix, their bundles, and stand-ins with theirs, found once.

    Neurons are rows (m, d) in the processed basis: as they read what the norm gives.
    """

    def __init__(self, running: Running, bench: Workbench, matrix: str) -> None:
        self.matrix, self.running = matrix, running
        self.words = token_dictionary(bench, "processed")
        self.rows: Rows = running.model.array(f"blocks.0.mlp.{matrix}").T.astype(np.float64)
        self._seed = bench.seed
        live = np.linalg.norm(self.rows, axis=1) > 0
        self._live = live
        neurons = np.ascontiguousarray(unit(self.rows[live]), np.float32)
        self.bundles = self._pursue(neurons)
        axes = principal_axes(self.words.vectors)
        flipped = exchange_signs(
            neurons,
            clusters(neurons),
            np.arange(len(neurons)),
            self._rng(SIGNS),
            axes,
            kept_axes(neurons.shape[1]),
        )
        drawn = covariance_matched(neurons).draw(len(neurons), self._rng(MATCHED)) if len(neurons) > 1 else flipped
        self.stand_ins = {
            name: (self._whole(unit(rows.astype(np.float64))), self._pursue(rows))
            for name, rows in ((SIGNS, flipped), (MATCHED, drawn))
        }

    def _rng(self, name: str) -> np.random.Generator:
        return stream(self._seed, "intervene", self.matrix, name)

    def _pursue(self, rows: NDArray[np.float32]) -> Bundles:
        return greedy_pursuit(rows, self.words, max(SIZES))

    def _whole(self, rows: Rows) -> Rows:
        """Rows of live neurons among those of all, which stay as they are."""
        found = self.rows.copy()
        found[self._live] = rows
        return found

    def bundled(self, k: int) -> Rows:
        """Each neuron's bundle of k tokens, at its norm; a dead neuron stays."""
        vectors = bundle_vectors(self.bundles, self.words, k)
        return self._whole(vectors * np.linalg.norm(self.rows[self._live], axis=1, keepdims=True))

    def null(self, name: str, k: int) -> Rows:
        """Each neuron changed as much as its bundle of k tokens changes it, in another direction.

        That direction is random, or it is the one in which a stand-in's own bundle of k tokens departs from it.
        """
        if name == RANDOM:
            directions = self._rng(RANDOM).standard_normal(self.rows.shape)
        else:
            stand_in, bundles = self.stand_ins[name]
            own = self._whole(bundle_vectors(bundles, self.words, k))
            directions = own - np.einsum("ij,ij->i", own, unit(stand_in))[:, None] * unit(stand_in)
        return at_same_cosine(self.rows, self.bundled(k), directions)


def trials(running: Running, bench: Workbench) -> tuple[Iterator[Trial], dict[str, Away]]:
    """The trials on layer-0 neurons, and what takes each part away. Raises NotChecked for a model without them."""
    part = running.part("mlp", 0)
    names: list[str] = [name for name in ("W_gate", "W_in") if name in part.weights]
    groups = [[name] for name in names] + ([names] if len(names) > 1 else [])
    return _trials(running, bench, groups), {
        f"neurons/{'+'.join(group)}": partial(_away, running, group) for group in groups
    }


def _trials(running: Running, bench: Workbench, groups: list[list[str]]) -> Iterator[Trial]:
    found = {name: Neurons(running, bench, name) for group in groups for name in group}
    token_dictionary(bench, "processed").limit_gram(SMALL)  # all is pursued: gigabytes are free for the model
    for group in groups:
        neurons = [found[name] for name in group]
        for k in SIZES:
            changed = [one.bundled(k) for one in neurons]
            before = np.concatenate([one.rows for one in neurons])
            after = np.concatenate(changed)
            names = (RANDOM, SIGNS, MATCHED) if k in JUDGED else (RANDOM,)
            yield Trial(
                id=f"neurons/{'+'.join(group)}/k={k}",
                part=f"neurons/{'+'.join(group)}",
                aim="idealise",
                dose={"tokens": float(k)},
                change=partial(_with_rows, running, {one.matrix: one.bundled for one in neurons}, k),
                nulls={
                    name: partial(_with_rows, running, {one.matrix: partial(one.null, name) for one in neurons}, k)
                    for name in names
                },
                distance=relative_distance(before, after),
                cosine=float(cosines(before, after).mean()),
                in_tasks=k == WITH_TASKS,
            )


def _with_rows(running: Running, made: Mapping[str, Callable[[int], Rows]], k: int) -> AbstractContextManager[None]:
    """Run with other neurons (m, d) in some matrices of layer 0."""
    part = running.part("mlp", 0)
    weights = dict(part.weights)
    for matrix, make in made.items():
        bias = f"b_{matrix[2:]}"
        stored = unfolded(make(k).T, part.reads_through)
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
