"""Section 3.2: first-layer neurons as sums of tokens and of tokens that heads have bound, by the paper's scan.

The paper's shares include attributions to heads (section 3.3), so its dictionary is larger than the vocabulary. Each
null uses the same dictionary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsa_checks import nulls
from vsa_checks.bound_heads import Heads
from vsa_checks.bound_scan import BoundScan, scan_with_bound
from vsa_checks.bound_tokens import Part
from vsa_checks.clusters import bootstrap_share
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.orthogonality import live_rows
from vsa_checks.sections.bound_tokens import REFLECTED, heads_that_bind
from vsa_checks.sections.neurons import (
    LEAST_REACH,
    MATCHED,
    RANDOM,
    dependent_neurons,
    in_words,
    layer_neurons,
    matched_neurons,
    place_of,
    share_null,
)
from vsa_checks.sections.stand_ins import stand_in_null
from vsa_checks.sections.tokens import excluded, token_dictionary
from vsa_checks.workbench.access import Workbench

NEURONS = 256
"""Number of the layer's neurons, drawn at random, to explain: enough to distinguish shares of .8 and .7."""


def share_at_with_bound(bench: Workbench, subject: Subject, level: float) -> Measurement:
    """Share of neurons whose bundle of tokens and bound tokens, by the paper's scan, has a cosine of at least `level`.

    It uses 256 neurons of the layer, drawn at random; every vector lists all of them (K = all). Nulls: the same number
    of random directions and of covariance-matched neurons, with the same dictionary, and the same neurons with
    reflected bound tokens. Raises NotChecked as `heads_that_bind` does, or if the dictionary is too small for the
    dimension.
    """
    place, basis = place_of(subject), subject.basis
    heads, words = heads_that_bind(bench, basis), Part(token_dictionary(bench, basis).vectors)
    rows = live_rows(layer_neurons(bench, basis, *place))
    n_vectors, d = (1 + len(heads.left)) * len(words.left), words.left.shape[1]
    reach = float(np.sqrt(n_vectors / d))
    if reach < LEAST_REACH:
        raise NotChecked(
            f"{n_vectors} tokens and bound tokens span at most a small part of {d} dimensions (sqrt({n_vectors}/{d}) ="
            f" {reach:.2f} < {LEAST_REACH}): their sums come near no random direction"
        )

    def scan(neurons: NDArray[np.float32], bound: Heads, name: str) -> BoundScan:
        label = f"scan of {in_words(*place)} with bound tokens ({basis}), {name}"
        return scan_with_bound(neurons, words, bound, progress=bench.progress(label))

    def rng(purpose: str) -> np.random.Generator:
        return bench.rng("scan with bound tokens", purpose, basis, *place)

    n = min(len(rows.unit), NEURONS)
    chosen = np.sort(rng("neurons").choice(len(rows.unit), n, replace=False))
    neurons = rows.unit[chosen]
    labels = np.unique(dependent_neurons(bench, basis, *place)[chosen], return_inverse=True)[1]
    mirrored = heads.reflected(heads.reflections(1, rng(REFLECTED))[0])
    found = {
        "neurons": scan(neurons, heads, "neurons"),
        RANDOM: scan(nulls.random_directions(n, d, rng(RANDOM)), heads, RANDOM),
        MATCHED: scan(matched_neurons(bench, basis, *place).draw(n, rng(MATCHED)), heads, MATCHED),
        REFLECTED: scan(neurons, mirrored, REFLECTED),
    }
    hits = {name: one.cosines >= level for name, one in found.items()}
    real, beside = hits["neurons"], hits[REFLECTED]
    levels = [round(step, 2) for step in np.arange(0.0, 1.01, 0.05).tolist()]
    return Measurement(
        value=float(real.mean()),
        interval=bootstrap_share(real, labels, rng("bootstrap")),
        n_examined=n,
        n_excluded=rows.n_excluded,
        nulls=(
            *(share_null(name, real, hits[name], labels, rng(f"relabelled, {name}")) for name in (RANDOM, MATCHED)),
            stand_in_null(REFLECTED, labels, beside, 1.0 * real - beside, 1.0),
        ),
        details={
            "mean_tokens": float(found["neurons"].n_plain.mean()),
            "mean_bound_tokens": float(found["neurons"].n_bound.mean()),
            "mean_cosine": float(found["neurons"].cosines.mean()),
            "curve": {
                "x_label": "cosine at least",
                "y_label": "share of neurons",
                "x": levels,
                "series": [
                    {"name": name, "y": [float((one.cosines >= least).mean()) for least in levels]}
                    for name, one in found.items()
                ],
            },
        }
        | excluded(bench, basis),
    )
