"""Section 3.1, attention: near-orthogonality of the vectors of W_Q, W_K, W_V and W_O, one per head dimension.

The claims are about the matrices as stored, without the gains of norms that follow them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.figures import grams, kept
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.orthogonality import PairwiseCosines, pairwise_cosines
from vsa_checks.sections.pairs import artifact_cut, artifacts, beyond_random, near_orthogonal, picture_histogram
from vsa_checks.workbench.access import Workbench


def heads_near_orthogonal(bench: Workbench, subject: Subject) -> Measurement:
    """Root mean square cosine over all pairs of vectors of one attention matrix; pairs within a head in details."""
    cosines, unit, groups = _cosines(bench, subject)
    _picture(bench, subject)
    within = _within_heads(bench, subject, lambda pairs: pairs.rms)
    return near_orthogonal(bench, subject, cosines, unit, groups, within)


def heads_artifacts(bench: Workbench, subject: Subject) -> Measurement:
    """Share of pairs of vectors of one attention matrix of a layer with |cos| above 6/sqrt(d)."""
    cosines, unit, groups = _cosines(bench, subject)
    picture_histogram(bench, subject, cosines)
    within = _within_heads(bench, subject, _share_of_artifacts)
    return artifacts(bench, subject, cosines, unit, groups, within)


def heads_beyond_random(bench: Workbench, subject: Subject) -> Measurement:
    """How far the mean squared cosine of one attention matrix lies below random, as a share of what is possible."""
    assert subject.layer is not None and subject.matrix is not None
    cosines, unit, groups = _cosines(bench, subject)
    vectors = _head_vectors(subject.matrix, bench.weight(subject.basis, subject.layer, subject.matrix))
    return beyond_random(bench, subject, cosines, vectors, unit, groups)


def _cosines(bench: Workbench, subject: Subject) -> tuple[PairwiseCosines, str, NDArray[np.int64] | None]:
    """All pairs of the vectors of one matrix of a layer, the unit of their interval, and each vector's group.

    Whole heads are resampled, or the dimensions if there is only one head.
    """
    assert subject.layer is not None and subject.matrix is not None
    layer, matrix = subject.layer, subject.matrix
    weight = bench.weight(subject.basis, layer, matrix)
    vectors = _head_vectors(matrix, weight)
    cut = artifact_cut(vectors.shape[1])
    if np.count_nonzero(vectors.any(axis=1)) < 2:
        raise NotChecked(f"fewer than two vectors of {matrix} have a direction")
    measured = bench.once(
        ("head pairs", subject.basis, layer, matrix),
        lambda: pairwise_cosines(vectors, (cut,), device=bench.torch_device),
    )
    heads = np.repeat(np.arange(len(weight)), len(vectors) // len(weight))[measured.rows]
    return (measured, "heads", heads) if len(np.unique(heads)) > 1 else (measured, "head dimensions", None)


def _head_vectors(matrix: str, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """One vector per head dimension (h * r, d), head by head, of W_Q, W_K, W_V (h, d, r) or W_O (h, r, d)."""
    by_head = weight if matrix == "W_O" else weight.transpose(0, 2, 1)
    return by_head.reshape(-1, by_head.shape[2])


def _picture(bench: Workbench, subject: Subject) -> None:
    """Hand over M^T M of the whole matrix and of its heads."""
    assert subject.layer is not None and subject.matrix is not None
    weight = bench.weight(subject.basis, subject.layer, subject.matrix)
    limit = grams.room(bench.model(subject.basis).info.n_layers)
    bench.picture(
        kept.of(kept.GRAM, subject.basis, subject.layer, subject.matrix),
        lambda: grams.matrix_blocks(_head_vectors(subject.matrix or "", weight), limit, len(weight)),
    )


def _within_heads(bench: Workbench, subject: Subject, value: Callable[[PairwiseCosines], float]) -> dict[str, Any]:
    """The same value over the pairs within each head, and the head where it is largest."""
    assert subject.layer is not None and subject.matrix is not None
    weight = bench.weight(subject.basis, subject.layer, subject.matrix)
    by_head: list[dict[str, float]] = []
    for head in range(len(weight)):
        vectors = _head_vectors(subject.matrix, weight[head : head + 1])
        if np.count_nonzero(vectors.any(axis=1)) > 1:
            cosines = pairwise_cosines(vectors, (artifact_cut(vectors.shape[1]),), device=bench.torch_device)
            by_head.append({"head": head, "value": value(cosines)})
    if not by_head:
        return {}
    return {
        "within_heads_median": float(np.median([entry["value"] for entry in by_head])),
        "worst_head": max(by_head, key=lambda entry: entry["value"])["head"],
        "by_head": by_head,
    }


def _share_of_artifacts(cosines: PairwiseCosines) -> float:
    (share,) = cosines.fraction_above.values()
    return share
