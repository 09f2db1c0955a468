"""Section 3.2: first-layer neurons as sums of so few tokens that almost no random direction is such a sum.

The paper's scan includes any number of tokens, and sums of that many come equally close to any direction. Here a sum
has at most k tokens, where k is the largest number with which at most 1% of random directions reach the paper's cosine.
The paper's shares also count tokens that heads have bound (3.3), so the same is measured for sums of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks import nulls
from vsa_checks.bound_tokens import Part
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.clusters import bootstrap_share
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.orthogonality import live_rows
from vsa_checks.sections.bound_tokens import REFLECTED, heads_that_bind
from vsa_checks.sections.neurons import RANDOM, Place, in_words, layer_neurons, neuron_clusters, place_of, share_null
from vsa_checks.sections.stand_ins import NULL_NEURONS, exchanged, stand_in_null
from vsa_checks.sections.tokens import excluded, token_dictionary
from vsa_checks.shortlisted import pursue_shortlisted
from vsa_checks.workbench.access import Workbench

LEVELS = (0.5, 0.3)
"""The paper's cosines, the harder one first."""
BY_CHANCE = 0.01
"""Share of random directions that may reach a level with k tokens."""
LEAST_TOKENS = 2
"""A single token is not a sum."""
MOST_TOKENS = (16, 32)
"""More than 32 tokens are not few, in any number of dimensions."""
RANDOM_NEURONS = 512
"""Number of random directions that determine k, and of the other ones that are the null."""


@dataclass(frozen=True)
class Reached:
    """The highest cosine of sums of at most 1, 2, ... tokens with neurons of a layer (n, k), and with their stand-ins.

    labels: the neurons' clusters (n,). asked: which of them have a stand-in in each null (m,).
    """

    cosines: NDArray[np.float64]
    labels: NDArray[np.int64]
    n_dead: int
    asked: NDArray[np.int64]
    stand_ins: dict[str, NDArray[np.float64]]


def share_with_few(bench: Workbench, subject: Subject, level: float, bound: bool = False) -> Measurement:
    """Share of neurons that a sum of at most k tokens, found by pursuit, brings to a cosine of at least `level`.

    k is the largest number of tokens, up to 32, with which at most 1% of random directions get there. Nulls: other
    random directions, and neurons with signs exchanged between them on each of four sets of axes, in an exact test that
    pairs each neuron with its stand-in, by clusters. With `bound`, sums may also include tokens bound by layer 0's
    heads, the neurons are a sample of the layer's, and the same neurons with reflected bound tokens are shown as well.
    Raises NotChecked if more random directions get there with only two tokens, or as `heads_that_bind` does.
    """
    place, basis = place_of(subject), subject.basis
    random = _random_reach(bench, basis, bound)
    few = tokens_by_chance(random[:RANDOM_NEURONS], level)
    if few < LEAST_TOKENS:
        raise NotChecked(
            f"sums of {LEAST_TOKENS} tokens bring more than {BY_CHANCE:.0%} of random directions to a cosine of"
            f" {level:g}: no sum is of few tokens here"
        )
    layer = _layer(bench, basis, place, bound)
    hits = layer.cosines[:, few - 1] >= level
    random_hits = random[RANDOM_NEURONS:, few - 1] >= level
    stand_in_hits = {name: cosines[:, few - 1] >= level for name, cosines in layer.stand_ins.items()}
    sizes = np.bincount(layer.labels)
    return Measurement(
        value=float(hits.mean()),
        interval=bootstrap_share(hits, layer.labels, bench.rng("bootstrap", subject.id)),
        n_examined=len(hits),
        n_excluded=layer.n_dead,
        nulls=(
            share_null(RANDOM, hits, random_hits),
            *(
                stand_in_null(name, layer.labels[layer.asked], null_hits, 1.0 * hits[layer.asked] - null_hits, 1.0)
                for name, null_hits in stand_in_hits.items()
            ),
        ),
        details={
            "most_tokens": few,
            "clusters": len(sizes),
            "largest_cluster": int(sizes.max()),
            "curve": {
                "x_label": "tokens at most",
                "y_label": f"share with a cosine of at least {level:g}",
                "x": list(range(1, few + 1)),
                "series": [
                    {"name": name, "y": (cosines[:, :few] >= level).mean(axis=0).tolist()}
                    for name, cosines in (
                        ("neurons", layer.cosines),
                        (RANDOM, random[RANDOM_NEURONS:]),
                        *layer.stand_ins.items(),
                    )
                ],
            },
        }
        | excluded(bench, basis),
    )


def tokens_by_chance(reached: NDArray[np.float64], level: float) -> int:
    """The largest number of tokens with which at most 1% of random directions reach a level; 0 if one is too many.

    reached (n, tokens): the highest cosine of each with a sum of at most 1, 2, ... tokens.
    """
    return int(np.count_nonzero((reached >= level).mean(axis=0) <= BY_CHANCE))


def _random_reach(bench: Workbench, basis: Basis, bound: bool) -> NDArray[np.float64]:
    """The highest cosines (2 RANDOM_NEURONS, tokens) for random directions, found once per dictionary.

    The number of tokens rises until too many directions reach the harder level, or until more would not be few.
    """
    words = token_dictionary(bench, basis)

    def measure() -> NDArray[np.float64]:
        drawn = nulls.random_directions(
            2 * RANDOM_NEURONS, words.vectors.shape[1], bench.rng("few tokens, random directions")
        )
        for most in MOST_TOKENS:
            label = f"pursuit of random directions, {most} tokens ({basis})"
            reached = _pursue(bench, basis, drawn, most, bound, label)
            if tokens_by_chance(reached[:RANDOM_NEURONS], LEVELS[0]) < reached.shape[1]:
                break
        return reached

    # Bases may share their tokens but bind them with different heads.
    return bench.once(("few tokens, random directions", id(words), basis if bound else None), measure)


def _layer(bench: Workbench, basis: Basis, place: Place, bound: bool) -> Reached:
    """The cosines of the neurons at a place and of their stand-ins, found once for all levels."""

    def measure() -> Reached:
        rows = live_rows(layer_neurons(bench, basis, *place))
        unit, labels = rows.unit, neuron_clusters(bench, basis, *place)
        n, rng = len(unit), bench.rng("few tokens, neurons of the nulls", basis, *place)
        asked = np.sort(rng.choice(n, min(n, NULL_NEURONS), replace=False))
        random = _random_reach(bench, basis, bound)[:RANDOM_NEURONS]
        most = max(1, *(tokens_by_chance(random, level) for level in LEVELS))
        label = f"pursuit in {in_words(*place)} ({basis}), {most} tokens"
        changed = exchanged(bench, basis, place, unit, labels, asked)
        every = _pursue(bench, basis, np.concatenate([*changed.values()]), most, bound, f"{label}, nulls")
        stand_ins = dict(zip(changed, np.split(every, len(changed)), strict=True))
        if bound:
            heads, rng = heads_that_bind(bench, basis), bench.rng("few tokens, reflection", basis, *place)
            mirrored = heads.reflected(heads.reflections(1, rng)[0])
            words = Part(token_dictionary(bench, basis).vectors)
            progress = bench.progress(f"{label}, {REFLECTED}")
            stand_ins[REFLECTED] = _highest(pursue_shortlisted(unit[asked], words, mirrored, most, progress=progress))
        examined = asked if bound else np.arange(n)
        return Reached(
            _pursue(bench, basis, unit[examined], most, bound, label),
            labels[examined],
            rows.n_excluded,
            np.searchsorted(examined, asked),
            stand_ins,
        )

    return bench.once(("few tokens", basis, *place, bound), measure)


def _pursue(
    bench: Workbench, basis: Basis, neurons: NDArray[np.float32], most: int, bound: bool, label: str
) -> NDArray[np.float64]:
    """The highest cosine of sums of at most 1, 2, ... tokens with each neuron (n, tokens)."""
    words, progress = token_dictionary(bench, basis), bench.progress(label)
    if bound:
        heads = heads_that_bind(bench, basis)
        return _highest(pursue_shortlisted(neurons, Part(words.vectors), heads, most, progress=progress))
    found = greedy_pursuit(neurons, words, most, device=bench.torch_device, progress=progress)
    return _highest(np.stack([found.cosine_at(k) for k in range(1, most + 1)], axis=1))


def _highest(paths: NDArray[np.float64]) -> NDArray[np.float64]:
    highest: NDArray[np.float64] = np.maximum.accumulate(paths, axis=1)
    return highest
