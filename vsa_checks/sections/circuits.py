"""Section 3.3: what MLP neurons write is what neurons of later layers read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vsa_checks import theory
from vsa_checks.engine.threads import Progress, share_out, workers
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.orthogonality import live_rows
from vsa_checks.sections.neurons import layer_neurons, matched_neurons, token_bundles
from vsa_checks.sections.tokens import excluded, token_dictionary
from vsa_checks.statistics import RESAMPLES, Interval, orders, tail_p
from vsa_checks.workbench.access import Workbench

Rows = NDArray[np.float32]

REORDERED, MATCHED = "layers in random order", "covariance-matched neurons"
ROTATION_TAIL = 0.001
"""A pair counts as linked if a random rotation between the layers gives a |cos| so large only this often."""
LEAST_LAYERS = 3
NULL_NEURONS = 768
"""At most so many neurons of a layer are drawn for the covariance-matched null, which is shown and decides nothing."""
TARGETS = 100
"""How many neurons of later layers are taken to test the union of the bundles of their two strongest sources."""


@dataclass(frozen=True)
class Shares:
    """Share of linked pairs from each layer's outputs (first) to each layer's inputs (second), (layers, layers)."""

    table: NDArray[np.float64]
    n_pairs: NDArray[np.int64]

    def ratios(self, pairs: list[tuple[int, int]]) -> NDArray[np.float64]:
        """Forward over acausal share of each (earlier, later); half a pair is added to both, so that none is zero."""
        earlier, later = np.array(pairs).T
        forward = self.table[earlier, later] + 0.5 / self.n_pairs[earlier, later]
        return forward / (self.table[later, earlier] + 0.5 / self.n_pairs[later, earlier])


def mlp_to_mlp(bench: Workbench, subject: Subject) -> Measurement:
    """Median over layer pairs of the share of linked (W_out, input) pairs forward over the share backward.

    W_out is taken as it is written to the stream, with the gain of a norm that follows it. The nulls are the same with
    the layers in random order, and of Gaussian neurons with each layer's mean and covariance. Raises NotChecked with
    fewer than three layers, or if no neuron of a layer has a direction.
    """
    assert subject.matrix is not None
    n_layers, matrix = bench.model(subject.basis).info.n_layers, subject.matrix
    if n_layers < LEAST_LAYERS:
        raise NotChecked(f"{n_layers} layers are too few: under {LEAST_LAYERS} there are no pairs of layers to compare")

    def outputs(layer: int) -> Rows:
        return _outputs(bench, subject.basis, layer)

    def inputs(layer: int) -> Rows:
        return live_rows(layer_neurons(bench, subject.basis, layer, matrix)).unit

    cut = theory.cosine_quantile(bench.model(subject.basis).info.d_model, ROTATION_TAIL)
    label = f"links between MLP layers, {matrix} ({subject.basis})"
    held = bench.layers_held(subject.basis)
    real = linked_shares(outputs, inputs, n_layers, cut, bench.progress(label), held)

    def matched(matrix: str, rows: Callable[[int], Rows]) -> list[Rows]:
        drawn = []
        for layer in range(n_layers):
            law = matched_neurons(bench, subject.basis, layer, matrix)
            some = law.draw(min(len(rows(layer)), NULL_NEURONS), bench.rng("links", matrix, layer))
            drawn.append(live_rows(some).unit)
        return drawn

    writers, readers = matched("W_out", outputs), matched(matrix, inputs)
    random = linked_shares(
        writers.__getitem__, readers.__getitem__, n_layers, cut, bench.progress(f"{label}, null"), held
    )
    pairs = list(combinations(range(n_layers), 2))
    ratios, null_ratios = real.ratios(pairs), random.ratios(pairs)
    rng = bench.rng("bootstrap", subject.id)
    return Measurement(
        value=float(np.median(ratios)),
        interval=_over_layers(ratios, pairs, n_layers, rng),
        n_examined=len(pairs),
        nulls=(
            _order_test(REORDERED, np.log(ratios), 1.0, n_layers, rng),
            _order_test(MATCHED, np.log(ratios / null_ratios), float(np.median(null_ratios)), n_layers, rng),
        ),
        details={
            "cosine_cut": cut,
            "mean_share_forward": float(np.mean([real.table[pair] for pair in pairs])),
            "mean_share_acausal": float(np.mean([real.table[pair[::-1]] for pair in pairs])),
            "share_of_random_rotations": ROTATION_TAIL,
            "curve": _by_distance(real, random, n_layers),
            "union": _unions(bench, subject, outputs(0), inputs, n_layers),
        }
        | excluded(bench, subject.basis),
    )


def linked_shares(
    outputs: Callable[[int], Rows],
    inputs: Callable[[int], Rows],
    n_layers: int,
    cut: float,
    progress: Progress | None = None,
    held: int | None = None,
) -> Shares:
    """Share of linked pairs of an output and an input vector, between all different layers.

    Parameters
    ----------
    outputs, inputs : callable
        Give the unit vectors (n, d) of a layer.
    n_layers : int
    cut : float
        A pair is linked if its |cos| is above this.
    progress : callable, optional
    held : int, optional
        Of how many layers the vectors are in memory at a time, on each side; by default of all.

    Returns
    -------
    Shares

    References
    ----------
    The paper (arXiv:2412.07947), section 3.3.
    """
    table, counts = np.zeros((n_layers, n_layers)), np.zeros((n_layers, n_layers), np.int64)
    step, done = held or n_layers, 0
    blocks = [range(start, min(start + step, n_layers)) for start in range(0, n_layers, step)]
    for writing in blocks:
        writers = {layer: outputs(layer) for layer in writing}
        for reading in blocks:
            readers = {layer: inputs(layer) for layer in reading}
            pairs = [(i, j) for i in writing for j in reading]
            for i, j in pairs:
                counts[i, j] = len(writers[i]) * len(readers[j])
            pairs = [pair for pair in pairs if pair[0] != pair[1]]

            def tell(n: int, _: int, before: int = done) -> None:
                if progress is not None:
                    progress(before + n, n_layers * (n_layers - 1))

            for pair, linked in zip(pairs, _linked(writers, readers, pairs, cut, tell), strict=True):
                table[pair] = linked
            done += len(pairs)
    return Shares(table, counts)


def _linked(
    writers: dict[int, Rows], readers: dict[int, Rows], pairs: list[tuple[int, int]], cut: float, progress: Progress
) -> list[float]:
    """Share of linked vectors of each pair of layers."""
    if not pairs:
        return []
    room = max(len(writers[i]) * len(readers[j]) for i, j in pairs)

    def share(pair: tuple[int, int], products: Rows) -> float:
        left, right = writers[pair[0]], readers[pair[1]]
        cosines = np.matmul(left, right.T, out=products[: len(left) * len(right)].reshape(len(left), len(right)))
        return float(np.count_nonzero(np.abs(cosines, out=cosines) > cut) / cosines.size)

    return share_out(share, pairs, [np.empty(room, np.float32) for _ in range(workers(len(pairs)))], progress)


def _outputs(bench: Workbench, basis: Basis, layer: int) -> NDArray[np.float32]:
    unit = live_rows(bench.written(basis, layer, "W_out")).unit
    if len(unit) < 2:
        raise NotChecked(f"fewer than two rows of W_out in layer {layer} have a direction")
    return unit


def _over_layers(
    ratios: NDArray[np.float64], pairs: list[tuple[int, int]], n_layers: int, rng: np.random.Generator
) -> Interval:
    """Bootstrap of the median. Layers are drawn, because pairs that share a layer are not independent."""
    earlier, later = np.array(pairs).T
    medians: list[float] = []
    while len(medians) < RESAMPLES:
        drawn = np.bincount(rng.integers(0, n_layers, n_layers), minlength=n_layers)
        weights = drawn[earlier] * drawn[later]
        if weights.any():
            medians.append(float(np.median(np.repeat(ratios, weights))))
    low, high = np.quantile(medians, [0.025, 0.975])
    return Interval(float(low), float(high), "layers")


def _order_test(
    name: str, logs: NDArray[np.float64], value: float, n_layers: int, rng: np.random.Generator
) -> NullMeasurement:
    """How often layers in random order have as many pairs of layers with a larger share forward than acausal.

    logs holds the log ratio of each pair of layers (earlier, later); the reverse order has the other sign. A binomial
    sign test over pairs would be wrong: pairs that share a layer are not independent, and one odd layer would count
    many times.
    """
    table = np.zeros((n_layers, n_layers))
    upper = np.triu_indices(n_layers, 1)
    table[upper] = logs
    table -= table.T
    drawn_orders = orders(n_layers, rng)
    drawn = table[drawn_orders[:, upper[0]], drawn_orders[:, upper[1]]]
    lead, leads = np.sign(logs).sum(), np.sign(drawn).sum(axis=1)
    medians = value * np.exp(np.median(drawn, axis=1))
    return NullMeasurement(
        name, value, float(medians.std(ddof=1)), len(drawn), tail_p(lead, leads, ">="), tail_p(lead, leads, "<=")
    )


def _by_distance(real: Shares, random: Shares, n_layers: int) -> dict[str, Any]:
    """Mean share of linked pairs by how many layers the reader comes after the writer (negative: before it)."""
    steps = [step for step in range(1 - n_layers, n_layers) if step]

    def mean(shares: Shares, step: int) -> float:
        return float(np.mean(np.diagonal(shares.table, step)))

    return {
        "x_label": "layers from writer to reader",
        "y_label": "share of linked pairs",
        "x": steps,
        "series": [
            {"name": "neurons", "y": [mean(real, step) for step in steps]},
            {"name": MATCHED, "y": [mean(random, step) for step in steps]},
        ],
    }


def _unions(
    bench: Workbench, subject: Subject, outputs: Rows, inputs: Callable[[int], Rows], n_layers: int
) -> dict[str, float] | None:
    """Whether a neuron that two layer-0 neurons feed reads the union of their bundles better than other pairs' unions.

    Targets are the TARGETS neurons of later layers with the strongest second source. The gain is the cosine with both
    bundles less the cosine with the better one. Unlinked pairs are drawn from layer 0; a bundle holds five tokens.
    """
    assert subject.matrix is not None
    words = token_dictionary(bench, subject.basis)
    sources = token_bundles(bench, subject.basis, 0, subject.matrix)
    writers = np.flatnonzero(bench.written(subject.basis, 0, "W_out").any(axis=1))
    has_bundle = ~sources.dead[writers]
    place = {int(row): at for at, row in enumerate(words.rows)}
    sums = np.stack(
        [
            words.vectors[[place[int(token)] for token in sources.tokens(int(neuron))]].sum(axis=0)
            for neuron in writers[has_bundle]
        ]
    )
    fed = outputs[has_bundle]

    def strongest(layer: int) -> list[tuple[float, NDArray[np.float32], NDArray[np.int64]]]:
        readers = inputs(layer)
        best, second = _two_largest(readers @ fed.T)
        chosen = np.argsort(-second)[:TARGETS]
        return [(float(second[neuron]), readers[neuron], best[neuron]) for neuron in chosen]

    later = range(1, n_layers)
    found = [one for layer in later for one in strongest(layer)]
    found.sort(key=lambda one: -one[0])
    targets = np.stack([vector for _, vector, _ in found[:TARGETS]]).astype(np.float64)
    linked = np.stack([pair for _, _, pair in found[:TARGETS]])
    rng = bench.rng("unlinked", subject.id)
    unlinked = np.stack([rng.choice(len(sums), 2, replace=False) for _ in range(len(targets))])

    def gains(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        one, other = sums[pairs[:, 0]], sums[pairs[:, 1]]
        alone = np.maximum(_cosines(targets, one), _cosines(targets, other))
        return _cosines(targets, one + other) - alone

    real, chance = gains(linked), gains(unlinked)
    return {
        "targets": len(targets),
        "mean_gain": float(real.mean()),
        "unlinked_mean_gain": float(chance.mean()),
        "p_value": float(stats.mannwhitneyu(real, chance, alternative="greater").pvalue),
    }


def _two_largest(cosines: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Columns (n, 2) of the two largest of each row (n, m), the larger first, and the second's value; spoils them."""
    rows = np.arange(len(cosines))
    first = cosines.argmax(axis=1)
    cosines[rows, first] = -np.inf
    second = cosines.argmax(axis=1)
    return np.stack([first, second], axis=1), cosines[rows, second]


def _cosines(left: NDArray[np.float64], right: NDArray[np.float32]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.divide(np.einsum("ij,ij->i", left, right), lengths, out=np.zeros(len(left)), where=lengths > 0)
