"""Section 3.2: neurons as unweighted sums of tokens, by the paper's scan and by a pursuit of few tokens.

Tokens are the centered token vectors with which the stream starts, without rows of W_E that are not tokens.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from vsa_checks import nulls
from vsa_checks.bundles import Dictionary, ranked_scans
from vsa_checks.clusters import bootstrap_share, clusters
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject, mlp_inputs
from vsa_checks.models import Basis
from vsa_checks.orthogonality import live_rows, second_moment
from vsa_checks.sections.tokens import excluded, token_dictionary
from vsa_checks.statistics import relabelled_groups, share_p
from vsa_checks.workbench.access import Workbench

Place = tuple[int, str] | tuple[int, str, int]
"""Layer, matrix and, in a mixture of experts, the expert."""

RANDOM, MATCHED = "random directions", "covariance-matched neurons"

NEURONS_PER_TOKEN: tuple[int | None, ...] = (1, 2, 3, 5, 10, None)
"""How many neurons a token lists, which the paper does not say. None lists all, and is used for the claim's value."""
LEAST_REACH = 0.5
"""With fewer than d/4 tokens, no sum gets near a cosine of .5 with a random direction, and the claim means nothing."""


@dataclass(frozen=True)
class Scans:
    """Cosines (n,) and mean sizes of the bundles found by the paper's scan, for each of NEURONS_PER_TOKEN.

    Dead neurons, which have no direction, are only counted.
    """

    cosines: tuple[NDArray[np.float64], ...]
    mean_tokens: tuple[float, ...]
    n_dead: int


def share_at(bench: Workbench, subject: Subject, level: float) -> Measurement:
    """Share of neurons whose bundle by the paper's scan (K = all) has a cosine of at least `level`.

    Each null is that share for other vectors, explained in the same way: random directions, and covariance-matched
    neurons. Raises NotChecked if the vocabulary is too small for the dimension.
    """
    place = place_of(subject)
    neurons, words = layer_neurons(bench, subject.basis, *place), token_dictionary(bench, subject.basis)
    n_words, d = words.vectors.shape
    reach = float(np.sqrt(n_words / d))
    if reach < LEAST_REACH:
        raise NotChecked(
            f"{n_words} tokens span at most a small part of {d} dimensions (sqrt(V/d) = {reach:.2f} < {LEAST_REACH}):"
            " their sums come near no random direction, and a share says where neurons lie, not whether they are sums"
        )
    real = bench.once(
        ("scan", subject.basis, *place),
        lambda: _scan(bench, neurons, words, f"scan of {in_words(*place)} ({subject.basis})"),
    )
    matched = bench.once(
        ("scan matched", subject.basis, *place),
        lambda: _scan(
            bench,
            matched_neurons(bench, subject.basis, *place).draw(
                len(neurons), bench.rng("scan matched", subject.basis, *place)
            ),
            words,
            f"scan of its covariance-matched neurons ({subject.basis})",
        ),
    )
    random = bench.once(
        ("scan random", id(words), len(neurons)),
        lambda: _scan(
            bench,
            nulls.random_directions(len(neurons), d, bench.rng("scan random")),
            words,
            f"scan of random directions ({subject.basis})",
        ),
    )
    hits = real.cosines[-1] >= level
    labels = dependent_neurons(bench, subject.basis, *place)
    return Measurement(
        value=float(hits.mean()),
        interval=bootstrap_share(hits, labels, bench.rng("bootstrap", subject.id)),
        n_examined=len(hits),
        n_excluded=real.n_dead,
        nulls=(
            *(
                share_null(name, hits, other.cosines[-1] >= level, labels, bench.rng("relabelled", name, subject.id))
                for name, other in ((RANDOM, random), (MATCHED, matched))
            ),
        ),
        details=_scan_details(real, random, matched)
        | _ceiling(bench, subject, neurons, real.cosines[-1])
        | excluded(bench, subject.basis),
    )


def place_of(subject: Subject) -> Place:
    """Where a subject's neurons are: layer and matrix, and the expert in a mixture of them."""
    if subject.layer is None or subject.matrix is None:
        raise ValueError(f"{subject.id} names no layer and matrix")
    return (
        (subject.layer, subject.matrix) if subject.expert is None else (subject.layer, subject.matrix, subject.expert)
    )


def in_words(layer: int, matrix: str, expert: int | None = None) -> str:
    """The name of a place in progress messages and reasons."""
    return f"layer {layer}{'' if expert is None else f' expert {expert}'} {matrix}"


def layer_neurons(
    bench: Workbench, basis: Basis, layer: int, matrix: str, expert: int | None = None
) -> NDArray[np.float32]:
    """One row per neuron of a layer or expert (m, d_model). Raises NotChecked if fewer than two have a direction."""
    neurons = np.ascontiguousarray(bench.weight(basis, layer, matrix, expert).T)
    if np.count_nonzero(neurons.any(axis=1)) < 2:
        raise NotChecked(f"fewer than two neurons of {matrix} have a direction")
    return neurons


def neuron_clusters(bench: Workbench, basis: Basis, *place: Any) -> NDArray[np.int64]:
    """The cluster of each live neuron at a place (n,), found once."""
    return bench.once(
        ("clusters", basis, *place), lambda: clusters(live_rows(layer_neurons(bench, basis, *place)).unit)
    )


def dependent_neurons(bench: Workbench, basis: Basis, *place: Any) -> NDArray[np.int64]:
    """The same for shares of a layer that are compared with independent vectors: a few large clusters count as well."""
    return bench.once(
        ("dependent neurons", basis, *place),
        lambda: clusters(live_rows(layer_neurons(bench, basis, *place)).unit, few_large=True),
    )


def _scan(bench: Workbench, neurons: NDArray[np.float32], words: Dictionary, label: str) -> Scans:
    found = ranked_scans(neurons, words, NEURONS_PER_TOKEN, device=bench.torch_device, progress=bench.progress(label))
    alive = ~found[0].dead
    return Scans(
        tuple(bundles.cosine[alive] for bundles in found),
        tuple(float(bundles.size[alive].mean()) for bundles in found),
        int((~alive).sum()),
    )


def matched_neurons(
    bench: Workbench, basis: Basis, layer: int, matrix: str, expert: int | None = None
) -> nulls.Matched:
    """The Gaussian with the mean and covariance of a layer's neurons: of rows of W_out, or columns of an input matrix.

    W_out is taken as it writes to the stream, with the gain of a norm that follows it. Both input matrices of a layer
    are fitted together, and so is W_out of as many layers as there are threads.
    """
    info, outputs = bench.model(basis).info, matrix == "W_out"
    group = range(layer - layer % get_num_threads(), info.n_layers)[: get_num_threads()]
    if outputs and expert is None:
        places: list[tuple[int, str, int | None]] = [(one, matrix, expert) for one in group]
    else:
        read = mlp_inputs(info)
        places = [(layer, one, expert) for one in (read if matrix in read else (matrix,))]
    fitted: dict[tuple[int, str, int | None], nulls.Matched] = {}

    def fit() -> nulls.Matched:
        rows = {}
        for place in places:
            with suppress(NotChecked):  # a different place may lack the matrix
                rows[place] = bench.written(basis, *place) if outputs else bench.weight(basis, *place).T
        alive = [place for place in rows if np.count_nonzero(rows[place].any(axis=1)) > 1]
        laws = nulls.covariance_matched_each([np.ascontiguousarray(rows[place]) for place in alive])
        fitted.update(zip(alive, laws, strict=True))
        return fitted[layer, matrix, expert]

    law = bench.while_room(("matched neurons", basis, layer, matrix, expert), fit, _nbytes)
    for place in fitted:
        bench.while_room(("matched neurons", basis, *place), partial(fitted.__getitem__, place), _nbytes)
    return law


def _nbytes(law: nulls.Matched) -> int:
    return law.mean.nbytes + law.root.nbytes


def share_null(
    name: str,
    hits: NDArray[np.bool_],
    null_hits: NDArray[np.bool_],
    labels: NDArray[np.int64] | None = None,
    rng: np.random.Generator | None = None,
) -> NullMeasurement:
    """Compare the share of a layer's neurons that hit with that of null neurons.

    p is of Fisher's exact test or, if neurons are near-copies, of exchanges of whole clusters at random. Each cluster
    then counts as one neuron that hits in part: weighted by size, a few large clusters could not be exchanged for
    single null neurons.

    Parameters
    ----------
    name : str
        What the null is called in the report.
    hits : ndarray of bool, shape (n,)
        The layer's neurons.
    null_hits : ndarray of bool, shape (m,)
        The null neurons, which are independent of each other.
    labels : ndarray of int, shape (n,), optional
        The cluster of each of the layer's neurons; by default, no two are in the same.
    rng : numpy.random.Generator, optional
        Draws the exchanges.

    Returns
    -------
    NullMeasurement
        The null's share, its standard deviation over layers of n neurons, and p.
    """
    share = float(null_hits.mean())
    spread = float(np.sqrt(share * (1 - share) / len(hits)))
    counts = (int(hits.sum()), len(hits), int(null_hits.sum()), len(null_hits))
    if labels is not None and rng is not None and len(np.unique(labels)) < len(labels):
        places = np.unique(labels, return_inverse=True)[1]
        means = np.bincount(places, hits) / np.bincount(places)
        gap = float(means.mean()) - share
        drawn = relabelled_groups(means, np.arange(len(means)), null_hits, np.arange(len(null_hits)), rng)
        return NullMeasurement.of_exchanges(name, share, spread, len(null_hits), gap, drawn)
    return NullMeasurement(name, share, spread, len(null_hits), share_p(*counts), share_p(*counts, direction="<="))


def _scan_details(real: Scans, random: Scans, matched: Scans) -> dict[str, Any]:
    """Shares for every number of neurons per token, and the share explained as the threshold moves (K = all)."""
    sweep = []
    for place, count in enumerate(NEURONS_PER_TOKEN):
        row: dict[str, Any] = {"neurons_per_token": count, "mean_tokens": real.mean_tokens[place]}
        for prefix, scans in (("", real), ("random_", random), ("matched_", matched)):
            row[f"{prefix}share_50"] = float((scans.cosines[place] >= 0.5).mean())
            row[f"{prefix}share_30"] = float((scans.cosines[place] >= 0.3).mean())
        sweep.append(row)
    levels = [round(level, 2) for level in np.arange(0.0, 1.01, 0.05).tolist()]
    return {
        "sweep": sweep,
        "curve": {
            "x_label": "cosine at least",
            "y_label": "share of neurons (K = all)",
            "x": levels,
            "series": [
                {"name": name, "y": [float((scans.cosines[-1] >= level).mean()) for level in levels]}
                for name, scans in (("neurons", real), (RANDOM, random), (MATCHED, matched))
            ],
        },
    }


def _ceiling(
    bench: Workbench, subject: Subject, neurons: NDArray[np.float32], cosines: NDArray[np.float64]
) -> dict[str, float]:
    """The largest cosine possible for any weighted sum of tokens, and the mean share of it that bundles reach."""
    words = token_dictionary(bench, subject.basis)
    values, axes = bench.once(("span", id(words)), lambda: np.linalg.eigh(second_moment(words.vectors)))
    spanned = axes[:, values > values.max() * 1e-10]
    ceilings = np.linalg.norm(live_rows(neurons).unit @ spanned, axis=1)
    return {
        "mean_ceiling_of_span": float(ceilings.mean()),
        "mean_share_of_ceiling": float((cosines / np.maximum(ceilings, 1e-12)).mean()),
        "mean_cosine": float(cosines.mean()),
    }
