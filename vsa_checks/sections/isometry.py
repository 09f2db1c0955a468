"""Section 2.2: how evenly the product of a head's matrices stretches the directions that it reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsa_checks import isometry as isometries
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

GAUSSIAN_LAYERS = "layers of Gaussian heads"
DRAWS = 400
"""Layers of Gaussian heads that are drawn for each shape."""


def ov_isometry(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the isometry of W_V W_O, a map between vectors of the stream.

    So W_O is taken as it writes to the stream, with the gain of a norm that follows it.
    """
    return _isometry(bench, subject, *_ov(bench, subject))


def qk_isometry(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the isometry of W_Q W_K^T, with the gains of norms of queries and keys."""
    return _isometry(bench, subject, *_qk(bench, subject))


def ov_beside_random(bench: Workbench, subject: Subject) -> Measurement:
    """The layer's median for W_V W_O, in standard deviations of layers of Gaussian heads from their mean."""
    return _beside_random(bench, subject, *_ov(bench, subject))


def qk_beside_random(bench: Workbench, subject: Subject) -> Measurement:
    """The layer's median for W_Q W_K^T, in standard deviations of layers of Gaussian heads from their mean."""
    return _beside_random(bench, subject, *_qk(bench, subject))


def _ov(bench: Workbench, subject: Subject) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """W_V (kv, d, r) and W_O (h, r, d)."""
    assert subject.layer is not None
    return bench.weight(subject.basis, subject.layer, "W_V"), bench.written(subject.basis, subject.layer, "W_O")


def _qk(bench: Workbench, subject: Subject) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """W_Q (h, d, r) and the transposes of W_K (kv, r, d)."""
    assert subject.layer is not None
    left = compared(bench, subject.basis, subject.layer, "W_Q")
    return left, compared(bench, subject.basis, subject.layer, "W_K").transpose(0, 2, 1)


def compared(bench: Workbench, basis: Basis, layer: int, matrix: str) -> NDArray[np.float32]:
    """W_Q or W_K as used to compute attention: with the gain of the query or key norm, if there is one.

    The norm also divides each query or key by its length, which does not change its direction.

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


def _by_head(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """The isometry of each head (h,), NaN if its product is zero. Raises NotChecked if all are zero."""
    n_heads = max(len(left), len(right))
    by_head = isometries.isometry(per_query_head(left, n_heads), per_query_head(right, n_heads))
    if not np.isfinite(by_head).any():
        raise NotChecked("every head of the layer has a product of zero")
    return by_head


def _gaussian_layers(bench: Workbench, left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Medians (DRAWS,) of layers of Gaussian heads of the same shapes, drawn once for both products."""
    rank = left.shape[2]
    # Swapping left and right does not change the distribution.
    (d, n), (d_out, n_out) = sorted([(left.shape[1], len(left)), (right.shape[2], len(right))])
    purpose = ("gaussian layers", d, d_out, n, n_out, rank)
    return bench.once(
        purpose, lambda: isometries.gaussian_layers((d, d_out), (n, n_out), rank, DRAWS, bench.rng(*purpose))
    )


def _isometry(bench: Workbench, subject: Subject, left: NDArray[np.float32], right: NDArray[np.float32]) -> Measurement:
    """Median over heads of the isometry of left @ right, compared with Gaussian matrices of the same shape."""
    by_head = _by_head(left, right)
    live = by_head[np.isfinite(by_head)]
    drawn = _gaussian_layers(bench, left, right)
    return Measurement(
        value=float(np.median(live)),
        interval=bootstrap(live, "heads", bench.rng("bootstrap", subject.id), np.median),
        n_examined=len(live),
        n_excluded=len(by_head) - len(live),
        reference=Reference("product of Gaussians", float(np.median(drawn))),
        nulls=(NullMeasurement.of_draws(GAUSSIAN_LAYERS, float(np.median(live)), drawn, ">="),),
        details={
            "by_head": [
                {"head": head, "value": float(value)} for head, value in enumerate(by_head) if np.isfinite(value)
            ],
            "worst_head": int(np.nanargmin(by_head)),
        },
    )


def _beside_random(
    bench: Workbench, subject: Subject, left: NDArray[np.float32], right: NDArray[np.float32]
) -> Measurement:
    """How many standard deviations of Gaussian layers the layer's median lies above their mean."""
    if left.shape[2] < 2:
        raise NotChecked("a head of one dimension stretches evenly whatever it holds")
    by_head = _by_head(left, right)
    live = by_head[np.isfinite(by_head)]
    drawn = _gaussian_layers(bench, left, right)
    middle, spread = float(drawn.mean()), float(drawn.std(ddof=1))
    scaled = (live - middle) / spread
    value = float(np.median(scaled))
    return Measurement(
        value=value,
        interval=bootstrap(scaled, "heads", bench.rng("bootstrap", subject.id), np.median),
        n_examined=len(live),
        n_excluded=len(by_head) - len(live),
        reference=Reference("mean of layers of Gaussian heads", 0.0),
        nulls=(NullMeasurement.of_draws(GAUSSIAN_LAYERS, value, (drawn - middle) / spread, ">="),),
        details={
            "isometry": float(np.median(live)),
            "gaussian_mean": middle,
            "gaussian_deviation": spread,
        },
    )
