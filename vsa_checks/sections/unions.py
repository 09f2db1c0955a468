"""Section 3.3: whether a neuron fed by two layer-0 neurons reads the union of their bundles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import NDArray

from vsa_checks.judging.subjects import Subject
from vsa_checks.sections.pursued import token_bundles
from vsa_checks.sections.tokens import token_dictionary
from vsa_checks.workbench.access import Workbench

Rows = NDArray[np.float32]

TARGETS = 100
"""Number of later-layer neurons for which the union of their two strongest sources' bundles is tested."""


def gain_of_unions(
    bench: Workbench, subject: Subject, outputs: Rows, inputs: Callable[[int], Rows], n_layers: int
) -> dict[str, float]:
    """Whether a neuron fed by two layer-0 neurons reads the union of their bundles better than other pairs' unions.

    Targets are the TARGETS neurons of later layers with the strongest second source. The gain is the cosine with both
    bundles minus the cosine with the better one. Unlinked pairs are drawn from layer 0; a bundle holds five tokens.
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
        "p_value": float(scipy.stats.mannwhitneyu(real, chance, alternative="greater").pvalue),
    }


def _two_largest(cosines: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Columns (n, 2) of the two largest of each row (n, m), the larger first, and the second's value; modifies rows."""
    rows = np.arange(len(cosines))
    first = cosines.argmax(axis=1)
    cosines[rows, first] = -np.inf
    second = cosines.argmax(axis=1)
    return np.stack([first, second], axis=1), cosines[rows, second]


def _cosines(left: NDArray[np.float64], right: NDArray[np.float32]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.divide(np.einsum("ij,ij->i", left, right), lengths, out=np.zeros(len(left)), where=lengths > 0)
