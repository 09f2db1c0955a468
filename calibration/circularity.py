"""Why a neuron must not be tested on its own bundle's tokens: the numbers of docs/circularity.md.

Run as `python -m calibration.circularity [MODEL]`.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from vsa_checks import nulls
from vsa_checks.boolean import own_bundle_auc
from vsa_checks.bundles import Dictionary, greedy_pursuit, ranked_scan
from vsa_checks.errors import VsaChecksError
from vsa_checks.judging.subjects import mlp_inputs
from vsa_checks.orthogonality import centered
from vsa_checks.workbench.access import Workbench

N_NEURONS = 500
MEMBERS, NEURONS_PER_TOKEN = 5, 5


def mean_aucs(
    neurons: NDArray[np.float32], embeddings: NDArray[np.float32], rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Mean area under the ROC curve on the own bundle, of `neurons` (n, d) and of as many of each null.

    embeddings (V, d), centered here; the first number is for bundles of five tokens by pursuit, the second for those of
    the paper's scan with five neurons per token.
    """
    words = centered(embeddings)
    dictionary = Dictionary.of(words)
    chosen = neurons[:N_NEURONS]
    found = {}
    for name, vectors in {
        "neurons": chosen,
        "Gaussian neurons": nulls.random_directions(len(chosen), words.shape[1], rng),
        "covariance-matched neurons": nulls.covariance_matched(neurons).draw(len(chosen), rng),
    }.items():
        bundles = (
            greedy_pursuit(vectors, dictionary, MEMBERS),
            ranked_scan(vectors, dictionary, NEURONS_PER_TOKEN),
        )
        first, second = (float(np.nanmean(own_bundle_auc(vectors, words, one))) for one in bundles)
        found[name] = (first, second)
    return found


def main(model: str = "smollm2-135m") -> str:
    """The areas for one model's first layer, as a table. Raises VsaChecksError for a model that cannot be had."""
    bench = Workbench(model)
    matrix = mlp_inputs(bench.model("processed").info)[0]
    neurons = np.ascontiguousarray(bench.weight("processed", 0, matrix).T)
    rows = mean_aucs(neurons, bench.embedding("processed"), bench.rng("circularity"))
    head = f"{model}, layer 0, {matrix}: mean area under the ROC curve on the own bundle"
    lines = [head, f"{'':28}pursuit, {MEMBERS} tokens   scan, {NEURONS_PER_TOKEN} neurons per token"]
    lines += [f"{name:28}{first:<18.4f} {second:.4f}" for name, (first, second) in rows.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:2]))
    except VsaChecksError as problem:
        sys.exit(str(problem))
