"""Section 3.1, MLP: near-orthogonality of the rows of W_out, one per neuron.

The claims are about the matrix as stored, without the gain of a norm that follows the MLP.
"""

from __future__ import annotations

import numpy as np

from vsa_checks.errors import NotChecked
from vsa_checks.figures import grams, kept
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.orthogonality import PairwiseCosines, pairwise_cosines
from vsa_checks.sections.pairs import artifact_cut, artifacts, beyond_random, near_orthogonal, picture_histogram
from vsa_checks.workbench.access import Workbench


def outputs_near_orthogonal(bench: Workbench, subject: Subject) -> Measurement:
    """Root mean square cosine over all pairs of rows of a layer's W_out."""
    cosines = _cosines(bench, subject)
    assert subject.layer is not None
    outputs = bench.weight(subject.basis, subject.layer, "W_out", subject.expert)
    limit = grams.room(bench.model(subject.basis).info.n_layers)
    bench.picture(
        kept.of(kept.GRAM, subject.basis, subject.layer, "W_out", subject.expert),
        lambda: grams.matrix_blocks(outputs, limit),
    )
    return near_orthogonal(bench, subject, cosines, "neurons")


def outputs_artifacts(bench: Workbench, subject: Subject) -> Measurement:
    """Share of pairs of rows of a layer's W_out with |cos| above 6/sqrt(d)."""
    cosines = _cosines(bench, subject)
    picture_histogram(bench, subject, cosines, "W_out")
    return artifacts(bench, subject, cosines, "neurons")


def outputs_beyond_random(bench: Workbench, subject: Subject) -> Measurement:
    """How far the mean squared cosine of the rows of W_out lies below random, as a share of what is possible."""
    assert subject.layer is not None
    outputs = bench.weight(subject.basis, subject.layer, "W_out", subject.expert)
    return beyond_random(bench, subject, _cosines(bench, subject), outputs, "neurons")


def _cosines(bench: Workbench, subject: Subject) -> PairwiseCosines:
    assert subject.layer is not None
    layer, expert = subject.layer, subject.expert
    outputs = bench.weight(subject.basis, layer, "W_out", expert)
    if np.count_nonzero(outputs.any(axis=1)) < 2:
        raise NotChecked("fewer than two rows of W_out have a direction")
    return bench.once(
        ("output pairs", subject.basis, layer, expert),
        lambda: pairwise_cosines(outputs, (artifact_cut(outputs.shape[1]),), device=bench.torch_device),
    )
