"""Stand-ins for a layer's neurons in its nulls: the same neurons, with signs exchanged between them.

There are four nulls: signs are exchanged on the coordinates, or on one of three other sets of axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks.engine.threads import share_out, workers
from vsa_checks.independent_axes import ROWS_PER_AXIS, independent_axes
from vsa_checks.judging.measurement import NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.nulls_of_signs import exchange_signs, kept_axes, principal_axes
from vsa_checks.orthogonality import live_rows, second_moment
from vsa_checks.paired import paired_p
from vsa_checks.sections.neurons import Place, in_words, layer_neurons, neuron_clusters
from vsa_checks.sections.pursued import Pursued, pursue
from vsa_checks.sections.tokens import token_dictionary
from vsa_checks.workbench.access import Workbench

COORDINATES = "signs exchanged on coordinates"
OF_TOKENS = "signs exchanged on tokens' axes"
OF_NEURONS = "signs exchanged on neurons' axes"
INDEPENDENT = "signs exchanged on independent axes"
SIGN_NULLS = (COORDINATES, OF_TOKENS, OF_NEURONS, INDEPENDENT)
COPIES = 4
"""Memory for exchanging signs, as a multiple of the layer's neurons."""
NULL_NEURONS = 384
"""Number of a layer's neurons, drawn at random, in each null: together the four take as long as 1,536 neurons."""


@dataclass(frozen=True)
class StandIns:
    """Which of a layer's live neurons have stand-ins (n,), and the result of pursuit for these in each null."""

    asked: NDArray[np.int64]
    pursued: dict[str, Pursued]


def stand_ins(bench: Workbench, basis: Basis, place: Place) -> StandIns:
    """The stand-ins of some neurons at a place and their bundles, found once for bundles and kurtosis."""
    unit = live_rows(layer_neurons(bench, basis, *place)).unit
    labels, n = neuron_clusters(bench, basis, *place), len(unit)

    def find() -> StandIns:
        named = Subject("neurons-beyond-chance", basis, *place[:2], expert=place[2] if len(place) > 2 else None)
        asked = np.sort(bench.rng("neurons of the nulls", named.id).choice(n, min(n, NULL_NEURONS), replace=False))
        changed = exchanged(bench, basis, place, unit, labels, asked)
        # Together: a matrix product of few neurons spends much of its time copying the tokens.
        found = pursue(
            bench, basis, np.concatenate([*changed.values()]), f"pursuit in {in_words(*place)} ({basis}), nulls"
        )
        return StandIns(asked, dict(zip(changed, found.parts(len(changed)), strict=True)))

    return bench.once(("stand-ins", basis, *place), find)


def exchanged(
    bench: Workbench,
    basis: Basis,
    place: Place,
    unit: NDArray[np.float32],
    labels: NDArray[np.int64],
    asked: NDArray[np.int64],
) -> dict[str, NDArray[np.float32]]:
    """The requested neurons (n, d) of a place (m, d), with signs exchanged on the axes of each of SIGN_NULLS."""
    # What several claims share is found first, because only one thread may ask the workbench.
    shared = {name: shared_axes(bench, basis, place, unit, name) for name in (OF_TOKENS, INDEPENDENT)}
    draws = {name: bench.rng(name, basis, *place) for name in SIGN_NULLS}

    def exchange(name: str, _: None) -> NDArray[np.float32]:
        axes = principal_axes(unit) if name == OF_NEURONS else shared.get(name)
        kept = kept_axes(unit.shape[1]) if name in (OF_TOKENS, OF_NEURONS) else 0
        return exchange_signs(unit, labels, asked, draws[name], axes, kept)

    at_once = workers(len(SIGN_NULLS), COPIES * unit.nbytes)
    return dict(zip(SIGN_NULLS, share_out(exchange, SIGN_NULLS, [None] * at_once), strict=True))


def shared_axes(
    bench: Workbench, basis: Basis, place: Place, unit: NDArray[np.float32], name: str
) -> NDArray[np.float32]:
    """The axes (d, d) of a null that come from the tokens, found once per dictionary and seed.

    Few tokens do not determine their independent axes well; then the layer's neurons, scaled to the tokens' length,
    are added. The search for them may end at others from another start, so every seed has its own.
    """
    words = token_dictionary(bench, basis)
    if name == OF_TOKENS:
        return bench.once(("principal axes", id(words)), lambda: principal_axes(words.vectors))
    n_words, d = words.vectors.shape
    if n_words >= ROWS_PER_AXIS * d:
        return bench.once(
            ("independent axes", id(words)), lambda: independent_axes(words.vectors, bench.rng("independent axes"))
        )

    def of_both() -> NDArray[np.float32]:
        # In float64, because the search would end at other axes after the smallest change.
        length = np.sqrt(np.trace(second_moment(words.vectors)) / n_words)
        neurons = length * (unit - unit.mean(axis=0, dtype=np.float64))
        rows = np.concatenate([words.vectors, neurons.astype(np.float32)])
        return independent_axes(rows, bench.rng("independent axes", basis, *place))

    return bench.once(("independent axes", basis, *place), of_both)


def stand_in_null(
    name: str, labels: NDArray[np.int64], hits: NDArray[np.bool_], ahead: NDArray[np.floating], unit: float
) -> NullMeasurement:
    """The share of stand-ins that hit, its standard error over clusters, and p of the exact paired test, both ways.

    Parameters
    ----------
    name : str
        The null's name in the report.
    labels : ndarray of int, shape (n,)
        Each neuron's cluster, which keeps or flips its sign as a whole.
    hits : ndarray of bool, shape (n,)
        Whether each neuron's stand-in counts.
    ahead : ndarray, shape (n,)
        How far each neuron is ahead of its stand-in.
    unit : float
        Step to which that is rounded.

    Returns
    -------
    NullMeasurement
    """
    clustered = np.unique(labels, return_inverse=True)[1]
    share = float(hits.mean())
    spread = float(np.sqrt(np.sum(np.bincount(clustered, hits - share) ** 2)) / len(hits))
    return NullMeasurement(name, share, spread, len(hits), *paired_p(np.bincount(clustered, ahead), unit))
