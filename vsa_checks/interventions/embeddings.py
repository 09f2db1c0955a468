"""Make token embeddings more or less nearly orthogonal, by degrees. Rows are float32 arrays (n, d), one per token."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsa_checks.orthogonality import second_moment

Rows = NDArray[np.float32]
LEAST_VARIANCE = 1e-6
"""Directions with less than this share of the largest variance count as having this share, so that none explodes."""
TOKENS_PER_NEIGHBOURHOOD = 64


def centered_by(rows: Rows, degree: float) -> Rows:
    """Subtract a share of the mean embedding from every token; norms stay."""
    return _with_norms_of(rows, rows - np.float32(degree) * _mean(rows))


def whitened(rows: Rows, degree: float) -> Rows:
    """Even out the variances of the tokens about their mean: each to the power 1 - degree.

    Degree 1 gives them the same variance in all directions, but that each token then gets the distance from the mean
    that it had. The mean stays.
    """
    mean, deviations, values, axes = _principal(rows)
    floor = np.maximum(values, LEAST_VARIANCE * values.max())
    turned = (axes * (floor / floor.max()) ** (-degree / 2)) @ axes.T
    return mean + _with_norms_of(deviations, deviations @ turned.astype(np.float32))


def with_common_mean(rows: Rows, dose: float, rng: np.random.Generator) -> Rows:
    """Add one random vector to every token, `dose` times as long as tokens are (rms); norms stay."""
    direction = rng.standard_normal(rows.shape[1])
    length = dose * np.linalg.norm(rows) / np.sqrt(len(rows))
    return _with_norms_of(rows, rows + (length * direction / np.linalg.norm(direction)).astype(np.float32))


def mixed(rows: Rows, dose: float, rng: np.random.Generator) -> Rows:
    """Move every token towards its neighbours; norms stay.

    Neighbours are the tokens that are closest, by cosine of the centered rows, to the same one of n / 64 tokens drawn
    at random. A row becomes (1 - dose) of itself and `dose` of its neighbourhood's mean.
    """
    deviations = rows - _mean(rows)
    anchors = rng.choice(len(rows), max(1, len(rows) // TOKENS_PER_NEIGHBOURHOOD), replace=False)
    heads = _with_norms_of(np.ones_like(deviations[anchors]), deviations[anchors]).T
    labels = np.concatenate([(deviations[at : at + 4096] @ heads).argmax(axis=1) for at in range(0, len(rows), 4096)])
    found = rows.copy()
    for label in range(len(anchors)):
        some = labels == label
        if some.any():
            found[some] = np.float32(1.0 - dose) * rows[some] + np.float32(dose) * _mean(rows[some])
    return _with_norms_of(rows, found)


def low_rank(rows: Rows, share: float) -> Rows:
    """Keep the mean and a share of the principal axes of what is left, the largest; norms stay."""
    mean, deviations, _, axes = _principal(rows)
    kept = axes[:, -max(1, round(share * axes.shape[1])) :].astype(np.float32)
    flat = mean + deviations @ kept @ kept.T
    return _with_norms_of(rows, flat.astype(np.float32, copy=False))


def _mean(rows: Rows) -> Rows:
    return rows.mean(axis=0, dtype=np.float64).astype(np.float32)


def _principal(rows: Rows) -> tuple[Rows, Rows, NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,), deviations from it (n, d), variances (d,) in rising order and their axes (d, d), as columns."""
    mean = _mean(rows)
    deviations = rows - mean
    values, axes = np.linalg.eigh(second_moment(deviations) / len(rows))
    return mean, deviations, np.maximum(values, 0.0), axes


def _with_norms_of(rows: Rows, changed: Rows) -> Rows:
    """The changed rows, each scaled to the norm of the row in the same place; zero rows stay zero."""
    norms, now = (np.linalg.norm(some, axis=1, keepdims=True) for some in (rows, changed))
    found: Rows = changed * np.divide(norms, now, out=np.zeros_like(norms), where=now > 0)
    return found
