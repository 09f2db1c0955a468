"""Sections 2.2 and 3.1, attention: near-orthogonality of W_Q, W_K, W_V, W_O, and how evenly heads stretch space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks import isometry as isometries
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.orthogonality import PairwiseCosines, pairwise_cosines
from vsa_checks.sections.pairs import artifact_cut, artifacts, beyond_random, near_orthogonal
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

ISOMETRY_DRAWS = 100


def head_vectors(matrix: str, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """One vector per head dimension (h * r, d), head by head, of W_Q, W_K, W_V (h, d, r) or W_O (h, r, d)."""
    by_head = weight if matrix == "W_O" else weight.transpose(0, 2, 1)
    return by_head.reshape(-1, by_head.shape[2])


def heads_near_orthogonal(bench: Workbench, subject: Subject) -> Measurement:
    """Root mean square cosine over all vectors of one attention matrix of a layer; pairs within a head in details."""
    cosines, heads = _cosines(bench, subject)
    groups, unit = _units(heads[cosines.rows])
    return near_orthogonal(
        bench, subject, cosines, unit, groups, _within_heads(bench, subject, lambda pairs: pairs.rms)
    )


def heads_artifacts(bench: Workbench, subject: Subject) -> Measurement:
    """Share of pairs of vectors of one attention matrix of a layer with |cos| above 6/sqrt(d)."""
    cosines, heads = _cosines(bench, subject)
    groups, unit = _units(heads[cosines.rows])
    return artifacts(bench, subject, cosines, unit, groups, _within_heads(bench, subject, _share_of_artifacts))


def heads_beyond_random(bench: Workbench, subject: Subject) -> Measurement:
    """Root mean square cosine of one attention matrix over the median of Gaussian matrices of its shape."""
    cosines, heads = _cosines(bench, subject)
    groups, unit = _units(heads[cosines.rows])
    return beyond_random(bench, subject, cosines, unit, groups)


def ov_isometry(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the isometry of W_V W_O."""
    assert subject.layer is not None
    left = bench.weight(subject.basis, subject.layer, "W_V")
    right = bench.weight(subject.basis, subject.layer, "W_O")
    return _isometry(bench, subject, _per_query_head(left, len(right)), right)


def qk_isometry(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the isometry of W_Q W_K^T."""
    assert subject.layer is not None
    left = bench.weight(subject.basis, subject.layer, "W_Q")
    right = bench.weight(subject.basis, subject.layer, "W_K").transpose(0, 2, 1)
    return _isometry(bench, subject, left, _per_query_head(right, len(left)))


def _isometry(bench: Workbench, subject: Subject, left: NDArray[np.float32], right: NDArray[np.float32]) -> Measurement:
    """Median over heads of the isometry of left @ right beside that of Gaussians of the same shape."""
    by_head = isometries.isometry(left, right)
    live = by_head[np.isfinite(by_head)]
    if not len(live):
        raise NotChecked("every head of the layer has a product of zero")
    d, rank, d_out = left.shape[1], left.shape[2], right.shape[2]
    drawn = bench.once(
        ("gaussian isometry", d, rank, d_out),
        lambda: isometries.gaussian_isometry(
            d, rank, ISOMETRY_DRAWS, bench.rng("gaussian isometry", d, rank, d_out), d_out
        ),
    )
    return Measurement(
        value=float(np.median(live)),
        interval=bootstrap(live, "heads", bench.rng("bootstrap", subject.id), np.median),
        n_examined=len(live),
        n_excluded=len(by_head) - len(live),
        reference=Reference("product of Gaussians", float(np.median(drawn))),
        details={
            "by_head": [
                {"head": head, "value": float(value)} for head, value in enumerate(by_head) if np.isfinite(value)
            ],
            "worst_head": int(np.nanargmin(by_head)),
        },
    )


def _share_of_artifacts(cosines: PairwiseCosines) -> float:
    (share,) = cosines.fraction_above.values()
    return share


def _per_query_head(grouped: NDArray[np.float32], n_heads: int) -> NDArray[np.float32]:
    """Each query head's key or value matrix: heads of one group share it (grouped-query attention)."""
    return np.repeat(grouped, n_heads // len(grouped), axis=0)


def _cosines(bench: Workbench, subject: Subject) -> tuple[PairwiseCosines, NDArray[np.int64]]:
    """All pairs of the vectors of one matrix of a layer, and which head each vector is of."""
    assert subject.layer is not None and subject.matrix is not None
    layer, matrix = subject.layer, subject.matrix
    weight = bench.weight(subject.basis, layer, matrix)
    vectors = head_vectors(matrix, weight)
    heads = np.repeat(np.arange(len(weight)), len(vectors) // len(weight))
    cut = artifact_cut(vectors.shape[1])
    if np.count_nonzero(vectors.any(axis=1)) < 2:
        raise NotChecked(f"fewer than two vectors of {matrix} have a direction")
    measured = bench.once(
        ("head pairs", subject.basis, layer, matrix),
        lambda: pairwise_cosines(vectors, (cut,), device=bench.torch_device),
    )
    return measured, heads


def _units(heads: NDArray[np.int64]) -> tuple[NDArray[np.int64] | None, str]:
    """Resample whole heads; where there is only one, its dimensions."""
    return (heads, "heads") if len(np.unique(heads)) > 1 else (None, "head dimensions")


def _within_heads(bench: Workbench, subject: Subject, figure: Callable[[PairwiseCosines], float]) -> dict[str, Any]:
    """The same figure over the pairs within each head, and the head where it is largest."""
    assert subject.layer is not None and subject.matrix is not None
    weight = bench.weight(subject.basis, subject.layer, subject.matrix)
    by_head: list[dict[str, float]] = []
    for head in range(len(weight)):
        vectors = head_vectors(subject.matrix, weight[head : head + 1])
        if np.count_nonzero(vectors.any(axis=1)) > 1:
            cosines = pairwise_cosines(vectors, (artifact_cut(vectors.shape[1]),), device=bench.torch_device)
            by_head.append({"head": head, "value": figure(cosines)})
    if not by_head:
        return {}
    return {
        "within_heads_median": float(np.median([entry["value"] for entry in by_head])),
        "worst_head": max(by_head, key=lambda entry: entry["value"])["head"],
        "by_head": by_head,
    }
