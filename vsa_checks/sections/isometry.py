"""Section 2.2: how evenly the product of a head's matrices stretches the directions that it reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsa_checks import isometry as isometries
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

DRAWS = 100


def ov_isometry(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the isometry of W_V W_O, a map between vectors of the stream.

    So W_O is taken as it is written there, with the gain of a norm that follows it.
    """
    assert subject.layer is not None
    left = bench.weight(subject.basis, subject.layer, "W_V")
    right = bench.written(subject.basis, subject.layer, "W_O")
    return _isometry(bench, subject, per_query_head(left, len(right)), right)


def qk_isometry(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the isometry of W_Q W_K^T, with the gains of norms of queries and keys."""
    assert subject.layer is not None
    left = compared(bench, subject.basis, subject.layer, "W_Q")
    right = compared(bench, subject.basis, subject.layer, "W_K").transpose(0, 2, 1)
    return _isometry(bench, subject, left, per_query_head(right, len(left)))


def compared(bench: Workbench, basis: Basis, layer: int, matrix: str) -> NDArray[np.float32]:
    """W_Q or W_K as it makes what attention compares: with the gain of the norm of queries or keys, where there is one.

    The norm also divides each query or key by its length, which leaves its direction as it is.

    Returns
    -------
    ndarray, shape (n_heads or n_kv_heads, d_model, d_head)

    Raises
    ------
    NotChecked
        If the layer has no such matrix.
    """
    weight = bench.weight(basis, layer, matrix)
    gain = bench.model(basis).qk_gains(layer)[0 if matrix == "W_Q" else 1]
    return weight if gain is None else weight * gain[:, None, :]


def per_query_head(grouped: NDArray[np.float32], n_heads: int) -> NDArray[np.float32]:
    """Repeat key or value matrices for each query head, because heads of one group share them.

    Parameters
    ----------
    grouped : ndarray, shape (n_kv_heads, ...)
    n_heads : int
        Number of query heads, a multiple of n_kv_heads.

    Returns
    -------
    ndarray, shape (n_heads, ...)
    """
    return np.repeat(grouped, n_heads // len(grouped), axis=0)


def _isometry(bench: Workbench, subject: Subject, left: NDArray[np.float32], right: NDArray[np.float32]) -> Measurement:
    """Median over heads of the isometry of left @ right, beside that of Gaussian matrices of the same shape."""
    by_head = isometries.isometry(left, right)
    live = by_head[np.isfinite(by_head)]
    if not len(live):
        raise NotChecked("every head of the layer has a product of zero")
    d, rank, d_out = left.shape[1], left.shape[2], right.shape[2]
    drawn = bench.once(
        ("gaussian isometry", d, rank, d_out),
        lambda: isometries.gaussian_isometry(d, rank, DRAWS, bench.rng("gaussian isometry", d, rank, d_out), d_out),
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
